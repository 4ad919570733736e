"""Bybit over HTTP: signatures, time windows, limits, and what it tells of markets, orders and accounts."""

from __future__ import annotations

import hashlib
import hmac
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

from bestex import sim_wire as w
from tests.emulators import bybit_orders as orders
from tests.emulators import bybit_wire as wire
from tests.emulators.budget import Budget
from tests.emulators.bybit_orders import Refused
from tests.emulators.bybit_wire import Json
from tests.emulators.engine import Market
from tests.emulators.faults import Fault, What
from tests.emulators.server import HTML_502, Emulator, Key, Reply
from tests.emulators.unified import Position, Wallet, is_perp, text

AHEAD_MS = 1_000  # how far a request's time may be ahead
# Requests a second of one account by what they do; an address has 600 in 5 s.
PER_SECOND: dict[What, int] = {"new": 20, "cancel": 20, "amend": 20, "query": 50, "list": 50}
ADDRESS = (600, 5.0, 600.0)
WINDOWS_MS = 7 * 86_400_000  # what history shows at once
PRODUCTS = {"SPOT": "spot", "DERIVATIVES": "linear"}
NEITHER = (10001, "empty value: apiTimestamp[] apiKey[] apiSignature[]")


class BybitRest(Emulator):
    NAME, TOML = "bybit", wire.TOML

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.address = Budget(ADDRESS[0], ADDRESS[1], ban_s=ADDRESS[2])
        self.budgets: dict[tuple[str, What], Budget] = {}
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
                    headers.update(self.spend(key, what))
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
            return Reply(b"403 Forbidden: access too frequent", 403)
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
        if not hmac.compare_digest(sign(key, signed), signature):
            raise Refused(10004, f"error sign! origin_string[{signed}]")
        self.check_time(int(stamp), int(window))
        return key

    def check_time(self, stamp_ms: int, window_ms: int) -> None:
        now_ms = self.now_ms()
        if not now_ms - window_ms <= stamp_ms < now_ms + AHEAD_MS:
            raise Refused(
                10002,
                "invalid request, please check your server timestamp or recv_window param. req_timestamp"
                f"[{stamp_ms}],server_timestamp[{now_ms}],recv_window[{window_ms}]",
            )

    def spend(self, key: Key, what: What) -> dict[str, str]:
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
                return Reply(b"403 Forbidden: access too frequent", 403)
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
        return {"category": given["category"], "list": [self.ticker(market) for market in self._of(given)]}

    def ticker(self, market: Market) -> Json:
        prints = self.prints[market.symbol]
        return wire.ticker(market, prints[-1]["p"] if prints else "", self.now_ms())

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
        return wire.api_key(key)

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


def sign(key: Key, signed: str) -> str:
    return hmac.new(key.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()


def _cursor(given: Json) -> int:
    """What it is to go on before; 0 from the start."""
    cursor = urllib.parse.unquote(given.get("cursor", ""))
    return int(cursor.partition(":")[0]) if cursor else 0


def _quoted(number: int, now_ms: int) -> str:
    return urllib.parse.quote(f"{number}:{now_ms}")
