"""How far a venue can be relied on, over its last children: does it take them, answer, and fill what it displays?"""

from __future__ import annotations

from collections import OrderedDict, deque

from bestex import messages as m
from bestex.errors import Code
from bestex.messages import Tif

CHILDREN_KEPT = 200  # some minutes of a busy venue: what it is like now
OPEN_KEPT = 10_000
FAULTS = frozenset(
    {Code.TIMEOUT, Code.VENUE_DOWN, Code.VENUE_REJECTED, Code.RATE_LIMITED, Code.INSUFFICIENT_FUNDS}
)


class Reliability:
    """Of one venue. A child counts when it has ended; one that was in doubt for a while counts as failed."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, m.ExecSubmitting] = OrderedDict()
        self._doubtful: set[str] = set()
        self._worked: deque[bool] = deque(maxlen=CHILDREN_KEPT)
        self._filled: deque[float] = deque(maxlen=CHILDREN_KEPT)

    def take(self, event: m.ExecEvent) -> None:
        if isinstance(event, m.ExecSubmitting):
            self._open[event.child_id] = event
            if len(self._open) > OPEN_KEPT:
                self._doubtful.discard(self._open.popitem(last=False)[0])
        elif isinstance(event, m.ExecUnknown):
            self._doubtful.add(event.child_id)
        elif isinstance(event, m.ExecEnded):
            self._ended(event)

    def _ended(self, end: m.ExecEnded) -> None:
        sent = self._open.pop(end.child_id, None)
        doubtful = end.child_id in self._doubtful
        self._doubtful.discard(end.child_id)
        if sent is None:
            return  # refused by our own checks, or sent before this process began
        refused = isinstance(end, m.ExecRejected) and end.code in FAULTS
        self._worked.append(not doubtful and not refused)
        if sent.tif is Tif.IOC and not isinstance(end, m.ExecRejected):
            self._filled.append(float(end.cum_qty / sent.qty))

    @property
    def ioc_fill_ratio(self) -> float | None:
        """Of what was sent against displayed size, the part that filled; None where nothing was."""
        return sum(self._filled) / len(self._filled) if self._filled else None

    @property
    def score(self) -> float | None:
        """From 0 to 1: the share of children that it worked without doubt, times what it fills; None at first."""
        if not self._worked:
            return None
        filled = self.ioc_fill_ratio
        return sum(self._worked) / len(self._worked) * (1.0 if filled is None else filled)
