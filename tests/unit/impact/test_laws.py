"""The published figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bestex.impact import Almgren, SquareRoot

# Almgren, Thum, Hauptmann and Li (2005), the example of IBM: a tenth of a day's volume.
V, THETA, SIGMA_BPS, X = 6.561e6, 1728e6, 157.0, 0.6561e6
IBM = Almgren()


def test_the_permanent_impact_is_that_of_the_paper() -> None:
    assert IBM.permanent_bps(X, V, THETA, SIGMA_BPS) == pytest.approx(19.86, abs=0.01)


@pytest.mark.parametrize(("days", "temporary", "cost"), [(0.1, 22, 32), (0.2, 15, 25), (0.5, 8, 18)])
def test_the_temporary_impact_and_the_cost_are_those_of_the_paper(
    days: float, temporary: float, cost: float
) -> None:
    assert IBM.temporary_bps(X, V, days, SIGMA_BPS) == pytest.approx(temporary, abs=0.6)
    assert IBM.cost_bps(X, V, THETA, days, SIGMA_BPS) == pytest.approx(cost, abs=0.6)


def test_a_hundredth_of_a_day_moves_the_price_a_tenth_of_its_volatility() -> None:
    law = SquareRoot()
    assert law.peak_bps(10, 1_000, 200) == pytest.approx(20)
    assert law.cost_bps(10, 1_000, 200) == pytest.approx(20 * 2 / 3)
    assert SquareRoot(prefactor=0.5).peak_bps(10, 1_000, 200) == pytest.approx(10)


SIZES = st.floats(1e-3, 1e6)


@given(qty=SIZES, more=st.floats(1e-2, 1e3), exponent=st.floats(0.1, 0.95))
def test_impact_grows_with_size_and_ever_more_slowly(qty: float, more: float, exponent: float) -> None:
    law = SquareRoot(exponent=exponent)
    sizes = (qty, qty * (1 + more / 2), qty * (1 + more))
    for first, middle, second in (
        [law.peak_bps(size, 1e6, 200) for size in sizes],
        [IBM.temporary_bps(size, 1e6, 0.5, 200) for size in sizes],
    ):
        assert 0 < first < second
        assert middle > (first + second) / 2 * (1 - 1e-12)


@given(qty=SIZES, days=st.floats(0.01, 1))
def test_taking_more_time_costs_less_and_moves_the_price_for_good_as_much(qty: float, days: float) -> None:
    assert IBM.temporary_bps(qty, 1e6, 2 * days, 200) < IBM.temporary_bps(qty, 1e6, days, 200)
    slow = IBM.cost_bps(qty, 1e6, 1e8, 2 * days, 200) - IBM.temporary_bps(qty, 1e6, 2 * days, 200)
    fast = IBM.cost_bps(qty, 1e6, 1e8, days, 200) - IBM.temporary_bps(qty, 1e6, days, 200)
    assert slow == pytest.approx(fast, rel=1e-6)


def test_nothing_traded_moves_nothing() -> None:
    assert SquareRoot().peak_bps(0, 1, 1) == IBM.cost_bps(0, 1, 1, 1, 1) == 0


@pytest.mark.parametrize(("qty", "volume", "sigma"), [(-1, 1, 1), (1, 0, 1), (1, 1, -1)])
def test_what_has_no_meaning_is_a_bug(qty: float, volume: float, sigma: float) -> None:
    with pytest.raises(AssertionError):
        SquareRoot().peak_bps(qty, volume, sigma)
