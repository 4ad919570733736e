from __future__ import annotations

import pytest

from bestex import codec, subjects
from bestex.clock import MS, SECOND
from bestex.core import Emit, Wake, Wakeup
from bestex.instruments import Listing
from bestex.messages import BookStatus, ConsolidatedBook, VenueBook
from services.aggregator.core import AggregatorCore
from tests.unit.aggregator.harness import PERP, SPOT_A, SPOT_B, T0, Market, instrument

LIVE, STALE, DOWN = BookStatus.LIVE, BookStatus.STALE, BookStatus.DOWN


@pytest.fixture
def market() -> Market:
    return Market(instrument(SPOT_A, SPOT_B))


def statuses(market: Market) -> list[BookStatus]:
    return [column.status for column in market.books[-1].venues]


def test_every_update_publishes_the_instruments_book(market: Market) -> None:
    effects = market.book("a", {100: 1, 99: 2}, {101: 3})
    emits = [effect for effect in effects if isinstance(effect, Emit)]
    assert [emit.subject for emit in emits] == [subjects.book("BTC/USDT")]
    market.book("b", {98: 4}, {102: 5})
    assert [book.seq for book in market.books] == [1, 2]
    assert market.books[-1].at_ns == market.now_ns
    assert market.column("a").bid_px == [100, 99]
    assert market.column("a").bid_qty == [1, 2]
    assert market.column("b").ask_px == [102]
    assert statuses(market) == [LIVE, LIVE]


def test_a_venue_that_was_never_heard_is_down_and_keeps_its_place(market: Market) -> None:
    market.quote("b", 100, 101)
    assert [column.venue for column in market.books[-1].venues] == ["a", "b"]
    assert statuses(market) == [DOWN, LIVE]


def test_the_published_book_travels(market: Market) -> None:
    market.quote("a", 100, 101)
    book = market.books[-1]
    assert codec.from_msgpack(codec.to_msgpack(book), ConsolidatedBook) == book


def test_a_published_book_never_changes_afterwards(market: Market) -> None:
    market.quote("a", 100, 101)
    sent = codec.to_msgpack(market.books[0])
    market.quote("a", 90, 91)
    market.quote("b", 90, 91)
    market.run(20)
    assert codec.to_msgpack(market.books[0]) == sent


def test_one_venue_symbol_feeds_every_instrument_that_lists_it() -> None:
    market = Market(instrument(SPOT_A), instrument(SPOT_B, SPOT_A, symbol="XBT/USDT"))
    market.quote("a", 100, 101)
    assert [book.symbol for book in market.books] == ["BTC/USDT", "XBT/USDT"]
    assert statuses(market) == [DOWN, LIVE]


def test_an_unlisted_symbol_is_ignored(market: Market) -> None:
    assert market.say(VenueBook("a", "DOGE/USDT", 1, 0, T0, 2, 5, [1], [1], [2], [1])) == []
    market.trade("nowhere", 100, 1)
    assert market.books == []


def test_duplicates_and_latecomers_of_a_run_are_ignored(market: Market) -> None:
    market.book("a", {100: 1}, {101: 1}, seq=5, recv_ns=T0)
    assert market.book("a", {90: 1}, {91: 1}, seq=5, recv_ns=T0) == []
    assert market.book("a", {90: 1}, {91: 1}, seq=4, recv_ns=T0 - MS) == []
    assert market.column("a").bid_px == [100]


def test_lost_messages_are_counted_and_the_next_one_is_taken(market: Market) -> None:
    market.book("a", {100: 1}, {101: 1}, seq=3)
    market.book("a", {90: 1}, {91: 1}, seq=7)
    assert market.column("a").bid_px == [90]
    market.run(1)
    assert [venue.lost for venue in market.stats[-1].venues] == [3, 0]


def test_a_restarted_collector_begins_a_new_run(market: Market) -> None:
    market.book("a", {100: 1}, {101: 1}, seq=5_000)
    market.now_ns += MS
    market.book("a", {90: 1}, {91: 1}, seq=1)
    assert market.column("a").bid_px == [90]
    market.run(1)
    assert market.stats[-1].venues[0].lost == 0


def test_a_restart_with_an_earlier_clock_is_taken_once_the_old_run_is_gone(market: Market) -> None:
    market.book("a", {100: 1}, {101: 1}, seq=5_000, recv_ns=T0)
    market.run(9)
    assert market.book("a", {90: 1}, {91: 1}, seq=1, recv_ns=T0 - SECOND) == []
    market.run(1)
    assert market.book("a", {90: 1}, {91: 1}, seq=2, recv_ns=T0 - SECOND) != []


def test_a_refused_book_takes_the_column_down_at_once_and_is_counted(market: Market) -> None:
    market.quote("a", 100, 101)
    market.book("a", {102: 1}, {101: 1})
    column = market.column("a")
    assert (column.status, column.bid_px, column.ask_px) == (DOWN, [], [])
    market.run(1)
    assert market.stats[-1].venues[0].rejected == {"crossed": 1}
    market.quote("a", 100, 101)
    assert market.column("a").status is LIVE


def test_silence_makes_a_column_stale_then_down_without_any_input(market: Market) -> None:
    market.now_ns += 300 * MS
    market.quote("a", 100, 101)
    heard_ns = market.now_ns
    market.run(20)
    changes: dict[BookStatus, tuple[int, list[int]]] = {}
    for book in market.books:
        changes.setdefault(book.venues[0].status, (book.at_ns - heard_ns, book.venues[0].bid_px))
    assert changes == {LIVE: (0, [100]), STALE: (2 * SECOND, [100]), DOWN: (10 * SECOND, [])}


