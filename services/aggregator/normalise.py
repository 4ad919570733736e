"""From a venue's message to the instrument's units: checked, exact, or refused with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bestex.contracts import Conversion
from bestex.defects import Defect, defect_of
from bestex.instruments import Instrument, Listing
from bestex.messages import MarketTrade, VenueBook

MAX_UNITS = 2**63 - 1  # what every reader of the wire can hold


class Columns(NamedTuple):
    """Best level first; prices and base quantities in the instrument's units, one length a side."""

    bid_px: list[int]
    bid_qty: list[int]
    ask_px: list[int]
    ask_qty: list[int]


class Normaliser:
    """One listing's messages, whatever their scales."""

    def __init__(self, instrument: Instrument, listing: Listing, levels_max: int) -> None:
        self._instrument = instrument
        self._listing = listing
        self._levels_max = levels_max
        self._scales = (instrument.price_scale, instrument.qty_scale)
        self._conversion = Conversion(instrument, listing, *self._scales)

    def book(self, book: VenueBook) -> Columns | Defect:
        """The best `levels_max` levels of each side. Shares the message's lists where nothing changes."""
        bid_px, bid_qty, ask_px, ask_qty = book.bid_px, book.bid_qty, book.ask_px, book.ask_qty
        defect = defect_of(bid_px, bid_qty, ask_px, ask_qty)
        if defect is not None:
            return defect
        most = self._levels_max
        if len(bid_px) > most or len(ask_px) > most:
            bid_px, bid_qty, ask_px, ask_qty = bid_px[:most], bid_qty[:most], ask_px[:most], ask_qty[:most]
        conversion = self._converting(book.price_scale, book.qty_scale)
        if conversion.is_identity:
            return Columns(bid_px, bid_qty, ask_px, ask_qty)
        return self._converted(conversion, bid_px, bid_qty, ask_px, ask_qty)

    def trade(self, trade: MarketTrade) -> tuple[int, int] | Defect:
        """The trade's price and base quantity in the instrument's units."""
        if trade.price <= 0 or trade.qty <= 0:
            return Defect.NOT_POSITIVE
        conversion = self._conversion
        if self._scales != (trade.price_scale, trade.qty_scale):
            conversion = self._converting(trade.price_scale, trade.qty_scale)
        if conversion.is_identity:
            return trade.price, trade.qty
        price = conversion.prices([trade.price])
        if price is None:
            return Defect.OFF_SCALE
        qty = conversion.quantities(price, [trade.qty])
        return Defect.OFF_SCALE if qty is None else (price[0], qty[0])

    def _converting(self, price_scale: int, qty_scale: int) -> Conversion:
        if self._scales != (price_scale, qty_scale):
            self._scales = (price_scale, qty_scale)
            self._conversion = Conversion(self._instrument, self._listing, price_scale, qty_scale)
        return self._conversion

    def _converted(
        self,
        conversion: Conversion,
        bid_px: list[int],
        bid_qty: list[int],
        ask_px: list[int],
        ask_qty: list[int],
    ) -> Columns | Defect:
        bids, asks = conversion.prices(bid_px), conversion.prices(ask_px)
        if bids is None or asks is None:
            return Defect.OFF_SCALE
        bid_sizes, ask_sizes = conversion.quantities(bids, bid_qty), conversion.quantities(asks, ask_qty)
        if bid_sizes is None or ask_sizes is None:
            return Defect.OFF_SCALE
        columns = Columns(bids, bid_sizes, asks, ask_sizes)
        if any(column and max(column) > MAX_UNITS for column in columns):
            return Defect.TOO_LARGE
        return _without_nothing(columns) if self._listing.inverse else columns


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
