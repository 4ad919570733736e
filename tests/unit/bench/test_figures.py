"""What the benchmarks compute from what they measured."""

from __future__ import annotations

from bestex import codec
from bestex.messages import BookStatus, ConsolidatedBook, VenueColumn
from tests.bench.__main__ import Aim
from tests.bench.books import caused
from tests.bench.orders import Sent, figures
from tests.bench.rig import quantile, quantiles_us

SECOND = 1_000_000_000


def test_a_quantile_is_the_smallest_value_that_the_share_does_not_exceed() -> None:
    values = list(range(100, 0, -1))
    assert [quantile(values, share) for share in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert quantile([7], 0.5) == 7


def test_quantiles_are_in_microseconds() -> None:
    assert quantiles_us([1_500, 2_500, 3_500], "x_") == {"x_p50_us": 2.5, "x_p99_us": 3.5}


def book(seq: int, *recv_ns: int) -> bytes:
    columns = [
        VenueColumn(f"venue_{i}", BookStatus.LIVE, 0, 0, ns, [1], [1], [2], [1])
        for i, ns in enumerate(recv_ns)
    ]
    return codec.to_msgpack(ConsolidatedBook("BTC/USDT", seq, 0, 2, 5, False, False, columns))


def test_a_book_that_repeats_a_quiet_one_is_no_update() -> None:
    arrivals = [(110, book(1, 100, 0)), (150, book(2, 100, 0)), (160, book(3, 100, 120))]
    assert caused(arrivals, began_ns=90) == [(100, 110), (120, 160)]


def test_an_update_that_overtook_another_venues_is_still_counted() -> None:
    arrivals = [(160, book(1, 0, 120)), (170, book(2, 100, 120))]
    assert caused(arrivals, began_ns=90) == [(120, 160), (100, 170)]


def test_what_was_received_before_the_run_is_not_of_the_run() -> None:
    assert caused([(160, book(1, 80, 120))], began_ns=90) == [(120, 160)]


def test_the_rate_counts_the_children_between_the_settling_and_the_last_order() -> None:
    serial = [Sent("a", 1_000, 4_000)]
    many = [Sent("b", 0, 1), Sent("c", 3 * SECOND, 1)]
    children = [SECOND // 2, SECOND, 2 * SECOND, 3 * SECOND]
    found = figures(serial, many, {"a": 3_000}, children)
    assert found["children_per_s"] == 1
    assert (found["p50_us"], found["fill_p50_us"]) == (2.0, 3.0)


def test_an_order_whose_first_child_missed_has_no_latency_to_its_fill() -> None:
    serial = [Sent("a", 0, 5_000), Sent("b", 0, 0)]
    many = [Sent("c", 0, 1), Sent("d", 3 * SECOND, 1)]
    found = figures(serial, many, {"a": 1_000, "b": 1_000}, [])
    assert found["fill_p50_us"] == 5.0


def test_an_aim_is_met_at_its_bound_and_on_its_better_side() -> None:
    assert Aim("x", "rate", 10, 10, 1).met
    assert not Aim("x", "rate", 9, 10, 1).met
    assert Aim("x", "latency", 9, 10, -1).met
    assert not Aim("x", "latency", 11, 10, -1).met
