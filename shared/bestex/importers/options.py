"""What a person knows of a foreign file that the file does not say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from bestex.errors import UsageError
from bestex.units import MAX_SCALE

_VENUE = re.compile(r"[a-z0-9_]{1,24}")


def is_venue(name: str) -> bool:
    """Whether a configuration could name a venue so."""
    return _VENUE.fullmatch(name) is not None


class ImportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`symbol`: what is traded, where the file has no column for it. `venues`: names for publishers, by what the
    file calls them. `price_exponent`: prices are whole numbers of 10^-this. `market`: of minute bars. `spread_bps`:
    of the quotes that are made of bars of trades; 0 makes none."""

    symbol: str = ""
    venues: Mapping[str, str] = {}
    price_exponent: int = 0
    market: Literal["", "equity", "crypto"] = ""
    spread_bps: float = 0.0

    def checked(self) -> ImportOptions:
        """Itself. UsageError for values that no file can have."""
        if not 0 <= self.price_exponent <= MAX_SCALE:
            raise UsageError(f"a price exponent is from 0 to {MAX_SCALE}, not {self.price_exponent}")
        if not 0 <= self.spread_bps < 10_000:
            raise UsageError(f"a spread of {self.spread_bps:g} bps is none")
        wrong = next((name for name in self.venues.values() if not is_venue(name)), None)
        if wrong is not None:
            raise UsageError(f'a venue\'s name is 1 to 24 of a-z, 0-9 and _, not "{wrong}"')
        return self

    def venue(self, publisher: str) -> str:
        """A publisher's name as a venue: the given one, else `publisher_2` of a number, else its own in small."""
        known = self.venues.get(publisher)
        if known is not None:
            return known
        if publisher.isdigit():
            return f"publisher_{publisher}"[:24]
        return re.sub(r"[^a-z0-9_]+", "_", publisher.lower()).strip("_")[:24] or "publisher"


NOTHING_KNOWN = ImportOptions()
