"""A venue that takes no client ids: whose an order is, and that nobody gets another one's."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bestex import messages as m
from bestex.clock import DAY, SECOND, Time
from bestex.errors import Code
from bestex.messages import Side, Tif
from services.gateway import claims as claiming
from services.gateway import port as p
from services.gateway.orders import Status
from tests.unit.gateway.bench import CAPABILITIES, QTY, START, VENUE, Bench, book, child_cancel, child_new

NAMELESS = msgspec.structs.replace(CAPABILITIES, client_id_length=0, ids_change=True)


@pytest.fixture
def bench() -> Bench:
    return Bench(capabilities=NAMELESS).ready()


def send(bench: Bench, child_id: str, parent_id: str = "", **changed: Any) -> None:
    rests = {"tif": Tif.GTC, "good_till": Time(bench.now + 10 * DAY), **changed}
    bench.hear(child_new(child_id, bench.now, parent_id=parent_id or f"p-{child_id}", **rests))


def doubt(bench: Bench, *child_ids: str) -> None:
    for child_id in child_ids:
        bench.hear(p.VenueUnknown(child_id=child_id, code=Code.TIMEOUT, text="no answer"))


def accepted(child_id: str, order: str, **more: Any) -> p.VenueAccepted:
    return p.VenueAccepted(child_id=child_id, venue_order_id=order, **more)


def filled(child_id: str, order: str, trade: str, qty: int = QTY) -> p.VenueFill:
    return p.VenueFill(
        child_id=child_id,
        trade_id=trade,
        venue_order_id=order,
        price=6_000_000,
        qty=qty,
        fee=Decimal(0),
        venue_ns=START,
    )


def status(bench: Bench, child_id: str) -> tuple[Status, str]:
    child = bench.core.memory.children[child_id]
    return child.status, child.venue_order_id


def questions(bench: Bench) -> dict[str, tuple[str, ...]]:
    return {query.child_id: query.claimed for query in bench.asked(p.QueryOrder)}


def test_a_question_names_the_orders_that_others_have(bench: Bench) -> None:
    send(bench, "c1")
    bench.hear(accepted("c1", "v1"))
    send(bench, "c2", side=Side.SELL)
    bench.hear(accepted("c2", "v2"))
    send(bench, "c3")
    bench.asked(p.QueryOrder)
    doubt(bench, "c3")
    assert questions(bench) == {"c3": ("v1",)}, "an order of the other side is not to be taken for it"


def test_a_child_whose_order_is_known_asks_by_its_id_alone(bench: Bench) -> None:
    for child_id, order in (("c1", "v1"), ("c2", "v2")):
        send(bench, child_id)
        bench.hear(accepted(child_id, order))
    bench.asked(p.QueryOrder)
    bench.sleep(60 * SECOND)
    assert set(questions(bench).values()) == {()}


def test_where_there_are_client_ids_nothing_is_claimed() -> None:
    bench = Bench(capabilities=CAPABILITIES).ready()
    send(bench, "c1")
    bench.hear(accepted("c1", "v1"))
    send(bench, "c2")
    doubt(bench, "c2")
    assert questions(bench) == {"c2": ()}
    bench.hear(accepted("c2", "v1"))
    assert status(bench, "c2") == (Status.WORKING, "v1"), "there the client id has found it"


def test_an_order_that_two_are_told_of_is_the_first_ones(bench: Bench) -> None:
    for child_id in ("c1", "c2"):
        send(bench, child_id)
    doubt(bench, "c1", "c2")
    bench.hear(accepted("c1", "v1"), accepted("c2", "v1"))
    assert status(bench, "c1") == (Status.WORKING, "v1")
    assert status(bench, "c2") == (Status.UNKNOWN, "")
    bench.asked(p.QueryOrder)
    bench.sleep(SECOND)
    assert questions(bench)["c2"] == ("v1",), "it is looked for again, and elsewhere"


def test_the_fills_and_the_end_of_an_order_are_those_of_its_child_whoever_was_asked_about(
    bench: Bench,
) -> None:
    for child_id in ("c1", "c2"):
        send(bench, child_id)
    doubt(bench, "c1", "c2")
    end = p.VenueClosed(child_id="c2", how="filled", cum_qty=QTY, venue_order_id="v1")
    bench.hear(accepted("c1", "v1"), filled("c2", "v1", "t1"), end)
    assert status(bench, "c1") == (Status.ENDED, "v1")
    assert status(bench, "c2") == (Status.UNKNOWN, "")
    (fill,) = [event for event in bench.journal if isinstance(event, m.Fill)]
    assert (fill.child_id, fill.parent_id, fill.flag) == ("c1", "p-c1", "")


def test_an_order_that_may_be_one_on_its_way_is_not_taken(bench: Bench) -> None:
    send(bench, "c1")
    doubt(bench, "c1")
    send(bench, "c2")  # its answer has not come, though the venue shows its order
    bench.hear(accepted("c1", "v2"))
    assert status(bench, "c1") == (Status.UNKNOWN, "")
    bench.hear(accepted("c2", "v2"), accepted("c1", "v1"))
    assert (status(bench, "c1"), status(bench, "c2")) == ((Status.WORKING, "v1"), (Status.WORKING, "v2"))


def test_an_order_of_other_terms_on_its_way_is_no_hindrance(bench: Bench) -> None:
    send(bench, "c1")
    doubt(bench, "c1")
    send(bench, "c2", price=Decimal(59_000))
    bench.hear(accepted("c1", "v1"))
    assert status(bench, "c1") == (Status.WORKING, "v1")


def test_an_order_that_may_be_a_changed_one_is_not_taken(bench: Bench) -> None:
    """A replaced order has another id at the venue, which is not known before the answer comes."""
    send(bench, "c1", price=Decimal(59_000))
    bench.hear(accepted("c1", "v1"))
    send(bench, "c2")
    doubt(bench, "c2")
    to = {"qty": Decimal("0.01"), "price": Decimal(60_000), "expires_at": Time(START + SECOND)}
    owner = {"child_id": "c1", "parent_id": "p-c1", "venue": VENUE, "symbol": "BTC/USDT"}
    bench.hear(m.ChildReplace(**owner, **to))  # type: ignore[arg-type]
    bench.hear(accepted("c2", "v2"))
    assert status(bench, "c2") == (Status.UNKNOWN, "")
    bench.hear(p.VenueReplaced(child_id="c1", venue_order_id="v2", qty=QTY, price=6_000_000))
    bench.asked(p.QueryOrder)
    bench.sleep(SECOND)
    assert set(questions(bench)["c2"]) == {"v1", "v2"}, "both are the changed one's"


def test_what_names_no_order_ends_nobody_in_doubt(bench: Bench) -> None:
    send(bench, "c1")
    doubt(bench, "c1")
    bench.hear(p.VenueClosed(child_id="c1", how="canceled", cum_qty=0))
    bench.hear(p.VenueRejected(child_id="c1", code=Code.VENUE_REJECTED, text="", found=True))
    assert status(bench, "c1") == (Status.UNKNOWN, "")
    assert bench.core.anomalies["word that names no order"] == 2
    bench.hear(p.VenueRejected(child_id="c1", code=Code.OFF_TICK, text="the answer, late"))
    assert status(bench, "c1") == (Status.ENDED, "")


def test_an_order_whose_fills_are_still_missing_is_taken_all_the_same(bench: Bench) -> None:
    for child_id in ("c1", "c2"):
        send(bench, child_id)
    doubt(bench, "c1", "c2")
    bench.hear(p.VenueClosed(child_id="c1", how="filled", cum_qty=QTY, venue_order_id="v1"))
    assert status(bench, "c1") == (Status.WORKING, "v1")
    bench.hear(accepted("c2", "v1"), filled("c2", "v1", "t1"))
    assert (status(bench, "c1")[0], status(bench, "c2")[0]) == (Status.ENDED, Status.UNKNOWN)


@pytest.mark.parametrize(
    "end",
    [
        p.VenueClosed(child_id="c1", how="expired", cum_qty=0, venue_order_id="v1"),
        p.VenueRejected(child_id="c1", code=Code.OFF_TICK, text="refused", venue_order_id="v1"),
        filled("c1", "v1", "t1"),
    ],
)
@pytest.mark.parametrize("checkpoint_at", [0, 2])
def test_an_order_that_ended_at_once_is_nobody_elses_for_a_day_restarts_included(
    bench: Bench, end: Any, checkpoint_at: int
) -> None:
    send(bench, "c1")
    bench.hear(end)
    assert status(bench, "c1") == (Status.ENDED, "v1")
    bench.crash(checkpoint_at)
    bench.ready()
    bench.now += DAY - SECOND
    send(bench, "c2")
    doubt(bench, "c2")
    assert questions(bench) == {"c2": ("v1",)}
    bench.now += 3 * SECOND
    send(bench, "c3", price=Decimal(59_000))
    bench.hear(p.VenueClosed(child_id="c3", how="expired", cum_qty=0, venue_order_id="v3"))
    bench.crash(checkpoint_at)
    bench.ready()
    bench.asked(p.QueryOrder)
    bench.sleep(SECOND)
    assert questions(bench)["c2"] == ("v3",), "the venue speaks of the first one no more"


def test_what_works_is_kept_however_long(bench: Bench) -> None:
    send(bench, "c1")
    bench.hear(accepted("c1", "v1"))
    bench.now += 3 * DAY
    bench.hear(book(at_ns=bench.now))
    send(bench, "c3", price=Decimal(59_000))
    bench.hear(p.VenueClosed(child_id="c3", how="expired", cum_qty=0, venue_order_id="v3"))
    bench.asked(p.QueryOrder)
    send(bench, "c2")
    doubt(bench, "c2")
    assert questions(bench) == {"c2": ("v1", "v3")}


def test_no_more_ended_orders_are_kept_than_the_limit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "ENDED_MAX", 2)
    for i in range(4):
        send(bench, f"c{i}")
        bench.hear(p.VenueClosed(child_id=f"c{i}", how="expired", cum_qty=0, venue_order_id=f"v{i}"))
        bench.now += SECOND
    send(bench, "c9")
    doubt(bench, "c9")
    assert questions(bench) == {"c9": ("v2", "v3")}


def test_all_that_is_in_doubt_is_asked_for_after_a_reconnect_with_what_is_taken(bench: Bench) -> None:
    for child_id in ("c1", "c2", "c3"):
        send(bench, child_id)
    bench.hear(accepted("c1", "v1"))
    doubt(bench, "c2", "c3")
    bench.hear(p.SessionState(VENUE, p.Session.DOWN), p.SessionState(VENUE, p.Session.UP))
    (ask,) = bench.asked(p.MassStatus)
    assert {query.child_id: query.claimed for query in ask.orders} == {"c1": (), "c2": ("v1",), "c3": ("v1",)}


def test_a_cancel_waits_until_the_order_is_known(bench: Bench) -> None:
    send(bench, "c1")
    doubt(bench, "c1")
    bench.hear(child_cancel("c1"))
    assert not bench.asked(p.Cancel)
    bench.hear(accepted("c1", "v1"))
    assert [cancel.venue_order_id for cancel in bench.asked(p.Cancel)] == ["v1"]
