"""The exact search against a mixed-integer program, and against what can be worked out by hand."""

from __future__ import annotations

import pytest

from bestex.instruments import FEE_ONE
from services.router.exact.offer import Offer, least_of
from services.router.exact.search import cheapest, most
from tests.unit.router.exact.instances import draw
from tests.unit.router.exact.oracle import milp_cost

INSTANCES = 200  # of the 5,000 and more that `python -m tests.bench.route` compares
TOLERANCE = 1e-9  # of the cost: the program's own arithmetic is in floats


def flat(venue: str, price: int, size: int, *, lot: int = 1, least: int = 1, ticket: int = 0) -> Offer:
    """All at one price, without fees."""
    return Offer(venue, [price * FEE_ONE], [price], [size], lot, least, size, ticket * FEE_ONE)


@pytest.mark.parametrize("seeds", [range(start, start + 100) for start in range(0, INSTANCES, 100)], ids=str)
def test_no_split_is_cheaper_by_the_mixed_integer_program(seeds: range) -> None:
    placed = 0
    for seed in seeds:
        instance = draw(seed)
        found = cheapest(instance.offers, instance.qty, instance.splits_max)
        best = milp_cost(instance.offers, instance.qty, instance.splits_max)
        assert (found is None) == (best is None), f"seed {seed}: whether it can be placed at all"
        if found is None or best is None:
            continue
        placed += 1
        assert abs(found.cost - best) <= TOLERANCE * abs(best), f"seed {seed}"
        assert found.bound == found.cost, f"seed {seed}: proven"
        by_name = {offer.venue: offer for offer in instance.offers}
        assert sum(found.qtys.values()) == instance.qty
        assert len(found.qtys) <= instance.splits_max
        paid = 0
        for venue, qty in found.qtys.items():
            offer = by_name[venue]
            assert offer.least <= qty <= offer.most, f"seed {seed}"
            assert qty % offer.lot == 0, f"seed {seed}"
            paid += offer.cost(qty) + offer.ticket
        assert paid == found.cost
    assert placed > len(seeds) // 2


def test_a_ticket_is_paid_only_where_it_saves_more() -> None:
    """Asks 100.00 x 600, 100.01 x 500, 100.01 x 1000, 10 a ticket: all of 1,000 to the third, for 100,020."""
    venues = [flat("one", 10_000, 600, ticket=1_000), flat("two", 10_001, 500, ticket=1_000)]
    found = cheapest([*venues, flat("three", 10_001, 1_000, ticket=1_000)], 1_000, 10)
    assert found is not None
    assert (found.qtys, found.cost) == ({"three": 1_000}, 100_020_00 * FEE_ONE)


def test_the_number_of_splits_binds() -> None:
    venues = [flat("a", 100, 50), flat("b", 101, 50), flat("c", 102, 100)]
    for splits, qtys in ((3, {"a": 50, "b": 50}), (1, {"c": 100})):
        found = cheapest(venues, 100, splits)
        assert found is not None
        assert found.qtys == qtys


def test_a_minimum_takes_from_cheaper_venues_what_it_needs() -> None:
    found = cheapest([flat("a", 100, 90), flat("b", 101, 90, least=40)], 100, 2)
    assert found is not None
    assert found.qtys == {"a": 60, "b": 40}


def test_a_finer_venue_takes_what_a_coarser_lot_leaves() -> None:
    found = cheapest([flat("coarse", 100, 100, lot=10, least=10), flat("fine", 105, 100)], 37, 2)
    assert found is not None
    assert found.qtys == {"coarse": 30, "fine": 7}


def test_lots_that_do_not_divide_each_other_are_combined() -> None:
    venues = [flat("threes", 100, 300, lot=3, least=3), flat("sevens", 110, 700, lot=7, least=7)]
    found = cheapest(venues, 100, 2)
    assert found is not None
    assert found.qtys == {"threes": 93, "sevens": 7}


def test_what_cannot_be_placed_is_not() -> None:
    assert cheapest([flat("a", 100, 50)], 51, 3) is None
    assert cheapest([flat("a", 100, 50, lot=10, least=10)], 45, 3) is None
    assert cheapest([flat("a", 100, 50, least=60)], 50, 3) is None
    assert cheapest([], 1, 3) is None


def test_as_much_as_can_be_placed_is() -> None:
    coarse = flat("coarse", 100, 100, lot=10, least=20)
    for offers, qty, splits, qtys in (
        ([coarse, flat("fine", 101, 1)], 104, 2, {"coarse": 100, "fine": 1}),
        ([coarse, flat("fine", 99, 1), flat("never", 99, 5, least=9)], 300, 3, {"coarse": 100, "fine": 1}),
        ([coarse, flat("fine", 99, 7)], 35, 2, {"coarse": 30, "fine": 5}),
        ([coarse], 15, 1, None),
        ([flat("a", 100, 5), flat("b", 101, 8), flat("c", 102, 9)], 20, 2, {"b": 8, "c": 9}),
        ([], 5, 1, None),
    ):
        found = most(offers, qty, splits)
        assert (found and found.qtys) == qtys


def test_what_a_sell_brings_is_a_negative_cost() -> None:
    bids = [
        Offer("low", [-99 * FEE_ONE], [99], [50], 1, 1, 50),
        Offer("high", [-100 * FEE_ONE], [100], [50], 1, 1, 50),
    ]
    found = cheapest(bids, 60, 2)
    assert found is not None
    assert (found.qtys, found.cost) == ({"high": 50, "low": 10}, -5_990 * FEE_ONE)


def test_a_lot_may_span_levels() -> None:
    offer = Offer("a", [100, 110, 130], [1, 2, 3], [15, 8, 20], 10, 10, 40)
    assert offer.lots == [(1_000, 1), (1_050, 1), (1_240, 1), (1_300, 1)]
    assert [offer.cost(qty) for qty in (0, 10, 20, 30, 40)] == [0, 1_000, 2_050, 3_290, 4_590]
    assert [offer.price(qty) for qty in (10, 15, 16, 23, 24)] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("minimums", "least"),
    [
        ((1, 0, 0), 10),
        ((25, 0, 0), 30),
        ((1, 1_000, 0), 10),
        ((1, 2_001, 0), 30),
        ((1, 0, 2_100), 30),
        ((1, 10**6, 0), 50),
    ],
)
def test_the_least_is_on_the_lot_and_above_every_minimum(minimums: tuple[int, int, int], least: int) -> None:
    assert least_of([100, 110], [20, 20], 10, *minimums) == least


def test_where_prices_fall_the_lowest_one_decides_what_is_enough() -> None:
    assert least_of([110, 100], [20, 20], 1, 1, 1_050, 0) == 11
