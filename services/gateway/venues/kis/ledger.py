"""What this process knows of its orders at KIS, and what KIS's rows say of them. Pure.

KIS takes no id of ours and gives its fills none. So

- an order whose answer did not come is looked for among those that nobody is known to have, by side, quantity, price,
  kind and time. Where there are more such orders than children, one is somebody else's, and nothing is said: it stays
  unknown. Where there are fewer, it stays unknown until no other one can arrive. Then children have them in the order
  in which they were sent: orders of the same terms can be told apart by nothing else, and one is never given twice.
- a trade is what a sum grew by. Its id is the order's first id and the sum that it led to, so that whoever asks, and
  after whatever notice, finds the same; what has been counted before a restart comes with the question. A notice
  gives the single prices, where notices and sums agree; else a growth is one trade, or two at neighbouring prices,
  whose amount is exactly the row's.
- an amendment goes on under a new number, whose row names the old one: an order is a chain of rows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from bestex.clock import SECOND
from bestex.errors import Code
from bestex.messages import Side
from services.gateway import port as p
from services.gateway.venues.kis.dialect import Row, kind_of
from services.gateway.venues.kis.markets import Market

KNOWN_MAX = 100_000  # orders; more than an account may send in a day at 20 requests a second
NOTES_MAX = 1_000  # of one order; more than come before its sums are asked for
LOOSE_MAX = 1_000  # notices of numbers that are not known yet
SKEW_NS = 5 * SECOND  # by which the broker's clock may differ: as the defaults of market data allow
ARRIVES_NS = 5 * SECOND  # bytes that left at the deadline have arrived by then, or never will
DOUBT_KEPT_NS = 60 * SECOND  # the core asks every five seconds for as long as it doubts
AMEND_KEPT_NS = 30 * SECOND  # after that an amendment without an answer has its row, or has none

Fee = Callable[[Market, Side, int], Decimal]  # of so much value, in price units x quantity units


@dataclass(slots=True)
class Note:
    """A fill as a notice told it, which may be wrong, doubled or missing."""

    qty: int
    price: int
    at_ns: int


@dataclass(slots=True)
class Order:
    """One child's order. `ids`: the chain as far as it is known, the oldest first. `qty`: in all, fills included;
    `cum` and `notional`: what has been said of its fills. `amend_until_ns`: so long an amendment may be under way
    whose outcome is not known."""

    child_id: str
    market: Market
    side: Side
    ids: list[str]
    branch: str = ""
    kind: str = "00"
    qty: int = 0
    cum: int = 0
    notional: int = 0
    fills: list[p.VenueFill] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    amend_until_ns: int = 0

    @property
    def last_id(self) -> str:
        return self.ids[-1]


@dataclass(frozen=True, slots=True)
class Terms:
    market: str
    side: Side
    qty: int
    price: int
    kind: str


@dataclass(slots=True)
class Doubt:
    """A child that may have an order. `sending`: its answer may still come."""

    terms: Terms
    sent_ns: int
    asked_ns: int
    sending: bool


AMBIGUOUS = "several orders or children are alike, so that nothing proves whose is whose; look there by hand"


class Ledger:
    def __init__(self, fee: Fee, timeout_ns: int) -> None:
        self._fee, self._timeout_ns = fee, timeout_ns
        self._orders: OrderedDict[str, Order] = OrderedDict()  # by child
        self._owners: dict[str, str] = {}  # children by order id
        self._doubts: dict[str, Doubt] = {}
        self._loose: OrderedDict[str, list[Note]] = OrderedDict()  # by order id

    # -- what was sent -----------------------------------------------------------------------------------------

    def order(self, child_id: str) -> Order | None:
        return self._orders.get(child_id)

    def owner(self, venue_order_id: str) -> str:
        """Empty where it is nobody's that is known."""
        return self._owners.get(venue_order_id, "")

    def sending(self, order: p.Submit, market: Market, now_ns: int) -> None:
        terms = Terms(market.symbol, order.side, order.qty, order.price, kind_of(order.tif))
        for gone in [name for name, one in self._doubts.items() if self._is_stale(one, now_ns)]:
            del self._doubts[gone]
        self._doubts[order.child_id] = Doubt(terms, now_ns, now_ns, True)

    @staticmethod
    def _is_stale(doubt: Doubt, now_ns: int) -> bool:
        """Nobody asks any more: its child has ended."""
        return not doubt.sending and now_ns - doubt.asked_ns > DOUBT_KEPT_NS

    def refused(self, child_id: str) -> None:
        self._doubts.pop(child_id, None)

    def unanswered(self, child_id: str) -> None:
        self._doubts[child_id].sending = False

    def accepted(
        self,
        child_id: str,
        market: Market,
        side: Side,
        venue_order_id: str,
        branch: str = "",
        kind: str = "00",
    ) -> Order:
        self._doubts.pop(child_id, None)
        order = Order(child_id, market, side, [venue_order_id], branch, kind)
        order.notes = self._loose.pop(venue_order_id, [])
        self._keep(order)
        return order

    def _keep(self, order: Order) -> None:
        self._orders[order.child_id] = order
        for one in order.ids:
            self._owners[one] = order.child_id
        while len(self._orders) > KNOWN_MAX:
            _, gone = self._orders.popitem(last=False)
            for one in gone.ids:
                self._owners.pop(one, None)

    def amended(self, order: Order, venue_order_id: str) -> None:
        order.amend_until_ns = 0
        if venue_order_id not in order.ids:
            order.ids.append(venue_order_id)
            self._owners[venue_order_id] = order.child_id
            order.notes += self._loose.pop(venue_order_id, [])

    def adopt(self, query: p.QueryOrder, market: Market, now_ns: int) -> None:
        """Remember what the core knows: after a restart it is all that is known."""
        if query.child_id in self._orders:
            return
        if query.venue_order_id:
            side = query.side or Side.BUY
            order = self.accepted(query.child_id, market, side, query.venue_order_id, kind=kind_of(query.tif))
            order.qty, order.cum, order.notional = query.qty, query.cum_qty, query.notional
        elif query.side is not None and query.qty:
            known = self._doubts.get(query.child_id)
            terms = Terms(market.symbol, query.side, query.qty, query.price, kind_of(query.tif))
            sending = known is not None and known.sending
            self._doubts[query.child_id] = Doubt(terms, query.submitted_ns, now_ns, sending)

    def noted(self, venue_order_id: str, note: Note) -> str:
        """A notice of a fill. The child whose order it is; empty where that is not known yet."""
        child_id = self._owners.get(venue_order_id, "")
        if child_id:
            notes = self._orders[child_id].notes
            notes.append(note)
            del notes[:-NOTES_MAX]
        else:
            self._loose.setdefault(venue_order_id, []).append(note)
            if len(self._loose) > LOOSE_MAX:
                self._loose.popitem(last=False)
        return child_id

    # -- whose is it -------------------------------------------------------------------------------------------

    def match(self, query: p.QueryOrder, rows: Sequence[Row], now_ns: int) -> tuple[Row | None, bool]:
        """The row that is the child's order, if any; and whether that there is none is certain."""
        doubt = self._doubts.get(query.child_id)
        if doubt is None:
            return None, True
        claimed = set(query.claimed)
        free = sorted(
            (
                row
                for row in rows
                if not row.original and not row.is_cancel and row.id not in claimed and not self.owner(row.id)
            ),
            key=lambda row: (row.at_ns, row.id),
        )
        group, candidates = self._alike(query.child_id, doubt, free, now_ns)
        if not any(self._may_be(doubt, row) for row in candidates):
            return None, True
        if len(candidates) > len(group) or any(self._doubts[one].sending for one in group):
            return None, False  # somebody else's is among them, or an answer may still say whose
        if len(candidates) < len(group) and now_ns <= max(self._last_ns(self._doubts[one]) for one in group):
            return None, False  # another one may still come
        pairs = dict(zip(group, candidates, strict=False))
        if not all(self._may_be(self._doubts[one], row) for one, row in pairs.items()):
            return None, False
        return pairs.get(query.child_id), True

    def _alike(
        self, child_id: str, doubt: Doubt, free: Sequence[Row], now_ns: int
    ) -> tuple[list[str], list[Row]]:
        """All children that may be meant by an order that this one may be meant by, and so on, as they were sent;
        and these orders."""
        fresh = {
            name: one
            for name, one in self._doubts.items()
            if one.terms == doubt.terms and not self._is_stale(one, now_ns)
        } | {child_id: doubt}
        group, candidates = {child_id}, set[str]()
        while True:
            reached = {row.id for row in free for one in group if self._may_be(fresh[one], row)}
            members = {
                n for n, one in fresh.items() for row in free if row.id in reached and self._may_be(one, row)
            }
            if reached <= candidates and members <= group:
                break
            candidates |= reached
            group |= members
        ordered = sorted(group, key=lambda name: (fresh[name].sent_ns, name))
        return ordered, [row for row in free if row.id in candidates]

    def _may_be(self, doubt: Doubt, row: Row) -> bool:
        terms = Terms(row.market.symbol, row.side, row.qty, row.price, row.kind)
        first = doubt.sent_ns - SECOND - SKEW_NS  # their times are in whole seconds
        return terms == doubt.terms and first <= row.at_ns <= self._last_ns(doubt)

    def _last_ns(self, doubt: Doubt) -> int:
        """By then it has arrived, by any clock, or never will."""
        return doubt.sent_ns + self._timeout_ns + ARRIVES_NS + SKEW_NS

    # -- what its rows say -------------------------------------------------------------------------------------

    def chain(self, order: Order, rows: Iterable[Row]) -> list[Row]:
        """Its rows, the oldest first; of those that are there. Remembers ids that are new."""
        by_id = {row.id: row for row in rows}
        while (row := by_id.get(order.ids[0])) is not None and row.original and not row.is_cancel:
            if row.original in order.ids:
                break
            order.ids.insert(0, row.original)
            self._owners[row.original] = order.child_id
        later = {row.original: row for row in by_id.values() if row.original and not row.is_cancel}
        while (following := later.get(order.last_id)) is not None and following.id not in order.ids:
            self.amended(order, following.id)
        found = [by_id[one] for one in order.ids if one in by_id]
        if found:
            order.branch = found[-1].branch or order.branch
            order.kind = found[0].kind or order.kind
        return found

    def is_conclusive(self, order: Order, found: Sequence[Row]) -> bool:
        """Whether a row alone says where the order stands: no other one can be part of it."""
        if len(order.ids) != 1 or len(found) != 1:
            return False
        row = found[0]
        return not row.original and (row.left > 0 or row.filled >= row.qty or row.refused > 0)

    def lacks_notes(self, order: Order, found: Sequence[Row]) -> bool:
        """Whether there were fills of which no notice has come."""
        grown = sum(row.filled for row in found) - order.cum
        return grown > sum(note.qty for note in order.notes)

    def say(self, order: Order, found: Sequence[Row], rows: Iterable[Row], now_ns: int) -> list[p.Said]:
        """The new trades, then where it stands. `rows`: in which a cancel of it would be."""
        if len(found) != len(order.ids):
            return [unanswered(order.child_id, "not all of the order's rows are there")]
        cum, notional = sum(row.filled for row in found), sum(row.amount for row in found)
        if cum < order.cum:
            return [unanswered(order.child_id, "the list is older than what is known")]
        told_ns = max(row.told_ns for row in found) or now_ns
        new = self._grow(order, cum, notional, told_ns)
        last = found[-1]
        qty = order.qty = cum - last.filled + last.qty
        if last.left > 0:
            stands = p.VenueAccepted(
                child_id=order.child_id, venue_order_id=last.id, cum_qty=cum, qty=qty, price=last.price
            )
            return [*new, stands]
        if last.refused >= last.qty and not cum and len(found) == 1:
            text = "refused by the exchange, as its row says"
            code = Code.VENUE_REJECTED
            refused = p.VenueRejected(
                child_id=order.child_id, code=code, text=text, found=True, venue_order_id=last.id
            )
            return [refused]
        is_filled = cum >= qty
        is_canceled = any(row.is_cancel and row.original == last.id for row in rows)
        if not is_filled and not is_canceled and now_ns < order.amend_until_ns:
            return [*new, unanswered(order.child_id, "an amendment of it may be under way")]
        how = "filled" if is_filled else "canceled"
        return [*new, p.VenueClosed(child_id=order.child_id, how=how, cum_qty=cum, venue_order_id=last.id)]  # type: ignore[arg-type]

    def _grow(self, order: Order, cum: int, notional: int, told_ns: int) -> list[p.VenueFill]:
        """The trades by which it has grown to `cum`: of the notices where those sum to the same, else of the sums."""
        qty, amount = cum - order.cum, notional - order.notional
        if not qty:
            return []
        parts = _of_notes(order.notes, qty, amount)
        if parts is None:
            order.notes.clear()
            parts = _of_sums(qty, amount, order.market.share, told_ns)
        made = []
        for part in parts:
            order.cum += part.qty
            value = part.qty * part.price
            order.notional += value
            made.append(
                p.VenueFill(
                    child_id=order.child_id,
                    trade_id=f"{order.ids[0]}-{order.cum}",
                    venue_order_id=order.ids[0],
                    price=part.price,
                    qty=part.qty,
                    fee=self._fee(order.market, order.side, value),
                    fee_currency=order.market.quote,
                    venue_ns=part.at_ns,
                )
            )
        order.notional = notional
        order.fills += made
        return made

    def fills_since(self, since_ns: int) -> list[p.VenueFill]:
        found = [fill for o in self._orders.values() for fill in o.fills if fill.venue_ns >= since_ns]
        return sorted(found, key=lambda fill: fill.venue_ns)


def _of_notes(notes: list[Note], qty: int, amount: int) -> list[Note] | None:
    """Consecutive notices that make exactly so much, and are used up with those before them; None where none do."""
    for first in range(len(notes)):
        cum = value = 0
        for last in range(first, len(notes)):
            cum += notes[last].qty
            value += notes[last].qty * notes[last].price
            if (cum, value) == (qty, amount):
                found = notes[first : last + 1]
                del notes[: last + 1]
                return found
            if cum >= qty:
                break
    return None


def _of_sums(qty: int, amount: int, share: int, told_ns: int) -> list[Note]:
    """One trade at the price that they make, or two at the prices around it. `share`: the least that is traded."""
    shares, rest = divmod(qty, share)
    if rest:
        return [Note(qty, round(Decimal(amount) / qty), told_ns)]
    price, dearer = divmod(amount // share, shares)
    cheaper = shares - dearer
    parts = [Note(cheaper * share, price, told_ns)] if cheaper else []
    return [*parts, Note(dearer * share, price + 1, told_ns)] if dearer else parts


def unanswered(child_id: str, text: str) -> p.VenueUnanswered:
    return p.VenueUnanswered(child_id=child_id, code=Code.TIMEOUT, text=text)
