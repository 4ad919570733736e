"""What a venue needs before an order goes there for real: the word, keys that nobody else may read, and limits.

Nothing here is asked of a venue on paper. What the keys may do is asked of the venue itself, by its gateway.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bestex.clock import AffineClock
from bestex.config import Config
from bestex.errors import Code, ConfigError
from bestex.keys import read_keys


class Lack(NamedTuple):
    """Why a venue may not trade for real. `text` is a sentence with what to write."""

    code: Code
    text: str

    def __str__(self) -> str:
        return f"{self.text} ({self.code})"


def check(venue: str, config: Config, clock: AffineClock) -> None:
    """ConfigError with all that lacks, where `venue` is to trade for real and may not."""
    if config.venues[venue].is_real and not clock.is_live:
        raise ConfigError(
            f"venues.{venue}: in a replay nothing is traded for real, and its time is not the venue's"
        )
    if lacks := list(lacking(venue, config)):
        instead = f'or write mode = "paper" in [venues.{venue}]'
        raise ConfigError("; ".join(map(str, lacks)) + f"; {instead}")


def lacking(venue: str, config: Config) -> Iterator[Lack]:
    """Nothing for a venue that is not live."""
    if not config.venues[venue].is_live:
        return
    if lack := _keys(venue, config):
        yield lack
    limits = config.limits
    symbols = [symbol for symbol, item in config.instruments.items() if venue in item.venues]
    wanted: list[str] = []
    for symbol in symbols:
        exposures = [
            limit
            for limit in limits.exposure
            if not limit.account and limit.venue in ("", venue) and limit.symbol in ("", symbol)
        ]
        if limits.of_order(symbol).max_order_value is None:
            wanted.append(f'[limits.instruments."{symbol}"] max_order_value = "..."')
        if all(limit.max_position is None for limit in exposures):
            wanted.append(f'[[limits.exposure]] venue = "{venue}", symbol = "{symbol}", max_position = "..."')
        if all(limit.max_open_value is None for limit in exposures):
            wanted.append(f'[[limits.exposure]] venue = "{venue}", max_open_value = "..."')
    if venue not in limits.open_orders:
        wanted.append(f"[limits.open_orders] {venue} = 20")
    if wanted:
        text = f"venues.{venue}: to trade for real it needs limits; write {', '.join(dict.fromkeys(wanted))}"
        yield Lack(Code.LIVE_WITHOUT_LIMITS, text)


def _keys(venue: str, config: Config) -> Lack | None:
    path = config.venues[venue].keys
    if not path:
        text = (
            f'venues.{venue}: to trade for real it needs its keys; write keys = "FILE", a file of mode 600 with '
            'key = "..." and secret = "..."'
        )
        return Lack(Code.LIVE_WITHOUT_KEYS, text)
    try:
        read_keys(path)
    except ConfigError as error:
        return Lack(Code.LIVE_WITHOUT_KEYS, f"venues.{venue}.keys: {error}")
    return None
