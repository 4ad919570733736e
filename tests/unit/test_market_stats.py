from __future__ import annotations

import math
import random

import msgspec
import pytest
from rich.console import Console

from bestex.background import BackgroundEvent, BackgroundTrade, LevelSet
from bestex.clock import MINUTE, MS, SECOND
from bestex.errors import UsageError
from bestex.instruments import Instrument, Listing
from bestex.market_stats import MarketStats, of_events
from bestex.market_table import MarketTable, VenueFigures, render
from bestex.messages import MarketTrade, VenueBook

AB = Instrument(
    symbol="ABC",
    price_scale=2,
    qty_scale=0,
    listings=(Listing(venue="a", symbol="ABC", tick=2), Listing(venue="b", symbol="ABC", tick=2)),
)


class Day:
    """A day told a line at a time, in seconds."""

    def __init__(self) -> None:
        self.stats = MarketStats(AB)

    def book(self, at_s: float, venue: str, bid: int, ask: int, ask_qty: tuple[int, ...] = (10,)) -> None:
        asks = [ask + 2 * level for level in range(len(ask_qty))]
        self.stats.book(round(at_s * SECOND), venue, [bid], [10], asks, list(ask_qty))

    def trade(self, at_s: float, venue: str, price: int, qty: int = 1, aggressor: int = 0) -> None:
        self.stats.trade(round(at_s * SECOND), venue, price, qty, aggressor)

    @property
    def table(self) -> MarketTable:
        return self.stats.table()

    @property
    def a(self) -> VenueFigures:
        return self.table.venues[0]

    @property
    def b(self) -> VenueFigures:
        return self.table.venues[1]


@pytest.fixture
def day() -> Day:
    return Day()


def test_nothing_fed_gives_a_table_without_figures(day: Day) -> None:
    assert day.table.spread_bps is None
    assert day.a.moving_best is None
    assert day.a.mark_outs_bps == (None, None, None, None)


def test_spreads_are_weighted_by_time(day: Day) -> None:
    day.book(0, "a", 9999, 10001)  # 2 bps for 3 s
    day.book(3, "a", 9997, 10003)  # 6 bps for 1 s
    day.book(4, "a", 9997, 10003)
    assert day.a.spread_bps == pytest.approx(3.0)
    assert day.table.spread_bps == pytest.approx(3.0)
    assert day.table.spread_ticks == pytest.approx(1.5)


def test_updates_are_counted_and_so_are_those_that_move_a_best_price(day: Day) -> None:
    for at_s, bid in ((0, 9999), (0.5, 9999), (0.9, 9997), (2, 9997)):
        day.book(at_s, "a", bid, 10001)
    assert day.a.updates_per_s == pytest.approx(2.0)
    assert day.a.peak_updates_per_s == 3
    assert day.a.moving_best == pytest.approx(0.5)  # the first and the third


def test_time_at_the_consolidated_best_and_time_alone_there(day: Day) -> None:
    day.book(0, "a", 9999, 10001)
    day.book(0, "b", 9999, 10001)
    day.book(6, "b", 9999, 10003)
    day.book(8, "b", 9999, 9999 + 1)
    day.book(10, "a", 9999, 10001)
    assert (day.a.at_best, day.a.alone_at_best) == pytest.approx((0.8, 0.2))
    assert (day.b.at_best, day.b.alone_at_best) == pytest.approx((0.8, 0.2))


def test_locked_and_crossed_time(day: Day) -> None:
    day.book(0, "a", 10000, 10002)
    day.book(0, "b", 9998, 10000)  # locked with a
    day.book(1, "b", 9996, 9998)  # crossed with a
    day.book(3, "b", 10000, 10002)
    day.book(10, "b", 10000, 10002)
    assert day.table.locked == pytest.approx(0.1)
    assert day.table.crossed == pytest.approx(0.2)


def test_sizes_are_medians_over_time_relative_to_the_first_venue(day: Day) -> None:
    day.book(0, "a", 9999, 10001, (100, 200, 200, 200, 200))
    day.book(0, "b", 9999, 10001, (50, 25, 25, 25, 25))
    day.book(8, "a", 9999, 10001, (900, 1, 1, 1, 1))
    day.book(10, "a", 9999, 10001)
    day.trade(10, "b", 10001, qty=20)
    assert day.table.best_size_qty == pytest.approx(100, rel=0.01)
    assert day.a.depth == pytest.approx(2.0, rel=0.02)
    assert day.b.best_size == pytest.approx(0.5, rel=0.02)
    assert day.b.depth == pytest.approx(0.5, rel=0.02)
    assert day.b.trade_size_mean == pytest.approx(0.2, rel=0.01)


def test_trade_size_quantiles_are_right_to_a_per_cent(day: Day) -> None:
    rng = random.Random(1)
    sizes = [round(rng.lognormvariate(8, 1)) for _ in range(999)]
    day.book(0, "a", 9999, 10001, (1000,))
    for size in sizes:
        day.trade(1, "a", 10001, qty=size)
    assert day.a.trade_size_p50 == pytest.approx(sorted(sizes)[499] / 1000, rel=0.02)
    assert day.a.trade_size_p90 == pytest.approx(sorted(sizes)[899] / 1000, rel=0.02)


