"""Binance spot over HTTP: signatures, time windows, weights, and what it tells of markets, orders and accounts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

from bestex import sim_wire as w
from bestex.clock import MS
from bestex.messages import Side, Tif
from tests.emulators import binance_wire as wire
from tests.emulators.binance_wire import Json, Refused
from tests.emulators.budget import Budget
from tests.emulators.engine import Market
from tests.emulators.faults import Fault, What
from tests.emulators.server import Emulator, Key, Reply
from tests.emulators.unified import Wallet, affords

WINDOW_MS = 5_000  # a request's own receive window, where it names none
DAY_MS = 86_400_000
WEIGHTS = {"depth": 5, "account": 20, "myTrades": 20, "openOrders": 6, "allOrders": 20, "order": 4}
BAN_S = 120.0

Act = Callable[[Key, Mapping[str, str]], Any]


class BinanceRest(Emulator):
    NAME, TOML = "binance", wire.TOML

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.weight = Budget(6_000, 60.0, ban_s=BAN_S)
        self.ids = {wire.market_id(market): market for market in self.engine.markets.values()}
        self.prints: dict[str, deque[Json]] = {symbol: deque(maxlen=1_000) for symbol in self.engine.markets}

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/api/v3/ping", self._public("ping", lambda _: {})),
            web.get("/api/v3/time", self._public("time", lambda _: {"serverTime": self.now_ms()})),
            web.get("/api/v3/exchangeInfo", self._public("exchangeInfo", self._info)),
            web.get("/api/v3/depth", self._public("depth", self._depth_snapshot)),
            web.get(
                "/api/v3/trades", self._public("trades", lambda q: list(self.prints[self._market(q).symbol]))
            ),
            web.post("/api/v3/order", self._signed_route("order", "new", self._new)),
            web.delete("/api/v3/order", self._signed_route("order", "cancel", self._cancel)),
            web.get("/api/v3/order", self._signed_route("order", "query", self._query)),
            web.put("/api/v3/order/amend/keepPriority", self._signed_route("order", "amend", self._amend)),
            web.post("/api/v3/order/cancelReplace", self._signed_route("order", "amend", self._replace)),
            web.get("/api/v3/openOrders", self._signed_route("openOrders", "list", self._open_orders)),
            web.get("/api/v3/allOrders", self._signed_route("allOrders", "list", self._all_orders)),
            web.get("/api/v3/myTrades", self._signed_route("myTrades", "list", self._my_trades)),
            web.get("/api/v3/account", self._signed_route("account", "list", self._account)),
            web.get("/sapi/v1/asset/tradeFee", self._signed_route("tradeFee", "other", self._fees)),
            web.get("/sapi/v1/account/apiRestrictions", self._signed_route("api", "other", self._rights)),
        ]

    # -- over HTTP ---------------------------------------------------------------------------------------------

    def _public(self, name: str, act: Callable[[Mapping[str, str]], Any]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self.rest(request, "other", lambda: self._answer(name, lambda: act(request.query)))

        return handle

    def _signed_route(self, name: str, what: What, act: Act) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.text()

            def done() -> Any:
                payload, _, signature = (request.query_string + body).rpartition("&signature=")
                key = self._key(request.headers.get("X-MBX-APIKEY", ""))
                given = wire.parameters(request.query_string, body)
                self._check_signature(key, payload, signature, given)
                if what in ("new", "cancel", "amend") and not key.can_trade:
                    raise Refused(*wire.BAD_KEY, status=401)
                return act(key, given)

            return await self.rest(request, what, lambda: self._answer(name, done))

        return handle

    def _answer(self, name: str, act: Callable[[], Any]) -> Reply:
        wait_s = self.weight.spend(WEIGHTS.get(name, 1), self.now_s())
        used = {"X-MBX-USED-WEIGHT-1M": str(int(self.weight.used))}
        if wait_s:
            banned = self.weight.is_banned(self.now_s())
            return self._limited(wait_s, banned)
        try:
            return Reply(act(), headers=used)
        except Refused as refused:
            return Reply(refused.body, refused.status, used)
        except (KeyError, InvalidOperation) as error:
            return Reply({"code": -1102, "msg": f"Mandatory parameter {error} was not sent."}, 400, used)

    def _limited(self, wait_s: float, banned: bool) -> Reply:
        headers = {"Retry-After": str(int(wait_s) + 1)}
        if banned:
            code, text = wire.BANNED
            until = self.now_ms() + int(wait_s * 1_000)
            return Reply({"code": code, "msg": text.format(until=until)}, 418, headers)
        return Reply({"code": wire.TOO_MANY[0], "msg": wire.TOO_MANY[1]}, 429, headers)

    def refusal(self, fault: Fault) -> Reply:
        match fault.how:
            case "rate_limited":
                return self._limited(1.0, False)
            case "banned":
                return self._limited(BAN_S, True)
            case "skewed":
                return Reply(Refused(*wire.OFF_TIME).body, 400)
            case "maintenance":
                return Reply(Refused(*wire.MAINTENANCE).body, 503)
            case _:
                code, text = wire.TIMEOUT if fault.how == "busy" else wire.BUSY
                return Reply({"code": code, "msg": text}, 503)

    def _key(self, name: str) -> Key:
        found = self.keys.get(name)
        if found is None:
            raise Refused(*wire.BAD_KEY, status=401)
        return found

    def _check_signature(self, key: Key, payload: str, signature: str, given: Mapping[str, str]) -> None:
        if wire.sign(key.secret, payload) != signature:
            raise Refused(*wire.SIGNATURE)
        sent_ms, window_ms = int(given["timestamp"]), int(given.get("recvWindow", WINDOW_MS))
        if not (sent_ms < self.now_ms() + 1_000 and self.now_ms() - sent_ms <= min(window_ms, 60_000)):
            raise Refused(*wire.OFF_TIME)

    # -- markets -----------------------------------------------------------------------------------------------

    def _market(self, given: Mapping[str, str]) -> Market:
        found = self.ids.get(given["symbol"])
        if found is None:
            raise Refused(*wire.BAD_SYMBOL)
        return found

    def _info(self, _: Mapping[str, str]) -> Json:
        return {
            "timezone": "UTC",
            "serverTime": self.now_ms(),
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}
            ],
            "exchangeFilters": [],
            "symbols": [wire.symbol_info(market) for market in self.ids.values()],
        }

    def _depth_snapshot(self, given: Mapping[str, str]) -> Json:
        snapshot = self._market(given).snapshot(int(given.get("limit", "100")))
        return {
            "lastUpdateId": snapshot.last_id,
            "bids": wire.levels(snapshot.bids),
            "asks": wire.levels(snapshot.asks),
        }

    # -- orders ------------------------------------------------------------------------------------------------

    def _new(self, key: Key, given: Mapping[str, str]) -> Json:
        market, kind = self._market(given), given["type"]
        side, qty = Side(given["side"].lower()), Decimal(given["quantity"])
        price = None if kind == "MARKET" else Decimal(given["price"])
        wire.check(market, qty, price)
        name = given.get("newClientOrderId", "")
        if len(name) > 36:
            raise Refused(-1100, "Illegal characters found in parameter 'newClientOrderId'.")
        opened = self.engine.open_orders(key.account)
        if name and any(wire.client_id(order) == name for order in opened):
            raise Refused(*wire.DUPLICATE)
        if not affords(self.engine, key.account, market.symbol, side, qty, price or Decimal(0)):
            raise Refused(*wire.INSUFFICIENT)
        answer = self.engine.submit(
            key.account,
            market.symbol,
            side,
            qty,
            price,
            client_id=name,
            tif=wire.TIFS[given.get("timeInForce", "GTC")] if kind == "LIMIT" else Tif.GTC,
            post_only=kind == "LIMIT_MAKER",
            display=Decimal(given["icebergQty"]) if Decimal(given.get("icebergQty", "0")) else None,
        )
        if answer.order is None or not answer.ok:
            raise wire.refusal_of(answer.code)
        body = wire.order_body(answer.order, market) | {"transactTime": self.now_ms()}
        return body | {"fills": [wire.fill_body(trade, market) for trade in answer.trades]}

    def _found(self, key: Key, given: Mapping[str, str], missing: tuple[int, str]) -> w.OrderState:
        """By `orderId`, or the newest of that `origClientOrderId`."""
        market = self._market(given)
        if given.get("orderId"):
            found = self.engine.order(key.account, order_id=int(given["orderId"]))
        else:
            found = self.engine.order(key.account, client_id=given.get("origClientOrderId", ""))
        if found is None or found.symbol != market.symbol or found.state is w.State.REJECTED:
            raise Refused(*missing)
        return found

    def _cancel(self, key: Key, given: Mapping[str, str]) -> Json:
        order = self._found(key, given, wire.UNKNOWN_CANCEL)
        answer = self.engine.cancel(order)
        if not answer.ok or answer.order is None:
            raise Refused(*wire.UNKNOWN_CANCEL)
        body = wire.order_body(answer.order, self._market(given))
        return body | {"origClientOrderId": body["clientOrderId"], "clientOrderId": f"cancel{order.order_id}"}

    def _query(self, key: Key, given: Mapping[str, str]) -> Json:
        return wire.order_body(self._found(key, given, wire.NO_ORDER), self._market(given))

    def _amend(self, key: Key, given: Mapping[str, str]) -> Json:
        """Less quantity at the same price, the place in the queue kept."""
        order, market = self._found(key, given, wire.NO_ORDER), self._market(given)
        qty = Decimal(given["newQty"])
        if not order.cum_qty < market.instrument.qty_units(qty) < order.qty:
            raise Refused(-2038, "The requested action would change no state; rejecting.")
        answer = self.engine.amend(order, qty, market.price(order.price))
        if not answer.ok or answer.order is None:
            raise Refused(-2038, "Order amend rejected.")
        return {"transactTime": self.now_ms(), "amendedOrder": wire.order_body(answer.order, market)}

    def _replace(self, key: Key, given: Mapping[str, str]) -> Json:
        """Cancel, and a new order with an id of its own."""
        named = {"symbol": given["symbol"], "orderId": given.get("cancelOrderId", "")}
        named["origClientOrderId"] = given.get("cancelOrigClientOrderId", "")
        try:
            canceled = self._cancel(key, named)
        except Refused as refused:
            data = {"cancelResult": "FAILURE", "newOrderResult": "NOT_ATTEMPTED"}
            data |= {"cancelResponse": refused.body, "newOrderResponse": None}  # type: ignore[dict-item]
            raise _ReplaceFailed(-2022, "Order cancel-replace failed.", data) from None
        try:
            made = self._new(key, given)
        except Refused as refused:
            data = {"cancelResult": "SUCCESS", "newOrderResult": "FAILURE"}
            data |= {"cancelResponse": canceled, "newOrderResponse": refused.body}  # type: ignore[dict-item]
            raise _ReplaceFailed(-2021, "Order cancel-replace partially failed.", data) from None
        return {
            "cancelResult": "SUCCESS",
            "newOrderResult": "SUCCESS",
            "cancelResponse": canceled,
            "newOrderResponse": made,
        }

    # -- the account -------------------------------------------------------------------------------------------

    def _open_orders(self, key: Key, given: Mapping[str, str]) -> list[Json]:
        symbol = self._market(given).symbol if "symbol" in given else ""
        return [
            wire.order_body(order, self.engine.markets[order.symbol])
            for order in self.engine.open_orders(key.account, symbol)
        ]

    def _all_orders(self, key: Key, given: Mapping[str, str]) -> list[Json]:
        market, since_ms = self._market(given), int(given.get("startTime", "0"))
        found = [
            wire.order_body(order, market)
            for order in self.engine.orders(key.account)
            if order.symbol == market.symbol and order.created_ns // MS >= since_ms
            if order.order_id >= int(given.get("orderId", "0")) and order.state is not w.State.REJECTED
        ]
        return found[: int(given.get("limit", "500"))]

    def _my_trades(self, key: Key, given: Mapping[str, str]) -> list[Json]:
        """A day from `startTime` at most; the newest where no beginning is named."""
        market, limit = self._market(given), int(given.get("limit", "500"))
        since_ms = int(given.get("startTime", "0"))
        until_ms = int(given.get("endTime", since_ms + DAY_MS if since_ms else self.now_ms()))
        if since_ms and until_ms - since_ms > DAY_MS:
            raise Refused(-1127, "More than 24 hours between startTime and endTime.")
        found = [
            trade
            for trade in self.engine.trades(key.account, limit=1_000_000)
            if trade.symbol == market.symbol and since_ms <= trade.at_ns // MS <= until_ms
            if trade.trade_id >= int(given.get("fromId", "0"))
            if int(given.get("orderId", trade.order_id)) == trade.order_id
        ]
        chosen = found[:limit] if since_ms or "fromId" in given else found[-limit:]
        return [wire.trade_body(trade, market) for trade in chosen]

    def _account(self, key: Key, _: Mapping[str, str]) -> Json:
        wallet = Wallet(self.engine, key.account)
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "canTrade": key.can_trade,
            "canWithdraw": key.can_withdraw,
            "canDeposit": True,
            "updateTime": self.now_ms(),
            "accountType": "SPOT",
            "balances": [
                {"asset": name, "free": f"{held.free:f}", "locked": f"{held.locked:f}"}
                for name, held in wallet.holdings.items()
            ],
            "permissions": ["SPOT"],
        }

    def _fees(self, _: Key, given: Mapping[str, str]) -> list[Json]:
        markets = [self._market(given)] if "symbol" in given else list(self.ids.values())
        return [
            {
                "symbol": wire.market_id(market),
                "makerCommission": f"{Decimal(market.listing.maker_fee_e8).scaleb(-8):f}",
                "takerCommission": f"{Decimal(market.listing.taker_fee_e8).scaleb(-8):f}",
            }
            for market in markets
        ]

    def _rights(self, key: Key, _: Mapping[str, str]) -> Json:
        return {
            "ipRestrict": key.bound,
            "createTime": self.now_ms(),
            "enableReading": True,
            "enableSpotAndMarginTrading": key.can_trade,
            "enableWithdrawals": key.can_withdraw,
            "enableInternalTransfer": False,
            "enableFutures": key.can_trade,
        }


class _ReplaceFailed(Refused):
    def __init__(self, code: int, message: str, data: Json) -> None:
        super().__init__(code, message)
        self._data = data

    @property
    def body(self) -> Json:
        return {"code": self.code, "msg": self.message, "data": self._data}
