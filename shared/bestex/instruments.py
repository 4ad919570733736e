"""What is traded and on which terms: scales, ticks, lots, fees. All terms are integers in the instrument's units."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Literal

import msgspec

from bestex.ids import token
from bestex.units import ceil_to, floor_to, from_units, to_units

FEE_SCALE = 8  # a fee rate is an integer count of 1e-8; 1 bps is 10_000
FEE_ONE: int = 10**FEE_SCALE
BPS_E8 = 10_000


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """One venue's terms for an instrument. Prices and quantities are in the *instrument's* units.

    `min_notional` and `ticket_fee`, which every order that fills pays, are in price units x quantity units. A fee is
    an integer count of 1e-8 of the notional; a negative one is a rebate. `contract_size`: quantity units that one
    contract of the venue stands for (1 where the venue trades the base itself). `inverse`: a contract is worth
    `contract_size` of *quote*, so its size in base depends on the price.
    """

    venue: str
    symbol: str
    kind: Literal["spot", "perp", "dark"] = "spot"
    tick: int = 1
    lot: int = 1
    min_qty: int = 1
    max_qty: int = 0
    min_notional: int = 0
    taker_fee_e8: int = 0
    maker_fee_e8: int = 0
    ticket_fee: int = 0
    contract_size: int = 1
    inverse: bool = False


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol that parents are placed in, its scales, the venues that trade it, and when (`bestex.sessions`)."""

    symbol: str
    price_scale: int
    qty_scale: int
    listings: tuple[Listing, ...] = ()
    calendar: str = "24/7"

    @property
    def token(self) -> str:
        return token(self.symbol)

    def listing(self, venue: str) -> Listing | None:
        return next((listing for listing in self.listings if listing.venue == venue), None)

    @property
    def lot(self) -> int:
        """The finest lot of any venue: what a parent's quantity must be a multiple of."""
        return min((listing.lot for listing in self.listings), default=1)

    @property
    def min_qty(self) -> int:
        return min((listing.min_qty for listing in self.listings), default=1)

    @property
    def tick(self) -> int:
        """The finest tick of any venue."""
        return min((listing.tick for listing in self.listings), default=1)

    def least(self, price: int) -> int:
        """The least that some venue takes at that price; in units."""
        return min(
            (
                ceil_to(max(listing.min_qty, -(-listing.min_notional // price)), listing.lot)
                for listing in self.listings
            ),
            default=1,
        )

    def is_dust(self, qty: int, price: int, venues: Collection[str] | None = None) -> bool:
        """Whether no venue (of `venues`, or at all) would take so little at that price; in units."""
        return not any(
            (lots := floor_to(qty, listing.lot)) >= listing.min_qty and lots * price >= listing.min_notional
            for listing in self.listings
            if venues is None or listing.venue in venues
        )

    def price_units(self, price: Decimal) -> int:
        return to_units(price, self.price_scale)

    def qty_units(self, qty: Decimal) -> int:
        return to_units(qty, self.qty_scale)

    def price(self, units: int) -> Decimal:
        return from_units(units, self.price_scale)

    def qty(self, units: int) -> Decimal:
        return from_units(units, self.qty_scale)

    def cash(self, units: int) -> Decimal:
        """Price units x quantity units as an exact decimal of quote."""
        return from_units(units, self.price_scale + self.qty_scale)

    def cash_units(self, cash: Decimal) -> int:
        return to_units(cash, self.price_scale + self.qty_scale)

    def fee_cash(self, units: int) -> Decimal:
        """Price units x quantity units x fee_e8 as an exact decimal of quote."""
        return from_units(units, self.price_scale + self.qty_scale + FEE_SCALE)


class Instruments:
    """All instruments by symbol and by subject token."""

    def __init__(self, instruments: tuple[Instrument, ...]) -> None:
        self.all = instruments
        self.by_symbol = {instrument.symbol: instrument for instrument in instruments}
        self.by_token = {instrument.token: instrument for instrument in instruments}
        if len(self.by_token) != len(instruments):
            raise ValueError("two instruments share one subject token")

    def get(self, symbol_or_token: str) -> Instrument | None:
        return self.by_symbol.get(symbol_or_token) or self.by_token.get(symbol_or_token)
