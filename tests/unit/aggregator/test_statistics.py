from __future__ import annotations

from decimal import Decimal
from math import exp, log, sqrt

import pytest

from bestex import codec
from bestex.clock import MINUTE, MS, SECOND
from bestex.messages import BookStatus, MarkPrice, Stats
from services.aggregator.estimators import (
    USUAL_NS_MIN,
    VOLATILITY_MIN_RETURNS,
    Steadiness,
    Usual,
    Volatility,
    Volume,
    decay,
)
from services.aggregator.statistics import liquidity_score
from tests.unit.aggregator.harness import PERP, SPOT_A, SPOT_B, T0, Market, instrument


@pytest.fixture
def market() -> Market:
    return Market(instrument(SPOT_A, SPOT_B, PERP))


def test_stats_come_once_a_second_on_the_second_even_without_data(market: Market) -> None:
    market.now_ns += 300 * MS
    market.run(5)
    assert [stats.at - T0 for stats in market.stats] == [i * SECOND for i in range(1, 6)]
    first = market.stats[0]
    assert (first.symbol, first.mid, first.liquidity_score) == ("BTC/USDT", None, 0.0)
    assert [venue.status for venue in first.venues] == [BookStatus.DOWN] * 3
    assert first.venues[0].age_ms == 1_000.0  # since the start: it was never heard


def test_stats_travel_as_json(market: Market) -> None:
    market.quote("a", 100, 103)
    market.run(1)
    assert codec.from_json(codec.to_json(market.stats[-1]), Stats) == market.stats[-1]


def test_stats_give_mid_spread_and_depth_within_ten_basis_points(market: Market) -> None:
    market.book("a", {99_999: 100, 99_000: 7_000}, {100_002: 300})
    market.book("b", {99_910: 20}, {100_100: 50, 100_101: 9_000})
    market.book("p", {98_990: 1}, {99_011: 2})
    market.run(1)
    stats = market.stats[-1]
    assert stats.mid == Decimal("1000.005")
    assert stats.spread_bps == pytest.approx(3 / 100_000.5 * 1e4)
    assert stats.bid_depth == Decimal("0.00121")
    assert stats.ask_depth == Decimal("0.00352")
    assert [venue.bid_depth for venue in stats.venues] == [
        Decimal("0.001"),
        Decimal("0.0002"),
        Decimal("0.00001"),
    ]
    assert sum(venue.ask_depth for venue in stats.venues) == stats.ask_depth
    perp = stats.venues[2]
    assert perp.basis_bps == pytest.approx(-1_002.25 / 100_000.5 * 1e4, abs=0.1)
    assert perp.spread_bps == pytest.approx(21 / 99_000.5 * 1e4)


def test_a_venues_age_and_update_rate_are_its_own(market: Market) -> None:
    for _ in range(8):
        market.run(0.1)
        market.quote("a", 100, 101)
    market.quote("b", 100, 101)
    market.run(0.2)
    a, b, _ = market.stats[-1].venues
    assert (a.updates_per_s, b.updates_per_s) == (8.0, 1.0)
    assert a.age_ms == pytest.approx(200.0)


def test_volume_is_that_of_the_last_minute_in_base(market: Market) -> None:
    market.trade("a", 100, 200)
    market.run(30)
    market.trade("b", 100, 5, scales=(2, 3))
    market.trade("b", 100, 0)
    market.run(1)
    stats = market.stats[-1]
    assert (stats.volume, stats.recent_volume) == (Decimal("0.007"), Decimal("0.005"))
    assert [venue.volume for venue in stats.venues] == [Decimal("0.002"), Decimal("0.005"), Decimal(0)]
    assert stats.venues[1].rejected == {"trade_not_positive": 1}
    market.run(30)
    assert market.stats[-1].volume == Decimal("0.005")
    assert market.stats[-1].recent_volume == 0
    market.run(30)
    assert market.stats[-1].volume == 0


