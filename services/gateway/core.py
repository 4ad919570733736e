"""The gateway's decisions: what is written down, what is sent, and what counts as evidence.

Two kinds of state. `Child` is durable: only `apply` changes it, and the venue's own stream rebuilds it. What is
merely heard (sessions, halts, how often a question was asked, absences so far) is volatile: losing it costs a
question asked again, never an order.

A child is sent by one effect of one fact: applying `submitting` returns the only `Submit` there is for it, and
recovery releases no effects. So a child is sent at most once, and one without a result is UNKNOWN.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.config import Config
from bestex.core import BusBack, BusLost, Call, Effect, Fact, Recovered, Wake, Wakeup
from bestex.errors import Code
from bestex.instruments import Instruments
from services.gateway import chase as chases
from services.gateway import facts, firm_up, modes
from services.gateway import port as p
from services.gateway.chase import ABSENCE_MARGIN_NS, OVERLAP_NS, Chase
from services.gateway.checks import Checks
from services.gateway.claims import order_of
from services.gateway.controls.wanted import Refusal
from services.gateway.evidence import weigh
from services.gateway.holdings import Holdings
from services.gateway.memory import Memory, from_bytes, to_bytes
from services.gateway.orders import Child, Status
from services.gateway.reconcile import Reconciler

EARLY_CANCELS = 1_000  # cancels that overtook their order in a redelivery
PULL_EVERY_NS = 5 * SECOND
DEAD_MAN_NS = 30 * SECOND  # several pulls long, so that one slow answer does not cancel everything
BUS_GRACE = "bus"  # the timer that ends the patience with a bus that is away
CHILD_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")


class GatewayCore:
    """One gateway for `venues` (their capabilities by name). See `bestex.core` for the contract."""

    def __init__(
        self, venues: Mapping[str, p.Capabilities], instruments: Instruments, config: Config, build: str
    ) -> None:
        self.venues = venues
        self.instruments = instruments
        self.timeout_ns = int(config.execution.timeout)
        self.bus_loss_grace_ns = int(config.execution.bus_loss_grace)
        self.modes = modes.Modes(venue for venue in venues if config.venues[venue].is_paper)
        self.holdings = Holdings(venues, instruments, config)
        self.checks = Checks(venues, instruments, config.limits, build, self.holdings)
        self.controls = self.checks.controls
        # Durable: a function of the journal, with what the controls rest on.
        self.memory = Memory.of(venues)
        # Volatile: heard.
        self.sessions: dict[str, p.Session] = dict.fromkeys(venues, p.Session.DOWN)
        self.chases: dict[str, Chase] = {}
        self.pulled_ns: dict[str, int] = {}
        self.reconciler = Reconciler(self)
        self.bus_lost = False
        self.anomalies: Counter[str] = Counter()
        self._early_cancels: dict[str, Code] = {}
        self._inputs: dict[type, Callable[[Any, Time], Sequence[Fact | Effect]]] = {
            m.ChildNew: self._new,
            m.ChildCancel: self._cancel,
            m.ChildReplace: self._replace,
            m.Halt: self._halt,
            m.ConsolidatedBook: self._book,
            Wakeup: self._wakeup,
            Recovered: self._recovered,
            BusLost: self._bus_lost,
            BusBack: self._bus_back,
            p.SessionState: self._session,
            p.KeysRefused: modes.refuse_keys,
            p.VenuePulled: self._pulled,
            p.VenueHoldings: self.reconciler.answered,
        }

    def decide(self, message: Any, now_ns: int) -> Sequence[Fact | Effect]:
        if isinstance(message, p.VenueSaid):
            return self._said(message, Time(now_ns))
        return self._inputs[type(message)](message, Time(now_ns))

    # -- commands ----------------------------------------------------------------------------------------------

    def _new(self, order: m.ChildNew, now: Time) -> list[Fact | Effect]:
        if order.venue not in self.venues or not CHILD_ID.fullmatch(order.child_id):
            self.anomalies["command that is not for this gateway"] += 1
            return []
        if order.child_id in self.memory.known or order.child_id in self.memory.children:
            self._compare(order)
            return []
        venue = order.venue
        refusal = self.checks.new(order, self.sessions[venue], len(self.memory.open[venue]), now)
        if (reason := self._early_cancels.pop(order.child_id, None)) is not None:
            refusal = Refusal(Code.CANCELED, f"canceled before it was sent: {reason}")
        if self.bus_lost:
            refusal = Refusal(Code.NOT_READY, "the bus is lost")
        if refusal is not None:
            refused = facts.about(m.ExecRejected, order, now, **refusal._asdict())
            return [
                refused,
                *self._make_way(order, refusal, now),
                *self.reconciler.refused(venue, refusal, now),
            ]
        return [facts.submitting(order, now, self.timeout_ns, paper=venue in self.modes.paper)]

    def _make_way(self, order: m.ChildNew, refusal: Refusal, now: Time) -> list[Fact | Effect]:
        """Cancel what the refused order would have traded with, where that is the policy."""
        if refusal.code is not Code.SELF_TRADE:
            return []
        resting = self.controls.to_cancel(self.checks.wanted(order))
        return [facts.about(m.ExecCanceling, child, now, reason=Code.SELF_TRADE) for child in resting]

    def _compare(self, order: m.ChildNew) -> None:
        """A command that comes again changes nothing; one that says something else is not ours to obey."""
        child = self.memory.children.get(order.child_id)
        if child is not None and not child.replaced_once:
            same = (order.side, order.tif, order.qty, order.price) == (
                child.side,
                child.tif,
                child.instrument.qty(child.qty),
                child.instrument.price(child.price),
            )
            self.anomalies["known child id with another order"] += not same

    def _cancel(self, order: m.ChildCancel, now: Time) -> list[Fact | Effect]:
        child = self.memory.children.get(order.child_id)
        if child is None:
            if order.child_id not in self.memory.known:
                self._early_cancels[order.child_id] = order.reason
                if len(self._early_cancels) > EARLY_CANCELS:
                    del self._early_cancels[next(iter(self._early_cancels))]
            return []
        if child.ended or child.cancel is not None:
            return []
        return [facts.about(m.ExecCanceling, child, now, reason=order.reason)]

    def _replace(self, order: m.ChildReplace, now: Time) -> list[Fact | Effect]:
        child = self.memory.children.get(order.child_id)
        if child is None or child.ended or child.replaced_once:
            return []
        refusal = self.checks.replace(order, child, now)
        if refusal is not None:
            return [facts.about(m.ExecReplaceRejected, child, now, **refusal._asdict())]
        terms = {"qty": order.qty, "price": order.price}
        deadline = Time(min(order.expires_at, now + self.timeout_ns))
        return [facts.about(m.ExecReplacing, child, now, **terms, deadline=deadline)]

    def _halt(self, halt: m.Halt, _now: Time) -> list[Fact | Effect]:
        self.checks.halts.hear(halt.scope, halt.at, halt.halted)
        return []

    def halted(self, child_id: str) -> str:
        """The scope that halts this child now; empty where none does."""
        child = self.memory.children.get(child_id)
        if child is None:
            return ""
        return self.checks.halts.covers(child.venue, child.account, child.algo, child.parent_id)

    def _book(self, book: m.ConsolidatedBook, _now: Time) -> list[Fact | Effect]:
        self.controls.collar.hear(book)
        return []

    # -- the venue ---------------------------------------------------------------------------------------------

    def _said(self, said: p.VenueSaid, now: Time) -> Sequence[Fact | Effect]:
        child = self.memory.children.get(said.child_id)
        if child is None:
            if said.child_id not in self.memory.known and isinstance(said, p.VenueFill | p.VenueAccepted):
                self.anomalies[f"{type(said).__name__} of an order not known here"] += 1
            return []
        child = self.memory.concerned(child, said)
        if child is None:
            self.anomalies["word that names no order"] += not order_of(said)
            return []
        if isinstance(said, p.VenueInvited):
            self._chase(child).invitation = said
            return self._answer_invitation(child, now)
        out = weigh(child, self._chase(child), said, now)
        return [*out, *self.reconciler.refused(child.venue, said, now)]

    def _answer_invitation(self, child: Child, now: Time) -> list[Fact]:
        ready = self.sessions[child.venue] is p.Session.RECONCILED and not self.bus_lost
        return firm_up.answer(child, self._chase(child), self.checks.halts, ready, self.timeout_ns, now)

    def _answer_invitations(self, venue: str, now: Time) -> list[Fact | Effect]:
        """Those that were heard when nothing could be sent."""
        children = self.memory.open[venue].values()
        return [fact for child in children for fact in self._answer_invitation(child, now)]

    def _session(self, said: p.SessionState, now: Time) -> list[Fact | Effect]:
        venue = said.venue
        self.sessions[venue] = said.state
        self.reconciler.session(said)
        if said.state is p.Session.UP:
            orders = tuple(
                chases.query(child, self._chase(child))
                for child in self.memory.open[venue].values()
                if child.status is not Status.SUBMITTING
            )
            since = self.since(venue, now)
            return [Call(p.MassStatus(venue=venue, since_ns=since, orders=orders), always=True)]
        if said.state is p.Session.RECONCILED:
            invited = self._answer_invitations(venue, now)
            return [*self._arm(venue), *invited, Wake(f"pull:{venue}", now + PULL_EVERY_NS)]
        return []

    def _pull(self, venue: str, now: Time) -> list[Fact | Effect]:
        """The timer of the venue: trades are pulled whatever the stream has told."""
        if self.sessions[venue] is not p.Session.RECONCILED:
            return []
        call = Call(p.PullFills(venue=venue, since_ns=self.since(venue, now)), always=True)
        return [call, *self._arm(venue), Wake(f"pull:{venue}", now + PULL_EVERY_NS)]

    def _arm(self, venue: str) -> list[Fact | Effect]:
        armed = self.venues[venue].dead_man and not self.bus_lost
        return [Call(p.Arm(venue=venue, timeout_ns=DEAD_MAN_NS))] if armed else []

    def since(self, venue: str, now: Time) -> int:
        """Where the next pull begins: with an overlap before all that a finished one or the journal covers."""
        if venue in self.pulled_ns:
            return self.pulled_ns[venue] - OVERLAP_NS
        starts = [child.submitted_at for child in self.memory.open[venue].values()]
        if self.memory.last_fill_ns[venue]:
            starts.append(Time(self.memory.last_fill_ns[venue]))
        return min(starts, default=now) - OVERLAP_NS

    def _pulled(self, said: p.VenuePulled, now: Time) -> list[Fact | Effect]:
        self.pulled_ns[said.venue] = max(said.until_ns, self.pulled_ns.get(said.venue, 0))
        return self.reconciler.pulled(said.venue, now)

    # -- time --------------------------------------------------------------------------------------------------

    def _wakeup(self, wakeup: Wakeup, now: Time) -> list[Fact | Effect]:
        kind, _, name = wakeup.key.partition(":")
        if kind == "pull":
            return self._pull(name, now)
        if kind == "look":
            return self.reconciler.look(name, now)
        if wakeup.key == BUS_GRACE:
            return self._cancel_resting(now)
        child = self.memory.children.get(name)
        if child is None:
            return []
        session = self.sessions[child.venue]
        return chases.pursue(child, self._chase(child), self.venues[child.venue], session, now)

    # -- the bus -----------------------------------------------------------------------------------------------

    def _bus_lost(self, _lost: BusLost, now: Time) -> list[Fact | Effect]:
        """Cancels that are decided are sent, though it may not be stored yet that they were. The dead-man
        switches are set no more: where this process goes too, the venues cancel by themselves."""
        self.bus_lost = True
        wanted = [
            child for child in self.memory.all_open() if chases.may_cancel(child, self.venues[child.venue])
        ]
        return [*map(chases.cancel, wanted), Wake(BUS_GRACE, now + self.bus_loss_grace_ns)]

    def _cancel_resting(self, now: Time) -> list[Fact | Effect]:
        """Nobody can be told what becomes of an order, and nobody can call it back: it is not left to rest. The
        cancel goes now, and again by the child's timer; that it was wanted is stored when the bus is back."""
        out: list[Fact | Effect] = []
        for child in self.memory.all_open():
            if child.cancel is None:
                out.append(facts.about(m.ExecCanceling, child, now, reason=Code.BUS_LOST))
                if chases.can_cancel(child, self.venues[child.venue]):
                    out.append(chases.cancel(child))
        return out

    def _bus_back(self, _back: BusBack, now: Time) -> list[Fact | Effect]:
        self.bus_lost = False
        good = [venue for venue, state in self.sessions.items() if state is p.Session.RECONCILED]
        arms = [arm for venue in good for arm in self._arm(venue)]
        invited = [fact for venue in good for fact in self._answer_invitations(venue, now)]
        return [Wake(BUS_GRACE, 0), *arms, *invited]

    def _recovered(self, _recovered: Recovered, now: Time) -> list[Fact | Effect]:
        """What was being submitted when we died may be at the venue or not: nobody knows, so it is asked."""
        self.memory.check_orphans()
        self.modes.check()
        return [chases.after_restart(child, now) for child in self.memory.all_open()]

    def _chase(self, child: Child) -> Chase:
        if child.ended:
            return Chase()
        claims = self.memory.claims.get(child.venue)
        return self.chases.setdefault(child.child_id, Chase(claims=claims))

    # -- facts -------------------------------------------------------------------------------------------------

    def apply(self, event: Any) -> Sequence[Effect]:
        if isinstance(event, m.Fill):
            return self._apply_fill(event)
        if isinstance(event, m.HoldingsEvent):
            self.holdings.taken(event)
            return []
        child = self.memory.children.get(event.child_id)
        if isinstance(event, m.ExecSubmitting):
            return self._apply_submitting(event)
        if child is None:
            # Refused by our own checks, or of an instrument that the configuration has no more.
            self.memory.know(event.child_id)
            if isinstance(event, m.ExecRejected):
                self.controls.refused(event)
            if event.ends:
                self.memory.orphans.pop(event.child_id, None)
            return []
        child.advance(event)
        self.controls.advanced(child, event)
        if isinstance(event, m.ExecAccepted | m.ExecReplaced | m.ExecEnded):
            self.memory.claim(child, event.venue_order_id, event.at)
        if child.ended:
            return self._apply_end(child, event.at)
        if child.status is Status.SUBMITTING:
            return []  # its answer is on the way, and its timer already set
        chase = self._chase(child)
        chase.attempts = 0
        return [
            *self._asks(child, chase, event),
            chases.again(child, chase, self.venues[child.venue], event.at),
        ]

    def _apply_submitting(self, event: m.ExecSubmitting) -> list[Effect]:
        assert event.child_id not in self.memory.known, f"{event.child_id} is submitted twice"
        self.modes.see(event)
        self.memory.know(event.child_id)
        instrument = self.instruments.by_symbol.get(event.symbol)
        if instrument is None:
            self.memory.orphans[event.child_id] = event
            return []
        child = Child.submitting(event, instrument)
        self.memory.submit(child)
        self.controls.submitted(child)
        overdue = child.deadline + self.timeout_ns + ABSENCE_MARGIN_NS
        return [chases.submit(child, event, self.venues[child.venue]), Wake(chases.key(child), overdue)]

    def _asks(self, child: Child, chase: Chase, event: m.ExecEvent) -> list[Effect]:
        """What follows at once from an event that leaves the child open."""
        asks: list[Effect] = []
        news = isinstance(event, m.ExecAccepted | m.ExecUnknown | m.ExecCanceling)
        if news and chases.may_cancel(child, self.venues[child.venue]):
            asks.append(chases.cancel(child))
        if isinstance(event, m.ExecUnknown):
            asks.append(chases.look(child, chase))
        if isinstance(event, m.ExecInvited):
            asks += firm_up.request(child, event, self.venues[child.venue])
        if isinstance(event, m.ExecReplacing):
            asks.append(chases.replace(child, event, self.venues[child.venue]))
        return asks

    def _apply_fill(self, fill: m.Fill) -> list[Effect]:
        self.memory.last_fill_ns[fill.venue] = max(self.memory.last_fill_ns[fill.venue], fill.venue_at)
        if fill.flag:
            self.anomalies[f"{fill.flag} fill"] += 1
        child = self.memory.children.get(fill.child_id)
        instrument = self.instruments.by_symbol.get(fill.symbol)
        if instrument is not None and (child is None or child.count(fill)):
            self.controls.filled(fill, instrument, child)
        if child is not None:
            self.memory.claim(child, fill.venue_order_id, fill.at)
        return []

    def _apply_end(self, child: Child, at: Time) -> list[Effect]:
        self.memory.end(child, at)
        self.chases.pop(child.child_id, None)
        return [Wake(chases.key(child), 0)]

    # -- checkpoints -------------------------------------------------------------------------------------------

    def dump(self) -> bytes:
        return to_bytes((self.memory, self.controls.durable(), self.holdings.durable()))

    def load(self, data: bytes) -> None:
        self.memory, controls, holdings = from_bytes(data, self.instruments)
        self.controls.restore(controls)
        self.holdings.restore(holdings, self.memory.all_open())

    @property
    def reserved(self) -> int:
        """What may still fill, in units, over all open children."""
        return sum(child.reserved for child in self.memory.all_open())
