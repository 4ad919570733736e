"""The columns of a table of quotes and trades, found by name in whatever order they stand.

Of each row: `ts_event` (required), `ts_recv`, who publishes it (`venue`, else `publisher_id`), `symbol`,
`sequence`, `trade_id`; levels as `ask_px_00`, `ask_sz_00`, `bid_px_00`, `bid_sz_00` and so on with 01, 02, ...;
trades as `price`, `size`, `side` (the aggressor's: B bought, A or S sold, N unknown). With an `action` a row is a
trade where that is T; without one, where the table has no levels. Other columns are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from bestex.clock import SECOND, parse_time
from bestex.errors import RecordingError

SHOWN = 20  # columns that an error names
MAX_LEVELS = 100  # of a row; the deepest published layouts have 10
NOTHING = frozenset(
    {"", "nan", "null", "none", "<na>", "9223372036854775807"}
)  # the last: an undefined price
_LEVEL = re.compile(r"(ask|bid)_(px|sz)_(\d\d)")
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?(Z|UTC|[+-]\d\d:?\d\d)?", re.ASCII
)
_AGGRESSORS = {"B": 1, "BUY": 1, "A": -1, "S": -1, "ASK": -1, "SELL": -1, "1": 1, "-1": -1}
TRADE = "T"


class Columns:
    """Where each column stands; -1 where there is none. RecordingError where the table is not of this kind."""

    def __init__(self, header: Sequence[str], name: str) -> None:
        names = [column.strip().strip('"').lower() for column in header]
        at = {column: place for place, column in enumerate(names)}
        if "ts_event" not in at:
            there = ", ".join(names[:SHOWN])
            raise RecordingError(f"{name}: no column is called ts_event; the first line has {there}")
        twice = next((column for column in names if column and names.count(column) > 1), None)
        if twice is not None:
            raise RecordingError(f"{name}: two columns are called {twice}")
        self.count = len(header)
        self.event, self.recv = at["ts_event"], at.get("ts_recv", -1)
        self.venue = at.get("venue", at.get("publisher_id", -1))
        self.symbol, self.instrument = at.get("symbol", -1), at.get("instrument_id", -1)
        self.sequence, self.trade_id = at.get("sequence", -1), at.get("trade_id", -1)
        self.action, self.side = at.get("action", -1), at.get("side", -1)
        self.bids, self.asks = _levels(at, "bid", name), _levels(at, "ask", name)
        self.price, self.size = at.get("price", -1), at.get("size", -1)
        if self.action >= 0 and min(self.price, self.size) < 0:
            self.action = -1  # nothing says what was traded: all rows are quotes
        self.has_levels = bool(self.bids or self.asks)
        if not self.has_levels and min(self.price, self.size) < 0:
            raise RecordingError(
                f"{name}: neither a level (ask_px_00, ask_sz_00) nor a trade (price, size) has its columns"
            )

    def is_trade(self, row: Sequence[str]) -> bool:
        return row[self.action].strip() == TRADE if self.action >= 0 else not self.has_levels


def _levels(at: dict[str, int], side: str, name: str) -> list[tuple[int, int]]:
    """The places of price and size of the levels, best first."""
    found: dict[int, dict[str, int]] = {}
    for column, place in at.items():
        match = _LEVEL.fullmatch(column)
        if match is not None and match[1] == side:
            found.setdefault(int(match[3]), {})[match[2]] = place
    for level, both in found.items():
        if len(both) < 2:
            missing = "sz" if "px" in both else "px"
            raise RecordingError(f"{name}: there is no column {side}_{missing}_{level:02d}")
    return [(found[level]["px"], found[level]["sz"]) for level in sorted(found)][:MAX_LEVELS]


def is_nothing(text: str) -> bool:
    return text in NOTHING or text.strip().lower() in NOTHING


def aggressor(text: str) -> int:
    """+1 bought, -1 sold, 0 for whatever else stands there."""
    return _AGGRESSORS.get(text.strip().upper(), 0)


def time_ns(text: str) -> int:
    """Whole ns, or ISO 8601 with an offset, to the ns. ValueError where it is neither."""
    text = text.strip()
    if text.isdigit() and text.isascii():
        return int(text)
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no time; write 2026-11-20T21:24:50.123456789Z or whole ns")
    date, clock, fraction, zone = match.groups()
    if zone is None:
        raise ValueError(f"{text!r} has no time zone; write 2026-11-20T21:24:50Z")
    return _second_ns(date, clock, "Z" if zone == "UTC" else zone) + int((fraction or "0").ljust(9, "0"))


@lru_cache(4_096)
def _second_ns(date: str, clock: str, zone: str) -> int:
    """Rows share their seconds with their neighbours, so that few are read twice."""
    whole = int(parse_time(f"{date}T{clock}{zone}"))
    assert whole % SECOND == 0
    return whole
