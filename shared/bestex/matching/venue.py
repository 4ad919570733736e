"""One simulated venue: its markets, its accounts, its order ids, and the history of all of it.

Client ids are unique for ever per account, rejected orders included. Whatever a request, the market or the
clock changes is collected as one `JournalEntry` a step; applying the entries to an empty venue restores it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from bestex import sim_wire as w
from bestex.background import BackgroundEvent, BackgroundTrade, HiddenOrder, LevelSet, LevelsSet
from bestex.config_fills import VenueFills
from bestex.errors import Code, ConfigError
from bestex.instruments import Instrument, Listing
from bestex.matching.book import Order
from bestex.matching.dark import DarkMarket, Reference
from bestex.matching.fees import Tiers
from bestex.matching.market import Market
from bestex.matching.queues import queue_model
from bestex.matching.states import new_order, order_state, order_trade, restored_order
from bestex.matching.sweep import Match
from bestex.matching.terms import Refusal
from bestex.sessions import next_change_ns, why_closed
from bestex.sim_wire import State

MAX_ORDERS = 10_000_000  # of a venue's lifetime; some 10 GB of memory and of journal
MAX_TRADES_PAGE = 10_000  # a few MB of JSON

_UNKNOWN_ORDER = Code.UNKNOWN_ORDER, "there is no such order"
_TOO_LATE = Code.TOO_LATE, "the order has ended"
_LATE = Code.EXPIRED, "it came after its deadline"

Key = tuple[str, str]  # account, client id


class Print(msgspec.Struct, frozen=True):
    """A public trade."""

    venue: str
    symbol: str
    at_ns: int
    trade_id: str
    price: int
    qty: int
    aggressor: int


@dataclass(frozen=True, slots=True)
class Place:
    """A market with its scales and the currencies that its trades move."""

    symbol: str
    instrument: Instrument
    market: Market
    base: str
    quote: str


class Venue:
    """`entries` and `prints` collect what happened; whoever reports them empties them. While it is closed its market
    goes on unseen: it shows no book, prints no trade and takes no order, and none outlives a session."""

    def __init__(self, name: str, calendar: str, fills: VenueFills, *, step_by_step: bool = False) -> None:
        self.name, self._step_by_step = name, step_by_step
        self._fills, self._tiers = fills, Tiers(fills.fee_tiers)
        self._calendar = calendar
        self.places: dict[str, Place] = {}
        self.entries: list[w.JournalEntry] = []
        self.prints: list[Print] = []
        self._orders: dict[Key, tuple[Order, Place]] = {}
        self._by_id: dict[int, Key] = {}
        self._open: dict[Key, None] = {}
        self._trades: dict[str, list[w.Trade]] = {}
        self._balances: dict[str, dict[str, Decimal]] = {}
        self._dead_man_ns: dict[str, int] = {}
        self._now_ns = 0
        self._closed = ""
        self._seq = self._order_id = self._trade_id = 0

    def open_market(self, instrument: Instrument, listing: Listing, reference: Reference) -> None:
        """Open a market; a dark one crosses at the mid of `reference`. ConfigError where this symbol is traded here
        already."""
        symbol = listing.symbol
        if symbol in self.places:
            raise ConfigError(f"{self.name} lists {symbol} twice; a simulated venue trades a symbol once")
        base, _, rest = symbol.partition("/")
        dark = listing.kind == "dark"
        queues, refill = queue_model(self._fills, 10**instrument.qty_scale), int(self._fills.refill or 0)
        next_id = self._next_trade_id
        market = (
            DarkMarket(listing, reference, next_id, self._tiers)
            if dark
            else Market(listing, next_id, queues, refill, self._tiers)
        )
        self.places[symbol] = Place(symbol, instrument, market, base, rest.partition(":")[0])

    # -- requests --------------------------------------------------------------------------------------------

    def handle(self, request: w.AnyRequest, now_ns: int) -> w.Answer:
        """Do one request. Whatever is wrong with it is said in the answer."""
        now_ns = self.advance(now_ns)
        match request:
            case w.Submit():
                return self._submit(request, now_ns)
            case w.Cancel() | w.Replace() | w.Firm():
                return self._change(request, now_ns)
            case w.CancelAll():
                self._cancel_open(request.account, request.symbol, now_ns, "cancel all")
            case w.CancelAllAfter():
                self._arm(request, now_ns)
        entry = self._record(now_ns, [], request)
        return w.Answer(id=request.id, ok=True, at_ns=now_ns, orders=entry.orders)

    def _submit(self, request: w.Submit, now_ns: int) -> w.Answer:
        key = request.account, request.client_id
        known = self._orders.get(key)
        place = self.places.get(request.symbol)
        refusal: Refusal | None = None
        if known is not None:
            refusal = Code.DUPLICATE_ORDER, "an order with this client id exists"
        elif self._closed:
            refusal = Code.MARKET_CLOSED, f"{self.name} is {self._closed}"
        elif place is None:
            refusal = Code.UNKNOWN_SYMBOL, f"{self.name} does not trade {request.symbol}"
        elif len(self._orders) >= MAX_ORDERS:
            refusal = Code.LIMIT_EXCEEDED, f"{self.name} keeps no more than {MAX_ORDERS} orders"
        if refusal or place is None:
            return self._answer(request, now_ns, [], refusal, known)
        self._order_id += 1
        order = new_order(request, self._order_id, now_ns)
        self._orders[key] = order, place
        self._by_id[order.order_id] = key
        if request.deadline_ns and now_ns > request.deadline_ns:
            place.market.reject(order, now_ns, *_LATE)
            matches: list[Match] = []
        else:
            matches = place.market.submit(order, now_ns)
        if order.state is State.REJECTED and order.code is not None:
            refusal = order.code, order.text
        return self._answer(request, now_ns, self._book(place, matches), refusal, (order, place))

    def _change(self, request: w.Cancel | w.Replace | w.Firm, now_ns: int) -> w.Answer:
        known = self._orders.get((request.account, request.client_id))
        if known is None:
            return self._answer(request, now_ns, [], _UNKNOWN_ORDER)
        order, place = known
        refusal: Refusal | None = None
        matches: list[Match] = []
        if order.state is not State.OPEN:
            refusal = _TOO_LATE
        elif isinstance(request, w.Cancel):
            place.market.cancel(order, now_ns)
        elif self._closed:
            refusal = Code.MARKET_CLOSED, f"{self.name} is {self._closed}"
        elif request.deadline_ns and now_ns > request.deadline_ns:
            refusal = _LATE
        elif isinstance(request, w.Firm):
            refusal, matches = place.market.firm(order, now_ns)
        else:
            refusal, matches = place.market.replace(order, request.qty, request.price, now_ns)
        return self._answer(request, now_ns, self._book(place, matches), refusal, known)

    def _arm(self, request: w.CancelAllAfter, at_ns: int) -> None:
        self._dead_man_ns.pop(request.account, None)
        if request.timeout_ns:
            self._dead_man_ns[request.account] = at_ns + request.timeout_ns

    def _cancel_open(self, account: str, symbol: str, now_ns: int, text: str) -> None:
        for key in [key for key in self._open if key[0] == account]:
            order, place = self._orders[key]
            if symbol in ("", place.symbol):
                place.market.cancel(order, now_ns, Code.CANCELED, text)

    # -- time and background ---------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> int:
        """Expire orders, and spring the dead-man switches that are due. Gives the time that it is now here,
        which never goes back."""
        now_ns = self._now_ns = max(self._now_ns, now_ns)
        self._open_or_close(now_ns)
        trades = [
            trade
            for place in self.places.values()
            for trade in self._book(place, place.market.advance(now_ns))
        ]
        self._record_if_changed(now_ns, trades)
        for account in [a for a, due_ns in self._dead_man_ns.items() if due_ns <= now_ns]:
            del self._dead_man_ns[account]
            self._cancel_open(account, "", now_ns, "the dead-man switch")
            self._record_if_changed(now_ns)
        return now_ns

    def due_ns(self, now_ns: int) -> int:
        """When `advance` may have something to do next, if nothing else happens; 0 where that is not known."""
        markets_ns = [place.market.due_ns for place in self.places.values()]
        return min([next_change_ns(self._calendar, now_ns), *markets_ns, *self._dead_man_ns.values()])

    def _open_or_close(self, now_ns: int) -> None:
        closed = why_closed(self._calendar, now_ns)
        if bool(closed) != bool(self._closed):
            for place in self.places.values():
                place.market.is_open = not closed
                place.market.version += 1
            for key in list(self._open) if closed else ():
                order, place = self._orders[key]
                place.market.cancel(order, now_ns, Code.MARKET_CLOSED, "the session has ended")
            self._record_if_changed(now_ns)
        self._closed = closed

    def background(self, symbol: str, event: BackgroundEvent | LevelsSet | HiddenOrder) -> None:
        """Let one event of the market happen."""
        now_ns = self._now_ns = max(self._now_ns, event.at_ns)
        market = (place := self.places[symbol]).market
        if isinstance(event, LevelsSet):
            change = market.changes(event) if event.whole else event
            if self._step_by_step or not market.set_levels(change, now_ns):
                for one in change.one_by_one():
                    self.background(symbol, one)
            return
        matches = market.advance(now_ns)
        if isinstance(event, BackgroundTrade):
            trade_id, price, aggressor = event.trade_id, event.price, event.aggressor
            more, rest = market.background_trade(price, event.qty, aggressor, now_ns)
            matches += more
            if rest and not self._closed:
                self.prints.append(Print(self.name, symbol, now_ns, trade_id, price, rest, aggressor))
        elif isinstance(event, LevelSet):
            matches += market.set_background(event.side, event.price, event.qty, now_ns)
        else:
            matches += market.hide(event, now_ns)
        if market.touched:
            self._record(now_ns, self._book(place, matches))

    # -- queries ---------------------------------------------------------------------------------------------

    def query(self, client_id: str, account: str) -> w.OrderState | None:
        known = self._orders.get((account, client_id))
        return self._state(*known) if known else None

    def query_id(self, order_id: int) -> w.OrderState | None:
        key = self._by_id.get(order_id)
        return self._state(*self._orders[key]) if key else None

    def orders(self, account: str) -> list[w.OrderState]:
        return [self._state(*known) for key, known in self._orders.items() if key[0] == account]

    def open_orders(self, account: str, symbol: str) -> list[w.OrderState]:
        found = (self._orders[key] for key in self._open if key[0] == account)
        return [self._state(order, place) for order, place in found if symbol in ("", place.symbol)]

    def trades_since(
        self, account: str, after: int, since_ns: int, client_id: str, limit: int
    ) -> list[w.Trade]:
        trades = self._trades.get(account, [])
        start = max(
            bisect_right(trades, after, key=lambda trade: trade.trade_id),
            bisect_left(trades, since_ns, key=lambda trade: trade.at_ns),
        )
        page: list[w.Trade] = []
        for i in range(start, len(trades)):
            trade = trades[i]
            if len(page) >= limit and trade.trade_id != page[-1].trade_id:
                break
            if client_id in ("", trade.client_id):
                page.append(trade)
        return page

    def balances(self, account: str) -> dict[str, Decimal]:
        return dict(self._balances.get(account, {}))

    # -- restart ---------------------------------------------------------------------------------------------

    def restore(self, entry: w.JournalEntry) -> None:
        """Apply one entry of the journal. Its symbols must be listed."""
        self._seq, self._now_ns = entry.seq, max(self._now_ns, entry.at_ns)
        for state in entry.orders:
            place = self.places[state.symbol]
            self._orders[state.account, state.client_id] = restored_order(state, place.instrument), place
            self._by_id[state.order_id] = state.account, state.client_id
            self._order_id = max(self._order_id, state.order_id)
            self._note((state.account, state.client_id), state.state)
        for trade in entry.trades:
            self._trade_id = max(self._trade_id, trade.trade_id)
            self._book_trade(trade, self.places[trade.symbol])
        if isinstance(entry.request, w.CancelAllAfter):
            self._arm(entry.request, entry.at_ns)

    def reopen(self, now_ns: int) -> None:
        """Put the open orders back into the books, after `restore` and after the background has been set up.

        They stand at the end of their queues, in the order of their ids, and trade if the market has moved
        through them. Those whose time passed meanwhile expire.
        """
        now_ns = self._now_ns = max(self._now_ns, now_ns)
        for order, place in sorted((self._orders[key] for key in self._open), key=lambda o: o[0].order_id):
            matches = place.market.reopen(order, now_ns)
            if place.market.touched:
                self._record(now_ns, self._book(place, matches))
        self.advance(now_ns)

    # -- inside ----------------------------------------------------------------------------------------------

    def _next_trade_id(self) -> int:
        self._trade_id += 1
        return self._trade_id

    def _state(self, order: Order, place: Place) -> w.OrderState:
        return order_state(self.name, place.symbol, place.instrument, order)

    def _note(self, key: Key, state: State) -> None:
        if state is State.OPEN:
            self._open[key] = None
        else:
            self._open.pop(key, None)

    def _answer(
        self,
        request: w.Submit | w.Cancel | w.Replace | w.Firm,
        now_ns: int,
        trades: list[w.Trade],
        refusal: Refusal | None,
        known: tuple[Order, Place] | None = None,
    ) -> w.Answer:
        code, text = refusal or (None, "")
        self._record(now_ns, trades, request, code)
        return w.Answer(
            id=request.id,
            ok=refusal is None,
            at_ns=now_ns,
            code=code,
            text=text,
            orders=[self._state(*known)] if known else [],
            trades=[t for t in trades if (t.account, t.client_id) == (request.account, request.client_id)],
        )

    def _record_if_changed(self, now_ns: int, trades: Sequence[w.Trade] = ()) -> None:
        if any(place.market.touched for place in self.places.values()):
            self._record(now_ns, list(trades))

    def _record(
        self,
        now_ns: int,
        trades: list[w.Trade],
        request: w.AnyRequest | None = None,
        code: Code | None = None,
    ) -> w.JournalEntry:
        """Collect the orders that the markets touched into one entry."""
        changed: list[w.OrderState] = []
        for place in self.places.values():
            for order in place.market.touched:
                changed.append(self._state(order, place))
                self._note((order.account, order.client_id), order.state)
            place.market.touched.clear()
        self._seq += 1
        entry = w.JournalEntry(
            seq=self._seq,
            at_ns=now_ns,
            venue=self.name,
            request=request,
            ok=code is None,
            code=code,
            orders=changed,
            trades=trades,
        )
        self.entries.append(entry)
        return entry

    def _book(self, place: Place, matches: list[Match]) -> list[w.Trade]:
        """Our sides of the matches, booked to their accounts; the matches are printed to the public."""
        trades = []
        for match in matches:
            trade_id = f"x{match.trade_id}"
            self.prints.append(
                Print(self.name, place.symbol, match.at_ns, trade_id, match.price, match.qty, match.aggressor)
            )
            for order in (match.taker, match.maker):
                if order is not None:
                    taker = order is match.taker
                    fee_e8 = self._tiers.fee_e8(place.market.listing, order.account, is_taker=taker)
                    made = self.name, place.symbol, place.instrument, place.quote, fee_e8, match, order
                    trades.append(order_trade(*made))
        for trade in trades:
            self._book_trade(trade, place)
        return trades

    def _book_trade(self, trade: w.Trade, place: Place) -> None:
        self._trades.setdefault(trade.account, []).append(trade)
        self._tiers.note(trade.account, place.instrument.cash(trade.price * trade.qty))
        balances = self._balances.setdefault(trade.account, {})
        qty = place.instrument.qty(trade.qty) * trade.side.sign
        cash = place.instrument.cash(trade.price * trade.qty) * -trade.side.sign - trade.fee
        balances[place.base] = balances.get(place.base, Decimal(0)) + qty
        balances[place.quote] = balances.get(place.quote, Decimal(0)) + cash
