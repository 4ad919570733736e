"""A matching engine for one market: price-time priority among our orders and a displayed background.

It never reads a clock: every call is told the time. It holds integers only. The background (a market model or
a recording) is not matched against itself; it is what our orders meet. See `book` for how a level's queue
moves. Beyond that:

- A background trade fills our orders at better prices whole, as far as it goes: it could not have happened
  with them or anybody in front of them still there. At its own price it takes what stands in front of them
  first. Our orders fill at their own price.
- A background level that appears at or through our resting orders trades with them, at their price, as far as
  its new size goes. Where it crosses the background's own other side, the newer statement is right and the
  crossed levels are forgotten. So the book is never crossed or locked.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from bestex.background import HiddenOrder
from bestex.clock import DAY
from bestex.errors import Code
from bestex.instruments import Listing
from bestex.matching.book import Ladder, Level, Order
from bestex.matching.terms import Refusal, bad_display, bad_terms
from bestex.messages import Tif
from bestex.sim_wire import State

MAX_OPEN_ORDERS = 100_000  # of one market: ten times what 10,000 working parents keep there

_ANY_PRICE = -(1 << 128)  # below every key
_FILLED_AFTER_REPLACE = "replaced by a quantity that had already filled"


@dataclass(frozen=True, slots=True)
class Match:
    """One trade that at least one of our orders took part in; None stands for the background."""

    trade_id: int
    at_ns: int
    price: int
    qty: int
    aggressor: int
    taker: Order | None
    maker: Order | None


@dataclass(slots=True)
class _Sweep:
    """A taker on its way through the other side; `qty` is what it still wants."""

    side: int
    limit: int
    qty: int
    taker: Order | None
    now_ns: int
    matches: list[Match] = field(default_factory=list)


class Market:
    """`next_trade_id` is shared by the markets of a venue, whose trade ids increase by time.

    Calls return the matches they caused; an order's own fields say what became of it. `touched` collects the
    orders that changed and `version` grows with every change of the book, both for whoever reports them.
    """

    def __init__(self, listing: Listing, next_trade_id: Callable[[], int] | None = None) -> None:
        self.listing = listing
        self.version = 0
        self.touched: dict[Order, None] = {}
        self.is_open = True  # a closed market shows no book
        self.open_count = 0
        self._bids, self._asks = Ladder(1), Ladder(-1)
        self._next_trade_id = next_trade_id or count(1).__next__
        self._good_till: list[tuple[int, int, Order]] = []
        self._timers = count()

    # -- orders ----------------------------------------------------------------------------------------------

    def submit(self, order: Order, now_ns: int) -> list[Match]:
        """Take, rest, expire or reject the new `order`."""
        if order.tif is Tif.DAY:
            order.good_till_ns = now_ns - now_ns % DAY + DAY
        refusal = self._refusal(order, now_ns)
        if refusal:
            self.reject(order, now_ns, *refusal)
            return []
        if order.tif is Tif.FOK and self._opposite(order.side).within(_limit(order)) < order.qty:
            self._end(
                order, State.EXPIRED, now_ns, Code.FOK_UNFILLED, "not all of it could be filled at once"
            )
            return []
        return self._enter(order, now_ns)

    def reject(self, order: Order, now_ns: int, code: Code, text: str) -> None:
        """Refuse the new `order` for a reason that lies outside of the market."""
        self._end(order, State.REJECTED, now_ns, code, text)

    def reopen(self, order: Order, now_ns: int) -> list[Match]:
        """Put back an open order after a restart, at the end of the queue; it trades if it now can."""
        if order.good_till_ns and order.good_till_ns <= now_ns:
            self._end(order, State.EXPIRED, order.good_till_ns, Code.EXPIRED, "its time was over")
            return []
        return self._enter(order, now_ns)

    def cancel(self, order: Order, now_ns: int, code: Code = Code.CANCELED, text: str = "") -> None:
        """Take an open order out of the book."""
        self._remove(order)
        self._end(order, State.CANCELED, now_ns, code, text)

    def replace(self, order: Order, qty: int, price: int, now_ns: int) -> tuple[Refusal | None, list[Match]]:
        """Change an open order; `qty` is the new total. A refused one leaves it as it was.

        Less quantity at the same price keeps the place in the queue; everything else loses it.
        """
        if 0 < qty <= order.cum_qty:
            self.cancel(order, now_ns, Code.REPLACED, _FILLED_AFTER_REPLACE)
            return None, []
        refusal = bad_terms(self.listing, qty, price) or self._would_take(order, price)
        if refusal:
            return refusal, []
        order.updated_ns = now_ns
        self.touched[order] = None
        if price == order.price and qty <= order.qty:
            order.qty = qty
            order.tranche = min(order.tranche, order.leaves)  # the reserve goes first
            self.version += 1
            return None, []
        self._remove(order)
        order.qty, order.price = qty, price
        return None, self._enter(order, now_ns)

    def firm(self, order: Order, now_ns: int) -> tuple[Refusal | None, list[Match]]:  # noqa: ARG002
        """Bind a conditional order that has been invited."""
        return (Code.INVALID_STATE, "only a dark book has conditional orders"), []

    def hide(self, event: HiddenOrder, now_ns: int) -> list[Match]:
        """Somebody places an order that is not displayed."""
        raise TypeError(f"{self.listing.venue} is no dark venue, and takes no {event} at {now_ns}")

    def advance(self, now_ns: int) -> list[Match]:
        """Expire the orders whose time is over. No matches here: time alone moves no displayed book."""
        while self._good_till and self._good_till[0][0] <= now_ns:
            at_ns, _, order = heapq.heappop(self._good_till)
            if order.state is State.OPEN:
                self._remove(order)
                self._end(order, State.EXPIRED, at_ns, Code.EXPIRED, "its time was over")
        return []

    # -- background ------------------------------------------------------------------------------------------

    def set_background(self, side: int, price: int, qty: int, now_ns: int) -> list[Match]:
        """The feed now displays `qty` at `price` of `side` (+1 bid, -1 ask); 0 removes it."""
        ladder = self._bids if side > 0 else self._asks
        key = side * price
        level = ladder.levels.get(key)
        if level is None:
            if qty <= 0:
                return []
            level = ladder.level(key)
        growth = qty - level.shown
        level.show(qty)
        self.version += 1
        if growth <= 0:
            if not qty:
                ladder.discard_if_empty(key)
            return []
        other = self._asks if side > 0 else self._bids
        if other.keys and other.keys[-1] >= -key:
            return self._collide(other, level, side, key, growth, now_ns)
        return []

    def background_trade(self, price: int, qty: int, aggressor: int, now_ns: int) -> tuple[list[Match], int]:
        """Others traded. Gives our matches, and how much of `qty` did not go to our orders.

        An unknown `aggressor` (0) is the side that `price` would take from; inside the spread, nobody.
        """
        side = aggressor or self._aggressor(price)
        if not side:
            return [], qty
        matches = self._meet(side, price, qty, now_ns)
        return matches, qty - sum(match.qty for match in matches)

    def _aggressor(self, price: int) -> int:
        bid, ask = self.best(1), self.best(-1)
        if bid is not None and price <= bid:
            return -1
        return 1 if ask is not None and price >= ask else 0

    def _collide(
        self, other: Ladder, level: Level, side: int, key: int, growth: int, now_ns: int
    ) -> list[Match]:
        for crossed in [k for k in other.keys if k >= -key]:
            other.levels[crossed].show(0)
            other.discard_if_empty(crossed)
        matches = self._meet(side, side * key, growth, now_ns)
        level.consumed += sum(match.qty for match in matches)
        return matches

    def _meet(self, side: int, price: int, qty: int, now_ns: int) -> list[Match]:
        """The background takes up to `qty` from our orders that stand at `price` or better for it."""
        ladder = self._opposite(side)
        sweep = _Sweep(side, -side * price, qty, None, now_ns)
        for key in ladder.keys[::-1]:
            if not sweep.qty or key < sweep.limit:
                break
            level = ladder.levels[key]
            passed = 0
            while sweep.qty and level.orders:
                front = min(level.orders[0].ahead, sweep.qty) if key == sweep.limit else 0
                if front:
                    level.pass_front(front)
                    sweep.qty -= front
                    passed += front
                else:
                    self._fill_first(sweep, level, -side * key, passed)
            ladder.discard_if_empty(key)
        return sweep.matches

    # -- reading ---------------------------------------------------------------------------------------------

    def best(self, side: int) -> int | None:
        """The best price of `side` at which there is anything to take."""
        key = (self._bids if side > 0 else self._asks).best()
        return None if key is None else side * key

    def book(self, levels: int) -> tuple[list[int], list[int], list[int], list[int]]:
        """bid_px, bid_qty, ask_px, ask_qty of the best `levels`, our orders in, consumed size out."""
        if not self.is_open:
            return [], [], [], []
        bid_px, bid_qty = self._bids.top(levels)
        ask_px, ask_qty = self._asks.top(levels)
        return bid_px, bid_qty, ask_px, ask_qty

    # -- inside ----------------------------------------------------------------------------------------------

    def _opposite(self, side: int) -> Ladder:
        return self._asks if side > 0 else self._bids

    def _refusal(self, order: Order, now_ns: int) -> Refusal | None:
        if order.min_qty or order.conditional:
            return Code.INVALID_PARAMETER, "only a dark book knows a minimum and conditional orders"
        return self._bad_kind(order) or self._bad_time(order, now_ns) or self._would_take(order, order.price)

    def _bad_kind(self, order: Order) -> Refusal | None:
        if order.kind == "market":
            if order.price:
                return Code.INVALID_PRICE, "a market order has no price"
            if order.post_only:
                return Code.INVALID_PARAMETER, "a market order cannot be post-only"
            touch = self.best(-order.side)
            price = self.listing.price_up(1) if touch is None else touch
            terms = bad_terms(self.listing, order.qty, price, touch is not None)
        else:
            terms = bad_terms(self.listing, order.qty, order.price)
        return terms

    def _bad_time(self, order: Order, now_ns: int) -> Refusal | None:
        if order.post_only and not order.rests:
            return Code.INVALID_PARAMETER, "post-only needs a time in force that rests"
        if order.display and (bad := bad_display(self.listing, order)):
            return bad
        if order.tif is Tif.GTD and order.good_till_ns <= now_ns:
            return Code.EXPIRED, "good_till is missing or over"
        if self.open_count >= MAX_OPEN_ORDERS:
            return Code.LIMIT_EXCEEDED, f"more than {MAX_OPEN_ORDERS} open orders"
        return None

    def _would_take(self, order: Order, price: int) -> Refusal | None:
        best = self._opposite(order.side).best()
        if order.post_only and best is not None and best >= -order.side * price:
            return Code.POST_ONLY_WOULD_TAKE, "it would take at once"
        return None

    def _enter(self, order: Order, now_ns: int) -> list[Match]:
        sweep = _Sweep(order.side, _limit(order), order.leaves, order, now_ns)
        self._take(sweep)
        if order.state is State.OPEN:
            if order.rests:
                self._rest(order)
            else:
                self._end(order, State.EXPIRED, now_ns, Code.NO_LIQUIDITY, "nothing more within its limit")
        return sweep.matches

    def _rest(self, order: Order) -> None:
        level = (self._bids if order.side > 0 else self._asks).level(order.key)
        order.ahead = level.shown - level.consumed
        order.surface()
        level.orders.append(order)
        self.open_count += 1
        self.version += 1
        self._rests(order)

    def _rests(self, order: Order) -> None:
        self.touched[order] = None
        if order.good_till_ns and order.tif in (Tif.GTD, Tif.DAY):
            heapq.heappush(self._good_till, (order.good_till_ns, next(self._timers), order))

    def _remove(self, order: Order) -> None:
        ladder = self._bids if order.side > 0 else self._asks
        ladder.levels[order.key].orders.remove(order)
        ladder.discard_if_empty(order.key)
        self.open_count -= 1
        self.version += 1

    def _take(self, sweep: _Sweep) -> None:
        """Walk the other side from its best key down to the sweep's limit."""
        ladder = self._opposite(sweep.side)
        for key in ladder.keys[::-1]:
            if not sweep.qty or key < sweep.limit:
                break
            self._take_level(sweep, ladder.levels[key], -sweep.side * key)
            ladder.discard_if_empty(key)
        self.version += bool(sweep.matches)

    def _take_level(self, sweep: _Sweep, level: Level, price: int) -> None:
        while sweep.qty and level.orders:
            front = min(level.orders[0].ahead, sweep.qty)
            if front:
                level.take_front(front)
                self._match(sweep, price, front, None)
            else:
                self._fill_first(sweep, level, price)
        rest = min(level.shown - level.consumed, sweep.qty)
        if rest:
            level.take_front(rest)
            self._match(sweep, price, rest, None)

    def _fill_first(self, sweep: _Sweep, level: Level, price: int, passed: int = 0) -> None:
        """Fill what the first order displays. `passed`: how much of the background has traded in this sweep, which
        the level still shows and nobody stands behind any more."""
        maker = level.orders[0]
        qty = min(maker.displayed, sweep.qty)
        self._match(sweep, price, qty, maker)
        if maker.state is not State.OPEN:
            del level.orders[0]
            self.open_count -= 1
        elif maker.display:
            maker.tranche -= qty
            if not maker.tranche:
                maker.surface()
                maker.ahead = level.shown - level.consumed - passed
                level.orders.append(level.orders.pop(0))
        self.version += 1

    def _match(self, sweep: _Sweep, price: int, qty: int, maker: Order | None) -> None:
        sweep.qty -= qty
        taker, at_ns = sweep.taker, sweep.now_ns
        sweep.matches.append(Match(self._next_trade_id(), at_ns, price, qty, sweep.side, taker, maker))
        for order, fee_e8 in ((taker, self.listing.taker_fee_e8), (maker, self.listing.maker_fee_e8)):
            if order is not None:
                self._filled(order, price, qty, fee_e8, at_ns)

    def _filled(self, order: Order, price: int, qty: int, fee_e8: int, at_ns: int) -> None:
        order.cum_qty += qty
        order.notional += qty * price
        order.fees_e8 += qty * price * fee_e8
        order.updated_ns = at_ns
        self.touched[order] = None
        assert order.cum_qty <= order.qty, "an order never fills beyond its quantity"
        if order.cum_qty == order.qty:
            order.state = State.FILLED

    def _end(self, order: Order, state: State, now_ns: int, code: Code, text: str) -> None:
        order.state, order.code, order.text, order.updated_ns = state, code, text, now_ns
        self.touched[order] = None


def _limit(order: Order) -> int:
    """The worst key of the other side that `order` may take."""
    return _ANY_PRICE if order.kind == "market" else -order.side * order.price