def test_a_venue_that_keeps_talking_stays_live_and_others_age_beside_it(market: Market) -> None:
    market.quote("b", 100, 101)
    for _ in range(30):
        market.run(0.5)
        market.quote("a", 100, 101)
        assert market.column("a").status is LIVE
    assert market.column("b").status is DOWN


def test_an_update_shows_the_others_age_even_where_a_timer_is_late(market: Market) -> None:
    market.quote("b", 100, 101)
    market.now_ns += 2 * SECOND
    market.quote("a", 100, 101)
    assert statuses(market) == [LIVE, STALE]


def test_recovery_is_immediate(market: Market) -> None:
    market.quote("a", 100, 101)
    market.run(15)
    assert market.column("a").status is DOWN
    market.quote("a", 100, 101)
    assert market.column("a").status is LIVE
    market.run(2)
    assert market.column("a").status is STALE


def test_a_book_that_was_late_on_the_bus_is_as_old_as_it_is(market: Market) -> None:
    market.book("a", {100: 1}, {101: 1}, recv_ns=T0 - 3 * SECOND)
    assert market.column("a").status is STALE
    market.book("b", {100: 1}, {101: 1}, recv_ns=T0 - 11 * SECOND)
    assert market.column("b").status is DOWN


def test_a_receive_time_ahead_of_our_clock_counts_as_now(market: Market) -> None:
    market.book("a", {100: 1}, {101: 1}, recv_ns=T0 + 4 * SECOND)
    market.run(2)
    assert market.column("a").status is STALE


def test_a_receive_time_further_ahead_than_clocks_may_differ_is_refused(market: Market) -> None:
    market.quote("a", 100, 101)
    market.book("a", {100: 1}, {101: 1}, recv_ns=market.now_ns + 5 * SECOND)
    assert statuses(market)[0] is LIVE
    market.book("a", {100: 1}, {101: 1}, recv_ns=market.now_ns + 5 * SECOND + MS)
    assert statuses(market)[0] is DOWN
    market.run(1)
    assert market.stats[-1].venues[0].rejected == {"future": 1}


def test_locked_and_crossed_speak_of_live_venues_only(market: Market) -> None:
    market.quote("a", 100, 102)
    assert (market.books[-1].locked, market.books[-1].crossed) == (False, False)
    market.quote("b", 102, 103)
    assert (market.books[-1].locked, market.books[-1].crossed) == (True, False)
    market.quote("b", 103, 104)
    assert (market.books[-1].locked, market.books[-1].crossed) == (False, True)
    market.run(1.5)
    market.quote("a", 100, 102)
    market.run(0.6)
    assert statuses(market) == [LIVE, STALE]
    assert (market.books[-1].locked, market.books[-1].crossed) == (False, False)


def test_a_quiet_book_is_repeated_each_second_for_those_who_join_late(market: Market) -> None:
    market.quote("a", 100, 101)
    market.books.clear()
    market.run(5)
    assert len(market.books) >= 4
    assert [book.seq for book in market.books] == list(range(2, 2 + len(market.books)))


def test_the_age_timer_is_set_and_rings_seldom_while_books_keep_coming(market: Market) -> None:
    set_, rung = 0, 0
    for _ in range(1_000):
        market.now_ns += 10 * MS
        for key in [key for key, at_ns in market.wakes.items() if at_ns <= market.now_ns]:
            del market.wakes[key]
            market.say(Wakeup(key))
            rung += key != "stats"
        set_ += sum(isinstance(effect, Wake) for effect in market.quote("a", 100, 101))
    assert set_ == 1
    assert rung <= 10 * SECOND // (2 * SECOND)


def test_levels_beyond_the_configured_number_are_cut_off(market: Market) -> None:
    market.book("a", {100 - i: 1 for i in range(9)}, {101 + i: 1 for i in range(9)})
    assert market.column("a").bid_px == [100, 99, 98, 97, 96]
    assert len(market.column("a").ask_qty) == 5


def test_messages_in_other_scales_are_published_in_the_instruments(market: Market) -> None:
    market.book("a", {1000: 3}, {1001: 4}, scales=(1, 3))
    column = market.column("a")
    assert (column.bid_px, column.bid_qty, column.ask_px, column.ask_qty) == (
        [10_000],
        [300],
        [10_010],
        [400],
    )


def test_an_inverse_contract_is_published_in_base() -> None:
    inverse = Listing(venue="p", symbol="BTC/USDT:USDT", kind="perp", contract_size=100, inverse=True)
    market = Market(instrument(inverse))
    market.book("p", {6_000_000: 7}, {6_000_100: 3}, scales=(2, 0))
    column = market.column("p")
    assert (column.bid_qty, column.ask_qty) == ([1_166], [499])


def test_the_core_takes_no_facts(market: Market) -> None:
    assert isinstance(market.core, AggregatorCore)
    with pytest.raises(AssertionError):
        market.core.apply(object())


def test_the_same_inputs_give_the_same_outputs() -> None:
    def outputs() -> list[bytes]:
        market = Market(instrument(SPOT_A, SPOT_B, PERP))
        for i in range(50):
            market.quote("a", 10_000 + i % 7, 10_010 + i % 7)
            market.quote("p", 9_900 + i % 5, 9_910 + i % 5)
            market.trade("a", 10_000, i + 1)
            market.run(0.3)
        return [codec.to_msgpack(book) for book in market.books] + [codec.to_json(s) for s in market.stats]

    assert outputs() == outputs()
