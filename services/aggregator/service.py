"""What the aggregator is made of and what it hears."""

from __future__ import annotations

import msgspec

from bestex import subjects
from bestex.config import Config
from bestex.errors import UsageError
from bestex.instruments import Instruments
from bestex.service import Service
from services.aggregator.core import AggregatorCore


def build(config: Config, names: tuple[str, ...]) -> Service:
    """The aggregator of the instruments `names` (symbols or subject tokens; empty or `all`: every one).

    Raises UsageError for a symbol that is not configured.
    """
    chosen = _chosen(config.make_instruments(), names)
    core = AggregatorCore(_as_spoken(chosen, config), config.market_data)
    return Service("aggregator", names, core, hears=hears(chosen))


def _as_spoken(instruments: Instruments, config: Config) -> Instruments:
    """A simulated venue, or one on paper, states sizes in base, whatever contract it stands for: it has converted
    them."""
    return Instruments(
        tuple(
            msgspec.structs.replace(
                instrument,
                listings=tuple(
                    msgspec.structs.replace(listing, contract_size=1, inverse=False)
                    if config.venues[listing.venue].in_exchange
                    else listing
                    for listing in instrument.listings
                ),
            )
            for instrument in instruments.all
        )
    )


_SUBJECTS = {
    "spot": (subjects.md_book, subjects.md_trade),
    "dark": (subjects.md_book, subjects.md_trade),
    "perp": (subjects.md_book, subjects.md_trade, subjects.md_mark),
}


def hears(instruments: Instruments) -> tuple[str, ...]:
    """The live subjects that carry the instruments' books and trades, each once."""
    return tuple(
        sorted(
            {
                subject(listing.venue, listing.symbol)
                for instrument in instruments.all
                for listing in instrument.listings
                for subject in _SUBJECTS[listing.kind]
            }
        )
    )


def _chosen(instruments: Instruments, names: tuple[str, ...]) -> Instruments:
    if not names or "all" in names:
        return instruments
    found = []
    for name in dict.fromkeys(names):
        instrument = instruments.get(name)
        if instrument is None:
            known = ", ".join(item.symbol for item in instruments.all) or "none"
            raise UsageError(f"no instrument is called {name}; there are {known}")
        found.append(instrument)
    return Instruments(tuple(dict.fromkeys(found)))
