"""What is due for a parent: the one thing to do next, or when to look again.

After every event a parent is looked at again, which yields at most one more. So the same few lines serve the first
slice, the next one, a pause, a cancel and a restart.
"""

from __future__ import annotations

from bestex import codec
from bestex.clock import MS, SECOND, US
from bestex.config import Config
from bestex.contained import PluginFailed, asked
from bestex.core import Effect, Fact, Wake
from bestex.errors import Code
from bestex.halts import Halts
from bestex.messages import Tif, Trigger
from services.scheduler import facts
from services.scheduler.algos.base import Finish, Params, Recall, Replan, Slice, Task, Wait
from services.scheduler.bounds import bounded
from services.scheduler.conditions import STEP_NS, followed, reached, seen, told
from services.scheduler.intake import Intake, Refused
from services.scheduler.market import Market
from services.scheduler.parent import Parent
from services.scheduler.pricing import closer, collar

SLICES_MAX = 20_000  # of one parent; an algorithm that wants more is broken
# After a start, what was missed has not come yet: the first book, and what users asked meanwhile.
FIRST_BOOK_NS = 2 * SECOND
BOOK_RETRY_NS = 250 * MS  # how soon a slice that needs a mid price is tried again without one

Outputs = list[Fact | Effect]


class Working:
    """Looks at one parent at a time."""

    def __init__(self, intake: Intake, config: Config, halts: Halts, build: str) -> None:
        self._intake = intake
        self._config = config
        self._halts = halts
        self._build = build
        self.recovered_ns = 0

    def look(self, key: str, parent: Parent, market: Market, now_ns: int) -> Outputs:
        """The one thing to do next for this parent, or when to look again. Raises PluginFailed where its algorithm
        has failed: then nothing has changed."""
        parent.wants_book = False
        if parent.cum >= parent.wanted and not parent.open:
            return [facts.done(parent, Code.FILLED, "", now_ns)]
        if no := parent.to_recall():
            reason = Code.CANCELED if parent.canceling else Code.REPLACED
            return [facts.recalled(parent, no, reason, "", now_ns)]
        if parent.canceling:
            return self._end(parent, Code.CANCELED, "", now_ns)
        if parent.strategy_failed and not parent.paused:
            text = f"the routing strategy of slice {parent.strategy_failed} failed; its route says how"
            return [facts.failed(parent, Code.STRATEGY_FAILED, text, market, now_ns)]
        if parent.paused:
            if now_ns < parent.end_ns:
                return self._wake(key, parent, parent.end_ns)
            return self._end(parent, Code.EXPIRED, "its time ended while it was paused", now_ns)
        if now_ns < parent.start_ns:
            return self._wake(key, parent, parent.start_ns)
        if parent.trigger is not None and (
            found := self._condition(key, parent, parent.trigger, market, now_ns)
        ):
            return found
        if not parent.started:
            if parent.trigger is None:
                if parent.unvalued and (held := self._value(key, parent, market, now_ns)) is not None:
                    return held
                return [facts.started(parent, market, parent.end_ns, "", now_ns)]
            if now_ns < parent.end_ns:
                return self._wake(key, parent, parent.end_ns)
            return self._end(parent, Code.EXPIRED, "the price that it waited for did not come", now_ns)
        task = parent.task(market)
        if task.unsent <= 0 and not parent.watches_book:
            return []  # all of it is with the router: its result comes back as an input
        if parent.slices >= SLICES_MAX:
            return self._end(parent, Code.RETRIES_EXHAUSTED, "", now_ns)
        if scopes := self._halted(key, parent):
            # Nothing is sliced that would be refused. The word that ends the halt wakes it; its end does too.
            if now_ns < parent.end_ns:
                return self._wake(key, parent, parent.end_ns)
            return self._end(parent, Code.HALTED, f"its time ended while {scopes} was halted", now_ns)
        if parent.params.watches_volume and not parent.tally.counts and (mark := parent.tally.mark(market)):
            text = f"the market's volume is counted from {mark.total} on"
            return [facts.replanned(parent, parent.plan, text, market, now_ns)]
        return self._decide(key, parent, task, now_ns)

    def _condition(self, key: str, parent: Parent, trigger: Trigger, market: Market, now_ns: int) -> Outputs:
        """What the price that is waited for leads to: a beginning, a switch to the alternative, a stop that moves."""
        if parent.started and trigger.until is not None and now_ns >= trigger.until:
            return []
        side, stop, instrument = parent.order.side, parent.stop, parent.instrument
        twice = seen(trigger, market)
        if reached(trigger, side, stop, twice):
            assert stop is not None, "what is reached is a price"
            assert twice is not None, "and so is what reaches it"
            why = told(trigger, side, stop, twice, instrument)
            if parent.started:
                return [self._switch(parent, market, why, now_ns)]
            if parent.unvalued and (held := self._value(key, parent, market, now_ns)) is not None:
                return held
            end_ns = asked(parent.params, parent.params.end_ns, market, now_ns, gives=int)
            return [facts.started(parent, market, end_ns, why, now_ns)]
        new = followed(trigger, side, stop, twice, instrument)
        if new is None or now_ns < parent.trailed_ns + STEP_NS:
            return []
        return [facts.trailed(parent, new, now_ns)]

    def _value(self, key: str, parent: Parent, market: Market, now_ns: int) -> Outputs | None:
        """What becomes of an order that was taken before there was a price to reckon its value at: None where it may
        start, else its end, or its wait for a book."""
        if market.mid_half is None:
            return self._await_book(key, parent, now_ns)
        try:
            self._intake.check_value(parent.order, parent.instrument, market.mid_half)
        except Refused as refused:
            return self._end(parent, refused.code, refused.text, now_ns)
        return None

    def _await_book(self, key: str, parent: Parent, now_ns: int) -> Outputs:
        last_ns = max(parent.end_ns, self.recovered_ns + FIRST_BOOK_NS)
        if now_ns >= last_ns and not parent.open:
            return self._end(parent, Code.NO_BOOK, "there was no book to trade on", now_ns)
        parent.wants_book = True
        return self._wake(key, parent, now_ns + BOOK_RETRY_NS)

    def _switch(self, parent: Parent, market: Market, why: str, now_ns: int) -> Fact:
        other, algos = parent.order.otherwise, self._intake.algos
        assert other is not None, "only an alternative is waited for after the start"
        params: Params = codec.convert(parent.otherwise_params, algos[other.algo], strict=False)
        return facts.switched(parent, params, algos, market, why, now_ns)

    def _decide(self, key: str, parent: Parent, task: Task, now_ns: int) -> Outputs:
        match bounded(parent.params, task, parent.would_price, now_ns):
            case Wait(until_ns):
                return self._wake(key, parent, max(until_ns, now_ns + MS))
            case Recall(slice_no, why):
                return [facts.recalled(parent, slice_no, Code.REPLACED, why, now_ns)]
            case Replan(curve, why, counts_anew):
                return [facts.replanned(parent, curve, why, task.market, now_ns, counts_anew)]
            case Finish(reason, text):
                return self._end(parent, reason, text, now_ns)
            case Slice() as wanted:
                return self._slice(key, parent, wanted, task, now_ns)

    def _slice(self, key: str, parent: Parent, wanted: Slice, task: Task, now_ns: int) -> Outputs:
        order, execution, market = parent.order, self._config.execution, task.market
        assert 0 < wanted.qty <= task.unsent, "a slice is part of what is left"
        limit = closer(order.side, task.limit, wanted.limit)
        if wanted.collar:
            mid = market.mid_half
            if mid is None:
                return self._await_book(key, parent, now_ns)
            slippage = float(parent.params.max_slippage or execution.max_slippage)
            limit = collar(mid, slippage, order.side, limit)
        ttl = parent.params.slice_ttl or (execution.slice_ttl if wanted.tif is Tif.IOC else None)
        expires_ns = wanted.expires_ns if ttl is None else min(wanted.expires_ns, now_ns + ttl)
        default = execution.default_strategy
        name = wanted.strategy or order.strategy or default
        if (kind := self._intake.strategies.get(name)) is None:
            raise PluginFailed(parent.params, ValueError(f"there is no strategy {name}"))
        routing = facts.routing_of(order, wanted, parent.params, default, kind)
        return [facts.sliced(parent, wanted, limit, expires_ns, routing, market, self._build, now_ns)]

    def _halted(self, key: str, parent: Parent) -> str:
        """The scopes that keep the parent from every venue that it may use; empty where one is left."""
        if self._halts.none:
            return ""
        order = parent.order
        venues = order.venues or [listing.venue for listing in parent.instrument.listings]
        return self._halts.covers_all(venues, order.account, order.algo, key)

    def _end(self, parent: Parent, reason: Code, text: str, now_ns: int) -> Outputs:
        """Nothing more is sent; it is over when what is with the router has come back."""
        return [] if parent.open else [facts.done(parent, reason, text, now_ns)]

    def wake_by(self, key: str, parent: Parent, at_ns: int) -> Outputs:
        """Look again then, unless that is to happen sooner anyway."""
        return [] if 0 < parent.wake_ns <= at_ns else self._wake(key, parent, at_ns)

    def _wake(self, key: str, parent: Parent, at_ns: int) -> Outputs:
        """Nothing where it is to be woken then anyway. Clocks show whole microseconds: what is due within one is due
        at its end."""
        at_ns += -at_ns % US
        if parent.wake_ns == at_ns:
            return []
        parent.wake_ns = at_ns
        return [Wake(key, at_ns)]


def missed(parent: Parent, market: Market, unfilled: int) -> int:
    """How much of what a slice did not fill is not to be caught up."""
    limit, side = parent.limit, parent.order.side
    leaves_it = parent.params.out_of_limit == "pause" and limit is not None
    return unfilled if leaves_it and market.is_beyond(side, limit or 0) else 0
