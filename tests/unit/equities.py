"""Korean stocks as they are configured: ticks by the price, and two exchanges with their own hours."""

from __future__ import annotations

from collections.abc import Mapping

from bestex.config import Config, parse
from bestex.instruments import Instrument

SYMBOL = "005930"

# KRX's table, which NXT shares: the price from which on, and the tick; in KRW, whose unit is one.
KRX_TICKS = (
    ("0", "1"),
    ("2000", "5"),
    ("5000", "10"),
    ("20000", "50"),
    ("50000", "100"),
    ("200000", "500"),
    ("500000", "1000"),
)
KRX_TICKS_UNITS = tuple((int(start), int(tick)) for start, tick in KRX_TICKS)
HOURS = {"krx": "XKRX", "nxt": "NXT"}


def korean(
    *,
    price: str = "70000",
    venues: tuple[str, ...] = ("krx",),
    calendars: Mapping[str, str] | None = None,
    terms: Mapping[str, str] | None = None,
    more: str = "",
) -> Config:
    """Simulated venues of these names that trade one stock; `terms` are further settings of a venue."""
    hours, settings = calendars or {}, terms or {}
    ticks = "[" + ", ".join(f'["{start}", "{tick}"]' for start, tick in KRX_TICKS) + "]"
    heads = [
        f'[venues.{venue}]\nadapter = "sim"\ncalendar = "{hours.get(venue, "24/7")}"\n{settings.get(venue, "")}'
        for venue in venues
    ]
    listings = [
        f'[instruments."{SYMBOL}".venues.{venue}]\nticks = {ticks}\nlot = "1"\ntaker_bps = "2"'
        for venue in venues
    ]
    instrument = f'[instruments."{SYMBOL}"]\nprice_scale = 0\nqty_scale = 0\nstart_price = "{price}"'
    return parse("\n".join([*heads, instrument, *listings, more]))


def korea(*, price: str = "70000", venues: tuple[str, ...] = ("krx",)) -> Instrument:
    return korean(price=price, venues=venues).make_instruments().by_symbol[SYMBOL]
