"""What is learned at the best prices, worked out by hand."""

from __future__ import annotations

from math import sqrt

import pytest

from bestex.clock import MS, SECOND
from bestex.messages import QueueStats
from services.aggregator.flow import NEAR_NS, AfterTrades, Flow, Queue
from services.aggregator.normalise import Columns

T0 = 1_000 * SECOND


def stats(queue: Queue) -> QueueStats:
    found = queue.stats(1.0)
    assert found is not None
    return found


def seconds(queue: Queue, *books: list[tuple[int, int]]) -> None:
    """A second for each list of books: best price and size."""
    queue.book((100, 10), T0)
    queue.second(T0)
    for number, shown in enumerate(books, 1):
        for level in shown:
            queue.book(level, T0 + number * SECOND)
        queue.second(T0 + number * SECOND)


@pytest.mark.parametrize(
    ("sign", "books", "outflow"),
    [
        (1, [(100, 7)], 3),  # three left
        (1, [(100, 7), (100, 12), (100, 11)], 4),  # what joins does not count
        (1, [(99, 20)], 10),  # the price is gone, and all that stood there
        (1, [(101, 5)], 0),  # a better price: the old queue stands behind it
        (-1, [(101, 20)], 10),
        (-1, [(99, 5)], 0),
    ],
)
def test_outflow_is_what_left_the_best_price(sign: int, books: list[tuple[int, int]], outflow: int) -> None:
    queue = Queue(sign)
    seconds(queue, books)
    assert stats(queue).outflow == outflow


def test_what_was_traded_left_though_as_much_joined() -> None:
    queue = Queue(1)
    queue.book((100, 10), T0)
    queue.second(T0)
    queue.trade(6)
    assert queue.book((100, 9), T0 + MS) == 0
    queue.second(T0 + SECOND)
    assert (stats(queue).outflow, stats(queue).traded) == (6, 6)


def test_a_print_beyond_what_was_displayed_was_hidden() -> None:
    queue = Queue(1)
    queue.book((100, 10), T0)
    queue.trade(14)
    assert queue.book((100, 10), T0 + MS) == 4


def test_the_deviation_is_of_one_seconds_outflow_and_old_seconds_fade() -> None:
    queue = Queue(1)
    seconds(queue, [(100, 6)], [(100, 6)])
    old = 0.5 ** (1 / 120)
    weight, total, squares = old + 1, 4 * old, 16 * old
    assert stats(queue).seconds == pytest.approx(weight)
    assert stats(queue).outflow == pytest.approx(total / weight)
    assert stats(queue).outflow_sd == pytest.approx(sqrt(squares / weight - (total / weight) ** 2))


def test_nothing_is_known_before_a_whole_second_nor_of_the_time_without_a_book() -> None:
    queue = Queue(1)
    assert queue.stats(1.0) is None
    seconds(queue, [(100, 10)])
    queue.forget()
    queue.book((90, 1), T0 + 2 * SECOND)
    queue.second(T0 + 2 * SECOND)
    assert stats(queue).outflow == 0


def test_a_queue_that_was_emptied_is_timed_until_it_stands_there_again() -> None:
    queue = Queue(-1)
    for ms, level in ((0, (100, 10)), (100, (101, 5)), (300, (101, 9)), (600, (100, 8)), (900, (100, 9))):
        queue.book(level, T0 + ms * MS)
    assert queue.refill.seconds == pytest.approx(0.5)


def test_what_does_not_come_back_counts_as_half_a_minute() -> None:
    queue = Queue(1)
    queue.book((100, 10), T0)
    queue.book((99, 10), T0 + SECOND)
    queue.book((98, 10), T0 + 60 * SECOND)
    assert queue.refill.seconds == 30


def test_a_trade_is_followed_by_the_mid() -> None:
    after = AfterTrades(NEAR_NS)
    after.trade(1, 20_000, T0)
    after.second(20_002, T0 + SECOND // 2)
    assert after.bps is None
    after.trade(-1, 20_000, T0 + SECOND // 2)
    after.second(20_004, T0 + SECOND)
    assert after.bps == pytest.approx(2)
    after.second(20_004, T0 + 2 * SECOND)
    old = 0.5 ** (1 / 200)
    assert after.bps == pytest.approx((2 * old - 2) / (old + 1))


def test_a_trade_counts_on_the_side_that_was_taken_from() -> None:
    flow = Flow()
    flow.book(Columns([99], [10], [101], [10]), 200, T0)
    flow.second(T0)
    flow.trade(101, 4, 0, T0 + MS)  # above the mid: a buyer took
    flow.trade(99, 3, -1, T0 + MS)
    flow.trade(100, 7, 0, T0 + MS)  # at the mid, where nobody displayed anything
    flow.book(Columns([99], [10], [101], [10]), 200, T0 + 2 * MS)
    assert flow.hidden_share == pytest.approx(7 / 14)
    flow.second(T0 + SECOND)
    assert (stats(flow.asks).traded, stats(flow.bids).traded) == (4, 3)


def test_without_a_book_no_trade_teaches_anything() -> None:
    flow = Flow()
    flow.trade(100, 5, 1, T0)
    flow.second(T0 + SECOND)
    assert (flow.hidden_share, flow.near.bps, flow.asks.stats(1.0)) == (None, None, None)
