"""A venue that loses, doubles and reorders its words, and a gateway that is killed at any time."""

from __future__ import annotations

import copy
import random
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from bestex import messages as m
from bestex.clock import MS, SECOND, Time
from bestex.errors import Code
from bestex.human import Duration
from bestex.limits import CollarLimits, LimitsConfig, RepeatLimits
from bestex.messages import Tif
from services.gateway import port as p
from services.gateway.chase import ABSENCE_MARGIN_NS
from tests.unit.gateway.bench import CONFIG, SYMBOL, VENUE, Bench, child_cancel, child_new

QTY = 1_000
PRICE = 6_000_000
PARENTS = ("p0", "p1", "p2")
PARENT_QTY = 4 * QTY  # each parent has several times as many children as fit into it at once

# No aggregator speaks here, and everything is tried again and again.
CONTROLS = LimitsConfig(
    collar=CollarLimits(enabled=False),
    repeats=RepeatLimits(duplicate_window=Duration(0), max_same=1_000, max_rejected=1_000),
)


@dataclass
class Order:
    """What the venue truly has."""

    child_id: str
    qty: int
    price: int
    state: str = "open"
    trades: list[p.VenueFill] = field(default_factory=list)

    @property
    def cum(self) -> int:
        return sum(trade.qty for trade in self.trades)


