"""What a scheduler remembers of what is over, and for how long."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from bestex.messages import ParentAccepted
from services.scheduler.parent import fingerprint

IDS_MAX = 1_000_000  # ids of ended parents; 100 bytes each, weeks of trading
ENDED_MAX = 100_000  # ended parents whose last request may be redelivered; far more than in flight
REFUSALS_MAX = 10_000  # far more than can be redelivered

What = tuple[str, int]  # an order: its symbol and its fingerprint


class Memory:
    """`ids`: what each id was used for, None where that was long ago. `refused`: the user's messages that were.
    `answered`: of each ended parent, the messages about it that were taken."""

    def __init__(self) -> None:
        self.ids: OrderedDict[str, What | None] = OrderedDict()
        self.refused: OrderedDict[int, None] = OrderedDict()
        self.answered: OrderedDict[str, tuple[int, ...]] = OrderedDict()

    def accept(self, event: ParentAccepted) -> None:
        _note(self.ids, event.parent_id, (event.symbol, fingerprint(event.order)), IDS_MAX)

    def past(self, parent_id: str) -> None:
        """It ended long ago; what it was is not known any more."""
        _note(self.ids, parent_id, None, IDS_MAX)

    def refuse(self, order_seq: int) -> None:
        _note(self.refused, order_seq, None, REFUSALS_MAX)

    def ended(self, parent_id: str, requests: tuple[int, ...]) -> None:
        _note(self.answered, parent_id, requests, ENDED_MAX)


def _note(table: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    """Note it, and forget the oldest beyond `most`."""
    table[key] = value
    if len(table) > most:
        table.popitem(last=False)
