"""The trajectory for any setting: it only falls, it sums to the order, and its limits are the line and the block."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bestex import messages as m
from services.scheduler.curve import of_schedule
from services.scheduler.models.almgren_chriss import Setting, trajectory
from tests.unit.scheduler.play import Moment, Play

positive = st.floats(1e-6, 1e6)
settings_of = st.builds(
    Setting, qty=positive, time=positive, steps=st.integers(1, 60), volatility=positive, temporary=positive
)


@given(setting=settings_of, risk_aversion=st.floats(0, 1e12))
def test_holdings_fall_from_the_whole_to_nothing(setting: Setting, risk_aversion: float) -> None:
    path = setting.holdings(setting.kappa(risk_aversion))
    assert (path[0], path[-1]) == (setting.qty, 0)
    trades = [before - after for before, after in pairwise(path)]
    assert min(trades) >= 0
    assert sum(trades) == pytest.approx(setting.qty)
    tolerance = 1e-9 * setting.qty
    assert all(
        late <= early + tolerance for early, late in pairwise(trades)
    )  # each is no more than the one before


@given(setting=settings_of, one=st.floats(0, 1e9), other=st.floats(0, 1e9))
def test_more_risk_aversion_never_holds_more(setting: Setting, one: float, other: float) -> None:
    calm, wary = (setting.holdings(setting.kappa(each)) for each in sorted((one, other)))
    assert all(less <= more * (1 + 1e-9) for less, more in zip(wary, calm, strict=True))


@given(setting=settings_of)
def test_without_risk_aversion_it_is_a_line_and_with_boundless_risk_aversion_a_block(
    setting: Setting,
) -> None:
    even = [1 - j / setting.steps for j in range(setting.steps + 1)]
    small = 1e-12 * setting.net_temporary / (setting.volatility * setting.time) ** 2
    assert trajectory(setting.steps, setting.kappa(small) * setting.time) == pytest.approx(even)
    assert setting.holdings(setting.kappa(1e300))[1] <= setting.qty * 1e-9


@given(setting=settings_of, risk_aversion=st.floats(1e-9, 1e3), share=st.floats(0, 1))
def test_a_plan_for_what_is_left_is_the_rest_of_the_plan(
    setting: Setting, risk_aversion: float, share: float
) -> None:
    kappa, gone = setting.kappa(risk_aversion), int(share * (setting.steps - 1))
    path = trajectory(setting.steps, kappa * setting.time)
    later = trajectory(setting.steps - gone, kappa * setting.step * (setting.steps - gone))
    assert [path[gone] * left for left in later] == pytest.approx(path[gone:], rel=1e-6, abs=1e-12)


@given(
    units=st.integers(1_000, 10**7),
    slices=st.integers(1, 60),
    urgency=st.sampled_from(("low", "medium", "high", "immediate")),
    model=st.sampled_from(("almgren_chriss", "transient")),
    half_life_s=st.integers(1, 10_000),
)
def test_every_plan_rises_to_the_whole_in_whole_lots_within_its_bounds(
    units: int, slices: int, urgency: str, model: str, half_life_s: int
) -> None:
    play = Play(lambda _: Moment())
    play.order(
        "is", qty=str(units / 10**5), duration="600s", slices=slices, urgency=urgency, model=model,
        half_life=f"{half_life_s}s",
    )  # fmt: skip
    (accepted,) = play.of(m.ParentAccepted)
    points = of_schedule(accepted.schedule, play.instrument).points
    assert (points[0].qty, points[-1].qty) == (0, units)
    assert all(before.qty <= after.qty for before, after in pairwise(points))
    assert all(point.low <= point.qty <= point.high for point in points)
