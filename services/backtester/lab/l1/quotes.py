"""A level-1 file as arrays: every row one venue's best quotes from then on.

Columns: `ts_event` (ISO 8601, UTC where it names no zone, or integer nanoseconds), `publisher_id` (the venue),
`ask_px_00`, `ask_sz_00`; `bid_px_00`, `bid_sz_00` where there are bids; `fee` and `rebate` per share, which then
count instead of the ones given. Others are ignored, and their order is free.

No quote is a size of 0; its price may then be empty. Rows out of order are sorted by time and keep their order
within one time; a row whose own bid is above its own ask is left out, because no venue can stand like that; both are
said. What is no number, or negative, is an error: such a file is damaged, and nobody knows where else.

Everything is kept as if we bought. Selling is buying with the signs of all prices changed: the cheapest ask is then
the highest bid, and cash that comes in is negative.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bestex.errors import UsageError
from services.backtester.lab.l1.columns import Columns, Ints

NEVER = 1 << 60  # the price of an ask that is not there; minus that of a bid
SUM_MAX = 1 << 62  # what a column of int64 may sum to


@dataclass(frozen=True, kw_only=True)
class Level1:
    """Rows in time order. Prices, fees and rebates in units of 10^-`price_scale`, sizes in units of 10^-`qty_scale`.

    `sign` is +1 to buy; -1 to sell, and then all prices have changed their sign and `ask` is what bids stood in the
    file. `venue` is the place of the row's publisher in `publishers`.
    """

    path: Path
    sha256: str
    sign: int
    at_ns: Ints
    venue: Ints
    ask: Ints
    ask_size: Ints
    bid: Ints
    bid_size: Ints
    fee: Ints
    rebate: Ints
    price_scale: int
    qty_scale: int
    publishers: tuple[str, ...]
    rests: bool
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.at_ns)

    def cash(self, units: int) -> Decimal:
        """Cash that was kept as price times quantity, as the user counts it: paid, or received where we sell."""
        return self.sign * Decimal(units).scaleb(-self.price_scale - self.qty_scale)

    def qty(self, units: int) -> Decimal:
        return Decimal(units).scaleb(-self.qty_scale)

    def units(self, qty: Decimal, name: str) -> int:
        """A quantity in units. UsageError where the file's sizes are coarser than it."""
        units = qty.scaleb(self.qty_scale)
        if units != units.to_integral_value():
            raise UsageError(f"{name} {qty:f}: finer than {self.qty_scale} decimals, which sizes are kept in")
        if int(units) * len(self) >= SUM_MAX:
            raise UsageError(f"{name} {qty:f}: too large for sizes of {self.qty_scale} decimals")
        return int(units)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a share costs to take beyond its price, and what a fill that rested earns, where the file does not say."""

    fee: Decimal = Decimal(0)
    rebate: Decimal = Decimal(0)


def read(path: Path, sign: int, terms: Terms, *quantities: Decimal) -> Level1:
    """The file for an order of this side. Its sizes are kept finely enough for `quantities` too.

    RecordingError says what is wrong in which line; UsageError where it has no bids to sell to.
    """
    columns = Columns(
        path,
        required=("ts_event", "publisher_id", "ask_px_00", "ask_sz_00"),
        optional=("bid_px_00", "bid_sz_00", "fee", "rebate"),
    )
    notes: list[str] = []
    has_bids = "bid_px_00" in columns and "bid_sz_00" in columns
    if not has_bids and sign < 0:
        raise UsageError(f"{path}: selling needs the columns bid_px_00 and bid_sz_00")
    at_ns, zoneless = columns.times("ts_event")
    if zoneless:
        notes.append("times without a zone are taken for UTC")
    rows = len(at_ns)
    ask, ask_scale, ask_size, ask_size_scale = _quotes(columns, "ask")
    if has_bids:
        bid, bid_scale, bid_size, bid_size_scale = _quotes(columns, "bid")
    else:
        bid, bid_scale, bid_size, bid_size_scale = np.zeros(rows, np.int64), 0, np.zeros(rows, np.int64), 0
        notes.append("no bids in the file: nothing can rest, and costs are against the best ask")
    fee, fee_scale = _per_share(columns, "fee", terms.fee, rows)
    rebate, rebate_scale = _per_share(columns, "rebate", terms.rebate, rows)
    price_scale = max(ask_scale, bid_scale, fee_scale, rebate_scale)
    qty_scale = max(ask_size_scale, bid_size_scale, *(_scale(qty) for qty in quantities))
    ask, bid = ask * 10 ** (price_scale - ask_scale), bid * 10 ** (price_scale - bid_scale)
    fee, rebate = fee * 10 ** (price_scale - fee_scale), rebate * 10 ** (price_scale - rebate_scale)
    ask_size, bid_size = (
        ask_size * 10 ** (qty_scale - ask_size_scale),
        bid_size * 10 ** (qty_scale - bid_size_scale),
    )
    publishers, venue = _publishers(columns)
    kept = _sound(columns, ask, ask_size, bid, bid_size, notes)
    order = _in_order(columns, at_ns, kept, notes)
    ask, bid = np.where(ask_size > 0, ask, NEVER), np.where(bid_size > 0, bid, -NEVER)
    if sign < 0:
        ask, ask_size, bid, bid_size = -bid, bid_size, -ask, ask_size
    return Level1(
        path=path,
        sha256=columns.sha256,
        sign=sign,
        at_ns=at_ns[order],
        venue=venue[order],
        ask=ask[order],
        ask_size=ask_size[order],
        bid=bid[order],
        bid_size=bid_size[order],
        fee=fee[order],
        rebate=rebate[order],
        price_scale=price_scale,
        qty_scale=qty_scale,
        publishers=publishers,
        rests=has_bids,
        notes=notes,
    )


def _quotes(columns: Columns, side: str) -> tuple[Ints, int, Ints, int]:
    """Price, its scale, size, its scale; all of a quote that is not there are 0."""
    sizes, size_scale = columns.decimals(f"{side}_sz_00")
    _refuse(columns, sizes < 0, f"{side}_sz_00 is negative")
    texts = columns[f"{side}_px_00"].fill_null("").to_numpy()
    _refuse(columns, (sizes > 0) & (texts == ""), f"{side}_px_00 is empty, but the size is not 0")
    prices, price_scale = columns.decimals(f"{side}_px_00", empty="0")
    _refuse(columns, (sizes > 0) & (prices <= 0), f"{side}_px_00 is not above 0")
    return np.where(sizes > 0, prices, 0), price_scale, sizes, size_scale


def _refuse(columns: Columns, wrong: NDArray[np.bool_], text: str) -> None:
    if wrong.any():
        columns.fail(int(np.argmax(wrong)), text)


def _scale(value: Decimal) -> int:
    return max(0, -int(value.normalize().as_tuple().exponent))


def _per_share(columns: Columns, name: str, given: Decimal, rows: int) -> tuple[Ints, int]:
    """Of each row: the file's, else the one given; a row that leaves it empty has the one given too."""
    if name in columns:
        return columns.decimals(name, empty=f"{given:f}")
    return np.full(rows, int(given.scaleb(_scale(given))), np.int64), _scale(given)


