"""One emulated venue: the matching engine with its journal, in decimals, and with what changed since the last look.

The symbols of the engine are the unified ones (`BTC/USDT`, `BTC/USDT:USDT`), so that it knows base and quote; each
exchange's file has its own names for them. The journal on disk is the truth for `bestex audit`: an order stands in
it under the client id that it was given, and a client id that is used again (some exchanges allow it once the first
order has ended) under `ID~2`, which nobody has asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Literal, NamedTuple

import structlog

from bestex import sim_wire as w
from bestex.clock import AffineClock
from bestex.config import Config
from bestex.instruments import Instrument, Listing
from bestex.matching import Print
from bestex.messages import Side, Tif
from bestex.sim_journal import journal_path
from services.exchange.background import backgrounds
from services.exchange.shell import Exchange, MakeBackgrounds
from services.exchange.streams import MarketData, UserData

DEPTH_LEVELS = 1_000

Levels = list[tuple[Decimal, Decimal]]


class DepthChange(NamedTuple):
    """What changed of one book: absolute sizes, 0 for a level that is gone. Ids count changed levels; `previous_id`
    is the last one of the change before."""

    symbol: str
    first_id: int
    last_id: int
    previous_id: int
    at_ns: int
    bids: Levels
    asks: Levels


class Snapshot(NamedTuple):
    last_id: int
    bids: Levels
    asks: Levels


class Market:
    """One market's terms, and its book as it was last told."""

    def __init__(self, instrument: Instrument, listing: Listing) -> None:
        self.instrument, self.listing, self.symbol = instrument, listing, listing.symbol
        base, _, rest = listing.symbol.partition("/")
        self.base, self.quote = base, rest.partition(":")[0]
        self.last_id = 1_000
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.version = -1

    def price(self, units: int) -> Decimal:
        return self.instrument.price(units)

    def qty(self, units: int) -> Decimal:
        return self.instrument.qty(units)

    def levels(self, units: Iterable[tuple[int, int]]) -> Levels:
        return [(self.price(price), self.qty(qty)) for price, qty in units]

    def snapshot(self, levels: int = DEPTH_LEVELS) -> Snapshot:
        """As it was last told, so that changes follow on it."""
        bids = sorted(self.bids.items(), reverse=True)[:levels]
        asks = sorted(self.asks.items())[:levels]
        return Snapshot(self.last_id, self.levels(bids), self.levels(asks))

    def change(
        self, columns: tuple[list[int], list[int], list[int], list[int]], at_ns: int
    ) -> DepthChange | None:
        bid_px, bid_qty, ask_px, ask_qty = columns
        new_bids = dict(zip(bid_px, bid_qty, strict=True))
        new_asks = dict(zip(ask_px, ask_qty, strict=True))
        bids, asks = _difference(self.bids, new_bids), _difference(self.asks, new_asks)
        self.bids, self.asks = new_bids, new_asks
        if not bids and not asks:
            return None
        previous = self.last_id
        self.last_id += len(bids) + len(asks)
        return DepthChange(
            self.symbol, previous + 1, self.last_id, previous, at_ns, self.levels(bids), self.levels(asks)
        )


def _difference(old: dict[int, int], new: dict[int, int]) -> list[tuple[int, int]]:
    gone = [(price, 0) for price in old if price not in new]
    return gone + [(price, qty) for price, qty in new.items() if old.get(price) != qty]


