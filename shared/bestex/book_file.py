"""A book written by hand or by another program: what `bestex plan --book FILE` reads.

    {"symbol": "X/Y", "venues": [{"venue": "a", "bids": [["100.01", "5"], ...], "asks": [...],
     "taker_fee_bps": 2, "maker_fee_bps": 0, "lot": "0.001", "tick": "0.01", "min_qty": "0.001",
     "min_notional": "10", "ticket_fee": "1", "max_qty": "50"}, ...]}

All but `venue`, `bids` and `asks` may be left out: no fees, no minimums, and grids as fine as the numbers. A number
may be written as a string, which keeps every digit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import msgspec

from bestex import codec
from bestex.config import Config, SplittingConfig
from bestex.config_terms import InstrumentConfig, ListingConfig
from bestex.config_venue import VenueConfig
from bestex.errors import UsageError
from bestex.messages import BookStatus, ConsolidatedBook, VenueColumn
from bestex.units import MAX_SCALE, UnitError, to_units

SPLITS_MAX = 100  # as many as a configuration may allow

Number = Decimal
Level = tuple[Number, Number]


class VenueLines(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    venue: str
    bids: list[Level]
    asks: list[Level]
    taker_fee_bps: Number = Decimal(0)
    maker_fee_bps: Number = Decimal(0)
    lot: Number | None = None
    tick: Number | None = None
    min_qty: Number | None = None
    max_qty: Number | None = None
    min_notional: Number = Decimal(0)
    ticket_fee: Number = Decimal(0)


class BookFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    symbol: str
    venues: list[VenueLines]


class Given(NamedTuple):
    """The configuration with that instrument and those venues alone, and the book."""

    config: Config
    book: ConsolidatedBook


def read(data: bytes, config: Config, now_ns: int) -> Given:
    """Of `config` its routing is kept, but for splitting: the file itself says what venues ask for. UsageError says
    what is wrong with the file."""
    try:
        given = codec.from_json(data, BookFile)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"the book cannot be read: {error}") from None
    names = [lines.venue for lines in given.venues]
    if not names or len(set(names)) != len(names):
        raise UsageError("the book names no venue" if not names else "the book names a venue twice")
    price_scale, qty_scale = _scales(given)
    finest_tick, finest_lot = Decimal(1).scaleb(-price_scale), Decimal(1).scaleb(-qty_scale)
    listings = {
        lines.venue: ListingConfig(
            tick=lines.tick or finest_tick,
            lot=lines.lot or finest_lot,
            min_qty=lines.min_qty or None,
            max_qty=lines.max_qty or None,
            min_notional=lines.min_notional,
            taker_bps=lines.taker_fee_bps,
            maker_bps=lines.maker_fee_bps,
            ticket_fee=lines.ticket_fee,
        )
        for lines in given.venues
    }
    instrument = InstrumentConfig(price_scale=price_scale, qty_scale=qty_scale, venues=listings)
    alone = msgspec.structs.replace(
        config,
        venues={name: VenueConfig(priority=min(number, 100)) for number, name in enumerate(names, 1)},
        instruments={given.symbol: instrument},
        splitting=SplittingConfig(max_splits=SPLITS_MAX),
    )
    columns = [_column(lines, price_scale, qty_scale, now_ns) for lines in given.venues]
    book = ConsolidatedBook(given.symbol, 1, now_ns, price_scale, qty_scale, False, False, columns)
    return Given(alone, book)


def _scales(given: BookFile) -> tuple[int, int]:
    """Digits enough for every number of the file."""
    prices, sizes, cash = [Decimal(0)], [Decimal(0)], [Decimal(0)]
    for lines in given.venues:
        levels = [*lines.bids, *lines.asks]
        prices += [price for price, _ in levels] + ([lines.tick] if lines.tick else [])
        sizes += [size for _, size in levels]
        sizes += [size for size in (lines.lot, lines.min_qty, lines.max_qty) if size]
        cash += [lines.min_notional, lines.ticket_fee]
    for number in (*prices, *sizes, *cash):
        if not number.is_finite():
            raise UsageError(f"{number} in the book is no number")
    price_scale, qty_scale = _digits(prices), _digits(sizes)
    price_scale = max(price_scale, _digits(cash) - qty_scale)
    if max(price_scale, qty_scale) > MAX_SCALE:
        raise UsageError(f"numbers in the book have more than {MAX_SCALE} digits after the point")
    return price_scale, qty_scale


def _digits(numbers: list[Decimal]) -> int:
    """After the point, zeros at the end aside."""
    return max(0, *(-int(number.normalize().as_tuple().exponent) for number in numbers))


def _column(lines: VenueLines, price_scale: int, qty_scale: int, now_ns: int) -> VenueColumn:
    try:
        bids, asks = (
            [(to_units(price, price_scale), to_units(size, qty_scale)) for price, size in side]
            for side in (lines.bids, lines.asks)
        )
    except UnitError as error:
        raise UsageError(f"the book of {lines.venue}: {error}") from None
    return VenueColumn(
        lines.venue,
        BookStatus.LIVE,
        0,
        now_ns,
        now_ns,
        [price for price, _ in bids],
        [size for _, size in bids],
        [price for price, _ in asks],
        [size for _, size in asks],
    )
