"""Bybit v5, a unified account with spot and linear perpetuals: `python -m tests.emulators.bybit`.

What is Bybit's own about it: creating, amending and cancelling are asynchronous (the answer says that the request
was taken, the stream what became of it), client ids are unique for ever, the same mistake has one code on spot and
another on derivatives, a refusal comes with status 200, and the dead-man switch is thrown by a private stream that
is gone.
"""

from __future__ import annotations

import asyncio
import hmac
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from bestex import sim_wire as w
from bestex.matching import Print
from tests.emulators import bybit_orders as orders
from tests.emulators import bybit_wire as wire
from tests.emulators.bybit_orders import Refused
from tests.emulators.bybit_rest import NEITHER, BybitRest, sign
from tests.emulators.bybit_wire import Json
from tests.emulators.command import main
from tests.emulators.engine import DepthChange, Market
from tests.emulators.faults import Fault, What
from tests.emulators.server import Socket
from tests.emulators.unified import Position, View, Wallet, is_perp, text

DEPTHS = (1, 50, 200, 1_000)
TOPICS = {"order", "execution", "wallet", "position", "dcp"}


class Bybit(BybitRest):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.views: dict[tuple[str, int], View] = {}

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            *super().routes(),
            web.get("/v5/public/{category}", self._public_socket),
            web.get("/v5/private", self._private_socket),
            web.get("/v5/trade", self._trade_socket),
        ]

    def trade_id(self, trade: w.Trade) -> str:
        return wire.trade_id(trade, self.engine.markets[trade.symbol])

    def tells(self, account: str) -> bool:
        return self._watched(account, "order") and self._watched(account, "execution")

    # -- sockets -----------------------------------------------------------------------------------------------

    async def _public_socket(self, request: web.Request) -> web.StreamResponse:
        kind = request.match_info["category"]

        def heard(socket: Socket, data: Any) -> None:
            self._heard(socket, data, lambda topic: self._subscribe_public(socket, kind, topic))

        return await self.listen(request, heard)

    async def _private_socket(self, request: web.Request) -> web.StreamResponse:
        def heard(socket: Socket, data: Any) -> None:
            if isinstance(data, dict) and data.get("op") == "auth":
                self._log_in(socket, data, private=True)
            else:
                self._heard(
                    socket, data, lambda topic: bool(socket.account) and topic.partition(".")[0] in TOPICS
                )

        served: list[Socket] = []

        def remembered(socket: Socket, data: Any) -> None:
            served[:] = [socket]
            heard(socket, data)

        response = await self.listen(request, remembered)
        for socket in served:
            self._gone(socket)
        return response

    async def _trade_socket(self, request: web.Request) -> web.StreamResponse:
        def heard(socket: Socket, data: Any) -> None:
            if not isinstance(data, dict):
                return
            if data.get("op") == "auth":
                self._log_in(socket, data, private=False)
            elif data.get("op") == "ping":
                socket.put(
                    {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [str(self.now_ms())], "connId": "c"}
                )
            else:
                self._ordered(socket, data)

        return await self.listen(request, heard)

    def _log_in(self, socket: Socket, data: Json, *, private: bool) -> None:
        name, expires, signature = [str(one) for one in [*data.get("args", []), "", "", ""][:3]]
        key = self.keys.get(name)
        right = key is not None and hmac.compare_digest(sign(key, "GET/realtime" + expires), signature)
        in_time = expires.isdigit() and int(expires) > self.now_ms()
        if key is not None and right and in_time:
            socket.account, socket.state["key"] = key.account, key
            if private:
                self._put(socket, data, "", success=True)
            else:
                socket.put(self._framed(data, self.body({})))
        elif private:
            why = "params error" if right else "error:auth failed" if key else "API key is invalid."
            self._put(socket, data, why, success=False)
        else:
            code = 10003 if key is None else 10004 if not right else 10002
            socket.put(self._framed(data, self.body({}, code, "Params Error" if right else "error sign!")))

    def _put(self, socket: Socket, data: Json, message: str, *, success: bool) -> None:
        answer = {"success": success, "ret_msg": message, "op": data.get("op"), "conn_id": "c"}
        if "req_id" in data:
            answer["req_id"] = data["req_id"]
        socket.put(answer)

    def _heard(self, socket: Socket, data: Any, subscribe: Callable[[str], bool]) -> None:
        if not isinstance(data, dict):
            return
        match data.get("op"):
            case "ping":
                self._put(socket, data, "pong", success=True)
            case "subscribe":
                wrong = [topic for topic in data.get("args", []) if not subscribe(topic)]
                if wrong:
                    self._put(socket, data, f"error:handler not found,topic:{wrong[0]}", success=False)
                    return
                socket.topics.update(data["args"])
                self._put(socket, data, "subscribe", success=True)
                for topic in data["args"] if "category" in socket.state else ():
                    self._greet(socket, topic)
            case "unsubscribe":
                socket.topics.difference_update(data.get("args", []))
                self._put(socket, data, "", success=True)

    def _subscribe_public(self, socket: Socket, kind: str, topic: str) -> bool:
        name, *middle, symbol = topic.split(".")
        socket.state["category"] = kind
        known = any(
            wire.market_id(market) == symbol and wire.category(market) == kind
            for market in self.engine.markets.values()
        )
        right = name in ("publicTrade", "tickers") or (
            name == "orderbook" and bool(middle) and middle[0] in map(str, DEPTHS)
        )
        return known and right

    def _greet(self, socket: Socket, topic: str) -> None:
        name, *middle, symbol = topic.split(".")
        kind = socket.state.get("category")
        for market in self.engine.markets.values():
            if wire.market_id(market) != symbol or wire.category(market) != kind:
                continue
            if name == "orderbook":
                depth = int(middle[0])
                view = self.views.get((market.symbol, depth))
                snapshot = market.snapshot(depth)
                if view is None or not any(one is not socket for one in self._hearing(topic, kind)):
                    view = self.views[market.symbol, depth] = View(depth, snapshot)
                frame = self._book(market, view, "snapshot", snapshot.bids, snapshot.asks, topic)
                socket.put(frame)
            elif name == "tickers":
                socket.put(self._ticker_frame(market, topic))

    def _hearing(self, topic: str, kind: str | None) -> list[Socket]:
        return [one for one in self.sockets if topic in one.topics and one.state.get("category") == kind]

    def _book(self, market: Market, view: View, kind: str, bids: Any, asks: Any, topic: str) -> Json:
        data = {
            "s": wire.market_id(market),
            "b": wire.levels(bids),
            "a": wire.levels(asks),
            "u": view.number,
            "seq": market.last_id,
        }
        return {"topic": topic, "type": kind, "ts": self.now_ms(), "data": data, "cts": self.now_ms()}

    def _ticker_frame(self, market: Market, topic: str) -> Json:
        return {
            "topic": topic,
            "type": "snapshot",
            "cs": market.last_id,
            "ts": self.now_ms(),
            "data": self.ticker(market),
        }

    def on_depth(self, change: DepthChange) -> None:
        self._changed(change, tell=True)

    def on_lost_depth(self, change: DepthChange) -> None:
        self._changed(change, tell=False)

    def on_wrong_depth(self, change: DepthChange) -> None:
        self._changed(change, tell=True, right=False)

    def _changed(self, change: DepthChange, *, tell: bool, right: bool = True) -> None:
        market = self.engine.markets[change.symbol]
        kind, symbol = wire.category(market), wire.market_id(market)
        for depth in DEPTHS:
            view = self.views.get((market.symbol, depth))
            if view is None:
                continue
            topic = f"orderbook.{depth}.{symbol}"
            hearing = self._hearing(topic, kind)
            if not hearing:
                del self.views[market.symbol, depth]
                continue
            snapshot = market.snapshot(depth)
            bids, asks = view.update(snapshot)
            if not bids and not asks:
                continue
            view.number += 1
            if depth == 1:  # is always whole
                frame = self._book(market, view, "snapshot", snapshot.bids, snapshot.asks, topic)
            else:
                bids, asks = (bids, asks) if right else ([], [])
                frame = self._book(market, view, "delta", bids, asks, topic)
            for socket in hearing if tell else ():
                socket.put(frame)
        for socket in self._hearing(f"tickers.{symbol}", kind):
            socket.put(self._ticker_frame(market, f"tickers.{symbol}"))

    def on_trade(self, trade: Print, market: Market) -> None:
        symbol, kind = wire.market_id(market), wire.category(market)
        one = {
            "T": trade.at_ns // 1_000_000,
            "s": symbol,
            "S": "Sell" if trade.aggressor < 0 else "Buy",
            "v": text(market.qty(trade.qty)),
            "p": text(market.price(trade.price)),
            "L": "ZeroPlusTick",
            "i": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{symbol}{trade.trade_id}"))
            if is_perp(market)
            else trade.trade_id,
            "BT": False,
            "RPI": False,
            "seq": market.last_id,
        }
        self.prints[market.symbol].append(one)
        topic = f"publicTrade.{symbol}"
        for socket in self._hearing(topic, kind):
            socket.put({"topic": topic, "type": "snapshot", "ts": self.now_ms(), "data": [one]})

    # -- orders over a socket ----------------------------------------------------------------------------------

    def _ordered(self, socket: Socket, data: Json) -> None:
        kinds: dict[str, tuple[What, Callable[..., Json]]] = {
            "order.create": ("new", orders.create),
            "order.cancel": ("cancel", orders.cancel),
            "order.amend": ("amend", orders.amend),
        }
        op = data.get("op", "")
        if op not in kinds:
            socket.put(self._framed(data, self.body({}, 10404, "op not found")))
            return
        what, act = kinds[op]

        def answer() -> Json:
            header = data.get("header", {})
            try:
                key = socket.state.get("key")
                if key is None:
                    raise Refused(20003, "Request is not authenticated.")
                stamp, window = header.get("X-BAPI-TIMESTAMP", ""), header.get("X-BAPI-RECV-WINDOW", "5000")
                if not str(stamp).isdigit():
                    raise Refused(*NEITHER)
                self.check_time(int(stamp), int(window))
                limits = self.spend(key, what)
                if not key.can_trade:
                    raise Refused(10005, "Permission denied, please check your API key permissions.")
                return self._framed(data, self.body(act(self.engine, key.account, data["args"][0])), limits)
            except Refused as refused:
                return self._framed(data, self.body({}, refused.code, refused.text))

        def refuse(fault: Fault) -> Json:
            body = self.refusal(fault).body
            if not isinstance(body, dict):
                body = self.body({}, 10006 if fault.how == "banned" else 10016, "Service Unavailable")
            return self._framed(data, body)

        self.frame(socket, what, answer, refuse)

    def _framed(self, data: Json, body: Json, header: dict[str, str] | None = None) -> Json:
        framed = {
            "retCode": body["retCode"],
            "retMsg": body["retMsg"],
            "op": data.get("op"),
            "data": body["result"],
            "connId": "c",
        }
        if "reqId" in data:
            framed["reqId"] = data["reqId"]
            framed["header"] = {**(header or {}), "Traceid": "t", "Timenow": str(self.now_ms())}
        return framed

    # -- what happens to the account ---------------------------------------------------------------------------

    def on_user(self, entry: w.JournalEntry) -> None:
        states = {order.order_id: order for order in entry.orders}
        concerned = {one.account for one in entry.orders} | {one.account for one in entry.trades}
        for account in concerned:
            executions = [wire.execution(self.engine, one) for one in entry.trades if one.account == account]
            changed = [wire.order(self.engine, one) for one in states.values() if one.account == account]
            self._say(account, "execution", executions)
            self._say(account, "order", changed)
            moved = {one.symbol for one in entry.trades if one.account == account}
            if moved:
                held = Wallet(self.engine, account).positions
                self._say(
                    account,
                    "position",
                    [
                        wire.position(self.engine, market, held.get(symbol, Position()), self.now_ms())
                        for symbol in sorted(moved)
                        if is_perp(market := self.engine.markets[symbol])
                    ],
                )
            self._say(account, "wallet", [wire.wallet(self.engine, account)])

    def _say(self, account: str, topic: str, data: list[Json]) -> None:
        for socket in self.sockets:
            if socket.account != account:
                continue
            for name in (topic, f"{topic}.spot", f"{topic}.linear"):
                kind = name.partition(".")[2]
                shown = [one for one in data if not kind or one.get("category") == kind]
                if name in socket.topics and shown:
                    frame = {
                        "id": uuid.uuid4().hex,
                        "topic": name,
                        "creationTime": self.now_ms(),
                        "data": shown,
                    }
                    socket.put(frame)

    # -- the dead-man switch -----------------------------------------------------------------------------------

    def _gone(self, socket: Socket) -> None:
        """A private stream has ended: without another one that watches, the window begins to run."""
        for (account, kind), window_s in self.windows_s.items():
            topic = "dcp.spot" if kind == "spot" else "dcp.future"
            if account == socket.account and topic in socket.topics and not self._watched(account, topic):
                loop = asyncio.get_running_loop()
                loop.call_later(window_s, self._throw, account, kind, topic)

    def _watched(self, account: str, topic: str) -> bool:
        return any(one.account == account and topic in one.topics for one in self.sockets)

    def _throw(self, account: str, kind: str, topic: str) -> None:
        if not self._watched(account, topic):
            for found in orders.of_kind(self.engine, self.engine.open_orders(account), kind):
                self.engine.cancel(found)


if __name__ == "__main__":
    main(Bybit)
