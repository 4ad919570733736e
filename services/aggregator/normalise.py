"""From a venue's message to the instrument's units: checked, exact, or refused with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from math import gcd
from operator import gt, lt
from typing import NamedTuple

from bestex.instruments import Instrument, Listing
from bestex.messages import MarketTrade, VenueBook

MAX_UNITS = 2**63 - 1  # what every reader of the wire can hold


class Defect(StrEnum):
    """Why a book was refused."""

    EMPTY = "empty"
    RAGGED = "ragged"  # a price without a quantity, or the reverse
    CROSSED = "crossed"  # its own best bid reaches its own best ask
    UNSORTED = "unsorted"  # or a price that stands there twice
    NOT_POSITIVE = "not_positive"
    OFF_SCALE = "off_scale"  # finer than the instrument's scales: a mistake in the configuration
    TOO_LARGE = "too_large"
    FUTURE = "future"  # received later than clocks may differ: nobody could tell when it has become old


class Columns(NamedTuple):
    """Best level first; prices and base quantities in the instrument's units, one length a side."""

    bid_px: list[int]
    bid_qty: list[int]
    ask_px: list[int]
    ask_qty: list[int]


class _Factors(NamedTuple):
    """A message's integer times `mul`, divided by `div`, is the instrument's. One of a pair is 1 unless a
    contract's size shares no factor with the scale."""

    price_mul: int
    price_div: int
    qty_mul: int
    qty_div: int


class Normaliser:
    """One listing's conversion. A contract of a linear listing stands for `contract_size` quantity units,
    where that is not 1; one of an inverse listing for `contract_size` of quote, hence for
    floor(contracts x contract_size / price) of base, level by level."""

    def __init__(self, instrument: Instrument, listing: Listing, levels_max: int) -> None:
        self._instrument = instrument
        self._listing = listing
        self._levels_max = levels_max
        self._scales = (-1, -1)
        self._factors = _Factors(1, 1, 1, 1)
        self._identity = False

    def book(self, book: VenueBook) -> Columns | Defect:
        """The best `levels_max` levels of each side. Shares the message's lists where nothing changes."""
        bid_px, bid_qty, ask_px, ask_qty = book.bid_px, book.bid_qty, book.ask_px, book.ask_qty
        defect = _defect(bid_px, bid_qty, ask_px, ask_qty)
        if defect is not None:
            return defect
        most = self._levels_max
        if len(bid_px) > most or len(ask_px) > most:
            bid_px, bid_qty, ask_px, ask_qty = bid_px[:most], bid_qty[:most], ask_px[:most], ask_qty[:most]
        self._use(book.price_scale, book.qty_scale)
        if self._identity:
            return Columns(bid_px, bid_qty, ask_px, ask_qty)
        return self._converted(bid_px, bid_qty, ask_px, ask_qty)

    def trade_qty(self, trade: MarketTrade) -> int | Defect:
        """The trade's base quantity in the instrument's units."""
        if trade.price <= 0 or trade.qty <= 0:
            return Defect.NOT_POSITIVE
        self._use(trade.price_scale, trade.qty_scale)
        price = self._prices([trade.price])
        if price is None:
            return Defect.OFF_SCALE
        qty = self._quantities(price, [trade.qty])
        return Defect.OFF_SCALE if qty is None else qty[0]

    def _use(self, price_scale: int, qty_scale: int) -> None:
        if self._scales == (price_scale, qty_scale):
            return
        instrument, listing = self._instrument, self._listing
        price = _ratio(10**instrument.price_scale, 10**price_scale)
        if listing.inverse:
            qty_mul = listing.contract_size * 10 ** (instrument.price_scale + instrument.qty_scale)
            qty = (qty_mul, 10**qty_scale)
        elif listing.contract_size != 1:
            qty = _ratio(listing.contract_size, 10**qty_scale)
        else:
            qty = _ratio(10**instrument.qty_scale, 10**qty_scale)
        self._factors = _Factors(*price, *qty)
        self._scales = (price_scale, qty_scale)
        self._identity = not listing.inverse and self._factors == (1, 1, 1, 1)

    def _converted(
        self, bid_px: list[int], bid_qty: list[int], ask_px: list[int], ask_qty: list[int]
    ) -> Columns | Defect:
        bids, asks = self._prices(bid_px), self._prices(ask_px)
        if bids is None or asks is None:
            return Defect.OFF_SCALE
        bid_sizes, ask_sizes = self._quantities(bids, bid_qty), self._quantities(asks, ask_qty)
        if bid_sizes is None or ask_sizes is None:
            return Defect.OFF_SCALE
        columns = Columns(bids, bid_sizes, asks, ask_sizes)
        if any(column and max(column) > MAX_UNITS for column in columns):
            return Defect.TOO_LARGE
        return _without_nothing(columns) if self._listing.inverse else columns

    def _prices(self, prices: list[int]) -> list[int] | None:
        return _scaled(prices, self._factors.price_mul, self._factors.price_div)

    def _quantities(self, prices: list[int], sizes: list[int]) -> list[int] | None:
        mul, div = self._factors.qty_mul, self._factors.qty_div
        if self._listing.inverse:
            return [size * mul // (div * price) for price, size in zip(prices, sizes, strict=True)]
        return _scaled(sizes, mul, div)


def _defect(bid_px: list[int], bid_qty: list[int], ask_px: list[int], ask_qty: list[int]) -> Defect | None:
    if len(bid_px) != len(bid_qty) or len(ask_px) != len(ask_qty):
        return Defect.RAGGED
    if not bid_px and not ask_px:
        return Defect.EMPTY
    if bid_px and ask_px and bid_px[0] >= ask_px[0]:
        return Defect.CROSSED
    if not (all(map(gt, bid_px, bid_px[1:])) and all(map(lt, ask_px, ask_px[1:]))):
        return Defect.UNSORTED
    if (bid_px and (bid_px[-1] <= 0 or min(bid_qty) <= 0)) or (
        ask_px and (ask_px[0] <= 0 or min(ask_qty) <= 0)
    ):
        return Defect.NOT_POSITIVE
    return None


def _ratio(numerator: int, denominator: int) -> tuple[int, int]:
    common = gcd(numerator, denominator)
    return numerator // common, denominator // common


def _scaled(values: list[int], mul: int, div: int) -> list[int] | None:
    """Each value x mul / div; None where one does not come out whole."""
    if div == 1:
        return [value * mul for value in values] if mul != 1 else values
    pairs = [divmod(value * mul, div) for value in values]
    return None if any(rest for _, rest in pairs) else [whole for whole, _ in pairs]


def _without_nothing(columns: Columns) -> Columns | Defect:
    """An inverse contract may be worth less than one quantity unit of base: such a level offers nothing."""
    if all(map(all, (columns.bid_qty, columns.ask_qty))):
        return columns
    bid_px, bid_qty = _filled(columns.bid_px, columns.bid_qty)
    ask_px, ask_qty = _filled(columns.ask_px, columns.ask_qty)
    return Columns(bid_px, bid_qty, ask_px, ask_qty) if bid_px or ask_px else Defect.EMPTY


def _filled(prices: Sequence[int], sizes: Sequence[int]) -> tuple[list[int], list[int]]:
    kept = [(price, size) for price, size in zip(prices, sizes, strict=True) if size]
    return [price for price, _ in kept], [size for _, size in kept]
