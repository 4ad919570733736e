"""Whatever the terms and the outflows: bounds, order of venues, what costs more, and conservation on lots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.models import overbooked, within
from services.router.models.cont_kukanov import (
    Array,
    Placement,
    Problem,
    Solution,
    VenueTerms,
    check,
    market_cost,
    mean_cost,
    one_venue,
    placement_of,
)
from services.router.models.lots import to_lots
from services.router.models.outflow import Empirical

CALM = settings(max_examples=150, deadline=None)
SOLVERS = [within.optimum, overbooked.optimum]
Solver = Callable[[Problem, Array], Solution]
TOLERANCE = 1e-6


@st.composite
def slices(draw: st.DrawFn, venues_max: int = 4) -> tuple[Problem, Array]:
    """Terms that pass `check`; outflows with ties, nothing at all, and far more than the slice."""
    cash = st.floats(0.0001, 0.1)
    venues = draw(st.integers(1, venues_max))
    count = draw(st.integers(1, 40))
    half_spread, fee = draw(cash), draw(st.floats(-0.05, 0.05))
    rebates = [draw(st.floats(-0.9 * half_spread, 0.05)) for _ in range(venues)]
    queues = [draw(st.sampled_from([0.0, 10.0, 250.0, 2_000.0])) for _ in range(venues)]
    problem = Problem(
        quantity=draw(st.sampled_from([1.0, 300.0, 1_000.0])),
        half_spread=half_spread,
        fee=fee,
        impact=draw(st.sampled_from([0.0, 0.0005, 0.02])),
        under=half_spread + fee + draw(cash),
        over=max(half_spread + max(rebates), -(half_spread + fee)) + draw(cash),
        venues=tuple(map(VenueTerms, queues, rebates)),
    )
    check(problem)
    sizes = st.sampled_from([0.0, 9.0, 100.0, 260.0, 400.0, 2_100.0, 2_600.0, 1e5])
    rows = draw(st.lists(st.lists(sizes, min_size=venues, max_size=venues), min_size=count, max_size=count))
    return problem, np.array(rows)


@pytest.mark.parametrize("solver", SOLVERS)
@CALM
@given(drawn=slices())
def test_an_optimum_lies_in_its_bounds_and_beats_taking_all(
    solver: Solver, drawn: tuple[Problem, Array]
) -> None:
    problem, outflows = drawn
    found = solver(problem, outflows)
    placement, quantity = found.placement, problem.quantity
    slack = TOLERANCE * quantity
    assert 0 <= placement.market <= quantity
    assert all(0 <= limit <= quantity - placement.market + slack for limit in placement.limits)
    assert placement.total >= quantity - slack
    assert found.cost == mean_cost(problem, placement, outflows)
    everything = Placement(quantity, (0.0,) * len(problem.venues))
    assert found.cost <= mean_cost(problem, everything, outflows) + slack


@CALM
@given(drawn=slices())
def test_overbooking_never_costs_more_than_staying_within(drawn: tuple[Problem, Array]) -> None:
    assert overbooked.optimum(*drawn).cost <= within.optimum(*drawn).cost


@CALM
@given(drawn=slices(), seed=st.integers(0, 2**32))
def test_no_placement_within_the_slice_is_better_than_the_optimum(
    drawn: tuple[Problem, Array], seed: int
) -> None:
    problem, outflows = drawn
    best = within.optimum(problem, outflows).cost
    for weights in np.random.default_rng(seed).dirichlet(np.full(len(problem.venues) + 1, 0.5), 20):
        other = mean_cost(problem, placement_of(weights * problem.quantity), outflows)
        assert best <= other + TOLERANCE * abs(market_cost(problem))


@CALM
@given(drawn=slices(), data=st.data())
def test_the_order_of_the_venues_does_not_change_the_cost(
    drawn: tuple[Problem, Array], data: st.DataObject
) -> None:
    problem, outflows = drawn
    order = data.draw(st.permutations(range(len(problem.venues))))
    other = replace(problem, venues=tuple(problem.venues[venue] for venue in order))
    scale = problem.quantity * (problem.under + problem.over)
    costs = [within.optimum(*pair).cost for pair in (drawn, (other, outflows[:, order]))]
    assert costs[0] == pytest.approx(costs[1], abs=1e-9 * scale)


@CALM
@given(drawn=slices(venues_max=1), factor=st.floats(1.0, 20.0))
def test_a_dearer_missing_unit_never_lowers_the_market_order(
    drawn: tuple[Problem, Array], factor: float
) -> None:
    problem, outflows = drawn
    # Scaled from h + f up, so that the assumption still holds where taking earns.
    least = problem.half_spread + problem.fee
    dearer = replace(problem, under=least + (problem.under - least) * factor)
    law = Empirical.of(outflows[:, 0])
    assert one_venue(dearer, law).market >= one_venue(problem, law).market
    before, after = (within.optimum(terms, outflows).placement.market for terms in (problem, dearer))
    assert after >= before - TOLERANCE * problem.quantity


@CALM
@given(
    weights=st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda parts: sum(parts) > 0.01),
    quantity=st.integers(1, 10**12),
    lots=st.data(),
    overbook=st.booleans(),
)
def test_parts_on_lots_keep_the_bounds_and_sum_to_the_slice(
    weights: list[float], quantity: int, lots: st.DataObject, overbook: bool
) -> None:
    lot = st.sampled_from([1, 1, 5, 100, 1_000])
    market_lot, *limit_lots = (lots.draw(lot) for _ in weights)
    total = sum(weights)
    market, *limits = (weight / total * quantity for weight in weights)
    if overbook:
        limits = [weight * (quantity - market) for weight in weights[1:]]
    split = to_lots(Placement(market, tuple(limits)), quantity, market_lot, limit_lots, overbook=overbook)
    assert split == to_lots(
        Placement(market, tuple(limits)), quantity, market_lot, limit_lots, overbook=overbook
    )
    assert split.market % market_lot == 0
    assert all(part % step == 0 for part, step in zip(split.limits, limit_lots, strict=True))
    assert 0 <= split.market <= quantity
    assert all(0 <= part <= quantity - split.market for part in split.limits)
    if not overbook:
        assert split.total <= quantity
        if 1 in (market_lot, *limit_lots):
            assert split.total == quantity
        assert quantity - split.total < min(market_lot, *limit_lots)
    elif split.total < quantity:
        room = quantity - split.market
        assert market_lot > room - max(split.limits)
        assert all(step > room - part for part, step in zip(split.limits, limit_lots, strict=True))
