"""What is traded and on which terms: scales, ticks, lots, fees. All terms are integers in the instrument's units."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from decimal import Decimal
from math import gcd
from typing import Literal

import msgspec

from bestex.ids import token
from bestex.units import ceil_to, floor_to, from_units, to_units

FEE_SCALE = 8  # a fee rate is an integer count of 1e-8; 1 bps is 10_000
FEE_ONE: int = 10**FEE_SCALE
BPS_E8 = 10_000
TICKS_MAX = 64  # bands of prices with a tick of their own; exchanges have some ten

Ticks = tuple[tuple[int, int], ...]


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """One venue's terms for an instrument. Prices and quantities are in the *instrument's* units.

    `min_notional` and `ticket_fee`, which every order that fills pays, are in price units x quantity units. A fee is
    an integer count of 1e-8 of the notional; a negative one is a rebate. `contract_size`: quantity units that one
    contract of the venue stands for (1 where the venue trades the base itself). `inverse`: a contract is worth
    `contract_size` of *quote*, so its size in base depends on the price.

    `ticks`: where the tick depends on the price, (from this price on, the tick) in ascending order, the first from 0;
    `tick` is then what all of them are multiples of, and no more. Each band begins on its own grid and on that of the
    band before it (`wrong_ticks`), so whatever is rounded within one band lands on a price.
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
    ticks: Ticks = ()

    def tick_at(self, price: int) -> int:
        """From `price` to the next one above it, where it is on the grid."""
        return self.ticks[self._band(price)][1] if self.ticks else self.tick

    def on_grid(self, price: int) -> bool:
        return price % self.tick_at(price) == 0

    def price_down(self, price: int) -> int:
        """The highest price on the grid that is not above."""
        return floor_to(price, self.tick_at(price))

    def price_up(self, price: int) -> int:
        """The lowest price on the grid that is not below."""
        return ceil_to(price, self.tick_at(price))

    def passive(self, price: int, *, buy: bool) -> int:
        """The nearest price on the grid that is no worse for us: down for a buy, up for a sell."""
        return self.price_down(price) if buy else self.price_up(price)

    def marketable(self, price: int, *, buy: bool) -> int:
        """The nearest price on the grid that still takes `price`: up for a buy, down for a sell."""
        return self.price_up(price) if buy else self.price_down(price)

    def are_on_grid(self, prices: Sequence[int]) -> bool:
        """Whether all of them are; in one step where they share a tick, as those of a book nearly always do."""
        if not prices or not self.ticks:
            return gcd(self.tick, *prices) == self.tick
        band = self._band(min(prices))
        if band == self._band(max(prices)):
            tick = self.ticks[band][1]
            return gcd(tick, *prices) == tick
        return all(map(self.on_grid, prices))  # a book across a boundary: rare, and short

    def _band(self, price: int) -> int:
        return max(bisect_right(self.ticks, price, key=_begin) - 1, 0)


def _begin(band: tuple[int, int]) -> int:
    return band[0]


def wrong_ticks(ticks: Ticks) -> str:
    """Why no price can be rounded by these; empty where it can."""
    if not 0 < len(ticks) <= TICKS_MAX or ticks[0][0] != 0:
        return f"they must begin at 0, and be at most {TICKS_MAX}"
    before, own = 0, ticks[0][1]
    for start, tick in ticks:
        if tick < 1 or (start <= before and start):
            return "ticks must be positive, and the prices that they begin at ascend"
        if start % tick or start % own:
            return "each must begin on a price of its own grid and of the one before it"
        before, own = start, tick
    return ""


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

    def tick_at(self, price: int) -> int:
        """The finest tick of any venue at that price."""
        return min((listing.tick_at(price) for listing in self.listings), default=1)

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
