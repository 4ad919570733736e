"""`bestex recording make`: a made-up day."""

from __future__ import annotations

import string
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bestex.cli.common import COMMON, Common, Number, assignments, known, venue_names
from bestex.cli.recording_files import duration_ns, moment_ns, new_file, watched, written
from bestex.errors import UsageError

START = "2025-11-03T08:00:00Z"
# Of an instrument that each preset was made for: symbol, price, tick, lot.
USUAL = {
    "equity": ("ABC/EUR", Decimal(34), Decimal("0.01"), Decimal(1)),
    "crypto": ("BTC/USDT", Decimal(60_000), Decimal("0.01"), Decimal("0.00001")),
}
DURATION_MAX = "31d"  # some hundred million events


def make(
    out: Path,
    /,
    *,
    preset: str = "equity",
    venues: str = "4",
    duration: str = "1h",
    seed: int = 1,
    symbol: str = "",
    price: Number | None = None,
    tick: Number | None = None,
    lot: Number | None = None,
    start: str = START,
    figures: Annotated[list[str] | None, Parameter(name="--set")] = None,
    common: Common = COMMON,
) -> None:
    """A made-up day of a market on several venues, from the market model. The same words give the same bytes.

    bestex recording make day.rec --preset equity --venues 3 --duration 8h --seed 7
    bestex recording make day.rec --preset crypto --venues sim_a,sim_b --set news_bps=0.5 --set sim_b.noise=10

    Parameters
    ----------
    out
        Where to write.
    preset
        equity or crypto.
    venues
        How many, called sim_a, sim_b, ..., or their names, comma separated.
    duration
        How long, such as 90s, 10m, 8h30m.
    seed
        Another one is another day.
    symbol
        What is traded.
    price
        At the beginning.
    tick
        Of all venues.
    lot
        Of all venues.
    start
        When it begins, such as 2026-11-27T08:00:00Z.
    figures
        Another figure of the market, name=number, or of a venue, venue.name=number; as often as needed. A wrong name
        shows all there are.
    """
    from bestex.clock import SECOND
    from bestex.fleet import build
    from bestex.market import PRESETS, simulate
    from bestex.market.presets import changed, preset_named
    from bestex.market_recording import feed_of, made_up_instrument, streams_of
    from bestex.recording import write_recording

    new_file(out)
    known("preset", preset, PRESETS)
    names = _venues(venues)
    span_ns = duration_ns(duration, "--duration")
    if span_ns > duration_ns(DURATION_MAX, "--duration"):
        raise UsageError(f"--duration: at most {DURATION_MAX}; make several and merge them")
    start_ns = moment_ns(start, 0, "--start")
    usual_symbol, usual_price, usual_tick, usual_lot = USUAL[preset]
    instrument = made_up_instrument(symbol or usual_symbol, names, tick or usual_tick, lot or usual_lot)
    try:
        first_price = instrument.price_units(price or usual_price)
    except ValueError as error:
        raise UsageError(f"--price: {error}") from None
    wanted = {name: _figure(name, value) for name, value in assignments(figures or (), "--set").items()}
    market = changed(preset_named(preset), wanted, names)
    told = "".join(f", {name}={value:g}" for name, value in wanted.items())
    source = f"the market model's {preset}, seed {seed}{told}, bestex {build()}"
    events = simulate(instrument, preset, seed, span_ns / SECOND, first_price, start_ns, market)
    read = watched(feed_of(instrument, events), start_ns, start_ns + span_ns, "making")
    count = write_recording(out, source, streams_of(instrument), read, created_ns=0)
    written(out, count, common, seed=seed, preset=preset, figures=wanted)


def _venues(text: str) -> list[str]:
    from bestex.importers.options import is_venue

    if text.isdigit():
        count = int(text)
        if not 1 <= count <= len(string.ascii_lowercase):
            raise UsageError(f"--venues {text}: there are 1 to {len(string.ascii_lowercase)}")
        return [f"sim_{letter}" for letter in string.ascii_lowercase[:count]]
    names = venue_names(text) or []
    if not names or len(set(names)) != len(names) or not all(map(is_venue, names)):
        raise UsageError(
            f"--venues {text}: write a number, or different names of a-z, 0-9 and _ with commas between them"
        )
    return names


def _figure(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"--set {name}={value}: write a number")
    return float(value)