def test_trades_at_the_touch_and_at_the_mid_and_their_effective_half_spread(day: Day) -> None:
    day.book(0, "a", 9998, 10002)
    day.trade(1, "a", 10002, aggressor=1)  # 2 bps
    day.trade(1, "a", 10004, aggressor=1)  # 4 bps, behind the touch
    day.trade(1, "a", 9998)  # below the mid, so a sale: 2 bps
    day.trade(1, "a", 10000, aggressor=1)  # at the mid: no direction
    assert day.a.at_touch == pytest.approx(0.5)
    assert day.a.at_mid == pytest.approx(0.25)
    assert day.a.effective_half_spread_bps == pytest.approx(8 / 3)


def test_mark_outs_take_the_mid_that_stands_when_each_horizon_ends(day: Day) -> None:
    day.book(0, "a", 9998, 10002)
    day.trade(1, "a", 9998, aggressor=-1)
    for at_s, fall in ((1.02, 1), (1.5, 2), (5, 3), (30, 4), (62, 5)):
        day.book(at_s, "a", 9998 - fall, 10002 - fall)
    assert day.a.mark_outs_bps == pytest.approx((1, 2, 3, 4))


def test_a_mark_out_whose_time_has_not_come_is_not_counted(day: Day) -> None:
    day.book(0, "a", 9998, 10002)
    day.trade(1, "a", 10002, aggressor=1)
    day.book(1.5, "a", 9999, 10003)
    after_50_ms, *others = day.a.mark_outs_bps
    assert after_50_ms == pytest.approx(0.0)
    assert others == [None, None, None]


def test_volatility_and_the_share_of_seconds_in_which_the_mid_moves(day: Day) -> None:
    for second in range(601):
        level = 10000 + 10 * (second // 10 % 2)  # 10 up or down every tenth second, back each minute's end
        day.book(second + 0.5, "a", level - 1, level + 1)
    assert day.table.seconds_with_move == pytest.approx(0.1, abs=0.01)
    assert day.table.volatility_bps_per_s == pytest.approx(10 * math.sqrt(0.1), rel=0.02)
    assert day.table.volatility_bps_per_min == pytest.approx(0, abs=1e-9)


def test_a_quiet_hour_counts_as_seconds_without_a_move(day: Day) -> None:
    day.book(0, "a", 9999, 10001)
    day.book(1800.5, "a", 10009, 10011)
    day.book(3600.5, "a", 10009, 10011)
    assert day.table.seconds_with_move == pytest.approx(1 / 3599)
    assert day.table.volatility_bps_per_s == pytest.approx(10 / math.sqrt(3599))


def test_a_venue_that_follows_a_step_later_correlates_one_step_earlier(day: Day) -> None:
    rng = random.Random(2)
    leader = follower = 1_000_000
    for step in range(3000):
        follower, leader = leader, leader + rng.choice((-20, 20))
        at_s = (step * 100 + 50) * MS / SECOND
        day.book(at_s, "a", leader - 1, leader + 1)
        day.book(at_s, "b", follower - 1, follower + 1)
    same, later, earlier = day.b.correlations
    assert same == pytest.approx(0, abs=0.1)
    assert later == pytest.approx(0, abs=0.1)
    assert earlier == pytest.approx(1, abs=0.1)
    assert day.a.correlations[0] == pytest.approx(1)


def test_changes_that_lie_further_apart_than_a_step_do_not_correlate(day: Day) -> None:
    for step in range(0, 100, 10):
        level = 10000 + step
        day.book((step * 100 + 50) * MS / SECOND, "a", level - 1, level + 1)
        day.book((step * 100 + 550) * MS / SECOND, "b", level - 1, level + 1)
    assert day.b.correlations == pytest.approx((0, 0, 0))


def test_changes_of_a_venue_at_one_instant_are_one_update() -> None:
    events: list[BackgroundEvent] = [
        LevelSet(0, "a", 1, 9998, 5),
        LevelSet(0, "a", 1, 9996, 5),
        LevelSet(0, "a", -1, 10002, 5),
        BackgroundTrade(SECOND, "a", 10002, 5, 1, "1"),
        LevelSet(SECOND, "a", -1, 10002, 0),
        LevelSet(SECOND, "a", -1, 10004, 5),
        LevelSet(2 * SECOND, "a", 1, 9996, 7),
    ]
    a = of_events(AB, events).table().venues[0]
    assert a.updates_per_s == pytest.approx(3 / 2)
    assert a.moving_best == pytest.approx(2 / 3)
    assert a.at_touch == 1


def test_messages_of_the_live_plane_are_brought_to_the_instruments_scales(day: Day) -> None:
    day.stats.message(VenueBook("a", "ABC", 1, 0, 0, 1, 0, [999], [5], [1001], [5]))
    day.stats.message(MarketTrade("a", "ABC", "1", 0, MINUTE, 1, 0, 1001, 5, 1))
    assert day.a.spread_bps == pytest.approx(20)
    assert day.a.effective_half_spread_bps == pytest.approx(10)
    assert day.a.trade_size_p50 == pytest.approx(1)
    with pytest.raises(UsageError):
        day.stats.message(MarketTrade("a", "ABC", "2", 0, MINUTE, 3, 0, 100100, 5, 1))


def test_the_table_shows_every_venue_and_becomes_plain_builtins(day: Day) -> None:
    day.book(0, "a", 9999, 10001)
    day.book(60, "b", 9997, 10003)
    day.trade(61, "a", 10001, aggressor=1)
    console = Console(width=160)
    with console.capture() as shown:
        console.print(render(day.table))
    assert "spread, time-weighted, bps" in shown.get()
    assert "Consolidated spread 2 bps" in shown.get()
    plain = msgspec.to_builtins(day.table)
    assert [venue["venue"] for venue in plain["venues"]] == ["a", "b"]
