"""The venue's lists, of open orders and of our trades, for all symbols that we trade there: in one request where the
venue has one for all, else one for each symbol.

Where each symbol costs a request of its own, and the venue's stream tells of the whole account (`Quirk.QUIET`), the
trades are asked for only where there may be some: in every symbol when all is reconciled, after each connection; then
in those in which orders were open or sent since, or of which the stream has told anything. What is not seen between
two reconciliations: trades of an order that was placed there by other means, in a symbol of which all was quiet, if
the stream, though it is up, does not tell of it. The balance is compared all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from bestex.clock import MS
from services.gateway import port as p
from services.gateway.venues.ccxt import said
from services.gateway.venues.ccxt.quirks.base import Quirk
from services.gateway.venues.ccxt.terms import Market


class Lists:
    """`markets` by ccxt's symbol. Half a list is no list: each answer is None where any of its requests failed."""

    def __init__(
        self,
        venue: str,
        quirk: Quirk,
        names: said.Names,
        markets: Mapping[str, Market],
        safe: Callable[[BaseException], str],
    ) -> None:
        self._quirk, self._names, self._markets, self._safe = quirk, names, markets, safe
        self._busy = set(markets)  # symbols in which there may be trades that were not told
        self._rounds: list[set[str]] = []  # of each reconciliation under way, what was busy in it
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(venue=venue)

    def busy(self, symbol: str) -> None:
        """Something happens there, or may."""
        for symbols in (self._busy, *self._rounds):
            symbols.add(symbol)

    def begin(self, symbols: Iterable[str]) -> set[str]:
        """A round in which all symbols are asked. Of orders in `symbols` something is awaited."""
        found = set(symbols)
        self._rounds.append(found)
        return found

    def end(self, found: set[str], *, whole: bool) -> None:
        """Where everything was answered, all that did not stir in the round is quiet."""
        self._rounds = [one for one in self._rounds if one is not found]
        if whole:
            self._busy = found

    async def opened(
        self, exchange: Any, symbols: Iterable[str] | None = None
    ) -> list[p.VenueAccepted] | None:
        """Of all symbols where none are given."""
        opened: list[p.VenueAccepted] = []
        asked = list(self._markets if symbols is None else symbols)
        try:
            for one in await self._quirk.open_orders_of(exchange, asked):
                venue_order_id, market = str(one.get("id") or ""), self._markets[one["symbol"]]
                child_id = self._quirk.own_id(one) or self._names.child(venue_order_id)
                self._names.learn(venue_order_id, child_id)
                stands = said.order(one, child_id or f"{said.FOREIGN}{venue_order_id}", market)
                if isinstance(stands, p.VenueAccepted):
                    self.busy(market.symbol)
                    opened.append(stands)
        except Exception as error:  # noqa: BLE001 - half a list is no list
            self._log.warning("no list of open orders", symbols=asked, error=self._safe(error))
            return None
        return opened

    async def fills(
        self, exchange: Any, since_ns: int, symbols: Iterable[str] | None = None
    ) -> list[p.VenueFill] | None:
        """Where no symbols are given, of all in which there may be some."""
        fills: list[p.VenueFill] = []
        asked = [one for one in self._markets if one in self._busy or not self._quirk.QUIET]
        asked = asked if symbols is None else list(symbols)
        try:
            for trade in await self._quirk.trades_of(exchange, asked, max(since_ns, 0) // MS):
                market = self._markets[trade["symbol"]]
                fills.append(said.fill(trade, await self._owner(exchange, market, trade), market))
        except Exception as error:  # noqa: BLE001 - half a list is no list
            self._log.warning("no list of trades", symbols=asked, error=self._safe(error))
            return None
        return sorted(fills, key=lambda fill: fill.venue_ns)

    async def _owner(self, exchange: Any, market: Market, trade: Any) -> str:
        """Whose trade it is. An order that nothing is known of, as after a restart, is asked for by its id."""
        venue_order_id = str(trade.get("order") or "")
        child_id = self._names.child(venue_order_id) or self._quirk.own_id(trade)
        if not child_id and venue_order_id:
            found = await exchange.fetch_order(venue_order_id, market.symbol, {"acknowledged": True})
            child_id = self._quirk.own_id(found) or f"{said.FOREIGN}{venue_order_id}"
        self._names.learn(venue_order_id, child_id)
        return child_id
