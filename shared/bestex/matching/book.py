"""A price level of a matching engine's book: a background queue and our orders in it.

A level's background size is known in total only. Four numbers describe it:

    shown      what the feed displays
    consumed   how much of `shown` our orders have taken
    available  shown - consumed: what can still be taken; never negative
    ahead      per order of ours: how much of `available` stands before it in the queue

How they move:
- We take n from the front: `consumed` rises by n and every `ahead` falls by n. What was taken does not come back
  until the feed shows more.
- The background trades n: it came from the front, so every `ahead` falls by n. What is shown is the feed's to
  say: at once, later, or not at all, if new size has replaced it.
- The feed shows more than before: the growth is new size at the back of the queue; nobody's `ahead` changes.
- The feed shows less: the decrease is first what we had taken here (the feed's own takers took the same size),
  so `consumed` shrinks with it and `available` stays. What is left of the decrease comes from behind us first,
  being a cancellation or a trade that has moved us already: `ahead` falls only where that much is no longer
  available. With a model of queues (`bestex.matching.queues`) a part of the cancellations stood before us.
- The feed removes the level: `shown`, `consumed` and every `ahead` are 0.

An order with a display quantity (an iceberg) stands there with one tranche of it, and the book shows no more. When
the tranche has been taken the next one comes out of the reserve, and joins the end of the queue. Whoever takes a
level whole takes the reserves too, tranche by tranche, each behind what stood there when it came out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bestex.errors import Code
from bestex.matching.queues import QueueModel
from bestex.messages import Tif
from bestex.sim_wire import State


@dataclass(slots=True, eq=False)
class Order:
    """An order of an account. `side` is +1 buy, -1 sell; `notional` in price units x quantity units.

    `fees_e8` is in 1e-8 of a notional unit. `display`: the most that the book shows of it, 0 for all; `tranche`: what
    is left of that part while it rests. In a dark book nothing below `min_qty` is traded at once; a `conditional`
    order trades only when it has been firmed up, and was invited at `invited_ns`, 0 where it was not. It stands in
    its queue since `queued_ns`; `passed` is what has traded before it and still shows.
    """

    account: str
    client_id: str
    order_id: int
    side: int
    qty: int
    price: int
    kind: Literal["limit", "market"]
    tif: Tif
    post_only: bool
    good_till_ns: int
    created_ns: int
    updated_ns: int
    state: State = State.OPEN
    cum_qty: int = 0
    notional: int = 0
    fees_e8: int = 0
    code: Code | None = None
    text: str = ""
    ahead: int = 0
    passed: int = 0
    queued_ns: int = 0
    display: int = 0
    tranche: int = 0
    min_qty: int = 0
    conditional: bool = False
    invited_ns: int = 0

    @property
    def leaves(self) -> int:
        return self.qty - self.cum_qty

    @property
    def displayed(self) -> int:
        """What the book shows of it while it rests, and what can be taken before those behind it."""
        return self.tranche if self.display else self.qty - self.cum_qty

    def surface(self) -> None:
        """The next tranche comes out of the reserve."""
        self.tranche = min(self.display, self.leaves)

    @property
    def key(self) -> int:
        return self.side * self.price

    @property
    def rests(self) -> bool:
        return self.kind == "limit" and self.tif not in (Tif.IOC, Tif.FOK)


@dataclass(slots=True, eq=False)
class Level:
    shown: int = 0
    consumed: int = 0
    orders: list[Order] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Everything that is displayed here; above zero wherever there is anything to take."""
        size = self.shown - self.consumed
        for order in self.orders:
            size += order.displayed
        return size

    @property
    def whole(self) -> int:
        """Everything that a taker could get here, reserves included."""
        whole = self.shown - self.consumed
        for order in self.orders:
            whole += order.leaves
        return whole

    def take_front(self, qty: int) -> None:
        self.consumed += qty
        for order in self.orders:
            order.ahead -= qty

    def pass_front(self, qty: int) -> None:
        """The background traded with itself; the feed will show it later."""
        for order in self.orders:
            order.ahead -= qty
            order.passed += qty

    def show(self, qty: int, queues: QueueModel | None = None, now_ns: int = 0) -> None:
        """`queues` says who has canceled; None for those behind our orders."""
        decrease, before = self.shown - qty, self.shown - self.consumed
        self.shown = qty
        if decrease > 0:
            self.consumed = max(self.consumed - decrease, 0) if qty else 0
        available = qty - self.consumed
        for order in self.orders:
            canceled, order.passed = before - available - order.passed, 0
            if queues is not None and canceled > 0:
                order.ahead = queues.ahead(order.ahead, before, canceled, now_ns - order.queued_ns)
            if order.ahead > available:
                order.ahead = available
