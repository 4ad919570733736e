"""OKX v5, one account with spot and swaps: `python -m tests.emulators.okx`.

What is OKX's own about it: swaps count contracts of 0.01 BTC, a fee that is paid is negative, one request can succeed
in part (`code` 2, and each order's own `sCode`), a client id is letters and digits and unique among open orders only,
a request can carry its own deadline (`expTime`), books have both a chain of numbers and a checksum.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from bestex import sim_wire as w
from bestex.matching import Print
from tests.emulators import okx_orders as orders
from tests.emulators import okx_wire as wire
from tests.emulators.command import main
from tests.emulators.engine import DepthChange, Market, Snapshot
from tests.emulators.faults import Fault, What
from tests.emulators.okx_orders import Refused
from tests.emulators.okx_rest import OkxRest, sign
from tests.emulators.okx_wire import Json
from tests.emulators.server import Key, Socket
from tests.emulators.unified import View, is_perp, text

BOOKS = {"books": 400, "books-l2-tbt": 400, "books50-l2-tbt": 50, "books5": 5, "bbo-tbt": 1}
WHOLE = {"books5", "bbo-tbt"}  # are told whole each time
MARKS = ("mark-price", "funding-rate")  # of swaps
PRIVATE = {"orders", "account", "positions"}
LOGIN_S = 30.0


class Okx(OkxRest):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.views: dict[tuple[str, str], View] = {}

    def routes(self) -> Iterable[web.RouteDef]:
        return [*super().routes(), web.get("/ws/v5/{access}", self._socket)]

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        access = request.match_info["access"]

        def heard(socket: Socket, data: Any) -> None:
            socket.state.setdefault("args", [])
            if data == "ping":
                socket.put("pong")
            elif not isinstance(data, dict):
                _error(socket, "60012", f"Illegal request: {data}")
            else:
                self._asked(socket, access, data)

        return await self.listen(request, heard)

    def _asked(self, socket: Socket, access: str, data: Json) -> None:
        kinds: dict[str, tuple[What, Callable[..., Json]]] = {
            "order": ("new", orders.place),
            "batch-orders": ("new", orders.place),
            "cancel-order": ("cancel", orders.cancel),
            "amend-order": ("amend", orders.amend),
        }
        op = data.get("op", "")
        if op == "login":
            self._log_in(socket, data)
        elif op == "subscribe":
            for arg in data.get("args", []):
                self._subscribe(socket, access, arg)
        elif op == "unsubscribe":
            for arg in data.get("args", []):
                socket.state["args"] = [one for one in socket.state["args"] if one != arg]
                socket.put({"event": "unsubscribe", "arg": arg, "connId": "c"})
        elif op in kinds and access == "private":
            self._ordered(socket, data, *kinds[op])
        else:
            _error(socket, "60019", f"Invalid op: {op}")

    def _log_in(self, socket: Socket, data: Json) -> None:
        given = (data.get("args") or [{}])[0]
        stamp, key = str(given.get("timestamp", "")), self.keys.get(given.get("apiKey", ""))
        if key is None:
            _error(socket, "60005", "Invalid apiKey")
        elif not stamp.replace(".", "").isdigit() or abs(float(stamp) - self.now_s()) > LOGIN_S:
            _error(socket, "60006", "Timestamp request expired")
        elif key.passphrase != given.get("passphrase"):
            _error(socket, "60024", "Wrong passphrase")
        elif not hmac.compare_digest(sign(key, f"{stamp}GET/users/self/verify"), str(given.get("sign", ""))):
            _error(socket, "60007", "Invalid sign")
        else:
            socket.account, socket.state["key"] = key.account, key
            socket.put({"event": "login", "code": "0", "msg": "", "connId": "c"})

    def _subscribe(self, socket: Socket, access: str, arg: Json) -> None:
        channel = arg.get("channel", "")
        known = (
            channel in PRIVATE if access == "private" else channel in {*BOOKS, *MARKS, "trades", "tickers"}
        )
        markets = [
            one
            for one in self.engine.markets.values()
            if arg.get("instId", wire.inst_id(one)) == wire.inst_id(one)
        ]
        if not known or access == "business" or not markets:
            _error(
                socket, "60018", f"Wrong URL or channel:{channel},instId:{arg.get('instId')} doesn't exist."
            )
        elif access == "private" and not socket.account:
            _error(socket, "60011", "Please log in")
        else:
            if arg not in socket.state["args"]:
                socket.state["args"].append(arg)
            socket.put({"event": "subscribe", "arg": arg, "connId": "c"})
            self._greet(socket, arg, markets[0])

    def _greet(self, socket: Socket, arg: Json, market: Market) -> None:
        channel = arg["channel"]
        if channel in BOOKS:
            snapshot = market.snapshot(BOOKS[channel])
            view = self.views.get((market.symbol, channel))
            if view is None or len(self._hearing(channel, market)) == 1:
                view = self.views[market.symbol, channel] = View(BOOKS[channel], snapshot)
                view.number = market.last_id
            told = Snapshot(view.number, list(view.bids.items()), list(view.asks.items()))
            socket.put(self._book(arg, market, told, told, -1))
        elif channel == "tickers":
            socket.put({"arg": arg, "data": [self.ticker(market)]})
        elif channel in MARKS and is_perp(market):
            socket.put({"arg": arg, "data": [wire.mark(channel, market, self.now_ms())]})
        elif channel == "account":
            shown = wire.balance(self.engine, socket.account, self.now_ms(), arg.get("ccy", ""))
            socket.put({"arg": arg, "data": [shown]})
        elif channel == "positions":
            found = [one for one in self.positions(socket.account, self.engine.markets) if one["pos"] != "0"]
            socket.put({"arg": arg, "data": found})

    def _hearing(self, channel: str, market: Market) -> list[tuple[Socket, Json]]:
        return [
            (socket, arg)
            for socket in self.sockets
            for arg in socket.state.get("args", ())
            if arg["channel"] == channel and arg.get("instId") == wire.inst_id(market)
        ]

    # -- public ------------------------------------------------------------------------------------------------

    def _book(
        self, arg: Json, market: Market, changed: Snapshot, whole: Snapshot, previous: int, bad: int = 0
    ) -> Json:
        data: Json = {
            "asks": wire.levels(market, changed.asks),
            "bids": wire.levels(market, changed.bids),
            "ts": str(self.now_ms()),
            "seqId": changed.last_id,
        }
        if arg["channel"] in WHOLE:
            return {"arg": arg, "data": [{**data, "instId": wire.inst_id(market)}]}
        best = wire.levels(market, whole.bids), wire.levels(market, whole.asks)
        data |= {"prevSeqId": previous, "checksum": wire.checksum(*best) + bad}
        return {"arg": arg, "action": "snapshot" if previous == -1 else "update", "data": [data]}

    def on_depth(self, change: DepthChange) -> None:
        self._changed(change, tell=True)

    def on_lost_depth(self, change: DepthChange) -> None:
        self._changed(change, tell=False)

    def on_wrong_depth(self, change: DepthChange) -> None:
        self._changed(change, tell=True, right=False)

    def _changed(self, change: DepthChange, *, tell: bool, right: bool = True) -> None:
        market = self.engine.markets[change.symbol]
        for channel, depth in BOOKS.items():
            view = self.views.get((market.symbol, channel))
            if view is None:
                continue
            hearing = self._hearing(channel, market)
            if not hearing:
                del self.views[market.symbol, channel]
                continue
            whole = market.snapshot(depth)
            bids, asks = view.update(whole)
            if not bids and not asks:
                continue
            previous, view.number = view.number, change.last_id
            changed = whole if channel in WHOLE else Snapshot(change.last_id, bids, asks)
            if channel not in WHOLE and not right:
                changed = Snapshot(change.last_id, [], [])
            bad = 1 if tell and channel not in WHOLE and self.faults.of_stream("bad_checksum") else 0
            for socket, arg in hearing if tell else ():
                socket.put(self._book(arg, market, changed, whole, previous, bad))
        for socket, arg in self._hearing("tickers", market):
            socket.put({"arg": arg, "data": [self.ticker(market)]})
        for socket, arg in self._hearing("mark-price", market):
            socket.put({"arg": arg, "data": [wire.mark("mark-price", market, self.now_ms())]})

    def on_trade(self, trade: Print, market: Market) -> None:
        one = {
            "instId": wire.inst_id(market),
            "tradeId": trade.trade_id,
            "px": text(market.price(trade.price)),
            "sz": wire.size(market, market.qty(trade.qty)),
            "side": "sell" if trade.aggressor < 0 else "buy",
            "ts": str(trade.at_ns // 1_000_000),
            "count": "1",
        }
        self.prints[market.symbol].append(one)
        for socket, arg in self._hearing("trades", market):
            socket.put({"arg": arg, "data": [one]})

    # -- orders over the socket --------------------------------------------------------------------------------

    def _ordered(self, socket: Socket, data: Json, what: What, act: Callable[..., Json]) -> None:
        named = {"id": data.get("id", ""), "op": data["op"]}

        def answer() -> Json:
            key: Key | None = socket.state.get("key")
            try:
                if key is None:
                    raise Refused("60011", "Please log in")
                self.spend(key.account, data["op"])
                if not key.can_trade:
                    raise Refused("50120", "This API key doesn't have permission to use this function")
                self.check_deadline(str(data.get("expTime", "")))
            except Refused as refused:
                return named | {"code": refused.code, "msg": refused.text, "data": []}
            return named | self.body(self.each(act)(key, data.get("args", []))) | {"msg": ""}

        def refuse(fault: Fault) -> Json:
            body = self.refusal(fault).body
            return named | (
                body if isinstance(body, dict) else {"code": "50011", "msg": "Too Many Requests", "data": []}
            )

        self.frame(socket, what, answer, refuse)

    # -- what happens to the account ---------------------------------------------------------------------------

    def on_user(self, entry: w.JournalEntry) -> None:
        is_new = isinstance(entry.request, w.Submit)
        for order in entry.orders:
            trades = [one for one in entry.trades if one.order_id == order.order_id]
            own = (
                is_new and isinstance(entry.request, w.Submit) and entry.request.client_id == order.client_id
            )
            market = self.engine.markets[order.symbol]
            for frame in wire.pushed(self.engine, order, trades, is_new=own):
                for socket, arg in self._concerned(order.account, "orders"):
                    right_kind = arg.get("instType", "ANY") in ("ANY", wire.inst_type(market))
                    if right_kind and arg.get("instId", wire.inst_id(market)) == wire.inst_id(market):
                        socket.put({"arg": arg, "data": [frame]})
        for account in {one.account for one in entry.orders}:
            for socket, arg in self._concerned(account, "account"):
                shown = wire.balance(self.engine, account, self.now_ms(), arg.get("ccy", ""))
                socket.put({"arg": arg, "data": [shown]})
            moved = {one.symbol for one in entry.trades if one.account == account}
            perps = sorted(symbol for symbol in moved if is_perp(self.engine.markets[symbol]))
            if perps:
                for socket, arg in self._concerned(account, "positions"):
                    socket.put({"arg": arg, "data": self.positions(account, perps)})

    def tells(self, account: str) -> bool:
        return bool(self._concerned(account, "orders"))

    def _concerned(self, account: str, channel: str) -> list[tuple[Socket, Json]]:
        return [
            (socket, arg)
            for socket in self.sockets
            if socket.account == account
            for arg in socket.state.get("args", ())
            if arg["channel"] == channel
        ]


def _error(socket: Socket, code: str, message: str) -> None:
    socket.put({"event": "error", "code": code, "msg": message, "connId": "c"})


if __name__ == "__main__":
    main(Okx)
