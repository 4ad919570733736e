"""The Cont-Kukanov placement as a route."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bestex import config
from bestex.clock import SECOND
from bestex.messages import Side
from services.router.models.queue import QueueModel
from services.router.routing import route_of
from services.router.strategies.cont_kukanov import ContKukanov
from tests.unit.router.strategies.test_smart import FAST, NOW, ask, posted, queue, stats


def test_with_one_queue_it_is_the_papers_closed_form() -> None:
    """q = (2h+f+r) / (lambda_u+h+r+theta), L* = F^-1(q) - Q, with h 5 cents, f 2 bps of 100.05, r 0."""
    known = stats(a={"bid_queue": queue(0.5)})
    route = route_of(ContKukanov(lambda_under=0.15), ask(known, qty=2_000))
    model = QueueModel.of(queue(0.5), 1_000, 5.0, 0.001)
    assert model is not None
    half, fee = 0.05, 100.05 * 0.0002
    short = (2 * half + fee) / (0.15 + half)
    expected = model.quantile(short) - 1_000
    assert posted(route)["a"] == pytest.approx(expected, abs=30)
    assert 0 < expected < 2_000
    assert route.qty == 2_000


@pytest.mark.parametrize("side", list(Side))
def test_the_more_urgent_the_less_is_posted(side: Side) -> None:
    known = stats(a={"bid_queue": queue(0.5), "ask_queue": queue(0.5)})
    shares = [
        sum(posted(route_of(ContKukanov(urgency=urgency), ask(known, side, 3_000))).values())
        for urgency in ("low", "medium", "high", "immediate")
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1] == 0


def test_the_queue_term_keeps_from_queues() -> None:
    known = stats(a={"bid_queue": queue(0.5)})
    free, dear = (
        sum(posted(route_of(ContKukanov(theta_queue=term), ask(known, qty=3_000))).values())
        for term in (0, 0.1)
    )
    assert dear < free


def test_what_is_too_much_decides_nothing_because_nothing_overbooks() -> None:
    routes = [route_of(ContKukanov(lambda_over=over), ask(FAST)) for over in (0.0, 100.0)]
    assert routes[0].allocations == routes[1].allocations


@pytest.mark.parametrize(
    ("strategy", "more", "why"),
    [
        (ContKukanov(lambda_under=0.0), {}, "lambda_u > h + f"),
        (ContKukanov(), {"until_ns": NOW + SECOND}, "no time to wait"),
    ],
)
def test_where_the_model_has_no_answer_all_is_taken_and_says_so(
    strategy: ContKukanov, more: Any, why: str
) -> None:
    route = route_of(strategy, ask(FAST, **more))
    assert not posted(route)
    assert route.qty == 1_000
    assert why in route.why


def test_where_a_makers_fee_is_above_the_half_spread_a_fill_still_beats_taking() -> None:
    """Both at 100.05 and 99.95 with fees of 20 and 10 basis points: a fill costs 5 of them, taking 25."""
    dear = config.parse(
        '[venues.a]\n[splitting]\nmin_split_size = "0"\n[instruments."X/Y"]\nprice_scale = 2\nqty_scale = 3\n'
        '[instruments."X/Y".venues]\na = { tick = "0.01", lot = "0.001", taker_bps = "20", maker_bps = "10" }'
    )
    instrument = dear.make_instruments().by_symbol["X/Y"]
    asked = replace(ask(stats(a={"bid_queue": queue(2.0)})), config=dear, instrument=instrument)
    route = route_of(ContKukanov(), asked)
    assert posted(route) == {"a": 1_000}
    assert route.why.startswith("posts 100%")
