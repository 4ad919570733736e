"""The matching engine against a naive oracle, under random operations.

The oracle keeps each level's queue as a plain list, front first, of pieces of background and of orders, and finds
everything by looking at all of it. Of an order with a display quantity one piece stands there at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from bestex.errors import Code
from bestex.instruments import Listing
from bestex.matching import Market, Match, Order
from bestex.messages import Tif
from bestex.sim_wire import State

BOOK_DEPTH = 100
Row = tuple[int, int, int, int | None, int | None]  # price, qty, aggressor, taker's id, maker's id


@dataclass(eq=False)
class Piece:
    """A part of a queue: of one order, or of the background where `owner` is None."""

    qty: int
    owner: int | None = None


@dataclass(eq=False)
class Queue:
    side: int
    price: int
    shown: int = 0
    consumed: int = 0
    pieces: list[Piece] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(piece.qty for piece in self.pieces)


@dataclass
class Oracle:
    queues: list[Queue] = field(default_factory=list)
    filled: dict[int, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    display: dict[int, int] = field(default_factory=dict)
    reserve: dict[int, int] = field(default_factory=dict)

    def queue(self, side: int, price: int) -> Queue:
        for queue in self.queues:
            if (queue.side, queue.price) == (side, price):
                return queue
        queue = Queue(side, price)
        self.queues.append(queue)
        return queue

    def crossed_by(self, side: int, price: int) -> list[Queue]:
        """The other side's queues that a taker of `side` may take, best first."""
        takeable = [q for q in self.queues if q.side == -side and (price - q.price) * side >= 0]
        return sorted(takeable, key=lambda q: q.price * side)

    def rest(self, queue: Queue, number: int, left: int) -> None:
        """To the end of the queue goes what is displayed of it; the rest is in reserve."""
        shown = min(self.display[number] or left, left)
        self.reserve[number] = left - shown
        queue.pieces.append(Piece(shown, number))

    def in_turn(self, queue: Queue) -> Iterator[Piece]:
        """Every piece, front first; what comes out of a reserve meanwhile comes last."""
        i = 0
        while i < len(queue.pieces):
            piece = queue.pieces[i]
            had = piece.qty
            yield piece
            owner = piece.owner
            if owner is not None and had and not piece.qty and self.reserve[owner]:
                self.rest(queue, owner, self.reserve[owner])
            i += 1

    def take(self, side: int, price: int, qty: int, taker: int) -> int:
        for queue in self.crossed_by(side, price):
            for piece in self.in_turn(queue):
                part = min(qty, piece.qty)
                if not part:
                    continue
                qty -= part
                piece.qty -= part
                if piece.owner is None:
                    queue.consumed += part
                else:
                    self.filled[piece.owner] += part
                self.filled[taker] += part
                self.rows.append((queue.price, part, side, taker, piece.owner))
            queue.pieces = [piece for piece in queue.pieces if piece.qty]
        return qty

    def trade(self, side: int, price: int, qty: int) -> int:
        """The background trades; what it takes of itself stands at the back until the feed shows less."""
        before = qty
        filled = 0
        for queue in self.crossed_by(side, price):
            moved = 0
            for piece in self.in_turn(queue):
                part = min(qty, piece.qty)
                if piece.owner is not None and part:
                    self.filled[piece.owner] += part
                    self.rows.append((queue.price, part, side, None, piece.owner))
                    filled += part
                elif piece.owner is not None or queue.price != price:
                    continue
                else:
                    moved += part
                piece.qty -= part
                qty -= part
            queue.pieces = [piece for piece in [*queue.pieces, Piece(moved)] if piece.qty]
        assert filled <= before
        return filled

    def submit(self, number: int, side: int, price: int, qty: int, tif: Tif, display: int) -> None:
        self.filled[number] = self.reserve[number] = 0
        self.display[number] = display
        if tif is Tif.FOK and sum(map(self.whole, self.crossed_by(side, price))) < qty:
            return
        left = self.take(side, price, qty, number)
        if left and tif is Tif.GTC:
            self.rest(self.queue(side, price), number, left)

    def whole(self, queue: Queue) -> int:
        owners = {piece.owner for piece in queue.pieces if piece.owner is not None}
        return queue.size + sum(self.reserve[owner] for owner in owners)

    def cancel(self, number: int) -> None:
        for queue in self.queues:
            queue.pieces = [piece for piece in queue.pieces if piece.owner != number]

    def reduce(self, number: int, by: int) -> None:
        hidden = min(by, self.reserve[number])
        self.reserve[number] -= hidden
        for queue in self.queues:
            for piece in queue.pieces:
                if piece.owner == number:
                    piece.qty -= by - hidden

    def show(self, side: int, price: int, qty: int) -> None:
        queue = self.queue(side, price)
        change = qty - queue.shown
        queue.shown = qty
        if change > 0:
            for other in self.crossed_by(side, price):
                other.shown = other.consumed = 0
                other.pieces = [piece for piece in other.pieces if piece.owner is not None]
            filled = self.trade(side, price, change)
            queue.consumed += filled
            queue.pieces.append(Piece(change - filled))
        elif change < 0:
            cancelled = max(-change - queue.consumed, 0)
            queue.consumed = max(queue.consumed + change, 0)
            for piece in reversed(queue.pieces):
                if piece.owner is None:
                    part = min(piece.qty, cancelled)
                    piece.qty -= part
                    cancelled -= part
            assert not cancelled
        queue.pieces = [piece for piece in queue.pieces if piece.qty]

    def book(self) -> tuple[list[int], list[int], list[int], list[int]]:
        bids = sorted((q for q in self.queues if q.side > 0 and q.size), key=lambda q: -q.price)
        asks = sorted((q for q in self.queues if q.side < 0 and q.size), key=lambda q: q.price)
        return (
            [q.price for q in bids],
            [q.size for q in bids],
            [q.price for q in asks],
            [q.size for q in asks],
        )