def test_volume_drops_what_is_sixty_seconds_old_and_keeps_bounded_buckets() -> None:
    volume = Volume()
    for second in range(1_000):
        volume.add(1, second * SECOND)
        volume.add(1, second * SECOND + 1)
        assert volume.total(second * SECOND + 2) == 2 * min(second + 1, 60)
        assert volume.recent(second * SECOND + 2) == 2 * min(second + 1, 6)
    assert volume.total(2_000 * SECOND) == volume.recent(2_000 * SECOND) == 0


def test_volatility_is_the_root_mean_square_of_one_second_returns_in_bps() -> None:
    volatility = Volatility()
    mid = 100.0
    for second in range(2_000):
        mid *= exp(1e-4 if second % 2 else -1e-4)
        volatility.observe(mid, second * SECOND)
    assert volatility.bps == pytest.approx(1.0)


def test_volatility_forgets_half_in_a_minute() -> None:
    volatility = Volatility()
    for second in range(1_200):
        volatility.observe(100.0 * exp(1e-4 * (second % 2)), second * SECOND)
    assert volatility.bps is not None
    before = volatility.bps
    last_mid = 100.0 * exp(1e-4)
    for second in range(1_200, 1_260):
        volatility.observe(last_mid, second * SECOND)
    assert volatility.bps == pytest.approx(before * sqrt(0.5))


