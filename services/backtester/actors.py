"""The outside of collector and gateway on virtual time: both talk to one `VirtualExchange`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from bestex import sim_wire as w
from bestex.config import Config
from bestex.errors import Code
from bestex.replay import World
from services.backtester.exchange import VirtualExchange
from services.gateway import desk
from services.gateway import port as p
from services.gateway.venues import sim_inputs

Deliver = Callable[[Any], None]


class VirtualFeeds:
    """The collector's actor: every venue's books and trades, as the exchange publishes them."""

    def __init__(self, exchange: VirtualExchange) -> None:
        self._exchange = exchange

    def start(self, deliver: Deliver, world: World, ready: Callable[[], None]) -> None:  # noqa: ARG002
        self._exchange.listen(deliver)
        ready()

    def call(self, request: Any) -> None:
        raise AssertionError(f"a collector calls nobody, and so not with {type(request).__name__}")


class VirtualDesk:
    """The gateway's actor. One account per venue, sessions that never break, requests that all arrive.

    `halted` names the scope that halts a child now, as for the live desk."""

    def __init__(self, config: Config, exchange: VirtualExchange, halted: Callable[[str], str]) -> None:
        self._exchange = exchange
        self._halted = halted
        self._accounts = {
            name: str(config.venues[name].options.get("account", "default"))
            for name in config.enabled_venues()
        }
        self._symbols = {
            (listing.venue, instrument.symbol): listing.symbol
            for instrument in config.make_instruments().all
            for listing in instrument.listings
        }
        self._unreconciled = set(self._accounts)

    def start(self, deliver: Deliver, world: World, ready: Callable[[], None]) -> None:
        """Connects; ready when every session is good."""
        self._deliver, self._world, self._ready = deliver, world, ready
        self._exchange.attend(self._happened)
        for venue in self._accounts:
            deliver(p.SessionState(venue, p.Session.UP))

    def call(self, request: p.Request) -> None:
        venue, now_ns = request.venue, self._world.now_ns
        account = self._accounts[venue]
        match request:
            case p.Submit() if request.send_at_ns > now_ns:
                held = msgspec.structs.replace(request, send_at_ns=0)
                self._world.after(request.send_at_ns - now_ns, partial(self.call, held))
            case p.Submit() if why := self._too_late(request):
                late = p.VenueNotSent(child_id=request.child_id, code=why[0], text=why[1])
                self._world.after(0, partial(self._deliver, late))
            case p.Submit():
                order = sim_inputs.submit(request, account, self._symbols[venue, request.symbol])
                self._ask(order, partial(sim_inputs.submitted, request.child_id))
            case p.Cancel():
                self._ask(sim_inputs.cancel(request, account), partial(sim_inputs.canceled, request.child_id))
            case p.Replace() if why := self._too_late(request):
                refused = p.VenueReplaceRejected(child_id=request.child_id, code=why[0], text=why[1])
                self._world.after(0, partial(self._deliver, refused))
            case p.Replace():
                self._ask(
                    sim_inputs.replace(request, account), partial(sim_inputs.replaced, request.child_id)
                )
            case p.Firm() if why := self._too_late(request):
                not_sent = p.VenueFirmRejected(child_id=request.child_id, code=why[0], text=why[1])
                self._world.after(0, partial(self._deliver, not_sent))
            case p.Firm():
                self._ask(sim_inputs.firm(request, account), partial(sim_inputs.firmed, request.child_id))
            case p.Arm():
                arm = w.CancelAllAfter(venue=venue, account=account, timeout_ns=request.timeout_ns)
                self._ask(arm, lambda _: ())
            case p.QueryOrder():
                self._query(venue, partial(self._order, request, now_ns))
            case p.PullFills():
                self._query(
                    venue, lambda: [*self._fills(venue, request.since_ns), p.VenuePulled(venue, now_ns)]
                )
            case p.MassStatus():
                self._query(venue, partial(self._mass_status, request, now_ns))

    def _too_late(self, order: p.Submit | p.Replace | p.Firm) -> tuple[Code, str] | None:
        return desk.too_late(order, self._world.now_ns, self._halted)

    def _ask(self, request: w.AnyRequest, translate: Callable[[w.Answer], Sequence[Any]]) -> None:
        self._exchange.ask(request, lambda answer: self._say(translate(answer)))

    def _query(self, venue: str, look: Callable[[], Sequence[Any]]) -> None:
        """Look when the question arrives, and hear of it when the answer is back."""
        asked_ns = self._world.now_ns

        def looked() -> list[Any]:
            return [p.answered(said, asked_ns) for said in look()]

        self._exchange.there(venue, lambda: self._exchange.back(venue, partial(self._say, looked())))

    def _say(self, said: Sequence[Any]) -> None:
        for one in said:
            self._deliver(one)
            if isinstance(one, p.SessionState) and one.venue in self._unreconciled:
                self._unreconciled.remove(one.venue)
                if not self._unreconciled:
                    self._ready()

    def _happened(self, entry: w.JournalEntry) -> None:
        account = self._accounts[entry.venue]
        orders = [state for state in entry.orders if state.account == account]
        trades = [trade for trade in entry.trades if trade.account == account]
        self._say(sim_inputs.happened(orders, trades))

    # -- what the exchange has, looked at where it is ------------------------------------------------------------

    def _fills(self, venue: str, since_ns: int, child_id: str = "") -> list[p.VenueFill]:
        account, sim = self._accounts[venue], self._exchange.sim
        trades: list[w.Trade] = []
        since_ns = max(0, since_ns)
        while page := sim.trades_since(
            venue, account, after=trades[-1].trade_id if trades else 0, since_ns=since_ns, client_id=child_id
        ):
            trades += page
        return [sim_inputs.fill(trade) for trade in trades]

    def _order(self, query: p.QueryOrder, asked_ns: int) -> list[Any]:
        venue, account = query.venue, self._accounts[query.venue]
        absent = p.VenueAbsent(child_id=query.child_id, endpoint=query.endpoint, asked_ns=asked_ns)
        if query.endpoint is p.Endpoint.ORDER:
            state = self._exchange.sim.query(venue, query.child_id, account)
            return [absent] if state is None else [*sim_inputs.standing(state)]
        opened = self._exchange.sim.open_orders(venue, account)
        at_work = [
            said
            for state in opened
            if state.client_id == query.child_id
            for said in sim_inputs.standing(state)
        ]
        return [*self._fills(venue, query.since_ns, query.child_id), *(at_work or [absent])]

    def _mass_status(self, ask: p.MassStatus, asked_ns: int) -> list[Any]:
        venue = ask.venue
        opened = self._exchange.sim.open_orders(venue, self._accounts[venue])
        at_work = {state.client_id for state in opened}
        return [
            *self._fills(venue, ask.since_ns),
            *(said for state in opened for said in sim_inputs.standing(state)),
            *(
                said
                for query in ask.orders
                if query.child_id not in at_work
                for said in self._order(query, asked_ns)
            ),
            p.VenuePulled(venue, asked_ns),
            p.SessionState(venue, p.Session.RECONCILED),
        ]
