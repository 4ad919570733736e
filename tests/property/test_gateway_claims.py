"""The simulated exchange with its client ids hidden: children of equal terms, lost answers, crashes.

Whose an order is cannot always be known there, but its quantity can: every order counts for one child, every trade
once, and what may still fill is reserved.
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from bestex import messages as m
from bestex import sim_wire as w
from bestex.clock import DAY, MS, SECOND, Time
from bestex.errors import Code
from bestex.human import Duration
from bestex.limits import CollarLimits, LimitsConfig, RepeatLimits
from bestex.matching import SimExchange
from bestex.messages import Side, Tif
from services.gateway import port as p
from services.gateway.chase import ABSENCE_MARGIN_NS
from services.gateway.venues import sim_inputs
from tests.unit.gateway.bench import CAPABILITIES, CONFIG, SYMBOL, VENUE, Bench, child_cancel, child_new

NAMELESS = msgspec.structs.replace(CAPABILITIES, client_id_length=0, native_replace=False)
LOOSE = LimitsConfig(
    collar=CollarLimits(enabled=False),
    repeats=RepeatLimits(duplicate_window=Duration(0), max_same=1_000, max_rejected=1_000),
)
QTY = 1_000
ACTS = [
    "new",
    "perform",
    "perform",
    "perform",
    "listen",
    "listen",
    "listen",
    "trade",
    "cancel",
    "sleep",
    "crash",
]
CLOCK_NS = SECOND  # the venue's lists tell times to the second
ARRIVES_NS = SECOND + ABSENCE_MARGIN_NS  # a child's time to be sent, and what it may be on its way
ROUNDS_MAX = 400


class Hidden:
    """The gateway on its bench, the exchange behind an adapter that is told no client ids, and what is on its way."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.bench = Bench(msgspec.structs.replace(CONFIG, limits=LOOSE), NAMELESS).ready()
        self.sim = SimExchange(CONFIG.make_instruments(), [VENUE])
        self.names: dict[str, str] = {}  # the adapter's: children by order, as far as it was told
        self.requests: list[Any] = []
        self.words: list[tuple[Any, ...]] = []
        self.slow: list[p.Submit] = []
        self.sent: list[str] = []

    # -- what may happen -----------------------------------------------------------------------------------------

    def new(self) -> None:
        child_id = f"c{len(self.sent)}"
        self.sent.append(child_id)
        price, tif = self.random.choice(["60000", "60000", "59999"]), self.random.choice([Tif.GTC, Tif.IOC])
        more = {"good_till": Time(self.bench.now + 30 * SECOND), "parent_id": f"p-{child_id}"}
        self.hear(child_new(child_id, self.bench.now, price=Decimal(price), tif=tif, **more))

    def cancel(self) -> None:
        if self.sent:
            self.hear(child_cancel(self.random.choice(self.sent)))

    def trade(self) -> None:
        """Somebody else sells into what rests."""
        qty = self.random.choice([QTY // 2, QTY, 3 * QTY])
        self.arrive_from(
            "other", f"o{self.bench.now}-{self.random.random()}", Side.SELL, qty, 5_999_900, Tif.IOC
        )

    def perform(self) -> None:
        if self.requests:
            self.answer(self.requests.pop(self.random.randrange(len(self.requests))))

    def listen(self) -> None:
        if self.words:
            self.hear(*self.words.pop(self.random.randrange(len(self.words))))

    def sleep(self) -> None:
        pause = self.random.choice([10 * MS, 300 * MS, 3 * SECOND])
        self.arrive_late(self.bench.now + pause)
        self.bench.sleep(pause)
        self.collect()

    def crash(self) -> None:
        """The adapter forgets what it was told; what was asked and not sent is never sent."""
        self.requests.clear()
        self.words.clear()
        self.names.clear()
        self.bench.crash(self.random.randint(0, len(self.bench.journal)))
        self.bench.calls.clear()
        self.hear(p.SessionState(VENUE, p.Session.DOWN), p.SessionState(VENUE, p.Session.UP))

    # -- the way there -------------------------------------------------------------------------------------------

    def hear(self, *messages: Any) -> None:
        self.bench.hear(*messages)
        self.collect()

    def collect(self) -> None:
        self.requests += self.bench.calls
        self.bench.calls.clear()

    def arrive_late(self, by_ns: int) -> None:
        for order in [one for one in self.slow if by_ns >= one.deadline_ns + ABSENCE_MARGIN_NS]:
            self.slow.remove(order)
            self.arrive(order)

    def arrive(self, order: p.Submit) -> w.Answer:
        return self.arrive_from(
            "default", f"x-{order.child_id}", order.side, order.qty, order.price, order.tif
        )

    def arrive_from(self, account: str, name: str, side: Side, qty: int, price: int, tif: Tif) -> w.Answer:
        self.sim.advance(self.bench.now)
        terms: dict[str, Any] = {"side": side, "qty": qty, "price": price, "tif": tif}
        request = w.Submit(venue=VENUE, account=account, symbol=SYMBOL, client_id=name, **terms)
        answer = self.sim.submit(request, self.bench.now)
        for state in self.sim.orders(VENUE):
            order = str(state.order_id)
            if (
                order in self.names and self.random.random() < 0.7
            ):  # the stream, as far as the adapter can tell
                self.words.append((*self.fills(order), self.standing(self.names[order], state)))
        return answer

    def answer(self, request: Any) -> None:
        match request:
            case p.Submit():
                self.submit(request)
            case p.Cancel():
                self.take_cancel(request)
            case p.QueryOrder() if self.random.random() < 0.9:
                self.words.append(self.found(request))
            case p.PullFills():
                self.words.append((*self.all_fills(), p.VenuePulled(VENUE, self.bench.now)))
            case p.MassStatus():
                found = [word for query in request.orders for word in self.found(query)]
                self.hear(*self.all_fills(), *found, p.SessionState(VENUE, p.Session.RECONCILED))

    def submit(self, order: p.Submit) -> None:
        fate = self.random.choice(
            ["arrives", "arrives", "held up", "answer lost", "answer lost", "lost", "slow"]
        )
        if self.bench.now >= order.deadline_ns:
            self.words.append((p.VenueNotSent(child_id=order.child_id, code=Code.EXPIRED, text="late"),))
            return
        if fate == "slow":
            self.slow.append(order)
        elif fate != "lost":
            answer = self.arrive(order)
            assert answer.order is not None
            if fate in ("arrives", "held up"):
                name = str(answer.order.order_id)
                self.names[name] = order.child_id
                said = (*self.fills(name), self.standing(order.child_id, answer.order))
                if fate == "held up":
                    self.words.append(said)
                else:
                    self.hear(*said)
                return
        self.words.append((p.VenueUnknown(child_id=order.child_id, code=Code.TIMEOUT, text=fate),))

    def take_cancel(self, request: p.Cancel) -> None:
        assert request.venue_order_id, "an order without a name cannot be canceled"
        state = self.sim.query_id(VENUE, int(request.venue_order_id))
        assert state is not None
        if state.state is w.State.OPEN:
            self.sim.cancel(
                w.Cancel(venue=VENUE, account="default", client_id=state.client_id), self.bench.now
            )
            state = self.sim.query_id(VENUE, int(request.venue_order_id))
            self.words.append((self.standing(request.child_id, state),))
        else:
            self.words.append(
                (p.VenueCancelRejected(child_id=request.child_id, code=Code.TOO_LATE, text=""),)
            )

    # -- what it says --------------------------------------------------------------------------------------------

    def standing(self, child_id: str, state: Any) -> Any:
        said = sim_inputs.order(msgspec.structs.replace(state, client_id=child_id))
        return msgspec.structs.replace(said, venue_order_id=str(state.order_id))

    def fills(self, venue_order_id: str) -> list[p.VenueFill]:
        owner = self.names.get(venue_order_id, "foreign")
        trades = [one for one in self.sim.trades_since(VENUE) if str(one.order_id) == venue_order_id]
        return [msgspec.structs.replace(sim_inputs.fill(one), child_id=owner) for one in trades]

    def all_fills(self) -> list[p.VenueFill]:
        return [fill for state in self.sim.orders(VENUE) for fill in self.fills(str(state.order_id))]

    def found(self, query: p.QueryOrder) -> tuple[Any, ...]:
        """By its id, or else by its terms: the oldest that is nobody's, as the port asks for."""
        self.sim.advance(self.bench.now)
        if query.venue_order_id:
            self.names[query.venue_order_id] = query.child_id
            state = self.sim.query_id(VENUE, int(query.venue_order_id))
        else:
            alike = [
                one
                for one in self.sim.orders(VENUE)
                if (one.side, one.qty, one.price, one.tif) == (query.side, query.qty, query.price, query.tif)
                and query.submitted_ns - CLOCK_NS <= one.created_ns <= query.submitted_ns + ARRIVES_NS
                and str(one.order_id) not in query.claimed
            ]
            state = min(alike, key=lambda one: (one.created_ns, one.order_id), default=None)
        if state is None:
            absent = {"child_id": query.child_id, "endpoint": query.endpoint, "asked_ns": self.bench.now}
            return (p.VenueAbsent(**absent),)  # type: ignore[arg-type]
        order = str(state.order_id)
        fills = [msgspec.structs.replace(fill, child_id=query.child_id) for fill in self.fills(order)]
        return (*fills, self.standing(query.child_id, state))

    def settle(self) -> None:
        self.arrive_late(self.bench.now + DAY)
        for _ in range(ROUNDS_MAX):
            while self.requests or self.words:
                if self.words:
                    self.hear(*self.words.pop(0))
                else:
                    self.answer(self.requests.pop(0))
            if not self.bench.core.memory.open[VENUE]:
                return
            self.arrive_late(self.bench.now + DAY)
            self.bench.sleep(SECOND)
            self.collect()

    # -- what must hold ------------------------------------------------------------------------------------------

    def check(self) -> None:
        children = list(self.bench.core.memory.children.values())
        named = [child.venue_order_id for child in children if child.venue_order_id]
        assert len(set(named)) == len(named), "two children have one order"
        counted = [trade for child in children for trade in child.trades]
        assert len(set(counted)) == len(counted), "a trade counts for two"
        for price in (6_000_000, 5_999_900):
            mine = [child for child in children if child.price == price]
            orders = [order for order in self.sim.orders(VENUE) if order.price == price]
            may_fill = sum(order.cum_qty + order.leaves_qty for order in orders)
            may_fill += sum(order.qty for order in self.slow if order.price == price)
            assert sum(child.cum_qty + child.reserved for child in mine) >= may_fill, (
                "risk that nobody counts"
            )


@given(st.integers(0, 2**32), st.lists(st.sampled_from(ACTS), min_size=40, max_size=120))
@settings(max_examples=200, deadline=None)
def test_children_of_equal_terms_never_have_one_order_between_them(seed: int, acts: list[str]) -> None:
    hidden = Hidden(seed)
    for act in acts:
        getattr(hidden, act)()
        hidden.check()
    hidden.settle()
    hidden.check()
    assert not hidden.bench.core.memory.open[VENUE], "every child ends"
    assert not hidden.bench.core.anomalies["overfill fill"]
    trades = {str(trade.trade_id): trade.qty for trade in hidden.sim.trades_since(VENUE)}
    fills = [event for event in hidden.bench.journal if isinstance(event, m.Fill)]
    assert {fill.trade_id: int(fill.qty * 10**5) for fill in fills} == trades
    assert len(fills) == len(trades)
    assert not any(fill.flag for fill in fills)
    ends = [event for event in hidden.bench.journal if getattr(event, "ends", False)]
    assert sorted(end.child_id for end in ends) == sorted(hidden.sent)
    assert sum(end.cum_qty for end in ends) == sum(fill.qty for fill in fills)
