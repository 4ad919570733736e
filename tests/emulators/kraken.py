"""Kraken spot: `python -m tests.emulators.kraken`.

What is Kraken's own about it: every refusal comes with status 200 and words instead of a number; each asset has
three names; a client id (`cl_ord_id`) is unique among open orders only, and finds an order in the lists, not in the
query for one; an order has its own deadline; limits are counters that decay; the websocket's books have no numbers,
but a checksum of ten levels; an order that ends is told without its terms. The fee is in quote.

Of the websocket's version 1 ccxt uses nothing but its address, as the name under which it keeps its token. Both hosts
of version 2 are one here, so that a socket becomes its user's when it first shows a token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from aiohttp import web

from bestex import sim_wire as w
from bestex.matching import Print
from bestex.messages import Side
from tests.emulators import kraken_executions as executions
from tests.emulators import kraken_wire as wire
from tests.emulators.beating import Beating
from tests.emulators.command import main
from tests.emulators.engine import DepthChange, Levels, Market
from tests.emulators.faults import Fault, What
from tests.emulators.kraken_account import KrakenAccount
from tests.emulators.kraken_orders import Refused
from tests.emulators.kraken_rest import TRADING, side_of
from tests.emulators.kraken_wire import Json
from tests.emulators.server import Key, Socket
from tests.emulators.unified import Fee

DEPTHS = (10, 25, 100, 500, 1_000)
PRIVATE = {"executions", "balances"}
PUBLIC = {"book", "trade", "ticker", "status"}
SNAPSHOT_TRADES = 50
# Of an order over the websocket: its name there, and over HTTP.
FIELDS = {
    "order_type": "ordertype",
    "side": "type",
    "order_qty": "volume",
    "symbol": "pair",
    "limit_price": "price",
    "time_in_force": "timeinforce",
    "order_userref": "userref",
    "display_qty": "displayvol",
}


class Top:
    """The best `depth` levels of a book as they were last told. A level that others have pushed out is not told, and
    whoever listens must drop it."""

    def __init__(self, depth: int, market: Market) -> None:
        self.depth, self.market = depth, market
        snapshot = market.snapshot(depth)
        self.bids, self.asks = dict(snapshot.bids), dict(snapshot.asks)

    def update(self) -> tuple[Levels, Levels]:
        """What is to be told; empty for nothing."""
        snapshot, market = self.market.snapshot(self.depth), self.market
        every = {market.price(units) for units in (*market.bids, *market.asks)}
        bids, asks = _changed(self.bids, snapshot.bids, every), _changed(self.asks, snapshot.asks, every)
        self.bids, self.asks = dict(snapshot.bids), dict(snapshot.asks)
        return bids, asks

    def checksum(self) -> int:
        return wire.checksum(self.bids.items(), self.asks.items(), wire.price_places(self.market))


def _changed(old: dict[Decimal, Decimal], new: Levels, every: set[Decimal]) -> Levels:
    gone = [(price, Decimal(0)) for price in old if price not in every]
    return gone + [(price, qty) for price, qty in new if old.get(price) != qty]


class Kraken(Beating, KrakenAccount):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.tops: dict[tuple[str, int], Top] = {}

    def trade_id(self, trade: w.Trade) -> str:
        return wire.trade_id(trade)

    def fee_of(self, trade: w.Trade) -> Fee:
        return Fee(wire.fee_of(trade), self.engine.markets[trade.symbol].quote)

    def routes(self) -> Iterable[web.RouteDef]:
        return [*super().routes(), web.get("/v2", self._socket)]

    def beat(self) -> None:
        for socket in self.sockets:
            if socket.topics:
                socket.put({"channel": "heartbeat"})

    # -- sockets -----------------------------------------------------------------------------------------------

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        def heard(socket: Socket, data: Any) -> None:
            if not socket.state:
                socket.state |= {"sequence": 0, "greeted": True}
                info = {
                    "version": "2.0.10",
                    "system": "online",
                    "api_version": "v2",
                    "connection_id": id(socket),
                }
                socket.put({"channel": "status", "type": "update", "data": [info]})
            if not isinstance(data, dict) or not isinstance(data.get("params", {}), dict):
                socket.put({"error": "Malformed request", "success": False})
            else:
                self._asked(socket, data, data.get("params", {}))

        return await self.listen(request, heard)

    def _asked(self, socket: Socket, data: Json, given: Json) -> None:
        kinds: dict[str, tuple[What, Callable[[Key, Json], Json]]] = {
            "add_order": ("new", self._add),
            "amend_order": ("amend", self._amend),
            "cancel_order": ("cancel", self._cancel),
            "cancel_all": ("cancel", self.cancel_all),
            "cancel_all_orders_after": ("other", self.set_switch),
        }
        method = data.get("method", "")
        if method == "ping":
            socket.put(self._said(data, "pong"))
        elif method == "subscribe":
            self._subscribe(socket, data, given)
        elif method == "unsubscribe":
            for symbol in given.get("symbol") or [""]:
                socket.topics.discard(_topic(given, symbol))
                result = {"channel": given.get("channel"), "symbol": symbol}
                socket.put(self._said(data, method) | {"result": result, "success": True})
        elif method in kinds:
            self._ordered(socket, data, given, *kinds[method])
        else:
            socket.put(self._failed(data, "Event(s) not found"))

    def _said(self, data: Json, method: str) -> Json:
        stamp = wire.stamp(self.now_ns())
        said: Json = {"method": method, "time_in": stamp, "time_out": stamp}
        return said | {"req_id": data["req_id"]} if "req_id" in data else said

    def _failed(self, data: Json, text: str, **more: Any) -> Json:
        return self._said(data, data.get("method", "")) | {"error": text, "success": False} | more

    def _subscribe(self, socket: Socket, data: Json, given: Json) -> None:
        channel = given.get("channel")
        if channel in PRIVATE:
            try:
                key = self.key_of(given.get("token"))
            except Refused as refused:
                socket.put(self._failed(data, str(refused)))
                return
            if channel in socket.topics:
                socket.put(self._failed(data, "Already subscribed"))
                return
            socket.account = key.account
            socket.topics.add(channel)
            result = {"channel": channel, "maxratecount": TRADING, "snapshot": True}
            socket.put(self._said(data, "subscribe") | {"result": result, "success": True})
            self._greet_user(socket, channel, given)
            return
        if channel not in PUBLIC:
            socket.put(self._failed(data, "Subscription name invalid"))
            return
        depth = given.get("depth", DEPTHS[0])
        for symbol in given.get("symbol") or []:
            topic, market = _topic(given, symbol), self.engine.markets.get(symbol)
            if market is None:
                socket.put(self._failed(data, f"Currency pair not supported {symbol}", symbol=symbol))
            elif channel == "book" and depth not in DEPTHS:
                socket.put(self._failed(data, "Subscription depth not supported", symbol=symbol))
            elif topic in socket.topics:
                socket.put(self._failed(data, "Already subscribed", symbol=symbol))
            else:
                socket.topics.add(topic)
                told: Json = {"channel": channel, "symbol": symbol, "snapshot": given.get("snapshot", True)}
                told |= {"depth": depth} if channel == "book" else {}
                socket.put(self._said(data, "subscribe") | {"result": told, "success": True})
                self._greet(socket, given, market)

    def _greet(self, socket: Socket, given: Json, market: Market) -> None:
        channel = given["channel"]
        if channel == "book":
            depth = given.get("depth", DEPTHS[0])
            top = self.tops.get((market.symbol, depth))
            if top is None or sum(_topic(given, market.symbol) in one.topics for one in self.sockets) == 1:
                top = self.tops[market.symbol, depth] = Top(depth, market)
            book: Json = {"symbol": market.symbol, "bids": wire.numbers(top.bids.items())}
            book |= {"asks": wire.numbers(top.asks.items()), "checksum": top.checksum()}
            socket.put({"channel": "book", "type": "snapshot", "data": [book]})
        elif channel == "ticker":
            socket.put({"channel": "ticker", "type": "snapshot", "data": [self.ticker(market)]})
        elif channel == "trade" and given.get("snapshot"):
            rows = [self._trade(*one, market) for one in list(self.prints[market.symbol])[-SNAPSHOT_TRADES:]]
            socket.put({"channel": "trade", "type": "snapshot", "data": rows})

    # -- public ------------------------------------------------------------------------------------------------

    def on_depth(self, change: DepthChange) -> None:
        self._moved(change, tell=True)

    def on_lost_depth(self, change: DepthChange) -> None:
        self._moved(change, tell=False)

    def _moved(self, change: DepthChange, *, tell: bool) -> None:
        market = self.engine.markets[change.symbol]
        for depth in DEPTHS:
            top, topic = self.tops.get((market.symbol, depth)), f"book:{market.symbol}:{depth}"
            if top is None:
                continue
            bids, asks = top.update()
            if not tell or not (bids or asks):
                continue
            bad = 1 if self.faults.of_stream("bad_checksum") else 0
            book: Json = {"symbol": market.symbol, "bids": wire.numbers(bids), "asks": wire.numbers(asks)}
            book |= {"checksum": top.checksum() ^ bad, "timestamp": wire.stamp(self.now_ns())}
            self.tell(topic, {"channel": "book", "type": "update", "data": [book]})
        told = {"channel": "ticker", "type": "update", "data": [self.ticker(market)]}
        self.tell(f"ticker:{market.symbol}", told)

    def ticker(self, market: Market) -> Json:
        best, last = market.snapshot(1), self.last(market)
        (bid, bid_qty), (ask, ask_qty) = (
            side[0] if side else (Decimal(0), Decimal(0)) for side in (best.bids, best.asks)
        )
        quoted = {"bid": float(bid), "bid_qty": float(bid_qty), "ask": float(ask), "ask_qty": float(ask_qty)}
        price = float(last or 0)
        rest = dict.fromkeys(("last", "vwap", "low", "high"), price)
        zero = dict.fromkeys(("volume", "change", "change_pct"), 0.0)
        return {"symbol": market.symbol, **quoted, **rest, **zero}

    def _trade(self, trade: Print, number: int, market: Market) -> Json:
        return {
            "symbol": market.symbol,
            "side": "sell" if side_of(trade) is Side.SELL else "buy",
            "price": float(market.price(trade.price)),
            "qty": float(market.qty(trade.qty)),
            "ord_type": "limit",
            "trade_id": number,
            "timestamp": wire.stamp(trade.at_ns),
        }

    def on_trade(self, trade: Print, market: Market) -> None:
        row = self._trade(trade, self.remember(trade, market), market)
        self.tell(f"trade:{market.symbol}", {"channel": "trade", "type": "update", "data": [row]})

    # -- orders over the socket --------------------------------------------------------------------------------

    def _ordered(
        self, socket: Socket, data: Json, given: Json, what: What, act: Callable[[Key, Json], Json]
    ) -> None:
        def answer() -> Json:
            try:
                key = self.key_of(given.get("token"))
                if not key.can_trade:
                    raise Refused("EAccount:Invalid permissions")
                result = act(key, given)
            except Refused as refused:
                return self._failed(data, str(refused))
            return self._said(data, data["method"]) | {"result": result, "success": True}

        def refuse(fault: Fault) -> Json:
            return self._failed(data, self.refusal(fault).body["error"][0])

        self.frame(socket, what, answer, refuse)

    def _add(self, key: Key, given: Json) -> Json:
        made = self.add(key, _over_http(given))
        named = {"cl_ord_id": given["cl_ord_id"]} if given.get("cl_ord_id") else {}
        return {"order_id": made["txid"][0], **named} if "txid" in made else {}

    def _amend(self, key: Key, given: Json) -> Json:
        made = self.amend(key, {**given, "txid": given.get("order_id", "")})
        return {"amend_id": made["amend_id"], "order_id": given.get("order_id", "")}

    def _cancel(self, key: Key, given: Json) -> Json:
        named = [{"txid": one} for one in given.get("order_id", [])]
        named += [{"cl_ord_id": one} for one in given.get("cl_ord_id", [])]
        if not named:
            raise Refused("EGeneral:Invalid arguments")
        for one in named:
            self.cancel(key, one)
        return {"order_id": given.get("order_id", [""])[0]}

    # -- what happens to the account ---------------------------------------------------------------------------

    def _next(self, socket: Socket) -> int:
        socket.state["sequence"] += 1
        sequence: int = socket.state["sequence"]
        return sequence

    def _greet_user(self, socket: Socket, channel: str, given: Json) -> None:
        if channel == "balances":
            rows = [
                {
                    "asset": name,
                    "asset_class": "currency",
                    "balance": float(free + locked),
                    "wallets": [{"type": "spot", "id": "main", "balance": float(free + locked)}],
                }
                for name, (free, locked) in self.engine.holdings(socket.account).items()
            ]
        else:
            rows = []
            if given.get("snap_orders", True):
                rows += [
                    executions.stands(self.engine, one, self.userrefs.get(one.order_id))
                    for one in self.engine.open_orders(socket.account)
                ]
            if given.get("snap_trades", False):
                for trade in self.engine.trades(socket.account, limit=1_000_000)[-SNAPSHOT_TRADES:]:
                    order = self.engine.order(socket.account, order_id=trade.order_id)
                    assert order is not None
                    rows.append(
                        executions.traded(self.engine, order, trade, self.userrefs.get(order.order_id))
                    )
        socket.put({"channel": channel, "type": "snapshot", "data": rows, "sequence": self._next(socket)})

    def _tell_user(self, account: str, channel: str, rows: list[Json]) -> None:
        for socket in self.sockets:
            if socket.account == account and channel in socket.topics:
                update = {"channel": channel, "type": "update", "data": rows, "sequence": self._next(socket)}
                socket.put(update)

    def on_user(self, entry: w.JournalEntry) -> None:
        asked = entry.request
        for order in entry.orders:
            if order.state is w.State.REJECTED:
                continue  # that was the answer, and no order ever was
            own = [one for one in entry.trades if one.order_id == order.order_id]
            request = ""
            if isinstance(asked, w.Submit | w.Replace) and asked.client_id == order.client_id:
                request = "new" if isinstance(asked, w.Submit) else "amend"
            reference = self.userrefs.get(order.order_id)
            for row in executions.told(self.engine, order, own, reference, request=request):
                self._tell_user(order.account, "executions", [row])
        for account in {one.account for one in entry.trades}:
            held = self.engine.holdings(account)
            moved = {self.engine.markets[one.symbol] for one in entry.trades if one.account == account}
            for name in sorted({name for market in moved for name in (market.base, market.quote)}):
                row = {
                    "asset": name,
                    "asset_class": "currency",
                    "type": "trade",
                    "category": "trade",
                    "wallet_type": "spot",
                    "wallet_id": "main",
                    "balance": float(sum(held[name])),
                    "timestamp": wire.stamp(self.now_ns()),
                }
                self._tell_user(account, "balances", [row])


def _topic(given: Json, symbol: str) -> str:
    channel = given.get("channel", "")
    return f"book:{symbol}:{given.get('depth', DEPTHS[0])}" if channel == "book" else f"{channel}:{symbol}"


def _over_http(given: Json) -> Json:
    """The fields of HTTP, from those of the websocket, where numbers are numbers."""
    made = {FIELDS.get(name, name): value for name, value in given.items()}
    for name in ("volume", "price", "displayvol"):
        if name in made:
            made[name] = str(made[name])
    if given.get("post_only"):
        made["oflags"] = "post"
    return made | {"validate": str(bool(given.get("validate"))).lower()}


if __name__ == "__main__":
    main(Kraken)
