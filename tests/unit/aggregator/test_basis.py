from __future__ import annotations

import pytest

from bestex.clock import MS, SECOND
from bestex.human import Duration
from bestex.messages import BookStatus
from services.aggregator.consolidation import BASIS_SLACK_BPS
from services.aggregator.estimators import BASIS_HOLD_NS, Basis
from tests.unit.aggregator.harness import CONFIG, PERP, SPOT_A, SPOT_B, Market, instrument

LIVE, STALE, DOWN = BookStatus.LIVE, BookStatus.STALE, BookStatus.DOWN
BASIS_OFF = type(CONFIG)(stale_after=Duration(2 * SECOND), basis=False)


@pytest.fixture
def market() -> Market:
    return Market(instrument(SPOT_A, SPOT_B, PERP))


def test_a_perp_is_compared_at_its_price_less_its_basis(market: Market) -> None:
    market.quote("a", 10_000, 10_010)
    market.quote("p", 9_900, 9_910)
    assert market.column("p").basis == -100
    assert market.column("p").bid_px == [9_900]
    assert not market.books[-1].crossed


def test_with_basis_off_raw_prices_are_merged() -> None:
    market = Market(instrument(SPOT_A, SPOT_B, PERP), config=BASIS_OFF)
    market.quote("a", 10_000, 10_010)
    market.quote("p", 9_900, 9_910)
    assert market.column("p").basis == 0
    assert market.column("p").status is LIVE
    assert market.books[-1].crossed


def test_the_reference_is_the_mean_mid_of_live_spot_venues(market: Market) -> None:
    market.quote("a", 10_000, 10_030)
    market.quote("b", 10_010, 10_040)
    market.quote("p", 9_900, 9_930)
    assert market.column("p").basis == -105
    assert [market.column(venue).basis for venue in "ab"] == [0, 0]


@pytest.mark.parametrize("updates", [1, 10, 1_000])
def test_half_of_a_change_is_learnt_in_one_half_life_however_often_it_is_updated(updates: int) -> None:
    basis = Basis(10 * SECOND)
    basis.observe(0.0, 0)
    for i in range(updates):
        basis.observe(1_000.0, i * 10 * SECOND // updates)
    basis.observe(1_000.0, 10 * SECOND)
    assert basis.value == pytest.approx(500.0)


def test_a_tremble_smaller_than_the_slack_neither_locks_nor_crosses() -> None:
    market = Market(instrument(SPOT_A, PERP))
    market.quote("a", 1_000_000, 1_000_001)
    market.quote("p", 990_000, 990_010)
    for shift in range(-150, 150):
        market.now_ns += MS
        market.quote("p", 990_000 + shift, 990_010 + shift)
        assert (market.books[-1].crossed, market.books[-1].locked) == (False, False)
        market.quote("a", 1_000_000 + shift % 3, 1_000_001 + shift % 3)
        assert (market.books[-1].crossed, market.books[-1].locked) == (False, False)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_dislocation_beyond_the_slack_is_shown_as_crossed(sign: int) -> None:
    market = Market(instrument(SPOT_A, PERP))
    market.quote("a", 1_000_000, 1_000_010)
    market.quote("p", 1_000_000, 1_000_010)
    market.now_ns += MS
    market.quote("p", 1_000_000 + sign * 1_000, 1_000_010 + sign * 1_000)
    slack = sign * 1_000_000 * BASIS_SLACK_BPS // 10_000
    assert market.column("p").basis == pytest.approx(slack, abs=1)
    assert market.books[-1].crossed


def test_a_spot_update_moves_the_perps_basis_too(market: Market) -> None:
    market.quote("a", 100_000, 100_010)
    market.quote("p", 100_000, 100_010)
    for _ in range(40):
        market.quote("a", 99_000, 99_010)
        market.quote("p", 100_000, 100_010)
        market.now_ns += SECOND
    market.quote("a", 99_000, 99_010)
    assert 900 < market.column("p").basis < 1_000


def test_a_perp_without_any_spot_price_yet_is_stale_because_nothing_is_comparable(market: Market) -> None:
    market.quote("p", 9_900, 9_910)
    assert (market.column("p").status, market.column("p").basis) == (STALE, 0)
    market.quote("a", 10_000, 10_010)
    assert (market.column("p").status, market.column("p").basis) == (LIVE, -100)


def test_perps_alone_have_no_basis_and_are_live() -> None:
    market = Market(instrument(PERP))
    market.quote("p", 9_900, 9_910)
    assert (market.column("p").status, market.column("p").basis) == (LIVE, 0)


def test_the_last_basis_stands_for_a_bounded_time_without_spot(market: Market) -> None:
    market.now_ns += 300 * MS  # off the whole seconds on which stats come
    market.quote("a", 10_000, 10_010)
    market.quote("p", 9_900, 9_910)
    end_ns = market.now_ns + CONFIG.stale_after + BASIS_HOLD_NS  # held from when the spot venue goes stale
    market.run(0.55)
    while market.now_ns < end_ns - SECOND:
        market.run(0.7)  # so that no other timer rings at the very end
        market.quote("p", 9_800, 9_810)
        assert market.column("p").status is LIVE
        assert market.column("p").basis == pytest.approx(-100, abs=15)
    market.run((end_ns - market.now_ns) / SECOND)
    assert market.column("p").status is STALE
    assert market.books[-1].at_ns == end_ns
    market.quote("a", 10_000, 10_010)
    assert (market.column("p").status, market.column("p").basis) == (LIVE, -200)


def test_a_one_sided_spot_book_is_no_reference(market: Market) -> None:
    market.book("a", {10_000: 1}, {})
    market.quote("p", 9_900, 9_910)
    assert market.column("p").status is STALE
    assert market.column("a").status is LIVE


def test_an_estimate_goes_on_after_a_short_silence_and_begins_anew_after_a_long_one() -> None:
    basis = Basis(10 * SECOND)
    basis.observe(100.0, 0)
    basis.suspend(SECOND)
    basis.observe(0.0, 31 * SECOND)
    assert basis.value == 100.0  # what was not observed has no weight
    basis.observe(0.0, 41 * SECOND)
    assert basis.value == pytest.approx(50.0)
    basis.suspend(41 * SECOND)
    assert basis.known_until_ns == 41 * SECOND + BASIS_HOLD_NS
    basis.observe(7.0, 41 * SECOND + BASIS_HOLD_NS - MS)
    assert basis.value == pytest.approx(50.0)
    basis.suspend(41 * SECOND + BASIS_HOLD_NS - MS)
    basis.observe(7.0, basis.known_until_ns)
    assert basis.value == 7.0
