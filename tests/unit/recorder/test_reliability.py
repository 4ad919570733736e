"""What a venue's last children say of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import Code
from bestex.messages import Side, Tif
from services.recorder.core import RecorderCore
from services.recorder.reliability import CHILDREN_KEPT, Reliability


def event(kind: Any, child_id: str, **more: Any) -> Any:
    owner = {"venue": "a", "symbol": "X/Y", "child_id": child_id, "parent_id": "p", "slice_no": 1}
    return kind(**owner, at=Time(0), **more)


def sent(child_id: str, tif: Tif = Tif.IOC) -> m.ExecSubmitting:
    terms = {"token": "t", "deadline": Time(1), "good_till": Time(1), "side": Side.BUY, "tif": tif}
    found: m.ExecSubmitting = event(m.ExecSubmitting, child_id, qty=Decimal(4), price=Decimal(1), **terms)
    return found


def filled(child_id: str, qty: str = "4") -> Any:
    return event(m.ExecExpired, child_id, cum_qty=Decimal(qty))


def refused(child_id: str, code: Code) -> Any:
    return event(m.ExecRejected, child_id, code=code, text="")


def of(*events: Any) -> Reliability:
    made = Reliability()
    for one in events:
        made.take(one)
    return made


def test_nothing_is_said_of_a_venue_that_was_not_used() -> None:
    assert (of().score, of().ioc_fill_ratio) == (None, None)
    assert of(refused("never sent", Code.PRICE_COLLAR)).score is None


@pytest.mark.parametrize(
    ("events", "score", "fill_ratio"),
    [
        ([sent("1"), filled("1")], 1.0, 1.0),
        ([sent("1"), filled("1", "1")], 0.25, 0.25),  # what was displayed was not there
        ([sent("1", Tif.GTC), filled("1", "1")], 1.0, None),  # what rests may stay unfilled
        ([sent("1"), refused("1", Code.VENUE_DOWN), sent("2"), filled("2")], 0.5, 1.0),
        ([sent("1"), refused("1", Code.OFF_TICK)], 1.0, None),  # our own fault
        ([sent("1"), event(m.ExecUnknown, "1", code=Code.TIMEOUT, text=""), filled("1")], 0.0, 1.0),
    ],
)
def test_the_score_is_what_it_worked_times_what_it_filled(
    events: list[Any], score: float, fill_ratio: float | None
) -> None:
    assert (of(*events).score, of(*events).ioc_fill_ratio) == (score, fill_ratio)


def test_only_the_last_children_count() -> None:
    made = of(sent("old"), refused("old", Code.TIMEOUT))
    for number in range(CHILDREN_KEPT):
        made.take(sent(str(number)))
        made.take(filled(str(number)))
    assert made.score == 1.0


def test_what_the_router_leaves_alone_is_shown_while_it_says_so() -> None:
    core = RecorderCore()
    left = [
        m.LeftOut("a", "breaker_open: for 2.0 s more after timeout: nobody answered"),
        m.LeftOut("b", "no_book: x"),
    ]
    decided = m.RouteDecided(
        symbol="X/Y",
        parent_id="p",
        slice_no=1,
        at=Time(SECOND),
        decision_no=0,
        side=Side.BUY,
        qty=Decimal(1),
        strategy="sweep",
        legs=[],
        left_out=left,
        expires_at=Time(0),
        good_till=Time(0),
    )
    core.take(decided)
    assert core.venue_metrics("a", Time(2 * SECOND)).breaker == left[0].reason
    assert core.venue_metrics("b", Time(2 * SECOND)).breaker == ""
    assert core.venue_metrics("a", Time(60 * SECOND)).breaker == ""
