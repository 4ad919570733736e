"""Cont-Kukanov: how much by market order, and how much behind which queue ("Optimal order placement in limit order
markets", arXiv 1210.1625).

The paper's slice is placed once and judged at its end. Here its end is when patience is over, and what is short then
is placed again, so lambda_under is what being short of a unit at that time is worth to avoid. The placement is the
exact optimum among those that cannot trade more than the slice (`models.within`): the platform never overfills, so
lambda_over decides nothing in a live route and is only there for models that may overbook.

Terms are cash of the quote for a unit of the base, against the mid, as in the paper: h half of the consolidated
spread, f what taking the slice now costs beyond it, r_k what a fill at venue k's own best price brings beyond h.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from services.router.models import within
from services.router.models.cont_kukanov import AssumptionError, Problem, VenueTerms, check, market_cost
from services.router.models.lots import to_lots
from services.router.models.penalties import Urgency, penalties
from services.router.strategies.base import RouteTask
from services.router.strategies.posting import Division, Moment, Place, Posting

LEAST_GAIN = 1e-9  # of the price: the least by which a fill is to beat what costs are counted against
SCENARIOS = 200  # quantiles of each queue's outflow: half a percent of probability between two
_DEVIATIONS = np.array([NormalDist().inv_cdf((number + 0.5) / SCENARIOS) for number in range(SCENARIOS)])

Penalty = Annotated[
    float, Meta(ge=0, description="Cash of the quote a unit; from the urgency where left out.")
]


class ContKukanov(Posting, frozen=True, kw_only=True, omit_defaults=True):
    """The Cont-Kukanov placement: market order and limit orders behind queues, by the outflow of each."""

    name: ClassVar[str] = "cont_kukanov"

    lambda_under: Penalty | None = None
    lambda_over: Penalty | None = None
    theta: Annotated[
        float,
        Meta(ge=0, description="The paper's theta: impact on all that is sent, cash of the quote a unit."),
    ] = 0.0
    theta_queue: Annotated[
        float,
        Meta(
            ge=0, description="What a unit costs that rests, times the share of the queue ahead of the slice."
        ),
    ] = 0.0

    def divide(self, task: RouteTask, places: Sequence[Place], moment: Moment) -> Division:
        one = 10.0**task.ladder.book.price_scale  # price units in one of the quote
        bid, ask = task.ladder.best_bid, task.ladder.best_ask
        assert bid is not None, "there is a mid"
        assert ask is not None, "there is a mid"
        worth = [place for place in places if place.half - place.maker + moment.cross > 0]
        # The best places first: no more than there may be splits.
        worth.sort(
            key=lambda place: (place.maker - place.half, place.model.ahead / place.model.mean, place.venue)
        )
        worth = worth[: moment.splits]
        # The paper's fills beat the mid. Where a maker's fee is above the half spread they only beat taking: then
        # costs are counted against a price that much dearer than the mid, which moves all of them alike.
        shift = max([0.0, *(place.maker - place.half + LEAST_GAIN * moment.mid for place in worth)])
        half, taking = ((ask - bid) / 2 + shift) / one, (moment.cross - shift) / one
        rebates = [(place.half - place.maker + shift) / one - half for place in worth]
        terms = [
            VenueTerms(place.model.ahead, rebate, self.theta_queue)
            for place, rebate in zip(worth, rebates, strict=True)
        ]
        try:
            derived = penalties(Urgency(self.urgency), half, taking - half, rebates)
            under = derived.under if self.lambda_under is None else self.lambda_under - shift / one
            problem = Problem(
                quantity=float(task.qty),
                half_spread=half,
                fee=taking - half,
                under=under,
                over=max(self.lambda_over or 0.0, derived.over),
                venues=tuple(terms),
                impact=self.theta,
            )
            check(problem)
        except AssumptionError as error:
            return Division({}, 0.0, f"takes: {error}")
        if not worth:
            return Division({}, 0.0)
        outflows = np.array([place.model.outflows(_DEVIATIONS) for place in worth]).T
        found = within.optimum(problem, outflows)
        lot = min(listing.listing.lot for listing in task.terms.values())
        parts = to_lots(found.placement, task.qty, lot, [place.lot for place in worth], overbook=False)
        posted = {
            place.venue: qty
            for place, part in zip(worth, parts.limits, strict=True)
            if (qty := place.on_lots(part))
        }
        return Division(posted, (market_cost(problem) - found.cost) * one)
