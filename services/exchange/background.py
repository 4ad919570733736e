"""What the market around our orders does, event by event, from a model or from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bestex.config import Config, ExchangeConfig
from bestex.instruments import Instrument, Listing
from bestex.market import DarkFlow, MarketModel
from bestex.market.dark import DarkFlowSettings
from bestex.sim_wire import Trade
from services.exchange.happening import Background, Happening
from services.exchange.heard import heard
from services.exchange.recordings import recorded


class ModelBackground:
    """One instrument's market model on its listings."""

    def __init__(
        self, instrument: Instrument, settings: ExchangeConfig, start_price: int, start_ns: int
    ) -> None:
        self._model = MarketModel(
            instrument, settings.preset, settings.seed, start_price, start_ns, settings.own_impact
        )
        self._symbols = {listing.venue: listing.symbol for listing in instrument.listings}

    @property
    def due_ns(self) -> int:
        return self._model.due_ns

    def step_until(self, now_ns: int) -> Iterable[Happening]:
        return [Happening(self._symbols[event.venue], event) for event in self._model.step_until(now_ns)]

    def hear(self, trades: Iterable[Trade]) -> None:
        for trade in trades:
            if trade.liquidity == "taker" and self._symbols.get(trade.venue) == trade.symbol:
                self._model.hear(trade.at_ns, trade.side.sign, trade.price * trade.qty)


class DarkBackground:
    """Others' orders in one dark book."""

    def __init__(
        self, instrument: Instrument, listing: Listing, settings: ExchangeConfig, price: int, start_ns: int
    ) -> None:
        flow = settings.dark.get(listing.venue, DarkFlowSettings())
        self._flow = DarkFlow(instrument, listing, flow, settings.seed, price, start_ns)
        self._symbol = listing.symbol

    @property
    def due_ns(self) -> int:
        return self._flow.due_ns

    def step_until(self, now_ns: int) -> Iterable[Happening]:
        return [Happening(self._symbol, event) for event in self._flow.step_until(now_ns)]

    def hear(self, trades: Iterable[Trade]) -> None:
        """Nobody sees what is traded in the dark before it is too late to answer."""


def backgrounds(
    config: Config, venues: Iterable[str], start_prices: dict[str, int], start_ns: int
) -> list[Background]:
    """The recordings of those of `venues` that have some, and what is heard of those on paper; for the others a model
    for each instrument, and a flow for each dark listing.

    `start_prices` are those of an earlier run by instrument, in units; the configured one is for the rest.
    """
    instruments, recordings = config.make_instruments().all, config.exchange.recordings
    made: list[Background] = [
        recorded(venue, recordings[venue], instruments) for venue in venues if venue in recordings
    ]
    on_paper = [venue for venue in venues if config.venues[venue].is_paper and venue not in recordings]
    made += [heard(venue, config, instruments) for venue in on_paper]
    modelled = set(venues) - set(recordings) - set(on_paper)
    for instrument in instruments:
        lit = tuple(
            listing for listing in instrument.listings if listing.venue in modelled and listing.kind != "dark"
        )
        symbol, settings = instrument.symbol, config.exchange
        start = start_prices.get(symbol) or instrument.price_units(config.instruments[symbol].start_price)
        if lit:
            restricted = msgspec.structs.replace(instrument, listings=lit)
            made.append(ModelBackground(restricted, settings, start, start_ns))
        made += [
            DarkBackground(instrument, listing, settings, start, start_ns)
            for listing in instrument.listings
            if listing.venue in modelled and listing.kind == "dark"
        ]
    return made
