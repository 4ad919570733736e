"""Binance spot: `python -m tests.emulators.binance`.

What is its own about it: client ids are unique among open orders only; market data is numbered by `U` and `u`, and a
snapshot comes over REST; a user's stream and orders also go over the websocket API, signed there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from bestex import sim_wire as w
from bestex.clock import MS
from bestex.matching import Print
from tests.emulators import binance_wire as wire
from tests.emulators.binance_rest import Act, BinanceRest
from tests.emulators.binance_wire import Json, Refused
from tests.emulators.command import main
from tests.emulators.engine import DepthChange, Market
from tests.emulators.faults import Fault, What
from tests.emulators.server import Key, Reply, Socket


class Binance(BinanceRest):
    def routes(self) -> Iterable[web.RouteDef]:
        return [
            *super().routes(),
            web.get("/ws", self._stream_socket),
            web.get("/stream", self._stream_socket),
            web.get("/ws/{name:.*}", self._stream_socket),
            web.get("/ws-api/v3", self._api_socket),
        ]

    def tells(self, account: str) -> bool:
        return any(socket.account == account for socket in self.sockets)

    # -- streams -----------------------------------------------------------------------------------------------

    async def _stream_socket(self, request: web.Request) -> web.StreamResponse:
        def heard(socket: Socket, data: Any) -> None:
            if isinstance(data, dict) and data.get("method") in ("SUBSCRIBE", "UNSUBSCRIBE"):
                change = (
                    socket.topics.update if data["method"] == "SUBSCRIBE" else socket.topics.difference_update
                )
                change(data["params"])
                socket.state["combined"] = request.path.startswith("/stream")
                socket.put({"result": None, "id": data["id"]})

        return await self.listen(request, heard)

    def _publish(self, topics: Iterable[str], data: Json) -> None:
        for topic in topics:
            for socket in self.sockets:
                if topic in socket.topics:
                    socket.put({"stream": topic, "data": data} if socket.state.get("combined") else data)

    def on_depth(self, change: DepthChange) -> None:
        market = self.engine.markets[change.symbol]
        name = wire.market_id(market)
        low = name.lower()
        self._publish(
            (f"{low}@depth", f"{low}@depth@100ms"),
            {
                "e": "depthUpdate",
                "E": self.now_ms(),
                "s": name,
                "U": change.first_id,
                "u": change.last_id,
                "b": wire.levels(change.bids),
                "a": wire.levels(change.asks),
            },
        )
        best = market.snapshot(1)
        if best.bids and best.asks:
            (bid, bid_qty), (ask, ask_qty) = best.bids[0], best.asks[0]
            ticker = {"u": best.last_id, "s": name, "b": f"{bid:f}", "B": f"{bid_qty:f}"}
            self._publish((f"{low}@bookTicker",), ticker | {"a": f"{ask:f}", "A": f"{ask_qty:f}"})

    def on_trade(self, trade: Print, market: Market) -> None:
        number = len(self.prints[market.symbol]) + 1
        told = {
            "id": number,
            "price": f"{market.price(trade.price):f}",
            "qty": f"{market.qty(trade.qty):f}",
            "time": trade.at_ns // MS,
            "isBuyerMaker": trade.aggressor < 0,
            "isBestMatch": True,
        }
        self.prints[market.symbol].append(told)
        name = wire.market_id(market)
        event = {
            "e": "trade",
            "E": self.now_ms(),
            "s": name,
            "t": number,
            "p": told["price"],
            "q": told["qty"],
        }
        event |= {"T": told["time"], "m": told["isBuyerMaker"], "M": True}
        self._publish((f"{name.lower()}@trade",), event)

    def on_user(self, entry: w.JournalEntry) -> None:
        for order in entry.orders:
            if order.state is w.State.REJECTED:
                continue
            market = self.engine.markets[order.symbol]
            trades = [trade for trade in entry.trades if trade.order_id == order.order_id]
            reports = [wire.report(order, market, self.now_ms(), trade) for trade in trades]
            if not trades or order.state not in (w.State.OPEN, w.State.FILLED):
                reports.append(wire.report(order, market, self.now_ms()))
            for report in reports:
                self._tell_user(order.account, report)

    def _tell_user(self, account: str, event: Json) -> None:
        for socket in self.sockets:
            if socket.account == account:
                socket.put({"subscriptionId": socket.state["subscription"], "event": event})

    # -- the websocket API -------------------------------------------------------------------------------------

    async def _api_socket(self, request: web.Request) -> web.StreamResponse:
        return await self.listen(request, self._asked)

    def _methods(self, socket: Socket, /) -> Mapping[str, tuple[What, Act]]:
        return {
            "order.place": ("new", self._new),
            "order.cancel": ("cancel", self._cancel),
            "order.status": ("query", self._query),
            "order.amend.keepPriority": ("amend", self._amend),
            "openOrders.status": ("list", self._open_orders),
            "myTrades": ("list", self._my_trades),
            "account.status": ("list", self._account),
            "userDataStream.subscribe.signature": ("other", lambda key, _: self._subscribe(socket, key)),
            "ping": ("other", lambda *_: {}),
        }

    def _asked(self, socket: Socket, data: Any) -> None:
        acts = self._methods(socket)
        number, method = data.get("id"), data.get("method", "")
        what, act = acts.get(method, ("other", self._no_such_method))

        def answer() -> Json:
            reply = self._answer("order", lambda: self._signed_call(method, act, data.get("params") or {}))
            if reply.status == 200:
                return {"id": number, "status": 200, "result": reply.body, "rateLimits": []}
            return {"id": number, "status": reply.status, "error": self._until(reply), "rateLimits": []}

        def refuse(fault: Fault) -> Json:
            reply = self.refusal(fault)
            return {"id": number, "status": reply.status, "error": self._until(reply)}

        self.frame(socket, what, answer, refuse)

    def _until(self, reply: Reply) -> Json:
        """A socket has no header that says how long to wait."""
        wait_s = int(reply.headers.get("Retry-After", "0"))
        if not wait_s:
            return dict(reply.body)
        until_ms = self.now_ms() + wait_s * 1_000
        return {**reply.body, "data": {"serverTime": self.now_ms(), "retryAfter": until_ms}}

    def _signed_call(self, method: str, act: Act, params: Mapping[str, Any]) -> Any:
        given = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in params.items()
        }
        if method == "ping":
            return {}
        key = self._key(given.get("apiKey", ""))
        signature = given.pop("signature", "")
        payload = "&".join(f"{name}={given[name]}" for name in sorted(given))
        self._check_signature(key, payload, signature, given)
        return act(key, given)

    def _subscribe(self, socket: Socket, key: Key) -> Json:
        socket.account = key.account
        socket.state["subscription"] = 0
        return {"subscriptionId": 0}

    def _no_such_method(self, *_: Any) -> Any:
        raise Refused(-1000, "Unknown method.")


if __name__ == "__main__":
    main(Binance)
