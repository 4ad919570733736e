"""The scheduler: the life of every parent order. Algorithms say what is due; this says what may happen.

A parent's history is its state. Whatever happens to it is one event; after every event the parent is looked at
again (`working`), which yields at most one more. So the same few lines serve the first slice, the next one, a
pause, a cancel and a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from bestex import codec, subjects
from bestex import messages as m
from bestex.clock import MS
from bestex.config import Config
from bestex.contained import PluginFailed
from bestex.core import Alarm, Effect, Fact, RawOrder, Recovered, Wake, Wakeup
from bestex.errors import Code, ConfigError
from bestex.halts import Halts
from bestex.units import total
from services.scheduler import facts
from services.scheduler.algos.base import Params
from services.scheduler.facts import fact
from services.scheduler.intake import Intake, Refusal, Refused
from services.scheduler.market import Market
from services.scheduler.memory import Memory
from services.scheduler.parent import Parent, average
from services.scheduler.requests import Requests
from services.scheduler.working import Outputs, Working, missed

# How often at most a parent is looked at because its book has changed: no slice comes back faster.
REACTION_NS = 20 * MS


class SchedulerCore:
    """Decides for the parents of the algorithms `mine`; remembers the ids of all."""

    def __init__(
        self, intake: Intake, config: Config, mine: frozenset[str], answers_for_unknown: bool, build: str
    ) -> None:
        self._intake = intake
        self._mine = mine
        self._answers_for_unknown = answers_for_unknown
        self._halts = Halts()
        self._parents: dict[str, Parent] = {}
        self._memory = Memory()
        self._orphans: dict[str, str] = {}
        self._markets = {
            one.symbol: Market(one, impact=config.impact.get(one.symbol)) for one in intake.instruments.all
        }
        self._requests = Requests(intake, config, self._memory)
        self._working = Working(intake, config, self._halts, build)
        # Parents with something due that waits for a book, by symbol.
        self._waiting: dict[str, dict[str, None]] = {}
        # Parents whose decisions depend on their market, by symbol, in the order in which they came.
        self._watching: dict[str, dict[str, None]] = {}

    # -- decide ----------------------------------------------------------------------------------------------

    def decide(self, message: Any, now_ns: int) -> Sequence[Fact | Effect]:
        match message:
            case m.ConsolidatedBook():
                return self._book(message, now_ns)
            case m.Stats():
                return self._stats(message, now_ns)
            case m.VolumeDay():
                if market := self._markets.get(message.symbol):
                    market.volumes.hear(message)
            case m.PoolFindings():
                self._memory.hear(message)
            case Wakeup():
                parent = self._parents.get(message.key)
                if parent is None:
                    return []
                parent.wake_ns = 0
                return self._look(message.key, parent, now_ns)
            case m.RouteDone():
                return self._settle(message, now_ns)
            case RawOrder():
                return self._order(message, now_ns)
            case m.ParentAccepted():
                self._memory.accept(message)
            case m.Halt():
                self._halts.hear(message.scope, message.at, message.halted)
                return [] if message.halted else [Wake(key, now_ns) for key in self._parents]
            case Recovered():
                self._working.recovered_ns = now_ns
                if self._orphans:
                    symbols = ", ".join(sorted(set(self._orphans.values())))
                    text = f"open orders in {symbols}, which the configuration does not have any more"
                    raise ConfigError(text)
        return []

    def _book(self, book: m.ConsolidatedBook, now_ns: int) -> Outputs:
        market = self._markets.get(book.symbol)
        if market is None:
            return []
        self._markets[book.symbol] = market.with_book(book)
        outputs: Outputs = []
        # Each parent once: a second look, before what the first one decided is applied, would decide it again.
        looked = set()
        for key in self._waiting.pop(book.symbol, ()):
            waiting = self._parents.get(key)
            if waiting is not None and waiting.wants_book:
                looked.add(key)
                waiting.looked_ns = now_ns
                outputs += self._look(key, waiting, now_ns)
        for key in self._watching.get(book.symbol, ()):
            parent = self._parents[key]
            if key in looked or not parent.watches_book:
                continue
            again_ns = parent.looked_ns + REACTION_NS
            if now_ns >= again_ns:
                parent.looked_ns = now_ns
                outputs += self._look(key, parent, now_ns)
            else:
                outputs += self._working.wake_by(key, parent, again_ns)
        return outputs

    def _stats(self, stats: m.Stats, now_ns: int) -> Outputs:
        market = self._markets.get(stats.symbol)
        if market is None:
            return []
        self._markets[stats.symbol] = market.with_stats(stats)
        outputs: Outputs = []
        for key in self._watching.get(stats.symbol, ()):
            outputs += self._look(key, self._parents[key], now_ns)
        return outputs

    def _look(self, key: str, parent: Parent, now_ns: int) -> Outputs:
        symbol = parent.order.symbol
        market = self._markets[symbol]
        try:
            outputs = self._working.look(key, parent, market, now_ns)
        except PluginFailed as failed:
            # Once for each time that its user lets it go on: a paused order's algorithm is not asked.
            code = Code.ALGO_FAILED
            held = facts.failed(parent, code, failed.text, market, now_ns)
            return [held, Alarm(code, held.subject, failed.error)]
        if parent.wants_book:
            self._waiting.setdefault(symbol, {})[key] = None
        return outputs

    def _order(self, raw: RawOrder, now_ns: int) -> Outputs:
        request = self._intake.parse(raw, now_ns)
        if request.algo not in self._mine and (
            not self._answers_for_unknown or request.algo in self._intake.algos
        ):
            return []
        if request.seq in self._memory.refused:
            return []  # redelivered: refused is refused, whatever would be said to it now
        if isinstance(request, Refusal):
            return self._refuse(request, now_ns)
        parent = self._parents.get(request.parent_id)
        try:
            if request.verb == "new":
                market = self._markets[request.symbol]
                event = self._requests.new(request, market, len(self._parents), now_ns)
            else:
                symbol = request.symbol if parent is None else parent.order.symbol
                market = self._markets.get(symbol) or next(iter(self._markets.values()))
                event = self._requests.change(request, parent, market, now_ns)
        except Refused as refused:
            return self._refuse(request.refused(refused), now_ns)
        except PluginFailed as failed:
            return self._refuse(request.refused(Refused.by(failed)), now_ns)
        return [] if event is None else [event]

    def _settle(self, done: m.RouteDone, now_ns: int) -> Outputs:
        parent = self._parents.get(done.parent_id)
        if parent is None or parent.order.symbol != done.symbol or done.slice_no not in parent.open:
            return []  # another scheduler's, or settled before
        instrument, slice_qty = parent.instrument, parent.open[done.slice_no].qty
        filled = instrument.qty_units(done.filled_qty)
        assert filled <= slice_qty, "a slice never fills more than it was"
        base = parent.standing(now_ns)
        cum = parent.cum + filled
        base["cum_qty"] = instrument.qty(cum)
        base["leaves_qty"] = instrument.qty(max(parent.wanted - cum, parent.open_qty - slice_qty))
        base["avg_px"] = average(total(parent.notional, done.notional), cum, instrument)
        gone = missed(parent, self._markets[done.symbol], slice_qty - filled)
        return [
            fact(
                m.ParentSettled(
                    **base,
                    slice_no=done.slice_no,
                    filled_qty=done.filled_qty,
                    notional=done.notional,
                    fees=done.fees,
                    reason=done.reason,
                    missed_qty=instrument.qty(gone),
                )
            )
        ]

    def _refuse(self, refusal: Refusal, now_ns: int) -> Outputs:
        parent = self._parents.get(refusal.parent_id)
        base = None
        if parent is not None and parent.order.symbol == refusal.symbol:
            base = parent.standing(now_ns)
        refused = fact(refusal.event(base, now_ns))
        alarm = [] if refusal.error is None else [Alarm(refusal.code, refused.subject, refusal.error)]
        return [refused, *alarm]

    # -- apply -----------------------------------------------------------------------------------------------

    def apply(self, event: Any) -> Sequence[Effect]:
        if isinstance(event, m.ParentRejected):
            self._memory.refuse(event.order_seq)
            return []
        key = event.parent_id
        if isinstance(event, m.ParentAccepted):
            return self._accept(key, event)
        parent = self._parents.get(key)
        if parent is None or parent.order.symbol != event.symbol:
            if event.ends:
                self._orphans.pop(key, None)
            return []
        match event:
            case m.ParentStarted():
                parent.began(event)
                self._watch(key, parent)
            case m.ParentTrailed():
                parent.trailed(event)
            case m.ParentSwitched():
                parent.switched(event, self._params(event))
                self._watch(key, parent)
            case m.ParentSliced():
                parent.sliced(event)
            case m.ParentSettled():
                if (trial := parent.settled(event)) is not None:
                    self._memory.learn(event.symbol, key, trial)
            case m.ParentRecalled():
                parent.recall(event)
            case m.ParentPaused() | m.ParentResumed():
                parent.pause(event)
            case m.ParentCanceling():
                parent.canceling = True
                parent.answered(event.order_seq)
            case m.ParentModified():
                parent.modified(event, self._params(event))
                self._watch(key, parent)
            case m.ParentReplanned():
                parent.replanned(event)
            case m.ParentDone():
                del self._parents[key]
                self._watching.get(event.symbol, {}).pop(key, None)
                self._memory.ended(key, parent.requests, event.symbol, int(event.at))
                return [Wake(key, 0)]
        parent.wake_ns = int(event.at)
        return [Wake(key, event.at)]

    def _accept(self, key: str, event: m.ParentAccepted) -> Sequence[Effect]:
        self._memory.accept(event)
        if event.order.algo not in self._mine:
            return []
        instrument = self._intake.instruments.by_symbol.get(event.symbol)
        if instrument is None:
            self._orphans[key] = event.symbol
            return []
        parent = self._parents[key] = Parent(event, instrument, self._params(event))
        self._watch(key, parent)
        parent.wake_ns = int(event.at)
        return [Wake(key, event.at)]

    def _watch(self, key: str, parent: Parent) -> None:
        """Note whether it is to be looked at when its market changes."""
        watching = self._watching.setdefault(parent.order.symbol, {})
        if parent.watches_book or parent.params.watches_volume:
            watching[key] = None
        else:
            watching.pop(key, None)

    # -- helpers ---------------------------------------------------------------------------------------------

    def missing(self) -> dict[str, list[str]]:
        """After recovery: the ends of open slices, which a process that had lost them may have acknowledged."""
        open_slices = [(one.order.symbol, key, no) for key, one in self._parents.items() for no in one.open]
        return {subjects.ROUTE: [subjects.route(*one, "done") for one in open_slices]}

    def _params(self, event: m.ParentAccepted | m.ParentModified | m.ParentSwitched) -> Params:
        """As they were taken: what the configuration says today is for new orders."""
        kind = self._intake.algos[event.works_as or event.order.algo]
        usual = _usual(kind)
        # What is as the code has it anyway is one object for all parents.
        own = {name: value for name, value in event.params.items() if usual.get(name, _OTHER) != value}
        params: Params = codec.convert(own, kind, strict=False)
        return params

    def past(self, subject: str) -> None:
        """An order ended long ago: the subject of its end. What it was is not known any more."""
        self._memory.past(subject.split(".")[4])


_OTHER = object()


@cache
def _usual(kind: type[Params]) -> Mapping[str, Any]:
    """The parameters that need not be said, as they are stored; none where some must be."""
    try:
        return kind().stored()
    except Exception:  # noqa: BLE001 - a user's own class may check in its own way what must be said
        return {}
