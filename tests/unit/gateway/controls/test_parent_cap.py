"""The gateway's own cap of every parent, whatever the router sends."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import Code
from bestex.messages import Tif
from services.gateway import port as p
from tests.unit.gateway.bench import QTY, SYMBOL, VENUE, Bench, accepted, closed, fill
from tests.unit.gateway.controls.controlled import again, code_of, limited


def sent(bench: Bench, child_id: str, qty: str = "0.01", whole: str = "0.02", **more: Any) -> Code | None:
    """One IOC of the parent p1, whose quantity is `whole`."""
    bench.now += SECOND
    return code_of(bench, child_id, qty=Decimal(qty), parent_qty=Decimal(whole), **more)


def test_filled_open_and_unknown_never_exceed_the_parent(bench: Bench) -> None:
    assert sent(bench, "c1") is None
    bench.hear(fill("t1", 400), p.VenueUnknown(child_id="c1", code=Code.TIMEOUT, text="no answer"))
    assert sent(bench, "c2", "0.0101") is Code.PARENT_CAP, "the unknown rest is reserved whole"
    assert sent(bench, "c3") is None
    assert sent(bench, "c4", "0.001") is Code.PARENT_CAP
    assert sent(bench, "c5", "0.001", parent_id="p2") is None


def test_what_came_back_may_be_sent_again(bench: Bench) -> None:
    sent(bench, "c1", "0.02")
    bench.hear(fill("t1", 500), closed("expired", 500))
    assert sent(bench, "c2", "0.0151") is Code.PARENT_CAP
    assert sent(bench, "c3", "0.015") is None


def test_a_late_fill_counts(bench: Bench) -> None:
    sent(bench, "c1", "0.02")
    bench.hear(closed("canceled", 0), fill("late", QTY))
    assert sent(bench, "c2", "0.0101") is Code.PARENT_CAP
    assert sent(bench, "c3", "0.01") is None


def test_a_parent_that_nobody_has_sized_sends_nothing(bench: Bench) -> None:
    assert sent(bench, "c1", whole="0") is Code.PARENT_CAP


def test_a_modify_moves_the_cap_with_the_next_slice(bench: Bench) -> None:
    sent(bench, "c1", "0.02")
    bench.hear(fill("t1", 2 * QTY), closed("filled", 2 * QTY))
    assert sent(bench, "c2", "0.01", "0.03", slice_no=2) is None
    assert sent(bench, "c3", "0.01", "0.02", slice_no=1) is Code.PARENT_CAP
    bench.hear(closed("expired", 0, "c2"))
    assert sent(bench, "c4", "0.005", "0.024", slice_no=3) is Code.PARENT_CAP
    assert sent(bench, "c5", "0.004", "0.024", slice_no=3) is None
    bench.hear(closed("expired", 0, "c5"))
    assert sent(bench, "c6", "0.005", "0.03", slice_no=2) is Code.PARENT_CAP, "an older slice's word is old"


def test_a_restart_changes_nothing(bench: Bench) -> None:
    sent(bench, "c1")
    bench.hear(fill("t1", 400), closed("expired", 400))
    sent(bench, "c2", tif=Tif.GTC)
    before = bench.core.controls.ledger
    after = again(bench).core.controls.ledger
    assert (after.parents, after.places) == (before.parents, before.places)
    assert sent(bench, "c3", "0.0061") is Code.PARENT_CAP
    assert sent(bench, "c4", "0.006") is None


def test_a_replace_is_held_to_the_cap_too(bench: Bench) -> None:
    sent(bench, "c1", tif=Tif.GTC)
    bench.hear(accepted())

    def replace(qty: str) -> Any:
        terms: dict[str, Any] = {"child_id": "c1", "parent_id": "p1", "venue": VENUE, "symbol": SYMBOL}
        terms |= {"qty": Decimal(qty), "price": Decimal("60000"), "expires_at": Time(bench.now + SECOND)}
        return bench.hear(m.ChildReplace(**terms))[0]

    sent(bench, "c2", "0.005")
    assert replace("0.0151").code is Code.PARENT_CAP
    bench.hear(closed("expired", 0, "c2"))
    assert sent(bench, "c3", "0.01") is None
    assert bench.core.controls.ledger.parent(SYMBOL, "p1").reserved == 2 * QTY


def test_a_replace_within_the_cap_passes_and_reserves_the_larger_quantity(bench: Bench) -> None:
    sent(bench, "c1", tif=Tif.GTC)
    bench.hear(accepted())
    terms: dict[str, Any] = {"child_id": "c1", "parent_id": "p1", "venue": VENUE, "symbol": SYMBOL}
    terms |= {"qty": Decimal("0.02"), "price": Decimal("60000"), "expires_at": Time(bench.now + SECOND)}
    assert isinstance(bench.hear(m.ChildReplace(**terms))[0], m.ExecReplacing)
    assert sent(bench, "c2", "0.001") is Code.PARENT_CAP


def test_a_parent_may_have_so_many_children_and_no_more() -> None:
    bench = limited("[limits.parent]\nmax_children = 2\n")
    assert sent(bench, "c1", "0.001") is None
    assert sent(bench, "c2", "0.001") is None
    bench.hear(closed("expired", 0, "c1"), closed("expired", 0, "c2"))
    assert sent(again(bench), "c3", "0.001") is Code.PARENT_CAP
