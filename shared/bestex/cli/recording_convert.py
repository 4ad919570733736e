"""`bestex recording convert` and `export`: from other formats, and to them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bestex.cli.common import COMMON, Common, texts
from bestex.cli.recording_files import new_file, watched, written
from bestex.cli.recordings import existing
from bestex.errors import UsageError


def convert(
    *files: Path,
    out: Path | None = None,
    symbol: str = "",
    venue: list[str] | None = None,
    price_exponent: int = 0,
    market: Literal["", "equity", "crypto"] = "",
    spread_bps: float = 0.0,
    common: Common = COMMON,
) -> None:
    """Files of other formats into a recording of our own: smaller, and quicker to read.

    bestex recording convert btcusdt_20240808.gz btcusdt_20240809.gz --out spot.rec
    bestex recording convert l1_day.csv l1_day.rec --symbol AAPL/USD --venue 2=xnas
    bestex recording convert aapl_20140605_trade.zip aapl.rec --spread-bps 2

    Read are raw Binance frames; tables of quotes and trades as CSV or Parquet (ts_event, publisher_id, ask_px_00,
    ask_sz_00, bid_px_00, bid_sz_00, price, size, ...); LEAN's minute bars; Parquet files that `export` made.

    Parameters
    ----------
    files
        What to read, and where to write as the last one, unless --out says so.
    out
        Where to write.
    symbol
        What is traded, where a file does not say it.
    venue
        A name for a publisher, publisher=name; as often as needed.
    price_exponent
        Prices are whole numbers of 10^-this: 9 where 61250000000 means 61.25.
    market
        Of minute bars, where it cannot be told.
    spread_bps
        Make quotes of bars of trades, this far apart; without, there are none.
    """
    from bestex.importers.options import ImportOptions
    from bestex.recording import open_recording, write_recording

    if out is None:
        if len(files) < 2:
            raise UsageError("name what to read and, last, where to write")
        *sources, out = files
    else:
        sources = list(files)
    new_file(out)
    names = texts(venue or (), "--venue")
    options = ImportOptions(
        symbol=symbol, venues=names, price_exponent=price_exponent, market=market, spread_bps=spread_bps
    ).checked()
    recording = open_recording(*existing(tuple(sources)), options=options)
    there = {stream.venue for stream in recording.streams}
    unused = next((publisher for publisher, name in names.items() if name not in there), None)
    if unused is not None:
        raise UsageError(f"--venue {unused}: no such publisher; the venues are {', '.join(sorted(there))}")
    source = ", ".join(path.name for path in sources)
    events = watched(recording, recording.start_ns, recording.end_ns, "converting")
    count = write_recording(out, source, recording.streams, events)
    written(out, count, common, sources, recording.damage)


def export(
    *files: Path,
    parquet: Path | None = None,
    csv: Path | None = None,
    levels: int = 0,
    common: Common = COMMON,
) -> None:
    """A recording for other programs: every event exactly, or a table of the best levels after each.

    bestex recording export day.rec --parquet day.parquet
    bestex recording export day.rec --csv l1_day.csv --levels 1

    `convert` and every command that reads recordings read both again.

    Parameters
    ----------
    parquet
        Write this Parquet file; needs bestex[lab].
    csv
        Write this CSV file: a table, of 1 level unless --levels says more.
    levels
        Make a table with so many levels a side, in the columns ts_event, publisher_id, ask_px_00, ask_sz_00, ...
    """
    from bestex.recording import open_recording
    from bestex.recording_export import events_to_parquet, table_to_csv, table_to_parquet

    if (parquet is None) == (csv is None):
        raise UsageError("name where to write: --parquet or --csv")
    sources = existing(files)
    recording = open_recording(*sources)
    events = watched(recording, recording.start_ns, recording.end_ns, "exporting")
    if csv is not None:
        out = new_file(csv)
        count = table_to_csv(recording.streams, events, out, levels or 1)
    else:
        assert parquet is not None, "one of both was named"
        out = new_file(parquet)
        count = (
            table_to_parquet(recording.streams, events, out, levels)
            if levels
            else events_to_parquet(recording.streams, events, out)
        )
    written(out, count, common, sources, recording.damage)
