"""`bestex recording`, `record` and `retrace`: market data on disk, and tapes of what services saw."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from bestex.cli.common import COMMON, Common, console, known, print_json, table
from bestex.errors import RecordingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bestex.background import BackgroundEvent
    from bestex.instruments import Instrument
    from bestex.market_table import MarketTable

recording_app = App(
    name="recording", help="Look at recorded market data, and convert it.", help_format="plaintext"
)

LEVELS = 20  # of each book that statistics look at


def existing(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """`files`, if there are any and all of them are there; else UsageError."""
    if not files:
        raise UsageError("name at least one recording")
    for path in files:
        if not path.is_file():
            raise UsageError(f"{path}: there is no such file")
    return files


@recording_app.command
def check(*files: Path, common: Common = COMMON) -> int:
    """Rebuild the book of raw Binance frames and compare it with what the venue said its best prices were.

    bestex recording check btcusdt_20240808.gz btcusdt_20240809.gz --json

    Several files are one stream and are read in the order given. Exit code: 0 nothing is wrong, 1 something.
    """
    from bestex import codec
    from bestex.importers.binance_check import check as check_frames

    result = check_frames(existing(files))
    found = codec.to_builtins(result)
    if common.json:
        print_json(found)
    else:
        rows = table("what", "count")
        for key, value in found.items():
            rows.add_row(key.replace("_", " "), str(value))
        console().print(rows)
    sound = not (result.sequence_breaks or result.crossed) and result.bbo_matched == result.bbo_checked
    return 0 if sound else 1


@recording_app.command
def stats(
    *files: Path, simulate: str = "", duration: str = "10m", seed: int = 1, common: Common = COMMON
) -> None:
    """The market's figures: spreads, depth, trades, mark-outs, volatility, who leads.

    bestex recording stats spot.rec perp.rec
    bestex recording stats --simulate crypto --duration 1h

    Parameters
    ----------
    simulate
        Instead of a recording, the configuration's instruments in the market model of this preset.
    duration
        How long to simulate, such as 90s, 10m, 8h30m.
    seed
        Of the simulation: another one is another day.
    """
    from bestex.market_table import render

    if simulate and files:
        raise UsageError("--simulate makes its own market; leave out the recordings")
    found = _simulated(simulate, duration, seed, common) if simulate else _recorded(existing(files))
    if common.json:
        print_json({"markets": found})
        return
    out = console()
    for one in found:
        out.print(render(one))


def _recorded(files: tuple[Path, ...]) -> list[MarketTable]:
    from bestex.instruments import Instruments
    from bestex.market_stats import MarketStats
    from bestex.recording import open_recording

    recording = open_recording(*files)
    markets = [MarketStats(instrument) for instrument in Instruments(recording.instruments).all]
    by_market = {
        (listing.venue, listing.symbol): market
        for market, instrument in zip(markets, recording.instruments, strict=True)
        for listing in instrument.listings
    }
    for message in recording.books(LEVELS):
        by_market[message.venue, message.symbol].message(message)
    return [market.table() for market in markets]


def _simulated(preset: str, duration: str, seed: int, common: Common) -> list[MarketTable]:
    from bestex.market_stats import of_events

    return [of_events(*market).table() for market in simulation(preset, duration, seed, common)]


def simulation(
    preset: str, duration: str, seed: int, common: Common
) -> Iterator[tuple[Instrument, Iterator[BackgroundEvent]]]:
    """The configuration's instruments, each with its events in the market model of `preset`."""
    from bestex.clock import SECOND
    from bestex.human import Duration
    from bestex.market import PRESETS, simulate

    known("preset", preset, PRESETS)
    try:
        seconds = Duration.parse(duration) / SECOND
    except ValueError as error:
        raise UsageError(f"--duration: {error}") from None
    if seconds <= 0:
        raise UsageError("--duration: must be longer than nothing")
    config = common.load()
    for instrument in config.make_instruments().all:
        start = instrument.price_units(config.instruments[instrument.symbol].start_price)
        yield instrument, simulate(instrument, preset, seed, seconds, start)


# Each of these modules is imported when its command is named.
_COMMANDS = {
    "info": ("recording_info:info", "What a recording holds: streams, times, events, gaps, its hash."),
    "convert": ("recording_convert:convert", "Files of other formats into a recording of our own."),
    "export": ("recording_convert:export", "A recording for other programs, as Parquet or CSV."),
    "cut": ("recording_parts:cut", "A part of a recording, which stands by itself."),
    "merge": ("recording_parts:merge", "Several recordings as one, by time."),
    "resample": ("recording_parts:resample", "Books at a fixed step, or trades as bars."),
    "make": ("recording_make:make", "A made-up day of a market on several venues."),
}

for _name, (_path, _sentence) in _COMMANDS.items():
    recording_app.command(f"bestex.cli.{_path}", name=_name, help=_sentence)


async def record(
    out: Path, /, *, seconds: float | None = None, symbol: str = "", common: Common = COMMON
) -> None:
    """Record the market data of the running platform until ctrl-C.

    bestex record today.rec
    bestex record btc.rec --symbol BTC/USDT --seconds 60

    Parameters
    ----------
    out
        Where to write.
    seconds
        End by itself after this long.
    symbol
        This symbol only.
    """
    from bestex import bus_access, ids, rights, subjects
    from bestex.cli.recording_files import written
    from bestex.recording import open_recording
    from bestex.recording_live import record as record_live

    config = common.load()
    if symbol:
        known("symbol", symbol, config.instruments)
    if seconds is not None and seconds <= 0:
        raise UsageError(f"--seconds {seconds:g}: must be above 0")
    venues_symbol = ids.token(symbol) if symbol else "*"
    patterns = [f"{subjects.ROOT}.md.{kind}.*.{venues_symbol}" for kind in ("book", "trade")]
    recording = asyncio.create_task(
        record_live(
            bus_access.find(config, rights.MONITOR), patterns, out, seconds, config.make_instruments()
        )
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, recording.cancel)
    await asyncio.wait({recording})
    if recording.cancelled():  # told to stop: the file is whole
        written(out, sum(1 for _ in open_recording(out)), common)
    else:
        written(out, recording.result(), common)


def retrace(directory: Path, /, *, common: Common = COMMON) -> int:
    """Run every core over its tape again: it must decide exactly what it decided then.

    bestex up --tape tapes ... ; bestex retrace tapes

    Exit code: 0 all is identical, 1 something differs.
    """
    from bestex.tape import retrace as retrace_tapes

    if not directory.is_dir():
        raise UsageError(f"{directory}: there is no such directory")
    reports = retrace_tapes(directory)
    if not reports:
        raise RecordingError(f"{directory} holds no tape; make one with `bestex up --tape {directory}`")
    identical = all(report.identical for report in reports)
    if common.json:
        print_json({"identical": identical, "tapes": reports})
        return 0 if identical else 1
    for report in reports:
        print(report)
    print("all is identical" if identical else "something differs")
    return 0 if identical else 1
