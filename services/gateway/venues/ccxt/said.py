"""What ccxt says of orders and trades, as the core's inputs. Pure, but for the ids that it is told."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

from bestex.clock import MS
from bestex.errors import Code
from services.gateway import port as p
from services.gateway.venues.ccxt.terms import Market, decimal

IDS_MAX = 100_000  # orders whose trades may still come; a day of them
FOREIGN = "foreign-"  # before the venue's id, for an order that carries no client id

_HOW: dict[str, Literal["filled", "canceled", "expired"]] = {
    "closed": "filled",
    "canceled": "canceled",
    "expired": "expired",
}


class Names:
    """Whose an order of the venue's id is: trades name their order by that alone."""

    def __init__(self) -> None:
        self._children: OrderedDict[str, str] = OrderedDict()

    def learn(self, venue_order_id: str, child_id: str) -> None:
        if venue_order_id and child_id:
            self._children[venue_order_id] = child_id
            if len(self._children) > IDS_MAX:
                self._children.popitem(last=False)

    def child(self, venue_order_id: str) -> str:
        """Empty where it is not known."""
        return self._children.get(venue_order_id, "")


def order(said: Any, child_id: str, market: Market, why: Code | None = None) -> p.Said:
    """Where the venue's own record says that an order stands, and `why` it ended, if anything special is known.
    UnitError for numbers that are not of our units."""
    status, cum = said.get("status"), market.qty(said.get("filled") or 0)
    venue_order_id = str(said.get("id") or "")
    if status == "rejected":
        text = "refused by the venue, as its record of the order says"
        return p.VenueRejected(child_id=child_id, code=why or Code.VENUE_REJECTED, text=text, found=True)
    if status in _HOW:
        how = _HOW[status]
        whole = said.get("amount")
        if how == "filled" and whole is not None and cum < market.qty(whole):
            how = "canceled"  # "closed" is all that some say of an end
        return p.VenueClosed(child_id=child_id, how=how, cum_qty=cum, code=why)
    return p.VenueAccepted(
        child_id=child_id,
        venue_order_id=venue_order_id,
        cum_qty=cum,
        qty=market.qty(said["amount"]) if said.get("amount") else 0,
        price=market.price(said["price"]) if said.get("price") else 0,
    )


def fill(trade: Any, child_id: str, market: Market) -> p.VenueFill:
    price, qty = market.price(trade["price"]), market.qty(trade["amount"])
    maker = trade.get("takerOrMaker")
    fee, currency = market.fee(trade.get("fee"), price, qty, maker == "maker")
    return p.VenueFill(
        child_id=child_id or f"{FOREIGN}{trade.get('order')}",
        trade_id=str(trade["id"]),
        venue_order_id=str(trade.get("order") or ""),
        price=price,
        qty=qty,
        fee=fee,
        fee_currency=currency,
        fee_amount=None if currency == market.quote else decimal((trade.get("fee") or {}).get("cost") or 0),
        liquidity=maker if maker in ("maker", "taker") else "unknown",
        venue_ns=int(trade["timestamp"]) * MS,
    )
