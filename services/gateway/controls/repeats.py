"""What an algorithm that has gone wrong looks like: the same order again and again, or refusal after refusal.

Three looks at one parent at one venue, of which two end in a breaker that only a person resets:

    duplicate   the same terms again, very soon and while the first are open: nobody can mean that (refused, once)
    repeated    the same terms more often within a window than any schedule wants them: the breaker opens
    rejected    so many refusals in a row that trying again teaches nothing: the breaker opens

A person resets a breaker by an unhalt that speaks of the child's parent, algorithm, account, venue or of all,
newer than what opened it (RTS 6 of MiFID II, article 15: repeated execution throttles). Everything here is a
function of the journal and of the operators' words, per venue, whose journal keeps the order of events.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from bestex import messages as m
from bestex.errors import Code
from bestex.limits import RepeatLimits
from bestex.messages import Side, Tif
from services.gateway.controls.wanted import Refusal, Wanted
from services.gateway.orders import Child

PARENTS_KEPT = (
    20_000  # the last ones that sent anything, as many as may be open; stopped ones are kept longest
)
TERMS_KEPT = 256  # of one parent: more different orders than this in a window repeat nothing

# Refusals that say nothing about the order, and so are no sign that its maker has gone wrong.
NOT_ITS_FAULT = frozenset(
    {
        Code.HALTED,
        Code.NOT_READY,
        Code.MARKET_CLOSED,
        Code.MIXED_FLEET,
        Code.NO_REFERENCE,
        Code.RATE_LIMITED,
        Code.POSITION_LIMIT,
        Code.OPEN_VALUE_LIMIT,
        Code.NOT_HELD,
        Code.HOLDINGS_DIFFER,
        Code.SELF_TRADE,
        Code.REPEATED_ORDER,
        Code.REJECTED_REPEATEDLY,
        Code.EXPIRED,
        Code.CANCELED,
        Code.NOT_SENT,
        Code.VENUE_DOWN,
        Code.TIMEOUT,
        Code.POST_ONLY_WOULD_TAKE,
        Code.FOK_UNFILLED,
    }
)

_Terms = tuple[str, str, Side, Tif, int, int]


@dataclass(slots=True)
class _Sent:
    """One set of terms: when it was sent, newest last, and the child that it last became."""

    times: deque[int]
    child_id: str = ""


@dataclass(slots=True)
class _Record:
    """One parent at one venue. `refused` are the times of the refusals in a row, newest last."""

    sent: OrderedDict[_Terms, _Sent] = field(default_factory=OrderedDict)
    refused: deque[int] = field(default_factory=deque)
    repeated_ns: int = 0


@dataclass(slots=True)
class _Seen:
    """A function of the journal. `open`: the ids of children that have not ended."""

    records: OrderedDict[tuple[str, str, str], _Record] = field(default_factory=OrderedDict)
    open: set[str] = field(default_factory=set)


class Repeats:
    def __init__(self, limits: RepeatLimits) -> None:
        self._limits = limits
        self.seen = _Seen()

    # -- from the journal --------------------------------------------------------------------------------------

    def submitted(self, child: Child) -> None:
        record = self._record(child.venue, child.symbol, child.parent_id)
        terms = child.symbol, child.account, child.side, child.tif, child.qty, child.price
        sent = record.sent.get(terms)
        if sent is None:
            sent = record.sent[terms] = _Sent(deque(maxlen=self._limits.max_same))
        sent.times.append(child.submitted_at)
        sent.child_id = child.child_id
        record.sent.move_to_end(terms)
        self.seen.open.add(child.child_id)
        self._forget_old_terms(record, child.submitted_at)

    def ended(self, child: Child) -> None:
        self.seen.open.discard(child.child_id)

    def rejected(self, event: m.ExecRejected) -> None:
        record = self._record(event.venue, event.symbol, event.parent_id)
        if event.code is Code.REPEATED_ORDER:
            record.repeated_ns = event.at
        elif event.code not in NOT_ITS_FAULT:
            record.refused.append(event.at)
            while len(record.refused) > self._limits.max_rejected:
                record.refused.popleft()

    def worked(self, child: Child) -> None:
        """The venue has taken it: the row of refusals is broken."""
        record = self.seen.records.get((child.venue, child.symbol, child.parent_id))
        if record is not None:
            record.refused.clear()

    # -- before a send -----------------------------------------------------------------------------------------

    def check(self, wanted: Wanted, now_ns: int, released_ns: int) -> Refusal | None:
        """`released_ns`: when a person last let such orders go."""
        limits = self._limits
        record = self.seen.records.get((wanted.venue, wanted.symbol, wanted.parent_id))
        if record is None:
            return None
        who = f"{wanted.parent_id} at {wanted.venue}"
        until = f"`bestex unhalt parent:{wanted.parent_id}` lets it go on"
        if len(record.refused) >= limits.max_rejected and record.refused[0] > released_ns:
            text = f"{limits.max_rejected} children of {who} were refused in a row; {until}"
            return Refusal(Code.REJECTED_REPEATEDLY, text)
        if record.repeated_ns > released_ns:
            return Refusal(Code.REPEATED_ORDER, f"{who} has repeated itself; {until}")
        terms = wanted.symbol, wanted.account, wanted.side, wanted.tif, wanted.qty, wanted.price
        sent = record.sent.get(terms)
        if sent is None:
            return None
        since_ns = max(now_ns - limits.window, released_ns)
        if len(sent.times) >= limits.max_same and sent.times[0] > since_ns:
            text = f"{who} sent the same order {limits.max_same} times within {limits.window}; {until}"
            return Refusal(Code.REPEATED_ORDER, text)
        if sent.child_id in self.seen.open and now_ns - sent.times[-1] < limits.duplicate_window:
            text = f"{who} sent the same order less than {limits.duplicate_window} ago, and it is open"
            return Refusal(Code.DUPLICATE_TERMS, text)
        return None

    def _record(self, venue: str, symbol: str, parent_id: str) -> _Record:
        key = venue, symbol, parent_id
        found = self.seen.records.get(key)
        if found is None:
            found = self.seen.records[key] = _Record()
            if len(self.seen.records) > PARENTS_KEPT:
                going = (k for k, record in self.seen.records.items() if not self._is_stopped(record))
                del self.seen.records[next(going)]
        else:
            self.seen.records.move_to_end(key)
        return found

    def _is_stopped(self, record: _Record) -> bool:
        return bool(record.repeated_ns) or len(record.refused) >= self._limits.max_rejected

    def _forget_old_terms(self, record: _Record, now_ns: int) -> None:
        """Those that were sent longest ago stand first; beyond both windows they matter no more."""
        since_ns = now_ns - max(self._limits.window, self._limits.duplicate_window)
        while len(record.sent) > TERMS_KEPT or next(iter(record.sent.values())).times[-1] < since_ns:
            record.sent.popitem(last=False)
