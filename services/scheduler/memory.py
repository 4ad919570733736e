"""What a scheduler remembers of what is over, and for how long."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

from bestex.messages import ParentAccepted, VenueTrial
from services.scheduler.parent import fingerprint

IDS_MAX = 1_000_000  # ids of ended parents; 100 bytes each, weeks of trading
ENDED_MAX = 100_000  # ended parents whose last request may be redelivered; far more than in flight
TRIED_MAX = 60  # trials by symbol; they are stored with each order that learns from them
REFUSALS_MAX = 10_000  # far more than can be redelivered

What = tuple[str, int]  # an order: its symbol and its fingerprint


class Memory:
    """`ids`: what each id was used for, None where that was long ago. `refused`: the user's messages that were.
    `answered`: of each ended parent, the messages about it that were taken. `tried`: by symbol, what slices found
    that rested at one venue alone; a restart knows what the orders at work had been told, and have found."""

    def __init__(self) -> None:
        self.ids: OrderedDict[str, What | None] = OrderedDict()
        self.refused: OrderedDict[int, None] = OrderedDict()
        self.answered: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self.tried: dict[str, deque[VenueTrial]] = {}

    def accept(self, event: ParentAccepted) -> None:
        _note(self.ids, event.parent_id, (event.symbol, fingerprint(event.order)), IDS_MAX)
        if event.prior and event.symbol not in self.tried:
            self.tried[event.symbol] = deque(event.prior, TRIED_MAX)

    def learn(self, symbol: str, trial: VenueTrial) -> None:
        self.tried.setdefault(symbol, deque(maxlen=TRIED_MAX)).append(trial)

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
