"""What an emulated exchange does wrong, how often, and to which requests.

A fault of a request happens `before` the engine has seen it (the request is lost, and nothing is at the venue) or
`after` (the venue has done it, and only the answer suffers). So every failure of an order comes in two: accepted at
the venue, and not.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal, get_args

import msgspec

What = Literal["new", "cancel", "amend", "query", "list", "other", "any"]
How = Literal[
    "timeout",  # no answer, and the connection stays open
    "reset",  # the connection is torn down
    "truncated",  # half of the answer, then the connection ends
    "garbled",  # an answer of status 200 that is no JSON
    "server_error",  # 502 from a proxy, with its HTML
    "busy",  # the exchange's own "internal error, outcome unknown", where it has one
    "rate_limited",  # 429, with the exchange's own body
    "banned",  # the ban of whoever goes on after that
    "maintenance",  # the exchange's own word that it is closed
    "skewed",  # the exchange's own word that the request's time is off
    "delay",  # the right answer, `seconds` late
    "double",  # the right answer twice, where answers come over a socket
]
# Of the streams: there is no request, so nothing is before or after.
Streams = Literal[
    "gap",  # one depth update is left out
    "wrong_depth",  # one depth update comes in its turn, and does not say what has changed
    "cut_market",  # the market stream ends
    "cut_user",  # the user stream ends
    "mute_user",  # user events of the next `seconds` are lost, and the stream stays up
    "late_user",  # they come `seconds` late
    "double_user",  # each comes twice
    "bad_checksum",  # of one depth update, where the exchange sends one
]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`times` of the next requests of kind `what`, having let `skip` of them pass."""

    how: How | Streams
    what: What = "any"
    when: Literal["before", "after"] = "before"
    times: int = 1
    skip: int = 0
    seconds: float = 0.0


class Faults:
    """The faults that are still to happen, oldest first, and counts of what was asked and what went wrong."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self.happened: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()

    def add(self, *faults: Fault) -> None:
        self._waiting += faults

    def clear(self) -> None:
        self._waiting.clear()

    @property
    def waiting(self) -> tuple[Fault, ...]:
        return tuple(self._waiting)

    def of_request(self, what: What) -> Fault | None:
        """The fault of this request, used up by it. Counts the request."""
        self.asked[what] += 1
        for place, fault in enumerate(self._waiting):
            if fault.how in get_args(Streams) or fault.what not in (what, "any"):
                continue
            if fault.skip:
                self._waiting[place] = msgspec.structs.replace(fault, skip=fault.skip - 1)
                return None
            return self._use(place)
        return None

    def of_stream(self, *kinds: Streams) -> Fault | None:
        """The next fault of one of these kinds, used up."""
        for place, fault in enumerate(self._waiting):
            if fault.how in kinds:
                return self._use(place)
        return None

    def _use(self, place: int) -> Fault:
        fault = self._waiting.pop(place)
        self.happened[fault.how] += 1
        if fault.times > 1:
            self._waiting.insert(place, msgspec.structs.replace(fault, times=fault.times - 1))
        return fault
