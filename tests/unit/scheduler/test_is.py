"""Implementation shortfall, played: the published trajectory, its bounds, its estimates, its new plans."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from math import sqrt
from typing import Any

import msgspec
import pytest

import bestex
from bestex import messages as m
from bestex.clock import DAY, MINUTE, SECOND
from bestex.errors import Code
from bestex.human import Ratio
from bestex.impact.settings import ImpactSettings
from services.scheduler.curve import of_schedule
from tests.unit.scheduler.bench_core import START, Bench
from tests.unit.scheduler.play import SYMBOL, Moment, Play, Script, all_of_it, size, steady

PAPER: dict[str, Any] = {
    "duration": "5d", "slices": 5, "randomize": 0, "risk_aversion": 1e-6, "volatility": "1.9%",
    "temporary_impact": 2.5e-6, "permanent_impact": 2.5e-7,
}  # fmt: skip
AT_50 = Moment(bid=49_99, ask=50_01, bid_qty=10**12, ask_qty=10**12)
MIN_QTY = 10
THIN = Moment(bid_qty=10**6, ask_qty=10**6)
IS: dict[str, Any] = {"duration": "200s", "interval": "10s", "randomize": 0}
IMPACT = ImpactSettings(daily_volatility=Ratio(0.03), daily_volume=Decimal(60_000))


def held(play: Play) -> list[int]:
    """What is not to be sent yet at each point of the first plan, in quantity units."""
    (accepted,) = play.of(m.ParentAccepted)
    points = of_schedule(accepted.schedule, play.instrument).points
    return [points[-1].qty - point.qty for point in points]


def early(play: Play) -> float:
    """The share of the order that is planned for the first half of its time."""
    (accepted,) = play.of(m.ParentAccepted)
    curve = of_schedule(accepted.schedule, play.instrument)
    return curve.qty((curve.start_ns + curve.end_ns) // 2) / curve.points[-1].qty


def with_impact(impact: ImpactSettings) -> Bench:
    """A bench whose configuration knows this of the market."""
    bench = Bench(with_book=False)
    bench.config = msgspec.structs.replace(bench.config, impact={SYMBOL: impact})
    bench.core = bench.make()
    return bench


def live_per_day(bps_per_root_second: float) -> float:
    return bps_per_root_second / 10_000 * sqrt(86_400)


def turning(later: float) -> Script:
    """A thin market whose volatility is another after a minute."""
    return lambda at_ns: replace(THIN, volatility_bps=1.0 if at_ns < MINUTE else later)


def test_the_published_holdings_are_the_plan_of_a_parent() -> None:
    play = Play(lambda _: AT_50)
    play.order("is", qty="1000000", **PAPER)
    assert [round(qty / 10**5) for qty in held(play)] == [1_000_000, 541_956, 289_854, 147_897, 62_142, 0]
    (accepted,) = play.of(m.ParentAccepted)
    assert [point.at - START for point in accepted.schedule] == [day * DAY for day in range(6)]
    assert accepted.reason.startswith("half-life 1d15h32m2s ")  # 1.6472 days
    assert "volatility 1.900% a day (given), impact 2.5e-06 for a base a day (given)" in accepted.reason
    # (911,227.0 - epsilon X + X / 100) / 50 X: the paper's cost with this book's spread of 2 cents instead of 12.5.
    assert "expected cost 172 bps, give or take 121" in accepted.reason


def test_without_risk_aversion_it_is_a_straight_line_and_with_a_lot_of_it_all_goes_at_once() -> None:
    play = Play(lambda _: AT_50)
    play.order("is", qty="1000000", **{**PAPER, "risk_aversion": 0})
    steps = [before - after for before, after in pairwise(held(play))]
    assert steps == [2 * 10**10] * 5
    play = Play(lambda _: AT_50)
    play.order("is", qty="1000000", **{**PAPER, "risk_aversion": 1e6})
    assert held(play)[1] <= 1


def test_the_fills_follow_the_plan_within_its_bounds_however_they_are_randomised() -> None:
    for urgency in ("low", "medium", "high", "immediate"):
        for randomize in (0, 0.3, 0.9):
            play = Play()
            play.order("is", **{**IS, "randomize": randomize, "urgency": urgency})
            play.to_end()
            assert play.beyond_plan() < MIN_QTY  # what no venue would take goes along
            assert sum(play.sizes) == 10**5
            assert play.done is not None
            assert play.done.reason is Code.FILLED
            assert not play.of(
                m.ParentReplanned
            )  # nothing has changed: each new plan would agree with the first


def test_it_is_the_earlier_the_dearer_risk_is() -> None:
    shares = []
    for risk_aversion in (0, 1e-5, 1e-4, 1e-3):
        play = Play(lambda _: THIN)
        play.order("is", **IS, risk_aversion=risk_aversion)
        shares.append(early(play))
    assert all(before < after for before, after in pairwise(shares))
    assert shares[0] == pytest.approx(0.5)
    assert shares[-1] > 0.9
    by_urgency = []
    for urgency in ("low", "medium", "high", "immediate"):
        play = Play()
        play.order("is", **IS, urgency=urgency)
        by_urgency.append(early(play))
    # 1 - sinh(d/2) / sinh(d) for d = 1, 3, 10.
    assert by_urgency == pytest.approx([0.5566, 0.7875, 0.9933, 1.0], abs=1e-4)


def test_what_is_not_given_is_estimated_and_the_history_says_by_what() -> None:
    play = Play(steady(volatility_bps=1.0))
    play.order("is", **IS, risk_aversion=1e-2)
    (accepted,) = play.of(m.ParentAccepted)
    # 1 bp a root second is 293.9 bps a day; 60,000 x .001 / (2 x 1,000 BTC) x 10 s of a day.
    assert "volatility 2.939% a day (live), impact 3.47e-06 for a base a day (by depth)" in accepted.reason
    play = Play(steady(volatility_bps=None), bench=with_impact(IMPACT))
    play.order("is", **IS, risk_aversion=1e-2)
    (accepted,) = play.of(m.ParentAccepted)
    assert "volatility 3.000% a day (configured)" in accepted.reason
    assert "(by volume)" in accepted.reason


def test_the_half_life_of_an_urgency_holds_at_the_configured_volatility() -> None:
    shares = []
    for live in (0.25, 1.0, 4.0):  # bps a root second; of a day 0.73%, 2.94% and 11.8%
        usual = ImpactSettings(daily_volatility=Ratio(live_per_day(1.0)))
        play = Play(steady(volatility_bps=live), bench=with_impact(usual))
        play.order("is", **IS, urgency="medium")
        shares.append(early(play))
    # Decays of 1, 3 and 9 instead of 0.75, 3 and 12: a third and three times at the most.
    assert shares == pytest.approx([0.5566, 0.7875, 0.9889], abs=1e-4)


def test_a_late_start_and_a_change_say_by_what_they_are_planned_too() -> None:
    play = Play(steady(volatility_bps=1.0))
    play.order("is", **IS, permanent_impact=2e-6, start_time="2023-11-14T22:13:30Z")  # ten seconds after
    play.until(20 * SECOND)
    play.request("modify", params={"urgency": "high"})
    (started,) = play.of(m.ParentStarted)
    (modified,) = play.of(m.ParentModified)
    assert started.text.startswith("half-life 1m7s by medium urgency; volatility 2.939% a day (live), impact")
    assert "permanent impact 2e-06 for a base (given), expected cost" in started.text
    assert modified.text.startswith("half-life 20s by high urgency; ")


def test_where_there_is_nothing_to_weigh_it_says_so() -> None:
    play = Play(steady(volatility_bps=None))
    play.order("is", **IS, risk_aversion=1e-2)
    (accepted,) = play.of(m.ParentAccepted)
    assert accepted.reason == "volatility or impact is not known: as for medium urgency"
    assert early(play) == pytest.approx(0.7875, abs=1e-4)


def test_a_market_that_grows_more_volatile_brings_a_faster_plan_and_the_history_says_why() -> None:
    plans = {}
    for later in (1.0, 4.0):
        play = Play(turning(later))
        play.order("is", **{**IS, "interval": "5s"}, risk_aversion=1e-5)
        play.until(100 * SECOND)
        plans[later] = play.sent()[-1][1]
        replanned = play.of(m.ParentReplanned)
        assert len(replanned) == (later > 1)
        play.to_end()
        assert play.beyond_plan() <= 1
        assert sum(play.sizes) == 10**5
    assert plans[4.0] > plans[1.0] + 10_000
    assert replanned[0].at == START + MINUTE
    assert "volatility 11.758% a day (live)" in replanned[0].text
    assert replanned[0].text.endswith("% of the rest astray")


def test_new_plans_come_at_most_as_often_as_was_asked_for() -> None:
    def script(at_ns: int) -> Moment:
        return replace(THIN, volatility_bps=(0.5, 2.0)[at_ns // (17 * SECOND) % 2])

    for replan, most in (("30s", 6), ("10s", 19), ("0s", 0)):
        play = Play(script)
        play.order("is", **{**IS, "interval": "2s"}, risk_aversion=1e-5, replan=replan)
        play.to_end()
        times = [START, *(event.at for event in play.of(m.ParentReplanned))]
        assert len(times) - 1 <= most
        assert (len(times) > 1) == (most > 0)
        assert all(after - before >= int(replan[:-1]) * SECOND for before, after in pairwise(times))


def test_what_did_not_fill_is_spread_over_the_time_left() -> None:
    def nothing_at_first(sliced: m.ParentSliced, moment: Moment) -> int | None:
        return 0 if sliced.at < START + MINUTE else all_of_it(sliced, moment)

    play = Play(fill=nothing_at_first)
    play.order("is", **IS, urgency="low")
    play.to_end()
    assert play.done is not None
    assert play.done.reason is Code.FILLED
    assert play.of(m.ParentReplanned)
    later = [size(event) for event in play.of(m.ParentSliced) if event.at >= START + 90 * SECOND]
    assert max(later) <= 2 * 10**5 // 11  # a straight line over the rest would be 9,090 a step


def test_where_impact_decays_a_bulk_goes_at_both_ends() -> None:
    play = Play()
    play.order("is", **IS, model="transient", half_life="10s")
    play.to_end()
    # a = 1/2, 20 trades: 1 / (18 / 2 + 2) of the order at both ends, and half of that each time in between.
    assert play.sizes[0] == pytest.approx(10**5 / 11, abs=1)
    assert play.sizes[-1] == pytest.approx(10**5 / 11, abs=1)
    assert play.sizes[1:-1] == pytest.approx([10**5 / 22] * 18, abs=1)
    assert play.of(m.ParentAccepted)[0].reason == "half of the impact is taken to be gone after 10s"


def test_a_change_of_the_order_is_planned_from_what_is_filled() -> None:
    play = Play()
    play.order("is", **IS)
    play.until(55 * SECOND)
    play.request("modify", qty="2")
    play.to_end()
    assert sum(play.sizes) == 2 * 10**5
    assert play.plan().points[0].qty > 0


def test_users_find_it_by_its_name() -> None:
    from bestex import IS as Named

    assert Named is bestex.IS
    assert Named(urgency="high").name == "is"


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"risk_aversion": -1}, "risk_aversion must be a number that is not below zero"),
        ({"temporary_impact": 0}, "temporary_impact must be above zero"),
        ({"volatility": "0%"}, "volatility must be above 0% and at most 1000%"),
        ({"half_life": "0s"}, "half_life must be longer than nothing"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(params: dict[str, Any], text: str) -> None:
    (rejected,) = Play().order("is", **params)
    assert isinstance(rejected, m.ParentRejected)
    assert rejected.text == text
