"""A configuration for trading on recordings, derived from the instruments that the recordings describe.

The recording of `binance_spot` `BTC/USDT` and that of `binance_perp` `BTC/USDT:USDT` become one instrument
`BTC/USDT` with two listings, at simulated venues whose background is the recording.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from bestex.errors import ConfigError, RecordingError
from bestex.ids import base36, digest
from bestex.instruments import BPS_E8, Instrument, Listing
from bestex.recording import convert, is_own_format, open_recording
from bestex.units import from_units

# What an ordinary account pays where the recording says nothing: taker and maker in bps.
FEES_BPS = {
    "spot": (Decimal(10), Decimal(10)),
    "perp": (Decimal(5), Decimal(2)),
    "dark": (Decimal(1), Decimal(0)),
}

# An inverse contract's size in base is no round number; what is tradable in base is decided elsewhere.
INVERSE_QTY_SCALE = 8


def routing_symbol(symbol: str) -> str:
    """What parents are placed in: `BTC/USDT:USDT`, a perpetual settled in USDT, is routed as `BTC/USDT`."""
    return symbol.partition(":")[0]


def config_text(instruments: Sequence[Instrument], recordings: Mapping[str, Sequence[str]]) -> str:
    """TOML of a whole configuration. `recordings`: venue -> its files. Raises ConfigError where one venue
    would list an instrument twice."""
    by_symbol: dict[str, list[tuple[Instrument, Listing]]] = {}
    for instrument in instruments:
        for listing in instrument.listings:
            listed = by_symbol.setdefault(routing_symbol(instrument.symbol), [])
            if any(other.venue == listing.venue for _, other in listed):
                raise ConfigError(
                    f"two recordings of {listing.venue} are routed as {routing_symbol(instrument.symbol)}; "
                    "replay one of them"
                )
            listed.append((instrument, listing))
    lines = []
    for priority, venue in enumerate(sorted(recordings), 1):
        lines += [f"[venues.{venue}]", 'adapter = "sim"', f"priority = {priority}", ""]
    for symbol, listed in by_symbol.items():
        price_scale = max(instrument.price_scale for instrument, _ in listed)
        qty_scale = max(
            INVERSE_QTY_SCALE if listing.inverse else instrument.qty_scale for instrument, listing in listed
        )
        lines += [f"[instruments.{json.dumps(symbol)}]"]
        lines += [f"price_scale = {price_scale}", f"qty_scale = {qty_scale}", ""]
        for instrument, listing in listed:
            lines += _listing(symbol, instrument, listing)
    lines += recordings_table(recordings)
    return "\n".join(lines) + "\n"


def _listing(symbol: str, instrument: Instrument, listing: Listing) -> list[str]:
    """The venue's terms as decimals: units are those of the recording's own scales."""
    taker, maker = FEES_BPS[listing.kind]
    if listing.taker_fee_e8 or listing.maker_fee_e8:
        taker, maker = Decimal(listing.taker_fee_e8) / BPS_E8, Decimal(listing.maker_fee_e8) / BPS_E8
    terms = {
        "symbol": listing.symbol,
        "kind": listing.kind,
        "tick": instrument.price(listing.tick),
        "lot": instrument.qty(listing.lot),
        "min_qty": instrument.qty(listing.min_qty),
        "min_notional": instrument.cash(listing.min_notional),
        "taker_bps": taker,
        "maker_bps": maker,
    }
    if listing.inverse:
        terms["lot"] = terms["min_qty"] = from_units(1, INVERSE_QTY_SCALE)
    elif listing.max_qty:
        terms["max_qty"] = instrument.qty(listing.max_qty)
    if listing.contract_size != 1 or listing.inverse:
        scale = 0 if listing.inverse else instrument.qty_scale
        terms["contract_size"] = from_units(listing.contract_size, scale)
    if listing.ticks:
        del terms["tick"]
    lines = [f"[instruments.{json.dumps(symbol)}.venues.{listing.venue}]"]
    lines += [
        f"{key} = {json.dumps(f'{value:f}' if isinstance(value, Decimal) else value)}"
        for key, value in terms.items()
    ]
    if listing.ticks:
        bands = [[f"{instrument.price(number):f}" for number in band] for band in listing.ticks]
        lines.append(f"ticks = {json.dumps(bands)}")
    if listing.inverse:
        lines.append("inverse = true")
    return [*lines, ""]


def recordings_table(recordings: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        "[exchange.recordings]",
        *(f"{venue} = {json.dumps(list(files))}" for venue, files in sorted(recordings.items())),
    ]


def with_recordings(text: str, recordings: Mapping[str, Sequence[str]]) -> str:
    """A configuration of the user's own, with the recordings added to it. Raises ConfigError where a venue is
    missing in it, or where it names recordings already."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"configuration: {error}") from None
    if "recordings" in tree.get("exchange", {}):
        raise ConfigError("exchange.recordings: stands in the configuration already; leave out --replay")
    for venue in recordings:
        if venue not in tree.get("venues", {}):
            raise ConfigError(f"venues.{venue}: there is a recording of it, but no such venue")
    return "\n".join([text.rstrip(), "", *recordings_table(recordings), ""])


def derive(paths: Sequence[Path], base_text: str, cache_dir: Path) -> tuple[str, int]:
    """The configuration's text for these recordings, and the time of their first message.

    Raw frames are converted into `cache_dir` first, once: every service would read them whole at its start
    only to learn their scales. Raises RecordingError and ConfigError.
    """
    instruments: dict[str, Instrument] = {}
    recordings: dict[str, list[str]] = {}
    starts = []
    for path in own_format(paths, cache_dir):
        recording = open_recording(path)
        starts.append(recording.start_ns)
        for instrument in recording.instruments:
            known = instruments.setdefault(instrument.symbol, instrument)
            if known.listings != instrument.listings:
                raise ConfigError(f"{path}: another recording lists {instrument.symbol} on other terms")
            for listing in instrument.listings:
                recordings.setdefault(listing.venue, []).append(str(path.resolve()))
    if base_text:
        return with_recordings(base_text, recordings), min(starts)
    return config_text(tuple(instruments.values()), recordings), min(starts)


def own_format(paths: Sequence[Path], cache_dir: Path) -> list[Path]:
    """The files in our own format: raw frames are converted into `cache_dir` first, once. RecordingError."""
    for path in paths:
        if not path.is_file():
            raise RecordingError(f"{path}: there is no such file")
    raw = [path for path in paths if not is_own_format(path)]
    own = [path for path in paths if path not in raw]
    if not raw:
        return own
    versions = [f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in raw]
    key = base36(digest(*versions), 12)
    converted = cache_dir / f"{key}.rec"
    if not converted.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        draft = cache_dir / f"{key}.{os.getpid()}.part"
        convert(raw, draft)
        draft.replace(converted)
    return [*own, converted]
