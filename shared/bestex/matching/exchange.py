"""The simulated exchange, in process and without a clock: any number of venues.

The process `services.exchange` and the virtual-time replay run this same class. It speaks the structs of
`bestex.sim_wire`. Feed it the background up to now, then `advance`, then `handle`. What happened is kept:
`drain` gives the journal's entries, `drain_prints` the public trades; `Market.version` grows with the book.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from bestex import sim_wire as w
from bestex.background import BackgroundEvent, HiddenOrder, LevelsSet
from bestex.clock import FOREVER_NS
from bestex.config_fills import FillsConfig
from bestex.errors import Code
from bestex.instruments import Instrument, Instruments
from bestex.matching.market import Market
from bestex.matching.venue import MAX_TRADES_PAGE, Print, Venue
from bestex.sessions import ALWAYS


class SimExchange:
    """`calendars` by venue, for those that do not trade at all times (`bestex.sessions`); `fills` as configured. With
    `step_by_step` every level of an update moves by itself: the same comes of it, more slowly.

    Raises ConfigError where a venue lists one symbol twice, KeyError for queries about no venue of it."""

    def __init__(
        self,
        instruments: Instruments,
        venues: Iterable[str],
        calendars: Mapping[str, str] | None = None,
        fills: FillsConfig | None = None,
        *,
        step_by_step: bool = False,
    ) -> None:
        hours, filled = calendars or {}, fills or FillsConfig()
        self._venues = {
            name: Venue(name, hours.get(name, ALWAYS), filled.of(name), step_by_step=step_by_step)
            for name in venues
        }
        for instrument in instruments.all:
            for listing in instrument.listings:
                if listing.venue in self._venues:
                    reference = partial(self._reference, instrument)
                    self._venues[listing.venue].open_market(instrument, listing, reference)

    def _reference(self, instrument: Instrument) -> tuple[int, int] | None:
        """The best bid and ask over the lit spot venues: what dark ones cross in the middle of. None where a side is
        empty."""
        lit = [
            self._venues[listing.venue].places[listing.symbol].market
            for listing in instrument.listings
            if listing.kind == "spot" and listing.venue in self._venues
        ]
        bid = max((best for market in lit if (best := market.best(1)) is not None), default=None)
        ask = min((best for market in lit if (best := market.best(-1)) is not None), default=None)
        return None if bid is None or ask is None else (bid, ask)

    # -- requests --------------------------------------------------------------------------------------------

    def handle(self, request: w.AnyRequest, now_ns: int) -> w.Answer:
        """Do one request. Whatever is wrong with it is said in the answer."""
        venue = self._venues.get(request.venue)
        if venue is None:
            text = f"there is no venue {request.venue}"
            return w.Answer(id=request.id, ok=False, at_ns=now_ns, code=Code.UNKNOWN_VENUE, text=text)
        return venue.handle(request, now_ns)

    def submit(self, request: w.Submit, now_ns: int) -> w.Answer:
        return self.handle(request, now_ns)

    def cancel(self, request: w.Cancel, now_ns: int) -> w.Answer:
        return self.handle(request, now_ns)

    def replace(self, request: w.Replace, now_ns: int) -> w.Answer:
        return self.handle(request, now_ns)

    # -- time and background ---------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> None:
        """Expire the orders whose time is over, and spring the dead-man switches that are due."""
        for venue in self._venues.values():
            venue.advance(now_ns)

    def due_ns(self, now_ns: int) -> int:
        """When `advance` may have something to do next, if nothing else happens; 0 where that is not known."""
        due_ns = FOREVER_NS if self._venues else 0
        for venue in self._venues.values():
            if (at_ns := venue.due_ns(now_ns)) < due_ns:
                due_ns = at_ns
        return due_ns

    def background(self, symbol: str, event: BackgroundEvent | LevelsSet | HiddenOrder) -> None:
        """Let one event of the market happen in the market that `event.venue` calls `symbol`."""
        self._venues[event.venue].background(symbol, event)

    # -- what happened ---------------------------------------------------------------------------------------

    def drain(self) -> list[w.JournalEntry]:
        """The journal's entries since the last call; each venue's in its order."""
        drained: list[w.JournalEntry] = []
        for venue in self._venues.values():
            if venue.entries:
                drained += venue.entries
                venue.entries.clear()
        return drained

    def drain_prints(self) -> list[Print]:
        """The public trades since the last call; each venue's in its order."""
        drained: list[Print] = []
        for venue in self._venues.values():
            if venue.prints:
                drained += venue.prints
                venue.prints.clear()
        return drained

    # -- queries ---------------------------------------------------------------------------------------------

    @property
    def venues(self) -> list[str]:
        return list(self._venues)

    def market(self, venue: str, symbol: str) -> Market:
        return self._venues[venue].places[symbol].market

    def markets(self, venue: str = "") -> list[w.MarketInfo]:
        """The terms of every market, or of one venue's."""
        return [
            w.MarketInfo(
                venue=name,
                symbol=place.symbol,
                instrument=place.instrument.symbol,
                price_scale=place.instrument.price_scale,
                qty_scale=place.instrument.qty_scale,
                listing=place.market.listing,
            )
            for name, each in self._venues.items()
            if venue in ("", name)
            for place in each.places.values()
        ]

    def query(self, venue: str, client_id: str, account: str = "default") -> w.OrderState | None:
        return self._venues[venue].query(client_id, account)

    def query_id(self, venue: str, order_id: int) -> w.OrderState | None:
        """By the venue's own id, of whatever account."""
        return self._venues[venue].query_id(order_id)

    def orders(self, venue: str, account: str = "default") -> list[w.OrderState]:
        """All that ever were, oldest first."""
        return self._venues[venue].orders(account)

    def open_orders(self, venue: str, account: str = "default", symbol: str = "") -> list[w.OrderState]:
        """Open orders, oldest first."""
        return self._venues[venue].open_orders(account, symbol)

    def trades_since(
        self,
        venue: str,
        account: str = "default",
        *,
        after: int = 0,
        since_ns: int = 0,
        client_id: str = "",
        limit: int = MAX_TRADES_PAGE,
    ) -> list[w.Trade]:
        """Trades with an id above `after`, at or after `since_ns`, oldest first.

        At most `limit`, and one more where the two sides of one trade would be parted.
        """
        return self._venues[venue].trades_since(account, after, since_ns, client_id, limit)

    def balances(self, venue: str, account: str = "default") -> w.Balances:
        return w.Balances(venue=venue, account=account, balances=self._venues[venue].balances(account))

    # -- restart ---------------------------------------------------------------------------------------------

    def restore(self, entry: w.JournalEntry) -> None:
        """Apply one entry of a journal, in its order."""
        self._venues[entry.venue].restore(entry)

    def reopen(self, now_ns: int) -> None:
        """Put restored open orders back into the books. The background must have been set up before."""
        for venue in self._venues.values():
            venue.reopen(now_ns)
