"""Listings in KIS's words, and numbers between the core and KIS, exactly. Pure.

A listing's symbol is the share's code (005930), in the United States with its exchange in front (NASD:AAPL,
NYSE:IBM); without one it is NASD's.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from bestex.config import Config
from bestex.instruments import Instrument, Listing
from bestex.units import UnitError

NASDAQ = "NASD"


class Market:
    def __init__(self, instrument: Instrument, listing: Listing) -> None:
        self.instrument, self.listing, self.symbol = instrument, listing, instrument.symbol
        place, _, code = listing.symbol.rpartition(":")
        self.code, self.place = code, place or NASDAQ
        self.base, _, rest = instrument.symbol.partition("/")
        self.quote = rest.partition(":")[0]

    def qty(self, text: Any) -> int:
        """UnitError where it is no whole number of our units."""
        return self.instrument.qty_units(number(text))

    def price(self, text: Any) -> int:
        return self.instrument.price_units(number(text))

    def amount(self, text: Any) -> int:
        """Price times quantity, in price units x quantity units."""
        return self.instrument.cash_units(number(text))

    def shares(self, qty: int) -> str:
        """UnitError where it is not whole."""
        shares = self.instrument.qty(qty)
        if shares != int(shares):
            raise UnitError(f"{shares} are no whole shares")
        return str(int(shares))

    def price_text(self, price: int) -> str:
        return format(self.instrument.price(price), "f")

    @property
    def share(self) -> int:
        """One share, in quantity units."""
        return self.instrument.qty_units(Decimal(1))


def number(text: Any) -> Decimal:
    """UnitError for what is none. Empty is nothing."""
    try:
        value = Decimal(str(text if text is not None else "").strip() or 0)
    except InvalidOperation:
        raise UnitError(f"{text!r} is no number") from None
    if not value.is_finite():
        raise UnitError(f"{text!r} is not a finite number")
    return value


def markets_of(venue: str, config: Config) -> list[Market]:
    listed = ((one, one.listing(venue)) for one in config.make_instruments().all)
    return [Market(instrument, listing) for instrument, listing in listed if listing is not None]


def by_code(markets: Iterable[Market]) -> dict[str, Market]:
    return {market.code: market for market in markets}