sides = st.sampled_from([1, -1])
prices = st.integers(98, 102)  # few levels, so that queues get long
sizes = st.integers(1, 12)
operations = st.one_of(
    st.tuples(st.just("submit"), sides, prices, sizes, st.sampled_from([Tif.GTC, Tif.GTC, Tif.IOC, Tif.FOK])),
    st.tuples(st.just("iceberg"), sides, prices, st.integers(4, 20), st.integers(1, 4)),
    st.tuples(st.just("show"), sides, prices, st.integers(0, 12)),
    st.tuples(st.just("trade"), sides, prices, sizes),
    st.tuples(st.just("cancel"), st.integers(0, 12)),
    st.tuples(st.just("replace"), st.integers(0, 12), prices, sizes),
    st.tuples(st.just("reduce"), st.integers(0, 12), st.integers(1, 3)),
)
histories = st.lists(operations, min_size=20, max_size=40)


def _order(number: int, side: int, price: int, qty: int, tif: Tif, display: int) -> Order:
    return Order(
        account="default",
        client_id=str(number),
        order_id=number,
        side=side,
        qty=qty,
        price=price,
        kind="limit",
        tif=tif,
        post_only=False,
        good_till_ns=0,
        created_ns=0,
        updated_ns=0,
        display=display,
    )


