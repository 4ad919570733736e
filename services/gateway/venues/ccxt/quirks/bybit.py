"""Bybit v5, unified account: spot and linear.

https://bybit-exchange.github.io/docs/v5/order/create-order and /docs/v5/error. An acknowledged order may still be
refused, which only its stream and its record tell; the answers hold ids and nothing else. Wants `orderLinkId` where
ccxt's unified name is dropped, and keeps it unique for ever.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import ccxt

from bestex.budget import Charges
from bestex.clock import SECOND
from bestex.errors import Code
from bestex.messages import Tif
from services.gateway import port as p
from services.gateway.venues.ccxt.quirks.base import PAGES_MAX, Closure, LimitTerms, Quirk
from services.gateway.venues.ccxt.quirks.bybit_socket import BybitSocket

POST_ONLY = {"EC_PostOnlyWillTakeLiquidity": Code.POST_ONLY_WOULD_TAKE}
SECOND_MS = 1_000
SWITCH_S = (3, 300)  # what the dead-man switch can be set to
ENTRY = ("new", "cancel", "amend")  # each has a limit of its own, on spot and on derivatives
QUESTIONS = ("v5/order/realtime", "v5/order/history", "v5/execution/list")
BLOCKED = "access too frequent"  # a page of its edge, which then refuses the address for ten minutes
BLOCKED_MS = 600_000
ADDRESS_PAUSE_MS = 5_000
WEEK_MS = 7 * 86_400_000  # the longest time that one question for trades may span


class Bybit(Quirk):
    capabilities: ClassVar[p.Capabilities] = p.Capabilities(
        tifs=frozenset({Tif.IOC, Tif.FOK, Tif.GTC}),
        post_only=True,
        client_id_length=36,
        native_replace=True,
        late_rejects=True,
        dead_man=True,
        holdings=True,
        fee_of_received=True,
        one_wallet=True,
        sequence_checks=True,
        rates=(
            *(p.RateBudget(scope=f"spot.{what}", weight=20, window_ns=SECOND) for what in ENTRY),
            *(p.RateBudget(scope=f"linear.{what}", weight=10, window_ns=SECOND) for what in ENTRY),
            *(p.RateBudget(scope=path, weight=50, window_ns=SECOND) for path in QUESTIONS),
            p.RateBudget(scope="address", weight=600, window_ns=5 * SECOND),
        ),
    )
    codes: ClassVar[Mapping[str, Code]] = {
        "10001": Code.INVALID_PARAMETER,
        "10002": Code.EXPIRED,  # outside of recv_window
        "10003": Code.VENUE_REJECTED,  # no such key
        "10004": Code.VENUE_REJECTED,  # signature
        "10005": Code.VENUE_REJECTED,  # rights of the key
        "10006": Code.RATE_LIMITED,
        "10018": Code.RATE_LIMITED,
        "110003": Code.INVALID_PRICE,
        "110004": Code.INSUFFICIENT_FUNDS,
        "110007": Code.INSUFFICIENT_FUNDS,
        "110012": Code.INSUFFICIENT_FUNDS,
        "110017": Code.INVALID_QTY,
        "110094": Code.BELOW_MINIMUM,
        "170121": Code.UNKNOWN_SYMBOL,
        "170131": Code.INSUFFICIENT_FUNDS,
        "170132": Code.INVALID_PRICE,
        "170133": Code.INVALID_PRICE,
        "170134": Code.OFF_TICK,
        "170135": Code.LIMIT_EXCEEDED,
        "170136": Code.BELOW_MINIMUM,
        "170137": Code.OFF_LOT,
        "170140": Code.BELOW_MINIMUM,
        "170218": Code.POST_ONLY_WOULD_TAKE,
    }
    duplicates: ClassVar[frozenset[str]] = frozenset({"110072", "170141"})
    absent: ClassVar[frozenset[str]] = frozenset({"110001", "170213"})
    too_late: ClassVar[frozenset[str]] = frozenset({"170139", "170142"})
    off_time: ClassVar[frozenset[str]] = frozenset({"10002"})
    usual: ClassVar[Charges | None] = {"address": 1}
    options: ClassVar[Mapping[str, Any]] = {"fetchMarkets": {"types": ["spot", "linear"]}}
    acknowledges: ClassVar[bool] = True

    def __init__(self, market_type: str) -> None:
        super().__init__(market_type)
        self.socket = BybitSocket(self)
        self._armed: tuple[Any, int] | None = None  # the stream that watches the switch, and its seconds

    @property
    def category(self) -> str:
        return "spot" if self.market_type == "spot" else "linear"

    def charges(self, what: str) -> Charges | None:
        if what in ENTRY:
            return {"address": 1, f"{self.category}.{what}": 1}
        return {"address": 1, what: 1} if what in QUESTIONS else self.usual

    def limited(self, error: BaseException, headers: Mapping[str, str], now_ms: float) -> Closure | None:  # noqa: ARG002
        """10006 is of the one kind of request, and says when it may be asked again."""
        if self.code_of(error) == "10018":
            return Closure(("address",), ADDRESS_PAUSE_MS)
        if BLOCKED in str(error):
            return Closure(("address",), BLOCKED_MS)
        if self.code_of(error) != "10006":
            return None
        return Closure((), SECOND_MS)

    def named(self, child_id: str, venue_order_id: str) -> tuple[str | None, dict[str, Any]]:  # noqa: ARG002
        return None, {"orderLinkId": child_id}

    def own_id(self, order: Any) -> str:
        return super().own_id(order) or str(order["info"].get("orderLinkId") or "")

    def why(self, order: Any) -> Code | None:
        """Spot calls such an order rejected, and derivatives call it cancelled; the reason is the same."""
        return POST_ONLY.get(order["info"].get("rejectReason", ""))

    async def create(self, exchange: Any, order: p.Submit, terms: LimitTerms) -> Any:
        """The window of the request's time ends with the order's deadline. ccxt has one window for all requests, and
        before its first order it asks what kind of account it is; so the request is signed and sent by itself."""
        symbol, amount, price, left_ms = terms
        params = self.terms(order, left_ms)
        request = exchange.create_order_request(symbol, "limit", str(order.side), amount, price, params)
        usual = exchange.options["recvWindow"]
        exchange.options["recvWindow"] = min(left_ms, usual)
        try:
            signed = exchange.sign("v5/order/create", ["private"], "POST", request)
        finally:
            exchange.options["recvWindow"] = usual
        answer = await exchange.fetch(signed["url"], signed["method"], signed["headers"], signed["body"])
        return exchange.parse_order(answer["result"], exchange.market(symbol))

    async def order(self, exchange: Any, symbol: str, child_id: str, venue_order_id: str) -> Any:  # noqa: ARG002
        """The recent ones stand in `realtime`, the older in `history`."""
        market = exchange.market(symbol)
        request = {"category": self.category, "symbol": market["id"], "orderLinkId": child_id}
        for ask in (exchange.privateGetV5OrderRealtime, exchange.privateGetV5OrderHistory):
            answer = await ask(request)
            if found := answer["result"]["list"]:
                return exchange.parse_order(found[0], market)
        return None

    async def open_orders(self, exchange: Any, symbol: str) -> list[Any]:
        return await self.open_orders_of(exchange, [symbol])

    async def open_orders_of(self, exchange: Any, symbols: Sequence[str]) -> list[Any]:
        return await self._paged(
            exchange.privateGetV5OrderRealtime,
            exchange,
            symbols,
            exchange.parse_order,
            {"openOnly": 0, "limit": 50},
        )

    async def trades(self, exchange: Any, symbol: str, since_ms: int) -> list[Any]:
        return await self.trades_of(exchange, [symbol], since_ms)

    async def trades_of(self, exchange: Any, symbols: Sequence[str], since_ms: int) -> list[Any]:
        now_ms, known = exchange.milliseconds(), dict[str, Any]()
        while since_ms <= now_ms:
            until_ms = min(since_ms + WEEK_MS - 1, now_ms + 60_000)
            span = {"startTime": since_ms, "endTime": until_ms, "execType": "Trade", "limit": 100}
            for trade in await self._paged(
                exchange.privateGetV5ExecutionList, exchange, symbols, exchange.parse_trade, span
            ):
                known[trade["id"]] = trade
            since_ms = until_ms + 1
        return sorted(known.values(), key=lambda trade: trade["timestamp"])

    async def _paged(
        self, ask: Any, exchange: Any, symbols: Sequence[str], parse: Any, more: dict[str, Any]
    ) -> list[Any]:
        """Of one symbol, or of all of the account: of derivatives, all that are settled in one coin."""
        markets = {market["id"]: market for market in map(exchange.market, symbols)}
        if len(markets) == 1:
            return await self._pages(ask, markets, parse, {"symbol": next(iter(markets)), **more})
        coins = dict.fromkeys(market["settleId"] for market in markets.values())
        wholes = [{"settleCoin": coin} for coin in coins] if self.category != "spot" else [{}]
        each = [await self._pages(ask, markets, parse, {**whole, **more}) for whole in wholes]
        return [row for rows in each for row in rows]

    async def _pages(self, ask: Any, markets: dict[str, Any], parse: Any, more: dict[str, Any]) -> list[Any]:
        cursor, found = "", list[Any]()
        for _ in range(PAGES_MAX):
            request = {"category": self.category, **more}
            answer = await ask(request | ({"cursor": cursor} if cursor else {}))
            rows = answer["result"]["list"]
            found += [parse(row, markets[row["symbol"]]) for row in rows if row["symbol"] in markets]
            cursor = answer["result"].get("nextPageCursor") or ""
            if not cursor or not rows:
                return found
        raise RuntimeError(f"more than {PAGES_MAX} pages of {', '.join(markets)}")

    async def arm(self, exchange: Any, timeout_ms: int, symbols: Sequence[str]) -> None:  # noqa: ARG002
        """Bybit's switch is no timer: it is thrown when the private streams that watch it have been gone for so long.
        So it helps where this process ends or loses its connection, which is what it is for. 0 stops watching."""
        topic = "dcp.spot" if self.market_type == "spot" else "dcp.future"
        stream = exchange.clients.get(exchange.urls["api"]["ws"]["private"]["contract"])
        if stream is None or stream.connection is None:
            raise ccxt.NetworkError("bybit has no private stream that could watch the switch")
        if not timeout_ms:
            await stream.send({"op": "unsubscribe", "args": [topic]})
            self._armed = None
            return
        seconds = min(max(math.ceil(timeout_ms / 1_000), SWITCH_S[0]), SWITCH_S[1])
        if self._armed == (stream, seconds):
            return
        product = "SPOT" if self.market_type == "spot" else "DERIVATIVES"
        await exchange.privatePostV5OrderDisconnectedCancelAll({"product": product, "timeWindow": seconds})
        await stream.send({"op": "subscribe", "args": [topic]})
        self._armed = (stream, seconds)
