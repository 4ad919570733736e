"""A dark book: nothing of it is displayed, and orders meet at the mid of the lit venues.

- **Price.** The mid of the best lit bid and ask. Where that lies between two units, the trade is at the unit that
  favours the order that was there first; both sides pay and get the same, so cash is conserved, and the price is
  within the lit spread. Without a lit bid or ask, or where they are crossed, nothing meets.
- **Who meets whom.** Time priority on both sides. An order takes part while the exact mid is within its limit.
- **Minimum execution quantity.** One meeting trades at least `min_qty` of each of the two orders; several small
  counterparties are never added up to one. A rest below the minimum stays, and then trades whole or not at all.
- **Conditional orders** bind nobody: where one would meet somebody, its owner is invited. If he firms it up in time
  it is an order like all others from then on, and trades with what is there then, perhaps nothing; if he does not,
  it is dropped. Nobody waits for him meanwhile.
- **Others' orders** (`hide`) come from a flow, are in no account and in no journal, and also meet each other; of
  that nothing is printed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from bestex.background import HiddenOrder, LevelsSet
from bestex.clock import SECOND
from bestex.errors import Code
from bestex.instruments import Listing
from bestex.matching.book import Order
from bestex.matching.fees import Tiers
from bestex.matching.market import Market
from bestex.matching.sweep import Match
from bestex.matching.terms import Refusal
from bestex.messages import Tif
from bestex.sim_wire import State

FIRM_UP_NS = SECOND  # how long an invitation stands; venues give some hundred milliseconds to some seconds
MAX_HIDDEN_ORDERS = 10_000  # of others; far more than a flow keeps there

Reference = Callable[[], tuple[int, int] | None]  # the best lit bid and ask, in price units


@dataclass(frozen=True, slots=True)
class _Standing:
    """`number` grows with the time at which an order came."""

    number: int
    hidden: bool


class DarkMarket(Market):
    """A market as all others, for whoever submits, cancels, replaces and reads; its displayed book is empty."""

    def __init__(
        self,
        listing: Listing,
        reference: Reference,
        next_trade_id: Callable[[], int] | None = None,
        tiers: Tiers | None = None,
    ) -> None:
        super().__init__(listing, next_trade_id, tiers=tiers)
        self._reference = reference
        self._sides: dict[int, dict[Order, _Standing]] = {1: {}, -1: {}}
        self._came = 0
        self._others: list[tuple[int, int, Order]] = []
        self._invited: dict[Order, None] = {}
        self._looked: tuple[int, int] | None = (
            None  # the mid and the state of the book that were crossed last
        )

    # -- orders ----------------------------------------------------------------------------------------------

    def firm(self, order: Order, now_ns: int) -> tuple[Refusal | None, list[Match]]:
        if not order.invited_ns:
            return (Code.INVALID_STATE, "it was not invited to firm up"), []
        del self._invited[order]
        order.conditional, order.invited_ns, order.updated_ns = False, 0, now_ns
        self.touched[order] = None
        self._changed()
        return None, self._cross(now_ns)

    def replace(self, order: Order, qty: int, price: int, now_ns: int) -> tuple[Refusal | None, list[Match]]:
        refusal, matches = super().replace(order, qty, price, now_ns)
        self._changed()
        return refusal, matches + self._cross(now_ns)

    def hide(self, event: HiddenOrder, now_ns: int) -> list[Match]:
        order = Order(
            account="",
            client_id="",
            order_id=0,
            side=event.side,
            qty=event.qty,
            price=0,
            kind="market",
            tif=Tif.GTD,
            post_only=False,
            good_till_ns=event.good_till_ns,
            created_ns=now_ns,
            updated_ns=now_ns,
            min_qty=event.min_qty,
        )
        if len(self._others) >= MAX_HIDDEN_ORDERS:
            return []
        self._stand(order, hidden=True)
        heapq.heappush(self._others, (event.good_till_ns, self._came, order))
        return self._cross(now_ns)

    def set_levels(self, change: LevelsSet, now_ns: int) -> bool:
        """Between any two of them orders may meet."""
        del change, now_ns
        return False

    # -- time ------------------------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> list[Match]:
        """Expire orders and invitations, and let meet what a mid that has moved brings together."""
        super().advance(now_ns)
        while self._others and self._others[0][0] <= now_ns:
            _, _, order = heapq.heappop(self._others)
            if self._sides[order.side].pop(order, None) is not None:
                self._changed()
        for order in [one for one in self._invited if one.invited_ns + FIRM_UP_NS <= now_ns]:
            self._remove(order)
            text = "the invitation to firm up was not answered in time"
            self._end(order, State.EXPIRED, order.invited_ns + FIRM_UP_NS, Code.EXPIRED, text)
        return self._cross(now_ns)

    @property
    def due_ns(self) -> int:
        """At any time: the mid may move."""
        return 0

    # -- reading ---------------------------------------------------------------------------------------------

    def best(self, side: int) -> int | None:
        """Nothing is displayed."""
        del side
        return None

    def book(self, levels: int) -> tuple[list[int], list[int], list[int], list[int]]:
        del levels
        return [], [], [], []

    # -- inside ----------------------------------------------------------------------------------------------

    def _refusal(self, order: Order, now_ns: int) -> Refusal | None:
        if order.tif is Tif.FOK:
            return Code.INVALID_PARAMETER, "no fill or kill here; ask for a minimum of the whole"
        if order.post_only:
            return Code.INVALID_PARAMETER, "nobody makes or takes here, so nothing is post-only"
        if order.min_qty > order.qty or order.min_qty % self.listing.lot:
            return Code.INVALID_QTY, "the minimum must be whole lots, and not more than the quantity"
        if order.conditional and not order.rests:
            return Code.INVALID_PARAMETER, "a conditional order must rest until it is invited"
        return self._bad_kind(order) or self._bad_time(order, now_ns)

    def _would_take(self, order: Order, price: int) -> Refusal | None:
        """For a replacement: at the mid nobody takes."""
        del order, price
        return None

    def _enter(self, order: Order, now_ns: int) -> list[Match]:
        self._stand(order, hidden=False)
        if order.invited_ns:
            self._invited[order] = None
        self.open_count += 1
        self._rests(order)
        matches = self._cross(now_ns)
        if order.state is State.OPEN and not order.rests:
            self._remove(order)
            self._end(order, State.EXPIRED, now_ns, Code.NO_LIQUIDITY, "nobody to meet within its terms")
        return matches

    def _stand(self, order: Order, *, hidden: bool) -> None:
        self._came += 1
        self._sides[order.side][order] = _Standing(self._came, hidden)
        self._changed()

    def _remove(self, order: Order) -> None:
        del self._sides[order.side][order]
        self._invited.pop(order, None)
        self.open_count -= 1
        self._changed()

    def _changed(self) -> None:
        """The next look may find more than the last one did. What is displayed stays the same: nothing."""
        self._looked = None

    def _cross(self, now_ns: int) -> list[Match]:
        """Let all meet that may, in order of time."""
        buys, sells = self._sides[1], self._sides[-1]
        quote = self._reference() if buys and sells else None
        if quote is None or quote[0] > quote[1] or quote == self._looked:
            return []
        doubled, matches = sum(quote), list[Match]()
        within = {
            side: [order for order in orders if _within(order, doubled)]
            for side, orders in self._sides.items()
        }
        traded = True
        while traded:  # a rest has a smaller minimum than the whole, so it may meet who was passed over
            traded = False
            for buy in within[1]:
                for sell in within[-1]:
                    qty = min(buy.leaves, sell.leaves)
                    if not qty or qty < max(_least(buy), _least(sell)) or self._invite(buy, sell, now_ns):
                        continue
                    traded = True
                    matches += self._trade(buy, sell, qty, doubled, now_ns)
        self._looked = quote
        return matches

    def _invite(self, buy: Order, sell: Order, now_ns: int) -> bool:
        """Whether one of the two does not bind its owner yet; he is asked."""
        undecided = [order for order in (buy, sell) if order.conditional]
        for order in undecided:
            if not order.invited_ns:
                order.invited_ns = order.updated_ns = now_ns
                self._invited[order] = self.touched[order] = None
        return bool(undecided)

    def _trade(self, buy: Order, sell: Order, qty: int, doubled: int, now_ns: int) -> list[Match]:
        standing = {order: self._sides[order.side][order] for order in (buy, sell)}
        first, second = sorted(standing, key=lambda order: standing[order].number)
        # Down to the unit where the buyer was first, up where the seller was.
        price = doubled // 2 if first is buy else -(-doubled // 2)
        ours = {order: not standing[order].hidden for order in standing}
        for order in (second, first):
            if ours[order]:
                self._filled(order, price, qty, now_ns, is_taker=order is second)
            else:
                order.cum_qty += qty
            if not order.leaves:
                del self._sides[order.side][order]
                self.open_count -= ours[order]
        if not any(ours.values()):
            return []
        taker, maker = (order if ours[order] else None for order in (second, first))
        return [Match(self._next_trade_id(), now_ns, price, qty, 0, taker, maker)]


def _within(order: Order, doubled: int) -> bool:
    """Whether the mid, given twice, is within the order's limit."""
    return order.kind == "market" or (2 * order.price - doubled) * order.side >= 0


def _least(order: Order) -> int:
    """The least that may be traded of it at once: its minimum, or all that is left of it."""
    return min(order.min_qty, order.leaves)
