"""`bestex impact`: what recorded data say of market impact, and what an order would do by what is configured."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from bestex.cli.common import COMMON, Common, Number, console, known, print_json, table
from bestex.cli.recordings import existing, simulation
from bestex.errors import RecordingError, UsageError

if TYPE_CHECKING:
    from bestex.impact.observe import Observer
    from bestex.impact.settings import ImpactSettings

impact_app = App(
    name="impact", help="Calibrate market impact, and estimate an order's.", help_format="plaintext"
)

LEVELS = 400  # of each book: bitcoin's reach some 10 bps from the mid with so many
Flag = Annotated[bool, Parameter(negative="")]


@impact_app.command
def calibrate(
    *files: Path,
    symbol: str = "",
    bucket: str = "1s",
    day: str = "24h",
    toml: Flag = False,
    simulate: str = "",
    duration: str = "10m",
    seed: int = 1,
    common: Common = COMMON,
) -> int:
    """Depth, refill and the square-root law from books and trades, each with its confidence or why there is none.

    bestex impact calibrate spot.rec --symbol BTC/USDT
    bestex impact calibrate spot.rec --toml >> bestex.toml
    bestex impact calibrate --simulate crypto --duration 1h --json

    Exit code: 0 the square-root law is known for every symbol, 1 it is not.

    Parameters
    ----------
    symbol
        This symbol only.
    bucket
        Flow and returns are summed over buckets of this length, such as 1s or 5s.
    day
        How long the market trades a day, such as 24h or 8h30m.
    toml
        Print sections for bestex.toml.
    simulate
        Instead of a recording, the configuration's instruments in the market model of this preset.
    duration
        How long to simulate, such as 90s, 10m, 8h30m.
    seed
        Of the simulation: another one is another day.
    """
    from bestex.impact import report
    from bestex.impact.calibrate import calibrate as of
    from bestex.impact.figures import Figure
    from bestex.impact.observe import STEP_NS

    if toml and common.json:
        raise UsageError("--toml and --json are two forms; choose one")
    if simulate and files:
        raise UsageError("--simulate makes its own market; leave out the recordings")
    bucket_s, day_s = _seconds("--bucket", bucket), _seconds("--day", day)
    if round(bucket_s * 1e9) % STEP_NS:
        raise UsageError(f"--bucket {bucket}: must be a multiple of 100ms")
    observers = _simulated(simulate, duration, seed, common) if simulate else _recorded(existing(files))
    if symbol:
        name = known("symbol", symbol, [observer.instrument.symbol for observer in observers])
        observers = [observer for observer in observers if observer.instrument.symbol == name]
    found = [of(observer, bucket_s, day_s) for observer in observers]
    if common.json:
        print_json({"calibrations": found})
    elif toml:
        print("\n".join(report.toml(one) for one in found), end="")
    else:
        for one in found:
            rows = table(
                "market", "figure", "estimate", "90 % interval, or why not", "of", right=("estimate",)
            )
            for row in report.rows(one):
                rows.add_row(*row)
            out = console()
            out.print(f"{one.symbol}, {one.seconds:g} s, buckets of {one.bucket_s:g} s")
            out.print(rows)
    return 0 if all(isinstance(one.together.prefactor, Figure) for one in found) else 1


def _seconds(option: str, text: str) -> float:
    from bestex.clock import SECOND
    from bestex.human import Duration

    try:
        seconds = Duration.parse(text) / SECOND
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if seconds <= 0:
        raise UsageError(f"{option}: must be longer than nothing")
    return seconds


def _recorded(files: tuple[Path, ...]) -> list[Observer]:
    from bestex.impact.observe import of_messages
    from bestex.recording import open_recording

    recording = open_recording(*files)
    if not recording.streams:
        raise RecordingError("there is no market in what was recorded")
    return of_messages(recording.instruments, recording.books(LEVELS))


def _simulated(preset: str, duration: str, seed: int, common: Common) -> list[Observer]:
    from bestex.impact.observe import of_events

    return [of_events(*market) for market in simulation(preset, duration, seed, common)]


def _with_day(
    symbol: str, settings: ImpactSettings, volume: Decimal | None, volatility: str
) -> ImpactSettings:
    """The settings with a day's volume and volatility; UsageError where nobody has said them."""
    import msgspec

    from bestex.human import Ratio

    if volume is not None:
        settings = msgspec.structs.replace(settings, daily_volume=volume)
    if volatility:
        try:
            settings = msgspec.structs.replace(settings, daily_volatility=Ratio.parse(volatility))
        except ValueError as error:
            raise UsageError(f"--volatility: {error}") from None
    if settings.daily_volume is None or settings.daily_volatility is None:
        raise UsageError(
            f"a day's volume and volatility of {symbol} are not configured; write them as daily_volume and "
            f'daily_volatility of [impact."{symbol}"], or give --volume and --volatility'
        )
    if problem := settings.problem():
        raise UsageError(problem)
    return settings


@impact_app.command
def estimate(
    symbol: str,
    qty: Number,
    /,
    *,
    duration: str = "10m",
    volume: Number | None = None,
    volatility: str = "",
    common: Common = COMMON,
) -> None:
    """What an order would do to the price by `[impact]` of the configuration. Nothing is asked or sent.

    bestex impact estimate BTC/USDT 25 --duration 30m
    bestex impact estimate BTC/USDT 25 --volume 60000 --volatility 3%

    Parameters
    ----------
    duration
        How long the order takes.
    volume
        The volume of a day in base, if not the configured one.
    volatility
        The volatility of a day, such as 3%, if not the configured one.
    """
    from bestex.impact.forecast import forecast
    from bestex.impact.settings import ImpactSettings

    config = common.load()
    known("symbol", symbol, config.instruments)
    settings = _with_day(symbol, config.impact.get(symbol, ImpactSettings()), volume, volatility)
    found = forecast(symbol, qty, _seconds("--duration", duration), settings)
    if common.json:
        print_json(found)
        return
    out = console()
    out.print(
        f"{found.qty:f} {symbol} is {found.share:.3%} of a day's volume and moves the price "
        f"{found.peak_bps:.2f} bps by its end; on average it pays {found.cost_bps:.2f} bps of that."
    )
    out.print(
        f"Pace alone costs {found.temporary_bps:.2f} bps over {duration} (Almgren et al. 2005). What decays is "
        f"half gone after {settings.half_life}."
    )
    if found.venues:
        rows = table(
            "venue", "qty", "of its depth", "moves, bps", right=("qty", "of its depth", "moves, bps")
        )
        for part in found.venues:
            rows.add_row(part.venue, f"{part.qty:f}", f"{part.share:.1%}", f"{part.peak_bps:.2f}")
        out.print(f"At once, by the venues' configured depth: {found.at_once_bps:.2f} bps")
        out.print(rows)
