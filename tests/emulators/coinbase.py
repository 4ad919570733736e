"""Coinbase Advanced Trade: `python -m tests.emulators.coinbase`.

What is Coinbase's own about it: a token that is signed for each request alone, and ends; an order is known by the
venue's id, and by its client id only in the list of all; an order under a client id that is there already is answered
with that one, for ever; refusals of orders have status 200; no orders over the websocket, and no trades of ours: the
user's channel has the sums of orders, without their prices. One number counts all messages of a connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from bestex import sim_wire as w
from bestex.matching import Print
from tests.emulators import coinbase_orders as orders
from tests.emulators import coinbase_wire as wire
from tests.emulators.beating import Beating
from tests.emulators.coinbase_account import CoinbaseAccount
from tests.emulators.coinbase_wire import Json
from tests.emulators.command import main
from tests.emulators.engine import DepthChange, Levels, Market
from tests.emulators.server import Socket
from tests.emulators.unified import Fee, text

CHANNELS = {
    "level2": "l2_data",
    "market_trades": "market_trades",
    "ticker": "ticker",
    "ticker_batch": "ticker_batch",
}
SNAPSHOT_TRADES = 100
NEVER = "1970-01-01T00:00:00Z"


class Coinbase(Beating, CoinbaseAccount):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._beats = 0

    def trade_id(self, trade: w.Trade) -> str:
        return wire.trade_id(trade)

    def fee_of(self, trade: w.Trade) -> Fee:
        return Fee(trade.fee, self.engine.markets[trade.symbol].quote)

    def routes(self) -> Iterable[web.RouteDef]:
        return [*super().routes(), web.get("/", self._socket)]

    def beat(self) -> None:
        self._beats += 1
        event = {"current_time": wire.stamp(self.now_ns()), "heartbeat_counter": str(self._beats)}
        for socket in self.sockets:
            if "heartbeats" in socket.topics:
                self._put(socket, "heartbeats", event)

    # -- sockets -----------------------------------------------------------------------------------------------

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        def heard(socket: Socket, data: Any) -> None:
            if isinstance(data, dict) and data.get("type") in ("subscribe", "unsubscribe"):
                self._asked(socket, data)
            else:
                socket.put({"type": "error", "message": "invalid message"})

        return await self.listen(request, heard)

    def _put(self, socket: Socket, channel: str, *events: Json) -> None:
        number = socket.state.get("sequence", 0)
        socket.state["sequence"] = number + 1
        head = {"channel": channel, "client_id": "", "timestamp": wire.stamp(self.now_ns())}
        socket.put({**head, "sequence_num": number, "events": list(events)})

    def _asked(self, socket: Socket, data: Json) -> None:
        channel, products = data.get("channel", ""), list(data.get("product_ids") or [])
        markets = [orders.find_market(self.engine, one) for one in products]
        known = [one for one in markets if one is not None]
        if channel not in CHANNELS and channel not in ("user", "heartbeats"):
            socket.put({"type": "error", "message": f"channel {channel} is not supported"})
            return
        if len(known) < len(markets):
            socket.put({"type": "error", "message": "product is not valid"})
            return
        key = self.key_of(str(data["jwt"])) if data.get("jwt") else None
        if key is None and (channel == "user" or "jwt" in data):
            socket.put({"type": "error", "message": "authentication failure"})
            return
        names = [f"{channel}:{one}" for one in products] if channel in CHANNELS else [channel]
        if data["type"] == "unsubscribe":
            socket.topics -= set(names)
        else:
            socket.topics |= set(names)
            if channel == "user" and key is not None:
                socket.account = key.account
                opened = [wire.told(self.engine, one) for one in self.engine.open_orders(key.account)]
                self._put(socket, "user", {"type": "snapshot", "orders": opened, "positions": {}})
            for market in known if channel in CHANNELS else ():
                self._greet(socket, channel, market)
        subscribed: dict[str, list[str]] = {}
        for topic in sorted(socket.topics):
            name, _, product = topic.partition(":")
            subscribed.setdefault(name, []).append(product or wire.USER)
        self._put(socket, "subscriptions", {"subscriptions": subscribed})

    def _greet(self, socket: Socket, channel: str, market: Market) -> None:
        product = wire.product_id(market)
        if channel == "level2":
            book = market.snapshot()
            updates = self._updates(book.bids, book.asks, NEVER)
            self._put(socket, "l2_data", {"type": "snapshot", "product_id": product, "updates": updates})
        elif channel == "market_trades":
            rows = [self.trade(*one, market) for one in reversed(self.prints[market.symbol])]
            if rows:  # there, something has always traded, and ccxt takes no empty one
                self._put(socket, channel, {"type": "snapshot", "trades": rows[:SNAPSHOT_TRADES]})
        else:
            self._put(socket, channel, {"type": "snapshot", "tickers": [self.best(market)]})

    def _updates(self, bids: Levels, asks: Levels, at: str) -> list[Json]:
        return [
            {"side": name, "event_time": at, "price_level": text(price), "new_quantity": text(qty)}
            for name, side in (("bid", bids), ("offer", asks))
            for price, qty in side
        ]

    # -- public ------------------------------------------------------------------------------------------------

    def _hearing(self, channel: str, market: Market) -> list[Socket]:
        topic = f"{channel}:{wire.product_id(market)}"
        return [socket for socket in self.sockets if topic in socket.topics]

    def on_depth(self, change: DepthChange) -> None:
        market = self.engine.markets[change.symbol]
        updates = self._updates(change.bids, change.asks, wire.stamp(self.now_ns()))
        event = {"type": "update", "product_id": wire.product_id(market), "updates": updates}
        for socket in self._hearing("level2", market):
            self._put(socket, "l2_data", event)
        self._tickers(market)

    def on_lost_depth(self, change: DepthChange) -> None:
        """Its number is used up."""
        for socket in self._hearing("level2", self.engine.markets[change.symbol]):
            socket.state["sequence"] = socket.state.get("sequence", 0) + 1

    def _tickers(self, market: Market) -> None:
        for channel in ("ticker", "ticker_batch"):
            for socket in self._hearing(channel, market):
                self._put(socket, channel, {"type": "update", "tickers": [self.best(market)]})

    def best(self, market: Market) -> Json:
        best, last = market.snapshot(1), self.last(market)
        said: Json = {"type": "ticker", "product_id": wire.product_id(market), "price": last}
        for name, side in (("bid", best.bids), ("ask", best.asks)):
            price, qty = (text(one) for one in side[0]) if side else ("", "")
            said |= {f"best_{name}": price, f"best_{name}_quantity": qty}
        zero = ("volume_24_h", "low_24_h", "high_24_h", "low_52_w", "high_52_w", "price_percent_chg_24_h")
        return said | dict.fromkeys(zero, "0")

    def on_trade(self, trade: Print, market: Market) -> None:
        row = self.trade(trade, self.remember(trade, market), market)
        for socket in self._hearing("market_trades", market):
            self._put(socket, "market_trades", {"type": "update", "trades": [row]})
        self._tickers(market)

    # -- what happens to the account ---------------------------------------------------------------------------

    def on_user(self, entry: w.JournalEntry) -> None:
        for order in entry.orders:
            if order.state is w.State.REJECTED:
                continue  # that was the answer, and no order ever was
            event = {"type": "update", "orders": [wire.told(self.engine, order)]}
            for socket in self.sockets:
                if socket.account == order.account and "user" in socket.topics:
                    self._put(socket, "user", event)


if __name__ == "__main__":
    main(Coinbase)
