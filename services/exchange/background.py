"""What the market around our orders does, event by event, from a model or from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import msgspec

from bestex.background import BackgroundEvent
from bestex.config import Config
from bestex.instruments import Instrument
from bestex.market import MarketModel


class Happening(NamedTuple):
    """`event` in the market that its venue calls `symbol`."""

    symbol: str
    event: BackgroundEvent


class Background(Protocol):
    def step_until(self, now_ns: int) -> Iterable[Happening]:
        """What has happened since the last call, up to and including `now_ns`, in time order."""


class ModelBackground:
    """One instrument's market model on its listings."""

    def __init__(
        self, instrument: Instrument, preset: str, seed: int, start_price: int, start_ns: int
    ) -> None:
        self._model = MarketModel(instrument, preset, seed, start_price, start_ns)
        self._symbols = {listing.venue: listing.symbol for listing in instrument.listings}

    def step_until(self, now_ns: int) -> Iterable[Happening]:
        return [Happening(self._symbols[event.venue], event) for event in self._model.step_until(now_ns)]


def backgrounds(
    config: Config, venues: Iterable[str], start_prices: dict[str, int], start_ns: int
) -> list[Background]:
    """A model for each instrument that is listed on lit ones of `venues`.

    `start_prices` are those of an earlier run by instrument, in units; the configured one is for the rest.
    """
    modelled = set(venues)
    made: list[Background] = []
    for instrument in config.make_instruments().all:
        listings = tuple(
            listing for listing in instrument.listings if listing.venue in modelled and listing.kind != "dark"
        )
        if not listings:
            continue
        settings = config.exchange
        symbol = instrument.symbol
        start = start_prices.get(symbol) or instrument.price_units(config.instruments[symbol].start_price)
        restricted = msgspec.structs.replace(instrument, listings=listings)
        made.append(ModelBackground(restricted, settings.preset, settings.seed, start, start_ns))
    return made
