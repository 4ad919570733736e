"""Whatever users send, the controls keep a bounded amount of it, and not the part that stops anybody."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bestex.clock import SECOND
from bestex.errors import Code
from services.gateway import port as p
from services.gateway.controls import ledger, rate, repeats
from tests.unit.gateway.bench import Bench, closed, fill
from tests.unit.gateway.controls.controlled import code_of, limited


def spent(bench: Bench, child_id: str, **changed: object) -> None:
    """A child that is sent and ends empty."""
    assert code_of(bench, child_id, **changed) is None
    bench.hear(closed("expired", 0, child_id))


def test_parents_without_open_children_are_forgotten_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PARENTS_KEPT", 3)
    assert code_of(bench, "open", parent_id="open") is None
    for number in range(10):
        spent(bench, f"c{number}", parent_id=f"p{number}")
    kept = [parent_id for _, parent_id in bench.core.controls.ledger.parents]
    assert kept == ["open", "p8", "p9"]


def test_places_that_hold_nothing_are_forgotten_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "PLACES_KEPT", 2)
    assert code_of(bench, "held", account="held") is None
    bench.hear(fill("t1", 100, child_id="held"), closed("expired", 100, "held"))
    for number in range(5):
        spent(bench, f"c{number}", account=f"a{number}", parent_id=f"p{number}")
    places = bench.core.controls.ledger.places
    assert [place.account for place in places] == ["held", "a4"]


def test_a_stopped_parent_stays_stopped_however_many_come_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "PARENTS_KEPT", 3)
    bench = limited("[limits.repeats]\nmax_rejected = 1\n")
    code_of(bench, "bad")
    bench.hear(p.VenueRejected(child_id="bad", code=Code.VENUE_REJECTED, text="no"))
    for number in range(10):
        spent(bench, f"c{number}", parent_id=f"q{number}")
    assert len(bench.core.controls._repeats.seen.records) == 3
    assert code_of(bench, "c99") is Code.REJECTED_REPEATEDLY


def test_terms_are_kept_as_long_as_they_can_repeat_themselves(bench: Bench) -> None:
    for number in range(20):
        spent(bench, f"c{number}", price=Decimal(60_000 - number))
        bench.now += 2 * SECOND
    (record,) = bench.core.controls._repeats.seen.records.values()
    assert len(record.sent) == 6, "ten seconds of one every two"
    assert not bench.core.controls._repeats.seen.open


def test_buckets_of_accounts_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "ACCOUNTS_KEPT", 2)
    for number in range(5):
        spent(bench, f"c{number}", account=f"a{number}", parent_id=f"p{number}")
    assert [account for _, account in bench.core.controls._rate.drained_ns] == ["a3", "a4"]