class World:
    """The truth, and everything on its way to the gateway."""

    def __init__(self, seed: int, bench: Bench | None = None) -> None:
        self.random = random.Random(seed)
        self.bench = bench or Bench(msgspec.structs.replace(CONFIG, limits=CONTROLS)).ready()
        self.orders: dict[str, Order] = {}
        self.requests: list[Any] = []
        self.words: list[Any] = []
        self.travelling: list[p.Submit] = []  # sent, given up here, and not at the venue yet
        self.sends: Counter[str] = Counter()
        self.commands: dict[str, list[Any]] = {}
        self.count = 0

    # -- what may happen ---------------------------------------------------------------------------------------

    def new(self) -> None:
        child_id = f"c{len(self.commands)}"
        tif = self.random.choice([Tif.IOC, Tif.GTC])
        more: dict[str, Any] = {"tif": tif, "parent_id": self.random.choice(PARENTS)}
        more |= {"good_till": Time(self.bench.now + 40 * SECOND), "parent_qty": Decimal(PARENT_QTY) / 10**5}
        self.commands[child_id] = [child_new(child_id, self.bench.now, **more)]
        self.hear(self.commands[child_id][0])

    def again(self) -> None:
        if self.commands:
            self.hear(*self.random.choice(list(self.commands.values())))

    def cancel(self) -> None:
        if self.commands:
            child_id = self.random.choice(list(self.commands))
            self.commands[child_id].append(child_cancel(child_id))
            self.hear(self.commands[child_id][-1])

    def replace(self) -> None:
        if self.orders:
            child_id = self.random.choice(list(self.orders))
            order = m.ChildReplace(
                child_id=child_id,
                parent_id="p1",
                venue=VENUE,
                symbol=SYMBOL,
                qty=Decimal(self.random.choice(["0.005", "0.01", "0.02"])),
                price=Decimal(self.random.choice(["59000", "60000"])),
                expires_at=Time(self.bench.now + SECOND),
            )
            self.commands[child_id].append(order)
            self.hear(order)

    def trade(self, order: Order | None = None) -> None:
        working = [order for order in self.orders.values() if order.state == "open"]
        if working:
            order = order or self.random.choice(working)
            qty = self.random.randint(1, order.qty - order.cum)
            self.count += 1
            trade = p.VenueFill(
                child_id=order.child_id,
                trade_id=str(self.count),
                venue_order_id=f"v-{order.child_id}",
                price=order.price - self.random.randint(0, 9) * 10,
                qty=qty,
                **self.fee(qty * order.price),
                venue_ns=self.bench.now,
            )
            order.trades.append(trade)
            self.stream(trade)
            if order.cum == order.qty:
                order.state = "filled"
                self.stream(self.state(order))

    def fee(self, value: int) -> dict[str, Any]:  # noqa: ARG002 - here it is any
        return {"fee": Decimal(self.random.randint(-50, 50)) / 1000}

    def close(self) -> None:
        working = [order for order in self.orders.values() if order.state == "open"]
        if working:
            order = self.random.choice(working)
            order.state = self.random.choice(["canceled", "expired"])
            self.stream(self.state(order))

    def perform(self) -> None:
        """One request reaches the venue, and its answer sets out; either may be lost."""
        if self.requests:
            request = self.requests.pop(self.random.randrange(len(self.requests)))
            self.answer(request)

    def listen(self) -> None:
        if self.words:
            self.hear(self.words.pop(self.random.randrange(len(self.words))))

    def sleep(self) -> None:
        pause = self.random.choice([10 * MS, 10 * MS, 300 * MS, 3 * SECOND])
        self.arrive(self.bench.now + pause)
        self.bench.sleep(pause)
        self.collect()

    def arrive(self, by_ns: int | None = None) -> None:
        """What was sent reaches the venue, at the latest a little before absence counts."""
        for request in list(self.travelling):
            if by_ns is None or by_ns >= request.deadline_ns + ABSENCE_MARGIN_NS:
                self.travelling.remove(request)
                self.take(request)

    def crash(self) -> None:
        """What was asked and not yet sent is never sent; what was said and not heard is lost."""
        before = durable(self.bench)
        self.requests.clear()
        self.words.clear()
        self.bench.calls.clear()
        core = self.bench.core
        at = self.random.randint(0, len(self.bench.journal))
        for checkpoint_at in (0, at):
            self.bench.reread(checkpoint_at)
            assert durable(self.bench) == before, "the journal rebuilds the state exactly"
        self.bench.core = core
        self.bench.crash(at)
        self.bench.calls.clear()
        self.reconnect()

    def reconnect(self) -> None:
        self.hear(p.SessionState(VENUE, p.Session.DOWN), p.SessionState(VENUE, p.Session.UP))
        if self.random.random() < 0.7:
            ask = next(request for request in reversed(self.requests) if isinstance(request, p.MassStatus))
            self.requests.remove(ask)
            self.answer(ask)

    # -- the venue ---------------------------------------------------------------------------------------------

    def hear(self, *messages: Any) -> None:
        self.bench.hear(*messages)
        self.collect()

    def collect(self) -> None:
        """At most one send per child, ever."""
        for request in self.bench.calls:
            if isinstance(request, p.Submit):
                self.sends[request.child_id] += 1
                assert self.sends[request.child_id] == 1, f"{request.child_id} was sent twice"
            self.requests.append(request)
        self.bench.calls.clear()

    def stream(self, said: Any) -> None:
        """The user stream: sometimes late, sometimes twice, sometimes never."""
        self.words += [said] * self.random.choice([0, 1, 1, 2])

    def say(self, *said: Any) -> None:
        self.words += said

    def state(self, order: Order, asked_ns: int = 0) -> Any:
        if order.state == "open":
            return p.VenueAccepted(
                child_id=order.child_id,
                asked_ns=asked_ns,
                venue_order_id=f"v-{order.child_id}",
                cum_qty=order.cum,
                qty=order.qty,
                price=order.price,
            )
        return p.VenueClosed(child_id=order.child_id, how=order.state, cum_qty=order.cum)  # type: ignore[arg-type]

    def answer(self, request: Any) -> None:
        match request:
            case p.Submit():
                self.submit(request)
            case p.Cancel() | p.Replace() if self.random.random() < 0.2:
                pass  # lost on the way
            case p.Cancel():
                self.take_cancel(request)
            case p.Replace():
                self.take_replace(request)
            case p.QueryOrder():
                if self.random.random() < 0.9:
                    self.query(request)
            case p.PullFills():
                fills = [trade for order in self.orders.values() for trade in order.trades]
                self.say(*(trade for trade in fills if trade.venue_ns >= request.since_ns))
                self.say(p.VenuePulled(VENUE, self.bench.now))
            case p.MassStatus():
                self.mass_status(request)

    def submit(self, request: p.Submit) -> None:
        fate = self.random.choice(
            ["arrives", "arrives", "arrives", "answer lost", "lost", "refused", "not sent"]
        )
        child_id = request.child_id
        if self.bench.now >= request.deadline_ns or fate == "not sent":
            self.say(p.VenueNotSent(child_id=child_id, code=Code.EXPIRED, text="not sent"))
            return
        if fate == "refused":
            self.say(p.VenueRejected(child_id=child_id, code=Code.OFF_TICK, text="refused"))
            return
        if fate == "slow":
            self.travelling.append(request)
        elif fate != "lost":
            self.take(request)
        if fate == "arrives":
            order = self.orders[child_id]
            self.say(*order.trades, self.state(order))
        else:
            self.say(p.VenueUnknown(child_id=child_id, code=Code.TIMEOUT, text=fate))

    def take(self, request: p.Submit) -> None:
        order = self.orders[request.child_id] = Order(request.child_id, request.qty, request.price)
        if request.tif is Tif.IOC:
            if self.random.random() < 0.7:
                self.trade(order)
            if order.state == "open":
                order.state = "expired"

    def take_cancel(self, request: p.Cancel) -> None:
        order = self.orders.get(request.child_id)
        if order is None or order.state != "open":
            no = p.VenueCancelRejected(child_id=request.child_id, code=Code.UNKNOWN_ORDER, text="no")
            self.stream(no)
            return
        order.state = "canceled"
        self.stream(self.state(order))

    def take_replace(self, request: p.Replace) -> None:
        order = self.orders[request.child_id]
        if order.state != "open" or self.bench.now >= request.deadline_ns or request.qty <= order.cum:
            more: dict[str, Any] = {"asked_ns": self.random.choice([0, self.bench.now])}
            no = p.VenueReplaceRejected(child_id=request.child_id, code=Code.TOO_LATE, text="no", **more)
            self.stream(no)
            return
        order.qty, order.price = request.qty, request.price
        self.stream(
            p.VenueReplaced(
                child_id=request.child_id,
                asked_ns=self.random.choice([0, self.bench.now]),
                venue_order_id=f"v-{request.child_id}",
                qty=request.qty,
                price=request.price,
            )
        )

    def query(self, request: p.QueryOrder) -> None:
        order = self.orders.get(request.child_id)
        if order is None or (request.endpoint is p.Endpoint.LISTS and order.state != "open"):
            if order is not None:
                self.hear(*order.trades)
            absent = p.VenueAbsent(
                child_id=request.child_id, endpoint=request.endpoint, asked_ns=self.bench.now
            )
            self.say(absent)
            return
        self.say(self.state(order, self.bench.now))

    def mass_status(self, request: p.MassStatus) -> None:
        known = [trade for order in self.orders.values() for trade in order.trades]
        said = [trade for trade in known if trade.venue_ns >= request.since_ns]
        asked_ns = self.bench.now
        states = [self.state(order, asked_ns) for order in self.orders.values() if order.state == "open"]
        self.hear(*said, *states)
        for query in request.orders:
            self.query(query)
        self.look(request.since_ns)
        self.hear(p.SessionState(VENUE, p.Session.RECONCILED))

    def look(self, since_ns: int) -> None:
        """What else a session begins with."""

    def settle(self) -> None:
        """Let the world calm down: everything arrives in time, and resting orders are ended by their time."""
        self.arrive()
        self.reconnect()
        for _ in range(400):
            while self.requests or self.words:
                if self.words:
                    self.hear(self.words.pop(0))
                else:
                    self.answer(self.requests.pop(0))
            if not self.bench.core.memory.open[VENUE]:
                return
            self.bench.sleep(SECOND)
            self.collect()


def durable(bench: Bench) -> Any:
    core, memory = bench.core, bench.core.memory
    ledger, drained_ns, seen, resting = core.controls.durable()
    sums = ledger.parents, ledger.places, ledger._open
    at_work = {key: dict(children) for key, children in resting.items() if children}
    of_children = memory.children, memory.open[VENUE], memory.last_fill_ns, list(memory.known)
    accounts = {name: account.reserved for name, account in core.holdings.accounts.items()}
    holdings = core.holdings.durable(), accounts
    return copy.deepcopy((*of_children, core.reserved, *sums, drained_ns, seen, at_work, *holdings))
