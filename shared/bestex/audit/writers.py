"""One writer per order: what the headers of stored messages say of who wrote them.

Every process has a writer's name of its own, counts its appends in its tokens, and works under an epoch. A
successor takes a history over once, for good; after that whatever its predecessor still tries is refused.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from bestex.audit.report import Findings, Record, Witness
from bestex.journal import ASIDE, TOKEN, WRITER

EPOCH = "Bestex-Epoch"
_HISTORIES = ("parent", "route", "exec")  # commands and fills are written once, by whoever comes first


@dataclass(slots=True)
class _Pen:
    """Who holds a history, and since when. `before` are those who held it earlier."""

    writer: str
    count: int
    epoch: int
    witness: Witness
    before: tuple[str, ...] = ()


class Writers:
    """`take` every record of a stream in order."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._pens: dict[str, _Pen] = {}

    def take(self, record: Record, witness: Witness) -> None:
        headers = record.headers
        if not headers or WRITER not in headers or ASIDE in headers:
            return  # an aside changes nothing, and may come from another scheduler
        history, _, _ = record.subject.rpartition(".")
        if history.split(".", 3)[2] not in _HISTORIES:
            return
        writer = sys.intern(headers[WRITER])
        count, epoch = _number(headers.get(TOKEN, "").rpartition(".")[2]), _number(headers.get(EPOCH, ""))
        pen = self._pens.get(history)
        if pen is None:
            self._pens[history] = _Pen(writer, count, epoch, witness)
            return
        if writer == pen.writer:
            if count <= pen.count and count:
                text = f"{history}: append {count} of {writer} stands after its append {pen.count}"
                self._findings.add(7, "append_twice", text, pen.witness, witness)
        elif writer in pen.before:
            text = f"{history}: {writer} wrote again after {pen.writer} had taken over"
            self._findings.add(7, "two_writers", text, pen.witness, witness)
        if epoch < pen.epoch:
            text = f"{history}: {writer} wrote under epoch {epoch} after epoch {pen.epoch}"
            self._findings.add(7, "old_epoch", text, pen.witness, witness)
        if writer != pen.writer:
            pen.before = (*pen.before, pen.writer)
        pen.writer, pen.count, pen.witness = writer, count, witness
        pen.epoch = max(pen.epoch, epoch)


def _number(text: str) -> int:
    """0 where there is none."""
    return int(text) if text.isascii() and text.isdigit() else 0
