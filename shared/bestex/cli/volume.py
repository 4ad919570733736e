"""`bestex volume`: what a market trades in the course of its day, as it is recorded, and days from elsewhere."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from bestex.cli.common import COMMON, Common, console, known, print_json, table
from bestex.cli.recordings import existing
from bestex.errors import BusError, OutcomeUnknown, UsageError

if TYPE_CHECKING:
    from nats.aio.client import Client

    from bestex.config import Config
    from bestex.instruments import Instrument
    from bestex.messages import VolumeDay

volume_app = App(name="volume", help="A market's volume by the time of day.", help_format="plaintext")

BAR = 30  # columns of the longest bar


@volume_app.default
async def show(symbol: str, *, days: int = 20, bucket: str = "15m", common: Common = COMMON) -> int:
    """The volume profile of a symbol, as the days before say it: what VWAP follows.

    bestex volume BTC/USDT
    bestex volume AAPL --days 5 --bucket 30m --json

    Exit code: 0 there is one, 1 no day of the symbol is known.

    Parameters
    ----------
    symbol
        As the configuration names it.
    days
        How many of the newest days make it.
    bucket
        Averaged over so many whole minutes.
    """
    from bestex import bus, bus_access, rights
    from bestex.clock import MINUTE
    from bestex.human import Duration
    from bestex.sessions import calendar
    from bestex.volumes import day_of, profile

    try:
        width = int(Duration.parse(bucket)) // MINUTE
    except ValueError as error:
        raise UsageError(f"--bucket: {error}") from None
    if width < 1 or days < 1:
        raise UsageError("--bucket must be a minute at the least, and --days 1")
    config = common.load()
    instrument = _instrument(config, symbol)
    client = await bus.connect(bus_access.find(config, rights.MONITOR), "bestex-volume")
    try:
        stored = (await read_days(client, instrument.symbol))[-days:]
    finally:
        await client.close()
    found = [day_of(message) for message in stored]
    newest = calendar(instrument.calendar).on(stored[-1].date) if stored else None
    made = None if newest is None else profile(found, newest.minutes, width)
    if common.json:
        print_json(
            {
                "symbol": instrument.symbol,
                "days": [_summary(message) for message in stored],
                "volume": None if made is None else made.volume,
                "shares": [] if made is None else made.shares.tolist(),
            }
        )
    elif made is None or newest is None:
        print(f"of {instrument.symbol} no day is known; the recorder keeps them, `bestex volume import` too")
    else:
        rows = table("from", "share", "volume", "", right=("share", "volume"))
        parts = [float(made.shares[i : i + width].sum()) for i in range(0, newest.minutes, width)]
        for i, part in enumerate(parts):
            begins = _clock(newest.begin_ns(i * width))
            rows.add_row(
                begins, f"{part:.2%}", f"{part * made.volume:.6g}", "▇" * round(BAR * part / max(parts))
            )
        console().print(rows)
        count = len(made.dates)
        print(f"{count} day{'s' * (count > 1)}, {made.dates[0]} to {made.dates[-1]}; times are UTC")
    return 0 if made is not None else 1


@volume_app.command(name="import")
async def bring(symbol: str, *files: Path, common: Common = COMMON) -> int:
    """Days of minute bars from files: LEAN's zips of trades, or CSV of `time,volume` with times such as
    2026-11-27T14:30:00Z. A day that is known already is replaced.

    bestex volume import AAPL aapl_20140605_trade.zip aapl_20140606_trade.zip

    Exit code: 0 all days are stored.

    Parameters
    ----------
    symbol
        As the configuration names it.
    files
        Each of one symbol. What was traded outside the market's sessions is left out.
    """
    from bestex import bus, bus_access, bus_address, rights
    from bestex.bars import volume_days
    from bestex.clock import Time
    from bestex.sessions import calendar

    config = common.load()
    instrument = _instrument(config, symbol)
    hours = calendar(instrument.calendar)
    now = Time(bus_address.find_clock(config).now_ns())
    by = f"{getpass.getuser()}@{socket.gethostname()}"
    days = {
        day.date: day
        for path in existing(files)
        for day in volume_days(path, instrument.symbol, hours, now, by)
    }
    for date in days:
        session = hours.on(date)
        if session is None or session.close_ns > now:
            raise UsageError(f"the session of {date} is not over; the recorder is at work on it")
    client = await bus.connect(bus_access.find(config, rights.OPERATOR), "bestex-volume")
    try:
        for day in days.values():
            await _store(client, day)
    finally:
        await client.close()
    shown = [_summary(days[date]) for date in sorted(days)]
    if common.json:
        print_json({"symbol": instrument.symbol, "days": shown})
        return 0
    rows = table("date", "volume", "minutes", "missing", right=("volume", "minutes", "missing"))
    for one in shown:
        rows.add_row(one["date"], str(one["volume"]), str(one["minutes"]), str(one["missing"]))
    console().print(rows)
    print("stored; the recorder passes them on to the schedulers")
    return 0


async def read_days(client: Client, symbol: str) -> list[VolumeDay]:
    """The last word on each day of a symbol, oldest first."""
    from bestex import codec, reading, subjects
    from bestex import messages as m

    found: list[VolumeDay] = []

    def take(kept: reading.Kept) -> None:
        found.append(codec.from_json(kept.data, m.VolumeDay))

    pattern = subjects.volume(symbol, "*")
    await reading.read_all(client, subjects.METRICS, [pattern], take, deliver="last_per_subject")
    return sorted(found, key=lambda day: day.date)


async def _store(client: Client, day: VolumeDay) -> None:
    import nats.errors

    from bestex import bus, codec, subjects

    subject = subjects.bring_volume(day.symbol, day.date)
    try:
        ack = await bus.publish(client, subject, codec.to_json(day))
    except nats.errors.NoRespondersError:
        raise BusError("no stream takes days of volume; run `bestex streams apply`") from None
    except (nats.errors.Error, TimeoutError) as error:
        raise OutcomeUnknown(f"{subject}: the bus did not confirm; import it once more") from error
    if ack.error is not None:
        raise BusError(f"{subject}: {ack.error.description}")


def _instrument(config: Config, symbol: str) -> Instrument:
    instruments = config.make_instruments()
    found = instruments.get(symbol)
    return instruments.by_symbol[known("symbol", symbol, instruments.by_symbol)] if found is None else found


def _summary(day: VolumeDay) -> dict[str, Any]:
    known_minutes = [volume for volume in day.minutes if volume is not None]
    return {
        "date": day.date,
        "volume": sum(known_minutes),
        "minutes": len(day.minutes),
        "missing": len(day.minutes) - len(known_minutes),
    }


def _clock(at_ns: int) -> str:
    from bestex.clock import rfc3339

    return rfc3339(at_ns)[11:16]
