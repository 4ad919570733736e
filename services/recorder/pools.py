"""What orders found in the dark, kept for those that come after, whichever scheduler works them.

An order's end says what its own slices found. Only the newest findings of a symbol are kept: what is older would
weigh next to nothing, and each order that learns from them stores them with its acceptance.
"""

from __future__ import annotations

from collections.abc import Iterable

from bestex import codec, subjects
from bestex import messages as m
from services.recorder.rows import Upsert

KEPT = 60  # of each symbol: what a scheduler remembers of it


class Pools:
    """`known`: what was kept before."""

    def __init__(self, known: Iterable[m.PoolFindings] = ()) -> None:
        self._known = {one.symbol: one for one in known}

    def take(self, done: m.ParentDone) -> list[Upsert]:
        """The row of its symbol, to be published, where the order found anything."""
        if not done.found:
            return []
        before = self._known.get(done.symbol)
        trials = [*(before.trials if before is not None else ()), *done.found][-KEPT:]
        at = done.at if before is None else max(before.at, done.at)
        self._known[done.symbol] = m.PoolFindings(symbol=done.symbol, at=at, trials=trials)
        return [row(self._known[done.symbol])]


def row(findings: m.PoolFindings) -> Upsert:
    """As the database holds it, to be published."""
    text = codec.to_json(findings).decode()
    return Upsert("pools", {"symbol": findings.symbol}, {"findings": text, "published_ns": 0})


def subject(findings: m.PoolFindings) -> str:
    return subjects.metrics("pools", findings.symbol)
