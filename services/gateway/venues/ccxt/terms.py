"""Numbers between the core and ccxt, exactly. Pure.

ccxt takes floats, truncates an amount to the venue's step and rounds a price to the nearest tick; so what it would
send is looked at first, and where that is not what is meant, nothing is sent.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bestex.instruments import FEE_ONE, Instrument, Listing
from bestex.units import UnitError, to_units


class Market:
    """One listing, and how the venue counts it: base, or contracts of `listing.contract_size` units."""

    def __init__(self, instrument: Instrument, listing: Listing) -> None:
        self.instrument, self.listing = instrument, listing
        self.symbol = listing.symbol
        base, _, rest = listing.symbol.partition("/")
        self.base, self.quote = base, rest.partition(":")[0]

    def amount(self, qty: int) -> Decimal:
        """In what the venue counts."""
        if self.listing.contract_size == 1:
            return self.instrument.qty(qty)
        return Decimal(qty) / self.listing.contract_size

    def qty(self, amount: Any) -> int:
        """Raises UnitError where it is no whole number of our units."""
        exact = decimal(amount)
        if self.listing.contract_size == 1:
            return self.instrument.qty_units(exact)
        return to_units(exact * self.listing.contract_size, 0)

    def price(self, price: Any) -> int:
        return self.instrument.price_units(decimal(price))

    def fee(self, fee: Any, price: int, qty: int, maker: bool) -> tuple[Decimal, str]:
        """Of a trade, in quote, and the currency that it was taken in. One that is neither base nor quote (the
        exchange's own coin) has no price here: then it is what the listing says that such a trade costs."""
        currency = str((fee or {}).get("currency") or "")
        cost = decimal((fee or {}).get("cost") or 0)
        if not currency or currency == self.quote or not cost:
            return cost, currency or self.quote
        if currency == self.base:
            return cost * self.instrument.price(price), currency
        rate = self.listing.maker_fee_e8 if maker else self.listing.taker_fee_e8
        return self.instrument.cash(price * qty) * rate / FEE_ONE, currency


def decimal(value: Any) -> Decimal:
    """ccxt's floats are the shortest that read back as the venue's text, so their text is the venue's number."""
    return value if isinstance(value, Decimal) else Decimal(str(value))


def as_float(value: Decimal) -> float:
    """UnitError where a float cannot say it."""
    made = float(value)
    if Decimal(repr(made)) != value:
        raise UnitError(f"{value} has more digits than can be sent")
    return made


def check_sent(what: str, meant: Decimal, sent: Any) -> None:
    """UnitError where ccxt would send another number than is meant."""
    if decimal(sent) != meant:
        raise UnitError(f"the {what} {meant} would be sent as {sent}: it is not on the venue's grid")


def stated(market: Market, terms: Any) -> Listing:
    """A market's terms as ccxt has them, in our units. UnitError where our scales are too coarse for its steps."""
    precision, limits = terms["precision"], terms["limits"]
    lot = market.qty(precision["amount"])
    least, most = limits["amount"].get("min"), limits["amount"].get("max")
    cost = limits.get("cost", {}).get("min")
    return Listing(
        venue=market.listing.venue,
        symbol=market.symbol,
        kind=market.listing.kind,
        tick=market.price(precision["price"]),
        lot=lot,
        min_qty=max(market.qty(least), lot) if least else lot,
        max_qty=market.qty(most) if most else 0,
        min_notional=market.instrument.cash_units(decimal(cost)) if cost else 0,
        taker_fee_e8=market.listing.taker_fee_e8,
        maker_fee_e8=market.listing.maker_fee_e8,
        contract_size=market.listing.contract_size,
        inverse=bool(terms.get("inverse")),
    )
