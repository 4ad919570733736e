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
from itertools import count, takewhile

from bestex.background import HiddenOrder, LevelsSet
from bestex.clock import DAY, FOREVER_NS
from bestex.errors import Code
from bestex.instruments import Listing
from bestex.matching.book import Level, Order
from bestex.matching.fees import Tiers
from bestex.matching.ladder import Ladder
from bestex.matching.queues import QueueModel
from bestex.matching.refill import Refill
from bestex.matching.sweep import Match, Sweep, limit_of
from bestex.matching.terms import Refusal, bad_display, bad_terms
from bestex.messages import Tif
from bestex.sim_wire import State

MAX_OPEN_ORDERS = 100_000  # of one market: ten times what 10,000 working parents keep there

_NO_ASK = 1 << 128  # above every price
_FILLED_AFTER_REPLACE = "replaced by a quantity that had already filled"


class Market:
    """`next_trade_id` is shared by the markets of a venue, whose trade ids increase by time.

    Calls return the matches they caused; an order's own fields say what became of it. `touched` collects the
    orders that changed and `version` grows with every change of the book, both for whoever reports them.
    """

    def __init__(
        self,
        listing: Listing,
        next_trade_id: Callable[[], int] | None = None,
        queues: QueueModel | None = None,
        refill_ns: int = 0,
        tiers: Tiers | None = None,
    ) -> None:
        self.listing = listing
        self.tiers = tiers or Tiers()
        self.version = 0
        self.touched: dict[Order, None] = {}
        self.is_open = True  # a closed market shows no book
        self.open_count = 0
        self._bids, self._asks = Ladder(1, queues), Ladder(-1, queues)
        self._refill = Refill(refill_ns, (self._bids, self._asks)) if refill_ns else None
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
        if order.tif is Tif.FOK and self._opposite(order.side).within(limit_of(order)) < order.qty:
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
        if self._refill is not None and self._refill.advance(now_ns):
            self.version += 1
        while self._good_till and self._good_till[0][0] <= now_ns:
            at_ns, _, order = heapq.heappop(self._good_till)
            if order.state is State.OPEN:
                self._remove(order)
                self._end(order, State.EXPIRED, at_ns, Code.EXPIRED, "its time was over")
        return []

    @property
    def due_ns(self) -> int:
        """When time alone may change something next."""
        due_ns = self._good_till[0][0] if self._good_till else FOREVER_NS
        return due_ns if self._refill is None else min(due_ns, self._refill.due_ns)

    # -- background ------------------------------------------------------------------------------------------

    def set_background(self, side: int, price: int, qty: int, now_ns: int) -> list[Match]:
        """The feed now displays `qty` at `price` of `side` (+1 bid, -1 ask); 0 removes it."""
        ladder = self._bids if side > 0 else self._asks
        key = side * price
        before = ladder.shown(key)
        if not before and not qty:
            return []
        ladder.show(key, qty, now_ns)
        self.version += 1
        growth = qty - before
        if growth <= 0:
            return []
        other = self._asks if side > 0 else self._bids
        first = other.first()
        crosses = first is not None and first >= -key
        return self._collide(ladder, other, key, growth, now_ns) if crosses else []

    def changes(self, whole: LevelsSet) -> LevelsSet:
        """What a whole book changes of the one that is displayed now."""
        bids, asks = self._bids.changes(whole.bids), self._asks.changes(whole.asks)
        return LevelsSet(whole.at_ns, whole.venue, bids, asks)

    def set_levels(self, change: LevelsSet, now_ns: int) -> bool:
        """One update in bulk, where it cannot make the book cross, and so trade with our orders, and where time alone
        ends no order now. False where it might: then nothing has happened, and whoever calls lets the parts of it
        happen one by one."""
        if self.due_ns <= now_ns:
            return False
        if self._may_cross(change.bids, change.asks) and self._may_cross(
            {price: qty for price, qty in change.bids.items() if qty},
            {price: qty for price, qty in change.asks.items() if qty},
            change,
        ):
            return False
        if change.bids:
            self._bids.update(change.bids, now_ns)
        if change.asks:
            self._asks.update(change.asks, now_ns)
        self.version += 1
        return True

    def _may_cross(self, bids: dict[int, int], asks: dict[int, int], gone: LevelsSet | None = None) -> bool:
        """Whether the best of what stands or is new meets the other side. Of what stands, what is `gone` is passed
        over; without that the answer errs to the safe side."""
        bid = self._bids.first() if gone is None else self._bids.first_without(gone.bids)
        ask = self._asks.first() if gone is None else self._asks.first_without(gone.asks)
        best_bid = max(bids) if bids else 0
        if bid is not None and bid > best_bid:
            best_bid = bid
        best_ask = min(asks) if asks else _NO_ASK
        if ask is not None and -ask < best_ask:
            best_ask = -ask
        return best_bid >= best_ask

    def background_trade(self, price: int, qty: int, aggressor: int, now_ns: int) -> tuple[list[Match], int]:
        """Others traded. Gives our matches, and how much of `qty` did not go to our orders.

        An unknown `aggressor` (0) is the side that `price` would take from; inside the spread, nobody.
        """
        side = self.open_count and (aggressor or self._aggressor(price))
        if not side:
            return [], qty
        matches = self._meet(side, price, qty, now_ns)
        return matches, qty - sum(match.qty for match in matches)

    def _aggressor(self, price: int) -> int:
        bid, ask = self.best(1), self.best(-1)
        if bid is not None and price <= bid:
            return -1
        return 1 if ask is not None and price >= ask else 0

    def _collide(self, ladder: Ladder, other: Ladder, key: int, growth: int, now_ns: int) -> list[Match]:
        for crossed in list(takewhile(lambda k: k >= -key, other.walk())):
            other.show(crossed, 0, now_ns)
        matches = self._meet(ladder.side, ladder.side * key, growth, now_ns)
        if matches:
            ladder.level(key).consumed += sum(match.qty for match in matches)
        return matches

    def _meet(self, side: int, price: int, qty: int, now_ns: int) -> list[Match]:
        """The background takes up to `qty` from our orders that stand at `price` or better for it."""
        if not self.open_count:
            return []
        ladder = self._opposite(side)
        sweep = Sweep(side, -side * price, qty, None, now_ns)
        for key in ladder.walk():
            if not sweep.qty or key < sweep.limit:
                break
            level = ladder.marked.get(key)
            if level is None:
                continue
            passed = 0
            while sweep.qty and level.orders:
                front = min(level.orders[0].ahead, sweep.qty) if key == sweep.limit else 0
                if front:
                    level.pass_front(front)
                    sweep.qty -= front
                    passed += front
                else:
                    self._fill_first(sweep, level, -side * key, passed)
            ladder.settle(key)
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
        return (*self._bids.top(levels), *self._asks.top(levels))

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
            return bad_terms(self.listing, order.qty, price, touch is not None)
        return bad_terms(self.listing, order.qty, order.price)

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
        sweep = Sweep(order.side, limit_of(order), order.leaves, order, now_ns)
        self._take(sweep)
        if order.state is State.OPEN:
            if order.rests:
                self._rest(order, now_ns)
            else:
                self._end(order, State.EXPIRED, now_ns, Code.NO_LIQUIDITY, "nothing more within its limit")
        return sweep.matches

    def _rest(self, order: Order, now_ns: int) -> None:
        level = (self._bids if order.side > 0 else self._asks).level(order.key)
        order.ahead, order.passed, order.queued_ns = level.shown - level.consumed, 0, now_ns
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
        ladder.marked[order.key].orders.remove(order)
        ladder.settle(order.key)
        self.open_count -= 1
        self.version += 1

    def _take(self, sweep: Sweep) -> None:
        """Walk the other side from its best key down to the sweep's limit."""
        ladder = self._opposite(sweep.side)
        for key in ladder.walk():
            if not sweep.qty or key < sweep.limit:
                break
            self._take_level(sweep, ladder.level(key), -sweep.side * key)
            ladder.settle(key)
        self.version += bool(sweep.matches)
        if self._refill is not None and sweep.matches:
            self._refill.begin(sweep.now_ns)

    def _take_level(self, sweep: Sweep, level: Level, price: int) -> None:
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

    def _fill_first(self, sweep: Sweep, level: Level, price: int, passed: int = 0) -> None:
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
                # What has just traded still shows, and does not stand before it.
                maker.ahead, maker.passed = level.shown - level.consumed - passed, 0
                maker.queued_ns = sweep.now_ns
                level.orders.append(level.orders.pop(0))
        self.version += 1

    def _match(self, sweep: Sweep, price: int, qty: int, maker: Order | None) -> None:
        sweep.qty -= qty
        taker, at_ns = sweep.taker, sweep.now_ns
        sweep.matches.append(Match(self._next_trade_id(), at_ns, price, qty, sweep.side, taker, maker))
        for order in (taker, maker):
            if order is not None:
                self._filled(order, price, qty, at_ns, is_taker=order is taker)

    def _filled(self, order: Order, price: int, qty: int, at_ns: int, *, is_taker: bool) -> None:
        fee_e8 = self.tiers.fee_e8(self.listing, order.account, is_taker=is_taker)
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
