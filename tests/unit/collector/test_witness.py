"""The venue's own best prices against our book: what is a disagreement, and what only one stream behind the other."""

from __future__ import annotations

from itertools import pairwise

from bestex.clock import MS, SECOND
from services.collector.sources.ccxt.witness import AGAIN_NS, DISAGREE_NS, TRIES_MAX, Witness

NOW = 1_700_000_000 * SECOND


def witness(bid: int = 100, ask: int = 102, *, says_each: bool = True) -> Witness:
    """With a book, and a ticker that agrees."""
    made = Witness(says_each=says_each)
    made.whole([(bid, 1), (bid - 1, 1)], [(ask, 1), (ask + 1, 1)], NOW)
    made.said(bid, ask, NOW)
    return made


def test_what_disagrees_for_long_is_said_once() -> None:
    one = witness()
    one.said(101, 102, NOW + SECOND)
    assert not one.wrong(NOW + SECOND + DISAGREE_NS - 1)
    assert "(100, 102) here, (101, 102) there" in one.wrong(NOW + SECOND + DISAGREE_NS)
    assert not one.wrong(NOW + SECOND + 2 * DISAGREE_NS)


def test_a_book_that_follows_a_moment_later_is_right() -> None:
    one = witness()
    one.said(101, 102, NOW + SECOND)
    one.change([(101, 1)], [], NOW + SECOND + 100 * MS)
    assert not one.wrong(NOW + SECOND + 2 * DISAGREE_NS)


def test_a_ticker_that_was_faster_than_depth_was_right_a_moment_ago() -> None:
    """It says three prices while the depth of 100 ms is on its way, which has the second."""
    one = witness()
    for number in range(100):
        at_ns = NOW + number * 100 * MS
        for step, bid in enumerate((101, 99, 98)):
            one.said(bid, 102, at_ns + step * 10 * MS)
        one.change([(100, number % 2)], [], at_ns + 60 * MS)
        assert not one.wrong(at_ns + 60 * MS)


def test_a_ticker_that_comes_late_is_of_a_book_that_was() -> None:
    one = witness()
    one.change([(101, 1)], [], NOW + SECOND)
    one.change([(101, 0)], [], NOW + SECOND + 10 * MS)
    one.said(101, 102, NOW + SECOND + 500 * MS)
    one.said(100, 102, NOW + SECOND + 510 * MS)
    assert not one.wrong(NOW + SECOND + 2 * DISAGREE_NS)


def test_what_was_right_a_moment_ago_and_stays_is_found_unless_the_ticker_may_have_nothing_to_say() -> None:
    for says_each in (True, False):
        one = witness(says_each=says_each)
        one.change([(101, 1)], [], NOW + SECOND)
        one.said(100, 102, NOW + SECOND + 500 * MS)
        assert bool(one.wrong(NOW + SECOND + 500 * MS + DISAGREE_NS)) is says_each


def test_a_price_that_never_leaves_our_book_is_found_while_all_else_moves() -> None:
    one = witness(bid=101, ask=103)  # a bid of 101 that is not there
    found = ""
    for number in range(200):
        at_ns = NOW + number * 50 * MS
        ask = 103 + number % 3
        one.said(100, ask, at_ns)
        one.change([], [(103, 1 if ask == 103 else 0), (104, 1 if ask <= 104 else 0)], at_ns + 20 * MS)
        found = found or one.wrong(at_ns)
    assert "here, (100, " in found


def test_a_book_that_stands_still_is_found_and_a_ticker_that_does_is_not() -> None:
    still = witness()
    for number in range(1, 200):
        still.said(100 + number, 102 + number, NOW + number * 50 * MS)
    assert still.wrong(NOW + 10 * SECOND)
    moving = witness()
    for number in range(1, 200):
        moving.change([(100 + number, 1)], [(102 + number, 1)], NOW + number * 50 * MS)
        assert not moving.wrong(NOW + number * 50 * MS)


def test_a_ticker_between_two_trades_says_nothing_of_what_moves_meanwhile() -> None:
    """Coinbase tells its best prices with each trade alone, a moment before or after the depth."""
    one = witness(says_each=False)
    one.said(101, 102, NOW + SECOND)
    for number in range(100):
        one.change([(90 + number % 7, number % 2)], [(102, number % 2)], NOW + (2 + number) * SECOND)
        assert not one.wrong(NOW + (2 + number) * SECOND)


def test_without_a_book_nothing_is_compared() -> None:
    one = witness()
    one.said(101, 102, NOW + SECOND)
    one.unknown()
    one.said(99, 102, NOW + 2 * SECOND)
    assert not one.wrong(NOW + 60 * SECOND)


def test_an_empty_side_is_a_price_like_any_other() -> None:
    one = Witness()
    one.whole([(100, 1)], [], NOW)
    one.said(100, 0, NOW)
    assert not one.wrong(NOW + 60 * SECOND)
    one.said(100, 105, NOW + 60 * SECOND)
    assert "(100, 0) here, (100, 105) there" in one.wrong(NOW + 66 * SECOND)


def test_fresh_books_that_disagree_as_well_are_left_alone_until_one_agrees() -> None:
    one = witness()
    at_ns, times = NOW, 0
    for _ in range(10 * TRIES_MAX):
        at_ns += AGAIN_NS
        one.said(105, 107, at_ns)
        if one.wrong(at_ns + DISAGREE_NS):
            times += 1
            one.unknown()
            one.whole([(100, 1)], [(102, 1)], at_ns + DISAGREE_NS)
    assert (times, one.gave_up) == (TRIES_MAX, True)
    one.said(100, 102, at_ns + AGAIN_NS)
    one.said(105, 107, at_ns + 2 * AGAIN_NS)
    assert one.wrong(at_ns + 2 * AGAIN_NS + DISAGREE_NS)


def test_a_symbol_is_not_said_to_be_wrong_more_often_than_once_in_a_while() -> None:
    one = witness()
    times = [NOW + number * 100 * MS for number in range(1_800)]
    said = []
    for number, at_ns in enumerate(times):
        one.said(*((100, 102) if number % 80 == 0 else (105, 107)), at_ns)  # right every 8 s
        if one.wrong(at_ns):
            said.append(at_ns)
    assert len(said) == 3
    assert min(later - earlier for earlier, later in pairwise(said)) >= AGAIN_NS
