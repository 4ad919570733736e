"""The router: turns slices into children, and routes again what came back unfilled.

A slice's history holds its decisions; its children's ends are facts of the venues' histories, which it hears.
A decision is stored whole before any child of it goes out; the children follow from it (`apply`), so a restart
publishes exactly those that are missing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bestex import ids, subjects
from bestex import messages as m
from bestex.clock import MS, Time
from bestex.config import Config
from bestex.core import Effect, Fact, Publish, Recovered, Wake, Wakeup
from bestex.errors import Code, ConfigError
from bestex.halts import Halts
from bestex.instruments import Instruments
from services.router import facts
from services.router.asking import Strategies
from services.router.resting import rest_of
from services.router.routing import Ask
from services.router.shadows import Shadows
from services.router.state import SliceState, key_of
from services.router.strategies.base import Route, Strategy
from services.router.venues import Venues

DECISIONS_MAX = 100  # of one slice: each is a durable write, and a market that needs more is not worth it
PAUSE_MIN_NS = 10 * MS  # between two looks at a market that has nothing, whatever `retry_pause` says
ENDED_REMEMBERED_MAX = 100_000  # far more than can be redelivered; the journal refuses what is older

Outputs = list[Fact | Effect]


class RouterCore:
    def __init__(
        self, instruments: Instruments, config: Config, strategies: Mapping[str, type[Strategy]], build: str
    ) -> None:
        self._instruments = instruments
        self._config = config
        self._asking = Strategies(strategies, config)
        self._build = build
        self._halts = Halts()
        self.venues = Venues(config)
        self._shadows = Shadows(config, strategies)
        self._slices: dict[str, SliceState] = {}
        self._children: dict[str, str] = {}
        self._orphans: dict[str, str] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self.books: dict[str, m.ConsolidatedBook] = {}
        self.stats: dict[str, m.Stats] = {}

    # -- decide ----------------------------------------------------------------------------------------------

    def decide(self, message: Any, now_ns: int) -> Sequence[Fact | Effect]:
        outputs = self._take(message, now_ns)
        return [*outputs, *self._asking.taken()] if self._asking.alarms else outputs

    def _take(self, message: Any, now_ns: int) -> Sequence[Fact | Effect]:
        match message:
            case m.ConsolidatedBook():
                self.books[message.symbol] = message
                self._shadows.book(message)
            case m.Stats():
                self.stats[message.symbol] = message
            case m.VenueMetrics():
                self.venues.hear(message)
            case m.ExecEnded():
                return self._child_ended(message, now_ns)
            case m.ParentSliced():
                return self._new_slice(message, now_ns)
            case m.ParentRecalled():
                return self._recalled(message, now_ns)
            case m.Halt():
                self._halts.hear(message.scope, message.at, message.halted)
                return [] if message.halted else [Wake(key, now_ns) for key in self._slices]
            case Recovered() if self._orphans:
                symbols = ", ".join(sorted(set(self._orphans.values())))
                raise ConfigError(f"open slices in {symbols}, which the configuration does not have any more")
            case Wakeup():
                state = self._slices.get(message.key)
                return self._step(message.key, state, now_ns) if state else []
        return []

    def _new_slice(self, sliced: m.ParentSliced, now_ns: int) -> Outputs:
        key = key_of(sliced.symbol, sliced.parent_id, sliced.slice_no)
        if key in self._slices or key in self._ended:
            return []  # redelivered
        instrument = self._instruments.by_symbol[sliced.symbol]
        state = SliceState(sliced, instrument)
        event = self._decision(m.RouteDecided, state, 0, now_ns)
        if event.legs:
            for failed in self._shadows.begin(key, self._ask(state, state.qty, now_ns, 0), sliced.strategy):
                self._asking.failed(failed, sliced)
        return [self._fact(event)]

    def _recalled(self, event: m.ParentRecalled, now_ns: int) -> Outputs:
        key = key_of(event.symbol, event.parent_id, event.slice_no)
        state = self._slices.get(key)
        if state is None or state.recalled is not None:
            return []  # ended already, or asked before
        return [self._fact(self._recall(state, event.reason, now_ns))]

    def _child_ended(self, end: m.ExecEnded, now_ns: int) -> Outputs:
        self.venues.ended(end)
        key = self._children.get(end.child_id)
        state = self._slices.get(key) if key else None
        if key is None or state is None or not state.hear_end(end):
            return []
        return self._step(key, state, now_ns)

    def _step(self, key: str, state: SliceState, now_ns: int) -> Outputs:
        """The one thing to do next for this slice, or when to look again."""
        if state.open:
            return self._while_open(key, state, now_ns)
        if not state.left:
            return [self._done(state, Code.FILLED, now_ns)]
        ended = self._ended_by(state, now_ns)
        return (
            [self._done(state, *ended[:1], now_ns, *ended[1:])] if ended else self._again(key, state, now_ns)
        )

    def _while_open(self, key: str, state: SliceState, now_ns: int) -> Outputs:
        """Children are at work: what rests is looked at, and what came back beside it goes out again."""
        resting = state.resting
        over = now_ns >= state.expires_ns
        if state.recalled is not None or not resting:
            # IOC children end by themselves; unknown ones by evidence.
            return [] if over else [Wake(key, state.expires_ns)]
        if over:
            return [self._fact(self._recall(state, Code.EXPIRED, now_ns))]
        if 0 < state.review_ns <= now_ns and not state.withdrawn:
            ask = self._ask(state, state.qty, now_ns, 0)
            found = self._asking.review(state, ask, resting)
            if not isinstance(found, int):
                return [self._fact(found)]
            state.review_ns = found  # not stored: it is asked anew after a restart
        free = state.left and not state.display  # what is not shown yet waits
        came_back = len(resting) == len(state.open) and free and not state.withdrawn
        if came_back and self._ended_by(state, now_ns) is None:
            return self._again(key, state, now_ns)
        return [Wake(key, self._look_ns(state, state.expires_ns, now_ns))]

    def _ask(self, state: SliceState, qty: int, now_ns: int, seed: int) -> Ask:
        sliced = state.slice
        return Ask(
            instrument=state.instrument,
            config=self._config,
            book=self.books.get(sliced.symbol),
            side=sliced.side,
            qty=qty,
            limit=state.limit,
            now_ns=now_ns,
            venues=sliced.venues,
            avoid=self._avoid(state, now_ns),
            used=state.used,
            until_ns=state.expires_ns,
            stats=self.stats.get(sliced.symbol),
            handicaps_e8=self.venues.handicaps_e8,
            seed=seed,
        )

    def _look_ns(self, state: SliceState, at_ns: int, now_ns: int) -> int:
        """When to look next: then, or when what rests is to be reviewed."""
        return min(at_ns, state.review_ns) if state.open and state.review_ns > now_ns else at_ns

    def _ended_by(self, state: SliceState, now_ns: int) -> tuple[Code, str] | None:
        """Why the rest of the slice is not routed any more."""
        if state.recalled is not None:
            return state.recalled, ""
        if state.failed:
            return Code.STRATEGY_FAILED, state.failed
        if state.display and state.filled:
            return Code.DISPLAYED, ""  # when the next part is shown is not the router's to say
        if state.slice.build != self._build:
            text = f"sliced by build {state.slice.build or 'unknown'}, this router is {self._build}"
            return Code.MIXED_FLEET, text
        if state.instrument.is_dust(state.left, state.last_price, state.slice.venues):
            return Code.DUST, "no venue takes so little"
        if now_ns >= state.expires_ns:
            scopes = self._halted(state)
            return (Code.HALTED, f"halted: {scopes}") if scopes else (Code.EXPIRED, state.why)
        if state.misses > self._config.execution.retries or state.decisions >= DECISIONS_MAX:
            return None if self._halted(state) else (Code.RETRIES_EXHAUSTED, state.why)
        return None

    def _again(self, key: str, state: SliceState, now_ns: int) -> Outputs:
        """Route what is left, or wait for a better moment."""
        if self._halted(state):
            # The word that ends the halt wakes it too.
            return [Wake(key, self._look_ns(state, state.expires_ns, now_ns))]
        again_ns = state.ended_ns + self._config.execution.retry_pause
        if now_ns < again_ns:
            return [Wake(key, self._look_ns(state, min(again_ns, state.expires_ns), now_ns))]
        event = self._decision(m.RouteRerouted, state, state.decisions, now_ns)
        if event.legs or event.failed:
            return [self._fact(event)]
        pause_ns = max(self._config.execution.retry_pause, PAUSE_MIN_NS)
        return [Wake(key, self._look_ns(state, min(now_ns + pause_ns, state.expires_ns), now_ns))]

    def _halted(self, state: SliceState) -> str:
        """The scopes that keep the slice from every venue that it may use; empty where one is left."""
        sliced = state.slice
        venues = sliced.venues or [listing.venue for listing in state.instrument.listings]
        return self._halts.covers_all(venues, sliced.account, sliced.algo, sliced.parent_id)

    def _avoid(self, state: SliceState, now_ns: int) -> dict[str, str]:
        """Venues not to use now, each with the reason."""
        sliced, avoid = state.slice, state.avoided(now_ns)
        for listing in state.instrument.listings:
            if scope := self._halts.covers(listing.venue, sliced.account, sliced.algo, sliced.parent_id):
                avoid[listing.venue] = f"{Code.HALTED}: {scope} is halted"
            elif why := self.venues.avoid(listing.venue, now_ns):
                avoid.setdefault(listing.venue, why)
        return avoid

    def _decision(
        self, kind: type[m.RouteDecided], state: SliceState, number: int, now_ns: int
    ) -> m.RouteDecided:
        """Where the rest of the slice goes now. May have no legs: then the next look decides again."""
        sliced, instrument = state.slice, state.instrument
        book = self.books.get(sliced.symbol)
        route, avoid, failed = Route(), dict[str, str](), ""
        may_trade = now_ns < state.expires_ns and sliced.build == self._build
        if may_trade:
            seed = ids.digest("route", sliced.symbol, sliced.parent_id, sliced.slice_no, number)
            route, avoid, failed = self._asking.route(state, self._ask(state, state.left, now_ns, seed))
            if sliced.post_only:
                route = Route(left_out=route.left_out)  # nothing of it is taken
            elif state.display:
                route = route.taken()  # what rests of it is shown in parts
        holds = self.venues.holds_ns({a.venue for a in route.allocations if not a.rests})
        legs = [
            facts.leg(sliced, number, leg_no, allocation, instrument, now_ns, holds.get(allocation.venue, 0))
            for leg_no, allocation in enumerate(route.allocations)
        ]
        if sliced.tif is m.Tif.GTC and state.limit is not None and may_trade:
            self._add_rest(state, number, route, legs, avoid)
        sent = sum(instrument.qty_units(leg.qty) for leg in legs)
        assert sent <= state.left, "legs are parts of what is left"
        taken = [allocation for allocation in route.allocations if not allocation.rests]
        return kind(
            symbol=sliced.symbol,
            parent_id=sliced.parent_id,
            slice_no=sliced.slice_no,
            at=Time(now_ns),
            decision_no=number,
            side=sliced.side,
            qty=instrument.qty(state.left),
            strategy=sliced.strategy,
            legs=legs,
            left_out=[m.LeftOut(venue, reason) for venue, reason in route.left_out.items()],
            expires_at=Time(min(now_ns + self._config.execution.child_ttl, state.expires_ns)),
            good_till=Time(state.expires_ns),
            account=sliced.account,
            algo=sliced.algo,
            text=route.text if sent < state.left else "",
            expected_px=facts.average(instrument, sum(a.notional for a in taken), sum(a.qty for a in taken)),
            mid_px=facts.mid(instrument, book),
            book_at=None if book is None else Time(book.at_ns),
            slice=sliced if number == 0 else None,
            build=self._build,
            review_at=Time(min(route.review_ns, state.expires_ns)) if route.review_ns else None,
            why=route.why,
            gap_bps=route.gap_bps,
            failed=failed,
        )

    def _add_rest(
        self, state: SliceState, number: int, route: Route, legs: list[m.Leg], avoid: Mapping[str, str]
    ) -> None:
        """Post at the limit what does not cross, where the best venue that may be used takes it."""
        book = self.books.get(state.slice.symbol)
        rest = rest_of(state, self._config, book, route.qty, avoid)
        if rest is not None:
            legs.append(facts.leg(state.slice, number, len(legs), rest, state.instrument, 0, 0))
            route.left_out.pop(rest.venue, None)

    def _recall(self, state: SliceState, reason: Code, now_ns: int) -> m.RouteRecalled:
        return m.RouteRecalled(**state.base(now_ns), reason=reason, children=sorted(state.open))

    def _done(self, state: SliceState, reason: Code, now_ns: int, text: str = "") -> Fact:
        assert state.filled <= state.qty, "a slice never fills more than it was"
        done = m.RouteDone(
            **state.base(now_ns),
            qty=state.slice.qty,
            filled_qty=state.instrument.qty(state.filled),
            notional=state.notional,
            fees=state.fees,
            reason=reason,
            text=text,
            children=len(state.children),
        )
        shadows = self._shadows.end(done, self.books.get(state.slice.symbol))
        return self._fact(msgspec.structs.replace(done, shadows=shadows))

    def _fact(self, event: m.RouteEvent) -> Fact:
        subject = subjects.route(event.symbol, event.parent_id, event.slice_no, subjects.event_name(event))
        return Fact(subject, event, lane=key_of(event.symbol, event.parent_id, event.slice_no))

    # -- apply -----------------------------------------------------------------------------------------------

    def apply(self, event: Any) -> Sequence[Effect]:
        if isinstance(event, m.ChildNew | m.ChildCancel | m.ChildReplace):
            return []  # commands follow from decisions; they say nothing new
        key = key_of(event.symbol, event.parent_id, event.slice_no)
        if isinstance(event, m.RouteDecided):
            return self._apply_decision(key, event)
        state = self._slices.get(key)
        if state is None:
            if event.ends:
                self._orphans.pop(key, None)
                self._remember_end(key)
            return []  # recovery leaves out what ended, and a beginning may be older than the stream keeps
        match event:
            case m.RouteRecalled():
                state.recalled = event.reason
                return [*self._cancels(state, event.children, event.reason), Wake(key, event.at)]
            case m.RouteRepriced():
                state.repriced(event)
                return [
                    *(facts.replace(state, one, event) for one in event.children),
                    Wake(key, event.review_at),
                ]
            case m.RouteWithdrawn():
                state.withdrawn, state.failed = True, event.failed
                return [*self._cancels(state, event.children, Code.REROUTED), Wake(key, state.expires_ns)]
            case m.RouteDone():
                del self._slices[key]
                for child_id in state.children:
                    del self._children[child_id]
                self._remember_end(key)
                return [Wake(key, 0)]
        return []

    def past(self, subject: str) -> None:
        """A slice ended long ago: the subject of its end."""
        _, _, _, token, parent_id, slice_no, _ = subject.split(".")
        instrument = self._instruments.get(token)
        if instrument is not None:
            self._remember_end(key_of(instrument.symbol, parent_id, int(slice_no)))

    def _remember_end(self, key: str) -> None:
        self._ended[key] = None
        if len(self._ended) > ENDED_REMEMBERED_MAX:
            self._ended.popitem(last=False)

    def _apply_decision(self, key: str, event: m.RouteDecided) -> Sequence[Effect]:
        instrument = self._instruments.by_symbol.get(event.symbol)
        if instrument is None:
            self._orphans[key] = event.symbol
            return []
        if event.slice is not None:
            self._slices[key] = SliceState(event.slice, instrument)
        if key not in self._slices:
            return []  # its beginning is older than the stream keeps
        state = self._slices[key]
        state.decided(event)
        for leg in event.legs:
            self._children[leg.child_id] = key
            self.venues.sent(leg.venue, event.at)
        children = [facts.child(state.slice, event, leg) for leg in event.legs]
        return [
            *(Publish(subjects.child(c.venue, c.symbol, c.child_id, "new"), c) for c in children),
            Wake(key, event.at),
        ]

    def _cancels(self, state: SliceState, children: Sequence[str], reason: Code) -> list[Publish]:
        """Once for each child: a second one would say the same for another reason."""
        called = [child_id for child_id in children if not state.children[child_id].canceled]
        for child_id in called:
            state.children[child_id].canceled = True
        return [facts.cancel(state, child_id, reason) for child_id in called]

    def missing(self) -> dict[str, list[str]]:
        """After recovery: the ends of the children of open slices, by the stream that holds them."""
        wanted: dict[str, list[str]] = {}
        for state in self._slices.values():
            for child_id, leg in state.children.items():
                wanted.setdefault(subjects.exec_stream(leg.venue), []).append(
                    subjects.execution(leg.venue, state.slice.symbol, child_id, "*")
                )
        return wanted