def _publishers(columns: Columns) -> tuple[tuple[str, ...], Ints]:
    """The venues, by number where all are numbers, and each row's place among them."""
    import polars as pl

    series = columns.texts("publisher_id")
    different = series.unique().to_list()
    numbers = all(text.isdecimal() for text in different)
    names = sorted(different, key=(lambda text: (int(text), text)) if numbers else None)
    places = series.replace_strict(names, pl.Series(range(len(names)), dtype=pl.Int64), return_dtype=pl.Int64)
    return tuple(names), places.to_numpy().astype(np.int64)


def _sound(
    columns: Columns, ask: Ints, ask_size: Ints, bid: Ints, bid_size: Ints, notes: list[str]
) -> NDArray[np.bool_]:
    crossed = (ask_size > 0) & (bid_size > 0) & (bid > ask)
    if crossed.any():
        count = int(crossed.sum())
        if count == len(crossed):
            columns.fail(0, "the bid is above the ask, as in every other row")
        notes.append(
            f"{count} rows left out whose bid is above their ask, the first in line "
            f"{columns.line(int(np.argmax(crossed)))}"
        )
    return ~crossed


def _in_order(columns: Columns, at_ns: Ints, kept: NDArray[np.bool_], notes: list[str]) -> Ints:
    back = np.diff(at_ns) < 0
    if back.any():
        first = int(np.argmax(back)) + 1
        notes.append(
            f"sorted by time: {int(back.sum())} rows were before the row above them, the first in line "
            f"{columns.line(first)}"
        )
    order = np.argsort(at_ns, kind="stable")
    found: Ints = order[kept[order]]
    return found
