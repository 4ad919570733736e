from __future__ import annotations

import pytest

from bestex.ladder import DisplayLevel, Ladder, Level, net_price
from bestex.messages import BookStatus, ConsolidatedBook, Side, VenueColumn

LIVE, STALE, DOWN = BookStatus.LIVE, BookStatus.STALE, BookStatus.DOWN


def column(
    venue: str,
    bids: dict[int, int],
    asks: dict[int, int],
    *,
    status: BookStatus = LIVE,
    basis: int = 0,
    recv_ns: int = 0,
) -> VenueColumn:
    return VenueColumn(
        venue, status, basis, 0, recv_ns, list(bids), list(bids.values()), list(asks), list(asks.values())
    )


def book(*columns: VenueColumn) -> ConsolidatedBook:
    return ConsolidatedBook("BTC/USDT", 1, 0, 2, 5, False, False, list(columns))


TWO = book(
    column("a", {9_990: 5, 9_980: 6}, {10_010: 7, 10_020: 8}),
    column("b", {9_995: 1, 9_990: 2}, {10_005: 3, 10_010: 4}),
)


def test_a_buyer_walks_the_asks_upwards_and_a_seller_the_bids_downwards() -> None:
    ladder = Ladder(TWO)
    assert [(level.own_price, level.venue, level.qty) for level in ladder.levels(Side.BUY)] == [
        (10_005, 1, 3),
        (10_010, 0, 7),
        (10_010, 1, 4),
        (10_020, 0, 8),
    ]
    assert [(level.own_price, level.venue) for level in ladder.levels(Side.SELL)] == [
        (9_995, 1),
        (9_990, 0),
        (9_990, 1),
        (9_980, 0),
    ]


def test_levels_compare_at_adjusted_prices_and_keep_their_own_to_send() -> None:
    ladder = Ladder(book(column("spot", {100: 1}, {102: 1}), column("perp", {80: 1}, {81: 9}, basis=-20)))
    assert ladder.levels(Side.BUY) == [Level(101, 1, 81, 9), Level(102, 0, 102, 1)]
    assert (ladder.best_bid, ladder.best_ask) == (100, 101)


def test_priority_decides_ties_on_both_sides() -> None:
    ladder = Ladder(TWO, priority={"a": 2, "b": 1})
    assert [level.venue for level in ladder.levels(Side.BUY) if level.price == 10_010] == [1, 0]
    assert [level.venue for level in ladder.levels(Side.SELL) if level.price == 9_990] == [1, 0]


def test_of_two_venues_with_one_priority_the_name_decides_wherever_they_stand() -> None:
    for columns in (TWO.venues, TWO.venues[::-1]):
        ladder = Ladder(book(*columns), priority={"a": 1, "b": 1})
        tied = [level.venue for level in ladder.levels(Side.BUY) if level.price == 10_010]
        assert [columns[index].venue for index in tied] == ["a", "b"]


def test_fees_can_turn_the_order_of_prices_round() -> None:
    fees = {"a": 0, "b": 100_000}
    assert [level.venue for level in Ladder(TWO).levels(Side.BUY, fees)] == [0, 1, 0, 1]
    assert net_price(Side.BUY, 10_005, 10_005, 100_000) == 10_005 * 100_100_000
    assert net_price(Side.SELL, 10_005, 10_005, 100_000) == 10_005 * 99_900_000


def test_a_venue_without_a_fee_is_an_error_not_a_free_venue() -> None:
    with pytest.raises(KeyError):
        Ladder(TWO).levels(Side.BUY, {"a": 0})


def test_only_live_young_and_allowed_columns_are_merged() -> None:
    levels = {100: 1}, {101: 1}
    mixed = book(
        column("live", *levels, recv_ns=1_000),
        column("old", *levels, recv_ns=899),
        column("stale", *levels, status=STALE, recv_ns=1_000),
        column("down", *levels, status=DOWN, recv_ns=1_000),
        column("edge", *levels, recv_ns=900),
    )

    def names(ladder: Ladder) -> list[str]:
        return [item.venue for _, item in ladder.columns]

    assert names(Ladder(mixed)) == ["live", "old", "edge"]
    assert names(Ladder(mixed, now_ns=1_000, max_age_ns=100)) == ["live", "edge"]
    assert names(Ladder(mixed, venues={"old", "stale"})) == ["old"]
    assert names(Ladder(mixed, statuses={LIVE, STALE})) == ["live", "old", "stale", "edge"]


def test_display_adds_the_venues_up_at_each_price() -> None:
    assert Ladder(TWO).display(Side.BUY) == [
        DisplayLevel(10_005, 3, {"b": 3}),
        DisplayLevel(10_010, 11, {"a": 7, "b": 4}),
        DisplayLevel(10_020, 8, {"a": 8}),
    ]


def test_the_mid_is_exact_in_half_units() -> None:
    ladder = Ladder(book(column("a", {100: 1}, {103: 1})))
    assert ladder.mid_half_units == 203
    assert ladder.mid == 101.5
    assert ladder.spread_bps == pytest.approx(3 / 101.5 * 1e4)


def test_a_crossed_book_has_a_negative_spread() -> None:
    spread = Ladder(book(column("a", {100: 1}, {103: 1}), column("b", {105: 1}, {106: 1}))).spread_bps
    assert spread is not None
    assert spread < 0


def test_a_book_without_a_side_has_no_mid_no_spread_and_no_depth() -> None:
    for ladder in (Ladder(book()), Ladder(book(column("a", {100: 1}, {})))):
        assert ladder.mid is None
        assert ladder.spread_bps is None
        assert ladder.depth(Side.BUY, 10) == 0
        assert ladder.levels(Side.BUY) == []


def test_depth_is_by_venue_and_counts_both_ends() -> None:
    ladder = Ladder(TWO)
    assert ladder.mid_half_units == 20_000
    assert ladder.depth_by_venue(Side.BUY, 10) == {"a": 7, "b": 7}
    assert ladder.depth_by_venue(Side.SELL, 10) == {"a": 5, "b": 3}
    assert ladder.depth(Side.BUY, 20) == 22
    assert ladder.total_qty(Side.BUY) == 22