def test_volatility_does_not_depend_on_when_exactly_the_timer_rang() -> None:
    volatility = Volatility()
    volatility.observe(100.0, 0)
    mid, now_ns = 100.0, 0
    for step_ns in [SECOND // 2, 2 * SECOND] * 100:
        mid *= exp(1e-4 * sqrt(step_ns / SECOND))
        now_ns += step_ns
        volatility.observe(mid, now_ns)
    assert volatility.bps == pytest.approx(1.0)


def test_volatility_waits_for_enough_returns_and_takes_none_across_a_gap() -> None:
    volatility = Volatility()
    for second in range(VOLATILITY_MIN_RETURNS):
        volatility.observe(100.0, second * SECOND)
        assert volatility.bps is None
    volatility.observe(None, 10 * SECOND)
    volatility.observe(200.0, 11 * SECOND)
    volatility.observe(400.0, MINUTE)
    assert volatility.returns == VOLATILITY_MIN_RETURNS - 1
    volatility.observe(400.0, MINUTE + SECOND)
    assert volatility.bps == 0.0


def test_stats_carry_the_volatility_of_the_consolidated_mid(market: Market) -> None:
    for i in range(12):
        bid = 100_000 if i % 2 else 100_010
        market.quote("a", bid, bid + 10)
        market.run(1)
    assert market.stats[-1].volatility_bps == pytest.approx(log(100_015 / 100_005) * 1e4)


def test_steadiness_is_one_for_a_book_that_stands_still_and_falls_with_flicker_and_absence() -> None:
    def after(depths: list[int]) -> float:
        steadiness = Steadiness()
        for second in range(600):
            steadiness.observe(depths[second % len(depths)], T0 + second * SECOND)
        return steadiness.value

    assert after([100]) == 1.0
    assert after([100, 50]) == pytest.approx(0.5, abs=0.01)
    assert after([100, 0]) < 0.01
    assert after([0]) == 0.0


def test_the_liquidity_score_rises_with_depth_and_steadiness_and_falls_with_spread() -> None:
    middle = liquidity_score(100, 100, 5.0, 0.5)
    assert middle == pytest.approx(0.5)
    assert liquidity_score(200, 100, 5.0, 0.5) > middle
    assert liquidity_score(100, 100, 5.0, 0.6) > middle
    assert liquidity_score(100, 100, 6.0, 0.5) < middle
    assert liquidity_score(100, 200, 5.0, 0.5) < middle
    assert liquidity_score(100, 100, 5.0, 0.5, hidden_share=0.5) == liquidity_score(200, 100, 5.0, 0.5)
    soon, late = (liquidity_score(100, 100, 5.0, 0.5, refill_s=seconds) for seconds in (0.1, 60.0))
    assert soon > middle > late


@pytest.mark.parametrize(
    ("depth", "reference", "spread", "steadiness", "score"),
    [(0, 0, 1.0, 1.0, 0.0), (1, 0, None, 1.0, 0.0), (1, 0, -9.0, 1.0, 1.0), (1, 0, 0.0, 0.0, 0.0)],
)
def test_the_liquidity_score_stays_within_its_ends(
    depth: int, reference: int, spread: float | None, steadiness: float, score: float
) -> None:
    assert liquidity_score(depth, reference, spread, steadiness) == score


def test_a_deep_steady_venue_scores_above_a_thin_one_and_a_lost_one_scores_nothing(market: Market) -> None:
    for _ in range(10):
        market.book("a", {100_000: 5_000}, {100_010: 5_000})
        market.book("b", {100_000: 50}, {100_010: 50})
        market.run(1)
    a, b, p = market.stats[-1].venues
    assert 1 > a.liquidity_score > b.liquidity_score > 0 == p.liquidity_score
    assert 0 < market.stats[-1].liquidity_score < 1
    market.run(3)
    assert [venue.liquidity_score for venue in market.stats[-1].venues] == [0.0, 0.0, 0.0]


def test_decay_halves_with_every_half_life() -> None:
    assert decay(0, MINUTE) == 1.0
    assert decay(MINUTE, MINUTE) == 0.5
    assert decay(2 * MINUTE, MINUTE) == 0.25
    assert decay(1, 0) == 0.0


def test_what_is_usual_is_a_mean_over_time_that_a_moment_hardly_moves() -> None:
    usual = Usual()
    for second in range(600):
        usual.observe(10.0, T0 + second * SECOND)
        assert (usual.value is None) == (second * SECOND < USUAL_NS_MIN)
    usual.observe(100.0, T0 + 600 * SECOND)
    assert usual.value == pytest.approx(10 + 90 * (1 - 0.5 ** (1 / 60)), rel=1e-3)
    for second in range(601, 661):
        usual.observe(100.0, T0 + second * SECOND)
    assert usual.value == pytest.approx(55, rel=0.02)  # half of the way after a half life


def test_time_in_which_nothing_was_seen_makes_nothing_usual() -> None:
    usual = Usual()
    for second in range(600):
        usual.observe(4.0 if second < 5 else None, T0 + second * SECOND)
    assert usual.value is None
    for second in range(600, 606):
        usual.observe(4.0, T0 + second * SECOND)
    assert usual.value == pytest.approx(4.0)


def test_stats_say_what_spread_and_depths_are_usual_of_venues_that_are_heard(market: Market) -> None:
    for second in range(30):
        market.book("a", {99_999: 100}, {100_002: 300 if second < 29 else 30_000})
        market.run(1)
    stats = market.stats[-1]
    assert stats.usual_spread_bps == pytest.approx(3 / 100_000.5 * 1e4)
    (venue,) = [one for one in stats.venues if one.usual_ask_depth is not None]
    assert venue.usual_bid_depth == Decimal("0.001")
    assert venue.ask_depth == Decimal("0.3")
    assert venue.usual_ask_depth is not None
    assert Decimal("0.003") < venue.usual_ask_depth < Decimal("0.03")


def test_a_perpetuals_mark_price_and_funding_stand_in_the_figures_for_as_long_as_they_are_told(
    market: Market,
) -> None:
    market.run(1)
    assert market.stats[-1].venues[2].mark is None
    told = MarkPrice("p", "BTC/USDT:USDT", 0, market.now_ns, 8, 10_012_345_678, 0, 0.0001, T0 + MINUTE)
    market.say(told)
    market.run(1)
    perp = market.stats[-1].venues[2]
    assert (perp.mark, perp.funding_rate, perp.next_funding) == (Decimal("100.12345678"), 0.0001, T0 + MINUTE)
    assert codec.from_json(codec.to_json(market.stats[-1]), Stats) == market.stats[-1]
    market.run(61)
    assert market.stats[-1].venues[2].mark is None