class Engine:
    """`on_depth`, `on_trade` and `on_user` hear what happens, in order. Start it within a running event loop.

    `market` says what else is in the books: the market model, nothing but our own orders, or what it makes.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        market: Literal["model", "none"] | MakeBackgrounds = "model",
        deposits: dict[str, Decimal] | None = None,
        beside: Engine | None = None,
    ) -> None:
        """`config` has the venue `name` with adapter sim. `deposits` is what every account starts with; None for
        unlimited credit. `beside`: another venue of the same configuration, whose exchange has this one's books too;
        it starts and stops both."""
        made = {"model": backgrounds, "none": lambda *_: []}
        make: MakeBackgrounds = market if callable(market) else made[market]
        self.name, self.deposits = name, deposits
        self.journal = journal_path(config.data_dir, name)
        self.beside: list[Engine] = []
        if beside is None:
            logger = structlog.stdlib.get_logger(venue=name)
            self.exchange = Exchange(config, AffineClock.from_environment(), logger, make)
            self.exchange.market_data = _Feed(self)
            self.exchange.user_data = _Users(self)
        else:
            self.exchange = beside.exchange
            beside.beside.append(self)
        self.markets: dict[str, Market] = {}
        for instrument in config.make_instruments().all:
            listing = instrument.listing(name)
            if listing is not None:
                self.markets[listing.symbol] = Market(instrument, listing)
        self.on_depth: Callable[[DepthChange], None] = lambda _: None
        self.on_trade: Callable[[Print, Market], None] = lambda *_: None
        self.on_user: Callable[[w.JournalEntry], None] = lambda _: None
        self._made = 0
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.exchange.start()
        for engine in (self, *self.beside):
            for market in engine.markets.values():  # the first change is from this on
                market.change(engine._columns(market), self.now_ns())
        self._loop = asyncio.get_running_loop().create_task(self.exchange.run())

    async def stop(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait({self._loop})
        await self.exchange.stop()

    def now_ns(self) -> int:
        return self.exchange.now_ns()

    # -- orders ------------------------------------------------------------------------------------------------

    def submit(
        self,
        account: str,
        symbol: str,
        side: Side,
        qty: Decimal,
        price: Decimal | None,
        *,
        client_id: str = "",
        tif: Tif = Tif.GTC,
        post_only: bool = False,
        display: Decimal | None = None,
        good_till_ns: int = 0,
    ) -> w.Answer:
        """Raises UnitError for numbers finer than the engine's units; every other refusal is in the answer. Without
        a client id one is made, `made-N`."""
        market = self.markets[symbol]
        if not client_id:
            self._made += 1
            client_id = f"made-{self.now_ns()}-{self._made}"
        request = w.Submit(
            venue=self.name,
            account=account,
            symbol=symbol,
            client_id=self._unused(account, client_id),
            side=side,
            kind="market" if price is None else "limit",
            qty=market.instrument.qty_units(qty),
            price=0 if price is None else market.instrument.price_units(price),
            tif=Tif.IOC if price is None else tif,
            post_only=post_only,
            display_qty=0 if display is None else market.instrument.qty_units(display),
            good_till_ns=good_till_ns,
        )
        return self.exchange.handle(request)

    def cancel(self, order: w.OrderState) -> w.Answer:
        return self.exchange.handle(
            w.Cancel(venue=self.name, account=order.account, client_id=order.client_id)
        )

    def amend(self, order: w.OrderState, qty: Decimal, price: Decimal) -> w.Answer:
        """`qty` is the new total, fills included."""
        market = self.markets[order.symbol]
        request = w.Replace(
            venue=self.name,
            account=order.account,
            client_id=order.client_id,
            qty=market.instrument.qty_units(qty),
            price=market.instrument.price_units(price),
        )
        return self.exchange.handle(request)

    def cancel_all(self, account: str, symbol: str = "") -> list[w.OrderState]:
        """Those that were cancelled."""
        answer = self.exchange.handle(w.CancelAll(venue=self.name, account=account, symbol=symbol))
        return answer.orders

    def cancel_all_after(self, account: str, timeout_ns: int) -> None:
        self.exchange.handle(w.CancelAllAfter(venue=self.name, account=account, timeout_ns=timeout_ns))

    # -- queries -----------------------------------------------------------------------------------------------

    def order(self, account: str, *, order_id: int = 0, client_id: str = "") -> w.OrderState | None:
        """By the engine's id, or the newest one of that client id."""
        if order_id:
            found = self.exchange.sim.query_id(self.name, order_id)
            return found if found is not None and found.account == account else None
        last, number = None, 1
        while (state := self.exchange.sim.query(self.name, _nth(client_id, number), account)) is not None:
            last, number = state, number + 1
        return last

    def open_orders(self, account: str, symbol: str = "") -> list[w.OrderState]:
        return self.exchange.sim.open_orders(self.name, account, symbol)

    def orders(self, account: str) -> list[w.OrderState]:
        """All that ever were, oldest first, refused ones included."""
        return self.exchange.sim.orders(self.name, account)

    def trades(self, account: str, *, after: int = 0, since_ns: int = 0, limit: int = 1_000) -> list[w.Trade]:
        return self.exchange.sim.trades_since(
            self.name, account, after=after, since_ns=since_ns, client_id="", limit=limit
        )

    def holdings(self, account: str) -> dict[str, tuple[Decimal, Decimal]]:
        """(free, locked in open orders) by currency, what was deposited included."""
        total = dict(self.deposits or {})
        moved = self.exchange.sim.balances(self.name, account).balances
        for currency, change in moved.items():
            total[currency] = total.get(currency, Decimal(0)) + change
        locked: dict[str, Decimal] = {}
        for order in self.open_orders(account):
            market = self.markets[order.symbol]
            qty, price = market.qty(order.leaves_qty), market.price(order.price)
            currency, amount = (market.quote, qty * price) if order.side is Side.BUY else (market.base, qty)
            locked[currency] = locked.get(currency, Decimal(0)) + amount
        return {
            currency: (amount - locked.get(currency, Decimal(0)), locked.get(currency, Decimal(0)))
            for currency, amount in sorted(total.items())
        }

    def affords(self, account: str, symbol: str, side: Side, qty: Decimal, price: Decimal | None) -> bool:
        """Whether a spot account holds what this order would spend."""
        if self.deposits is None:
            return True
        market = self.markets[symbol]
        if price is None:
            best = min(market.asks, default=0) if side is Side.BUY else 0
            price = market.price(best)
        currency, needed = (market.quote, qty * price) if side is Side.BUY else (market.base, qty)
        return self.holdings(account).get(currency, (Decimal(0), Decimal(0)))[0] >= needed

    def position(self, account: str, symbol: str) -> Decimal:
        """Net quantity that was traded of it, in base: what a perpetual's account holds."""
        market = self.markets[symbol]
        net = sum(
            trade.qty * trade.side.sign
            for trade in self.trades(account, limit=10_000)
            if trade.symbol == symbol
        )
        return market.qty(net)

    # -- what happened -----------------------------------------------------------------------------------------

    def _columns(self, market: Market) -> tuple[list[int], list[int], list[int], list[int]]:
        return self.exchange.sim.market(self.name, market.symbol).book(DEPTH_LEVELS)

    def published(self, prints: Iterable[Print], now_ns: int) -> None:
        told = list(prints)
        for engine in (self, *self.beside):
            engine._tell(told, now_ns)

    def changed(self, entry: w.JournalEntry) -> None:
        for engine in (self, *self.beside):
            if engine.name == entry.venue:
                engine.on_user(entry)

    def _tell(self, prints: Iterable[Print], now_ns: int) -> None:
        for trade in prints:
            if trade.venue == self.name:
                self.on_trade(trade, self.markets[trade.symbol])
        for market in self.markets.values():
            version = self.exchange.sim.market(self.name, market.symbol).version
            if version != market.version:
                market.version = version
                change = market.change(self._columns(market), now_ns)
                if change is not None:
                    self.on_depth(change)

    def _unused(self, account: str, client_id: str) -> str:
        number = 1
        while self.exchange.sim.query(self.name, _nth(client_id, number), account) is not None:
            number += 1
        return _nth(client_id, number)


def _nth(client_id: str, number: int) -> str:
    return client_id if number == 1 else f"{client_id}~{number}"


def given_id(state: w.OrderState | w.Trade) -> str:
    """The client id as the client gave it; empty where it gave none."""
    given = state.client_id.partition("~")[0]
    return "" if given.startswith("made-") else given


class _Feed(MarketData):
    def __init__(self, engine: Engine) -> None:
        super().__init__(())
        self._engine = engine

    def publish(self, prints: Iterable[Print], now_ns: int) -> None:
        self._engine.published(prints, now_ns)


class _Users(UserData):
    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def publish(self, entry: w.JournalEntry) -> None:
        self._engine.changed(entry)
