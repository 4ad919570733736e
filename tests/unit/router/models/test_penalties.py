"""Penalties from urgency: the paper's assumptions hold, and the closed form has the chance that was meant."""

from __future__ import annotations

from itertools import pairwise, product

import pytest

from services.router.models.cont_kukanov import (
    Assumption,
    AssumptionError,
    Problem,
    VenueTerms,
    check,
    one_venue,
)
from services.router.models.outflow import Exponential
from services.router.models.penalties import MISSED_CHANCE, Urgency, penalties


@pytest.mark.parametrize("urgency", Urgency)
def test_the_papers_assumptions_hold_under_any_terms(urgency: Urgency) -> None:
    for half_spread, fee, rebates in product(
        (0.0001, 0.02, 5.0), (-0.03, -0.0001, 0.0, 0.003), ((0.0,), (0.002, -0.00005), (0.05, 0.0))
    ):
        found = penalties(urgency, half_spread, fee, rebates)
        venues = tuple(VenueTerms(100, rebate) for rebate in rebates)
        check(Problem(1_000, half_spread, fee, found.under, found.over, venues))


@pytest.mark.parametrize("urgency", Urgency)
def test_the_closed_form_leaves_the_chance_that_the_urgency_accepts(urgency: Urgency) -> None:
    found = penalties(urgency, 0.02, 0.003, [0.002])
    problem = Problem(1e6, 0.02, 0.003, found.under, found.over, (VenueTerms(0, 0.002),))
    outflow = Exponential(2_000)
    limit = one_venue(problem, outflow).limits[0]
    assert outflow.cdf(limit) == pytest.approx(MISSED_CHANCE[urgency], rel=1e-9)


def test_the_more_urgent_the_dearer_is_a_missing_unit() -> None:
    under = [penalties(urgency, 0.02, 0.003, [0.002]).under for urgency in Urgency]
    assert all(less < more for less, more in pairwise(under))
    assert len({penalties(urgency, 0.02, 0.003, [0.002]).over for urgency in Urgency}) == 1


@pytest.mark.parametrize("rebates", [[-0.02], [0.002, -0.03]])
def test_where_a_fill_does_not_beat_the_mid_no_penalty_helps(rebates: list[float]) -> None:
    with pytest.raises(AssumptionError) as caught:
        penalties(Urgency.LOW, 0.02, 0.003, rebates)
    assert caught.value.assumption is Assumption.RESTING_EARNS