class Both:
    """Engine and oracle, given the same operations."""

    def __init__(self) -> None:
        self.market = Market(Listing(venue="sim_a", symbol="X/Y"))
        self.oracle = Oracle()
        self.orders: list[Order] = []
        self.rows: list[Row] = []
        self.trade_ids: list[int] = []

    def do(self, operation: tuple[object, ...]) -> None:
        match operation:
            case ("submit", int(side), int(price), int(qty), Tif() as tif):
                self._submit(side, price, qty, tif, 0)
            case ("iceberg", int(side), int(price), int(qty), int(display)):
                self._submit(side, price, qty, Tif.GTC, display)
            case ("show", int(side), int(price), int(qty)):
                self._heard(self.market.set_background(side, price, qty, 0))
                self.oracle.show(side, price, qty)
            case ("trade", int(side), int(price), int(qty)):
                matches, rest = self.market.background_trade(price, qty, side, 0)
                assert rest + sum(match.qty for match in matches) == qty
                self._heard(matches)
                self.oracle.trade(side, price, qty)
            case ("cancel", int(number)):
                order = self._open(number)
                if order is not None:
                    self.market.cancel(order, 0)
                    self.oracle.cancel(order.order_id)
            case ("reduce", int(number), int(by)):
                order = self._open(number)
                if order is not None and order.leaves > by:
                    self._replace(order, order.price, order.qty - by)
            case ("replace", int(number), int(price), int(qty)):
                order = self._open(number)
                if order is not None:
                    self._replace(order, price, qty)

    def _submit(self, side: int, price: int, qty: int, tif: Tif, display: int) -> None:
        new = _order(len(self.orders), side, price, qty, tif, display)
        self.orders.append(new)
        self._heard(self.market.submit(new, 0))
        self.oracle.submit(new.order_id, side, price, qty, tif, display)

    def _replace(self, order: Order, price: int, qty: int) -> None:
        number, keeps = order.order_id, price == order.price and order.cum_qty < qty <= order.qty
        decrease = order.qty - qty
        refusal, matches = self.market.replace(order, qty, price, 0)
        assert refusal is None
        self._heard(matches)
        if keeps:
            self.oracle.reduce(number, decrease)
            return
        self.oracle.cancel(number)
        filled = self.oracle.filled[number]
        if qty > filled:
            self.oracle.submit(number, order.side, price, qty - filled, Tif.GTC, order.display)
            self.oracle.filled[number] += filled

    def _open(self, number: int) -> Order | None:
        if not self.orders:
            return None
        order = self.orders[number % len(self.orders)]
        return order if order.state is State.OPEN else None

    def _heard(self, matches: list[Match]) -> None:
        for match in matches:
            taker = None if match.taker is None else match.taker.order_id
            maker = None if match.maker is None else match.maker.order_id
            self.rows.append((match.price, match.qty, match.aggressor, taker, maker))
            self.trade_ids.append(match.trade_id)
            for order in (match.taker, match.maker):
                if order is not None:
                    assert (order.price - match.price) * order.side >= 0, "a fill is within the limit"

    def compare(self) -> None:
        assert _merged(self.rows) == _merged(self.oracle.rows)
        book = self.market.book(BOOK_DEPTH)
        assert book == self.oracle.book()
        bid_px, bid_qty, ask_px, ask_qty = book
        assert not (bid_px and ask_px and bid_px[0] >= ask_px[0]), "never crossed or locked"
        assert all(qty > 0 for qty in bid_qty + ask_qty)
        for order in self.orders:
            assert order.cum_qty == self.oracle.filled[order.order_id]
            if order.state is State.OPEN:
                assert 0 < order.displayed <= min(order.display or order.qty, order.leaves)
            assert order.cum_qty <= order.qty or order.code is Code.REPLACED
            assert (order.state is State.FILLED) == (
                order.cum_qty == order.qty
            ) or order.code is Code.REPLACED
        assert self.trade_ids == sorted(set(self.trade_ids))


def _merged(rows: list[Row]) -> list[Row]:
    """Neighbouring trades with the background at one price are one: how it is cut into pieces is nobody's."""
    merged: list[Row] = []
    for row in rows:
        last = merged[-1] if merged else None
        if last and row[4] is None and (row[0], *row[2:]) == (last[0], *last[2:]):
            merged.pop()
            row = (row[0], last[1] + row[1], *row[2:])
        merged.append(row)
    return merged


@settings(max_examples=400, deadline=None)
@given(histories)
def test_the_engine_does_what_the_naive_oracle_does(steps: list[tuple[object, ...]]) -> None:
    both = Both()
    for step in steps:
        both.do(step)
        both.compare()


@settings(max_examples=200, deadline=None)
@given(histories)
def test_what_buyers_bought_is_what_sellers_sold_and_the_background_gave(
    steps: list[tuple[object, ...]],
) -> None:
    both = Both()
    for step in steps:
        both.do(step)
    bought = sum(order.cum_qty for order in both.orders if order.side > 0)
    sold = sum(order.cum_qty for order in both.orders if order.side < 0)
    with_background = [row for row in both.rows if row[3] is None or row[4] is None]
    by_us = sum(qty * side for _, qty, side, taker, _ in with_background if taker is not None)
    by_others = sum(qty * side for _, qty, side, taker, _ in with_background if taker is None)
    assert bought - sold == by_us - by_others
