"""What a scheduler remembers of what is over, and for how long."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any

import msgspec

from bestex import ids
from bestex.messages import ParentAccepted, ParentOrder, PoolFindings, VenueTrial

IDS_MAX = 1_000_000  # ids of ended parents; 100 bytes each, weeks of trading
ENDED_MAX = 100_000  # ended parents whose last request may be redelivered; far more than in flight
TRIED_MAX = 60  # trials by symbol; they are stored with each order that learns from them
REFUSALS_MAX = 10_000  # far more than can be redelivered

What = tuple[str, int]  # an order: its symbol and its fingerprint


@dataclass(slots=True)
class _Found:
    """`parent_id` found it, empty where that is not known, and ended at `ended_ns`, 0 where it is at work."""

    trial: VenueTrial
    parent_id: str = ""
    ended_ns: int = 0


class Memory:
    """`ids`: what each id was used for, None where that was long ago. `refused`: the user's messages that were.
    `answered`: of each ended parent, the messages about it that were taken. What slices found that rested at one dark
    venue alone is kept by symbol; a restart knows what the orders at work had been told, and have found, until it
    hears what the recorder has kept of those that ended."""

    def __init__(self) -> None:
        self.ids: OrderedDict[str, What | None] = OrderedDict()
        self.refused: OrderedDict[int, None] = OrderedDict()
        self.answered: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._found: dict[str, deque[_Found]] = {}

    def accept(self, event: ParentAccepted) -> None:
        _note(self.ids, event.parent_id, (event.symbol, fingerprint(event.order)), IDS_MAX)
        if event.prior and event.symbol not in self._found:
            self._found[event.symbol] = deque(map(_Found, event.prior), TRIED_MAX)

    def tried(self, symbol: str) -> list[VenueTrial]:
        """What is known of its dark venues, oldest first."""
        return [one.trial for one in self._found.get(symbol, ())]

    def learn(self, symbol: str, parent_id: str, trial: VenueTrial) -> None:
        self._found.setdefault(symbol, deque(maxlen=TRIED_MAX)).append(_Found(trial, parent_id))

    def hear(self, message: PoolFindings) -> None:
        """What all orders found that ended until then, other schedulers' too. Of what is known here, only what was
        found since, and by orders at work, is not in it."""
        later = [
            one
            for one in self._found.get(message.symbol, ())
            if one.parent_id and not 0 < one.ended_ns <= message.at
        ]
        self._found[message.symbol] = deque([*map(_Found, message.trials), *later], TRIED_MAX)

    def past(self, parent_id: str) -> None:
        """It ended long ago; what it was is not known any more."""
        _note(self.ids, parent_id, None, IDS_MAX)

    def refuse(self, order_seq: int) -> None:
        _note(self.refused, order_seq, None, REFUSALS_MAX)

    def ended(self, parent_id: str, requests: tuple[int, ...], symbol: str, at_ns: int) -> None:
        for one in self._found.get(symbol, ()):
            if one.parent_id == parent_id:
                one.ended_ns = at_ns
        _note(self.answered, parent_id, requests, ENDED_MAX)


def _note(table: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    """Note it, and forget the oldest beyond `most`."""
    table[key] = value
    if len(table) > most:
        table.popitem(last=False)


def fingerprint(order: ParentOrder) -> int:
    """64 bits that tell whether a second order under a known id is the same one, sent again."""
    return ids.digest(msgspec.json.encode(msgspec.to_builtins(order, enc_hook=str), order="sorted")) & (
        (1 << 64) - 1
    )
