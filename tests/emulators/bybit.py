"""Bybit v5, a unified account with spot and linear perpetuals: `python -m tests.emulators.bybit`.

What is Bybit's own about it: creating, amending and cancelling are asynchronous (the answer says that the request
was taken, the stream what became of it), client ids are unique for ever, the same mistake has one code on spot and
another on derivatives, a refusal comes with status 200, and the dead-man switch is thrown by a private stream that
is gone.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import urllib.parse
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

from bestex import sim_wire as w
from bestex.matching import Print
from tests.emulators import bybit_orders as orders
from tests.emulators import bybit_wire as wire
from tests.emulators.budget import Budget
from tests.emulators.bybit_orders import Refused
from tests.emulators.bybit_wire import Json
from tests.emulators.engine import DepthChange, Market
from tests.emulators.faults import Fault, What
from tests.emulators.server import HTML_502, Emulator, Key, Reply, Socket, main
from tests.emulators.unified import Position, View, Wallet, is_perp, text

TOML = """
[venues.bybit]
[instruments."BTC/USDT"]
price_scale = 2
qty_scale = 6
venues.bybit = { tick = "0.01", lot = "0.000001", min_qty = "0.000011", max_qty = "83", min_notional = "5", \
taker_bps = "10", maker_bps = "10" }
[instruments."ETH/USDT"]
price_scale = 2
qty_scale = 5
venues.bybit = { tick = "0.01", lot = "0.00001", min_qty = "0.0001", max_qty = "2100", min_notional = "5", \
taker_bps = "10", maker_bps = "10" }
[instruments."BTC/USDT:USDT"]
price_scale = 2
qty_scale = 6
venues.bybit = { kind = "perp", tick = "0.1", lot = "0.001", min_qty = "0.001", max_qty = "1190", \
min_notional = "5", taker_bps = "5.5", maker_bps = "2" }
[exchange]
latency = "0s"
"""
DEPTHS = (1, 50, 200, 1_000)
AHEAD_MS = 1_000  # how far a request's time may be ahead
# Requests a second of one account by what they do; an address has 600 in 5 s.
PER_SECOND: dict[What, int] = {"new": 20, "cancel": 20, "amend": 20, "query": 50, "list": 50}
ADDRESS = (600, 5.0, 600.0)
WINDOWS_MS = 7 * 86_400_000  # what history shows at once
TOPICS = {"order", "execution", "wallet", "position", "dcp"}
PRODUCTS = {"SPOT": "spot", "DERIVATIVES": "linear"}
NEITHER = (10001, "empty value: apiTimestamp[] apiKey[] apiSignature[]")


class Bybit(Emulator):
    NAME, TOML = "bybit", TOML

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.address = Budget(ADDRESS[0], ADDRESS[1], ban_s=ADDRESS[2])
        self.budgets: dict[tuple[str, What], Budget] = {}
        self.views: dict[tuple[str, int], View] = {}
        self.prints: dict[str, deque[Json]] = {symbol: deque(maxlen=1_000) for symbol in self.engine.markets}
        self.windows_s: dict[tuple[str, str], int] = {}  # of the dead-man switch, by account and product

    def routes(self) -> Iterable[web.RouteDef]:
        public: dict[str, Callable[[Json], Json]] = {
            "time": lambda _: {
                "timeSecond": str(self.now_ms() // 1_000),
                "timeNano": str(self.now_ns()),
            },
            "instruments-info": self._instruments,
            "orderbook": self._orderbook,
            "recent-trade": self._recent_trades,
            "tickers": self._tickers,
        }
        private: list[tuple[str, str, What, Callable[[Key, Json], Json]]] = [
            ("POST", "order/create", "new", lambda k, b: orders.create(self.engine, k.account, b)),
            ("POST", "order/cancel", "cancel", lambda k, b: orders.cancel(self.engine, k.account, b)),
            ("POST", "order/amend", "amend", lambda k, b: orders.amend(self.engine, k.account, b)),
            ("POST", "order/cancel-all", "cancel", self._cancel_all),
            ("POST", "order/disconnected-cancel-all", "other", self._set_switch),
            ("GET", "order/realtime", "query", self._realtime),
            ("GET", "order/history", "list", self._history),
            ("GET", "execution/list", "list", self._executions),
            ("GET", "account/wallet-balance", "list", self._wallet),
            ("GET", "account/fee-rate", "other", self._fees),
            (
                "GET",
                "account/info",
                "other",
                lambda *_: {"unifiedMarginStatus": 6, "marginMode": "REGULAR_MARGIN"},
            ),
            ("GET", "position/list", "list", self._positions),
            ("GET", "user/query-api", "other", self._key),
        ]
        return [
            *(web.get(f"/v5/market/{name}", self._public(act)) for name, act in public.items()),
            *(web.route(verb, f"/v5/{path}", self._private(what, act)) for verb, path, what, act in private),
            web.get("/v5/public/{category}", self._public_socket),
            web.get("/v5/private", self._private_socket),
            web.get("/v5/trade", self._trade_socket),
        ]

    def body(self, result: Any, code: int = 0, message: str = "OK") -> Json:
        return {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": {},
            "time": self.now_ms(),
        }

    # -- over HTTP ---------------------------------------------------------------------------------------------

    def _public(self, act: Callable[[Json], Json]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self.rest(request, "other", lambda: self._answer(lambda: act(dict(request.query))))

        return handle

    def _private(self, what: What, act: Callable[[Key, Json], Json]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            raw = await request.text()

            def answer() -> Reply:
                headers: dict[str, str] = {}

                def done() -> Json:
                    key = self._signed(request, raw)
                    headers.update(self._spend(key, what))
                    if what in ("new", "cancel", "amend") and not key.can_trade:
                        raise Refused(10005, "Permission denied, please check your API key permissions.")
                    given = orjson.loads(raw) if request.method == "POST" else dict(request.query)
                    return act(key, given)

                reply = self._answer(done)
                return reply._replace(headers=headers)

            return await self.rest(request, what, answer)

        return handle

    def _answer(self, act: Callable[[], Json]) -> Reply:
        if self.address.spend(1, self.now_s()):
            return Reply(b"403 Forbidden: access too frequent", 403, {"Content-Type": "text/plain"})
        try:
            return Reply(self.body(act()))
        except Refused as refused:
            return Reply(self.body({}, refused.code, refused.text))

    def _signed(self, request: web.Request, raw: str) -> Key:
        given = request.headers
        stamp, window = given.get("X-BAPI-TIMESTAMP", ""), given.get("X-BAPI-RECV-WINDOW", "5000")
        name, signature = given.get("X-BAPI-API-KEY", ""), given.get("X-BAPI-SIGN", "")
        if not (stamp.isdigit() and window.isdigit() and name and signature):
            raise Refused(*NEITHER)
        key = self.keys.get(name)
        if key is None:
            raise Refused(10003, "API key is invalid.")
        signed = (
            stamp + name + window + (raw if request.method == "POST" else request.rel_url.raw_query_string)
        )
        if not hmac.compare_digest(_sign(key, signed), signature):
            raise Refused(10004, f"error sign! origin_string[{signed}]")
        self._check_time(int(stamp), int(window))
        return key

    def _check_time(self, stamp_ms: int, window_ms: int) -> None:
        now_ms = self.now_ms()
        if not now_ms - window_ms <= stamp_ms < now_ms + AHEAD_MS:
            raise Refused(
                10002,
                "invalid request, please check your server timestamp or recv_window param. req_timestamp"
                f"[{stamp_ms}],server_timestamp[{now_ms}],recv_window[{window_ms}]",
            )

    def _spend(self, key: Key, what: What) -> dict[str, str]:
        limit = PER_SECOND.get(what)
        if limit is None:
            return {}
        budget = self.budgets.setdefault((key.account, what), Budget(limit, 1.0, patience=1_000_000))
        if budget.spend(1, self.now_s()):
            raise Refused(10006, "Too many visits. Exceeded the API Rate Limit.")
        return {
            "X-Bapi-Limit": str(limit),
            "X-Bapi-Limit-Status": str(limit - int(budget.used)),
            "X-Bapi-Limit-Reset-Timestamp": str(self.now_ms() // 1_000 * 1_000 + 1_000),
        }

    def refusal(self, fault: Fault) -> Reply:
        match fault.how:
            case "busy":
                return Reply(self.body({}, 10016, "Server error."))
            case "rate_limited":
                return Reply(self.body({}, 10006, "Too many visits. Exceeded the API Rate Limit."))
            case "banned":
                return Reply(b"403 Forbidden: access too frequent", 403, {"Content-Type": "text/plain"})
            case "maintenance":
                return Reply(HTML_502.replace(b"502 Bad Gateway", b"503 Service Unavailable"), 503)
            case "skewed":
                text = "invalid request, please check your server timestamp or recv_window param."
                return Reply(self.body({}, 10002, text))
        raise NotImplementedError(fault.how)

    # -- public ------------------------------------------------------------------------------------------------

    def _of(self, given: Json) -> list[Market]:
        kind = given.get("category")
        if kind not in ("spot", "linear", "inverse", "option"):
            raise Refused(10001, "params error: Category is invalid")
        if given.get("symbol"):
            return [orders.find_market(self.engine, given)]
        return [market for market in self.engine.markets.values() if wire.category(market) == kind]

    def _instruments(self, given: Json) -> Json:
        live = given.get("status", "Trading") == "Trading"
        found = [wire.instrument(market) for market in self._of(given)] if live else []
        return {"category": given["category"], "list": found, "nextPageCursor": ""}

    def _orderbook(self, given: Json) -> Json:
        market = orders.find_market(self.engine, given)
        snapshot = market.snapshot(int(given.get("limit", "25" if is_perp(market) else "1")))
        return {
            "s": wire.market_id(market),
            "b": wire.levels(snapshot.bids),
            "a": wire.levels(snapshot.asks),
            "ts": self.now_ms(),
            "u": snapshot.last_id,
            "seq": snapshot.last_id,
            "cts": self.now_ms(),
        }

    def _recent_trades(self, given: Json) -> Json:
        market = orders.find_market(self.engine, given)
        shown = list(self.prints[market.symbol])[-int(given.get("limit", "60")) :]
        return {
            "category": given["category"],
            "list": [
                {
                    "execId": one["i"],
                    "symbol": one["s"],
                    "price": one["p"],
                    "size": one["v"],
                    "side": one["S"],
                    "time": str(one["T"]),
                    "isBlockTrade": False,
                }
                for one in reversed(shown)
            ],
        }

    def _tickers(self, given: Json) -> Json:
        return {"category": given["category"], "list": [self._ticker(market) for market in self._of(given)]}

    def _ticker(self, market: Market) -> Json:
        best = market.snapshot(1)
        bid, ask = (side[0] if side else None for side in (best.bids, best.asks))
        last = self.prints[market.symbol][-1]["p"] if self.prints[market.symbol] else ""
        found: Json = {
            "symbol": wire.market_id(market),
            "bid1Price": text(bid[0]) if bid else "",
            "bid1Size": text(bid[1]) if bid else "",
            "ask1Price": text(ask[0]) if ask else "",
            "ask1Size": text(ask[1]) if ask else "",
            "lastPrice": last,
            "prevPrice24h": last,
            "price24hPcnt": "0",
            "highPrice24h": last,
            "lowPrice24h": last,
            "turnover24h": "0",
            "volume24h": "0",
        }
        if is_perp(market):
            hours = self.now_ms() // 28_800_000 + 1
            funding = {"fundingRate": "0.0001", "nextFundingTime": str(hours * 28_800_000)}
            found |= {"markPrice": last, "indexPrice": last, "openInterest": "0", **funding}
        return found

    # -- private -----------------------------------------------------------------------------------------------

    def _realtime(self, key: Key, given: Json) -> Json:
        """The open ones; by an id also what has ended."""
        market = orders.find_market(self.engine, given) if given.get("symbol") else None
        kind = given.get("category")
        if kind == "linear" and not (market or given.get("settleCoin") or given.get("baseCoin")):
            raise Refused(
                10001, "Missing some parameters that must be filled in, symbol or settleCoin or baseCoin"
            )
        if given.get("orderId") or given.get("orderLinkId"):
            state = orders.find(self.engine, key.account, given)
            found = [] if state is None else [state]
        else:
            found = list(reversed(self.engine.open_orders(key.account)))
        return self._page(found, given, market)

    def _history(self, key: Key, given: Json) -> Json:
        """What has ended, newest first."""
        market = orders.find_market(self.engine, given) if given.get("symbol") else None
        since, until = self._window(given)
        ended = [
            state
            for state in reversed(self.engine.orders(key.account))
            if state.state is not w.State.OPEN and since <= state.created_ns // 1_000_000 <= until
        ]
        if given.get("orderId") or given.get("orderLinkId"):
            state = orders.find(self.engine, key.account, given)
            ended = [] if state is None or state.state is w.State.OPEN else [state]
        return self._page(ended, given, market)

    def _page(self, states: list[w.OrderState], given: Json, market: Market | None) -> Json:
        kind = given.get("category", "")
        states = orders.of_kind(self.engine, states, kind)
        states = [state for state in states if market is None or state.symbol == market.symbol]
        if before := _cursor(given):
            states = [state for state in states if state.order_id < before]
        limit = min(int(given.get("limit", "20")), 50)
        page = [wire.order(self.engine, state) for state in states[:limit]]
        if wanted := given.get("orderStatus"):
            page = [one for one in page if one["orderStatus"] == wanted]
        more = len(states) > limit
        return {
            "category": kind,
            "nextPageCursor": _quoted(states[limit - 1].order_id, self.now_ms()) if more else "",
            "list": page,
        }

    def _executions(self, key: Key, given: Json) -> Json:
        """Newest first, at most 100, and of at most seven days."""
        market = orders.find_market(self.engine, given) if given.get("symbol") else None
        since, until = self._window(given)
        found = [
            trade
            for trade in reversed(
                self.engine.trades(key.account, since_ns=since * 1_000_000, limit=1_000_000)
            )
            if wire.category(self.engine.markets[trade.symbol]) == given.get("category")
            and (market is None or trade.symbol == market.symbol)
            and trade.at_ns // 1_000_000 <= until
        ]
        if given.get("orderId") or given.get("orderLinkId"):
            state = orders.find(self.engine, key.account, given)
            found = [trade for trade in found if state is not None and trade.order_id == state.order_id]
        if before := _cursor(given):
            found = [trade for trade in found if trade.trade_id < before]
        limit = min(int(given.get("limit", "50")), 100)
        page = found[:limit]
        return {
            "category": given.get("category", ""),
            "nextPageCursor": _quoted(page[-1].trade_id, self.now_ms()) if len(found) > limit else "",
            "list": [wire.execution(self.engine, trade) for trade in page],
        }

    def _window(self, given: Json) -> tuple[int, int]:
        since, until = given.get("startTime"), given.get("endTime")
        if since is None:
            end = int(until) if until else self.now_ms()
            return end - WINDOWS_MS, end
        end = int(until) if until else int(since) + WINDOWS_MS
        if end - int(since) > WINDOWS_MS:
            raise Refused(10001, "The time range between startTime and endTime cannot exceed 7 days")
        return int(since), end

    def _wallet(self, key: Key, given: Json) -> Json:
        if given.get("accountType") != "UNIFIED":
            raise Refused(10001, "accountType only support UNIFIED.")
        return {"list": [wire.wallet(self.engine, key.account)]}

    def _positions(self, key: Key, given: Json) -> Json:
        if given.get("category") == "linear" and not (given.get("symbol") or given.get("settleCoin")):
            raise Refused(10001, "Missing some parameters that must be filled in, symbol or settleCoin")
        held = Wallet(self.engine, key.account).positions
        found = [
            wire.position(self.engine, market, held.get(market.symbol, Position()), self.now_ms())
            for market in self._of(given)
            if is_perp(market) and (given.get("symbol") or held.get(market.symbol, Position()).size)
        ]
        return {"category": given.get("category"), "nextPageCursor": "", "list": found}

    def _fees(self, _: Key, given: Json) -> Json:
        return {
            "list": [
                {
                    "symbol": wire.market_id(market),
                    "takerFeeRate": text(Decimal(market.listing.taker_fee_e8).scaleb(-8)),
                    "makerFeeRate": text(Decimal(market.listing.maker_fee_e8).scaleb(-8)),
                }
                for market in self._of(given)
            ]
        }

    def _key(self, key: Key, _: Json) -> Json:
        trade = ["Order", "Position"] if key.can_trade else []
        return {
            "id": "1",
            "apiKey": key.key,
            "readOnly": 0 if key.can_trade else 1,
            "permissions": {
                "ContractTrade": trade,
                "Spot": ["SpotTrade"] if key.can_trade else [],
                "Wallet": ["AccountTransfer", "Withdraw"] if key.can_withdraw else [],
            },
            "ips": ["*"],
            "uta": 1,
            "unified": 0,
            "userID": 1,
        }

    def _cancel_all(self, key: Key, body: Json) -> Json:
        return {"list": orders.cancel_all(self.engine, key.account, body), "success": "1"}

    def _set_switch(self, key: Key, body: Json) -> Json:
        window = body.get("timeWindow")
        if not isinstance(window, int) or not 3 <= window <= 300:
            raise Refused(10001, "timeWindow invalid")
        if body.get("product", "OPTIONS") not in PRODUCTS:
            raise Refused(10001, "product invalid")
        self.windows_s[key.account, PRODUCTS[body["product"]]] = window
        return {}

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
        right = key is not None and hmac.compare_digest(_sign(key, "GET/realtime" + expires), signature)
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
                for topic in data["args"]:
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
            "data": self._ticker(market),
        }

    def on_depth(self, change: DepthChange) -> None:
        self._changed(change, tell=True)

    def on_lost_depth(self, change: DepthChange) -> None:
        self._changed(change, tell=False)

    def _changed(self, change: DepthChange, *, tell: bool) -> None:
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
                self._check_time(int(stamp), int(window))
                limits = self._spend(key, what)
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


def _sign(key: Key, signed: str) -> str:
    return hmac.new(key.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()


def _cursor(given: Json) -> int:
    """What it is to go on before; 0 from the start."""
    cursor = urllib.parse.unquote(given.get("cursor", ""))
    return int(cursor.partition(":")[0]) if cursor else 0


def _quoted(number: int, now_ms: int) -> str:
    return urllib.parse.quote(f"{number}:{now_ms}")


if __name__ == "__main__":
    main(Bybit)
