"""Binance USD-M futures: `python -m tests.emulators.binance_perp`.

What is its own about it: depth is chained by `pu`, its ids jump; orders are amended in place; a post-only order is
refused at once with -5022; a user's stream needs a listen key; and there is a switch that cancels all after a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from bestex import sim_wire as w
from bestex.clock import MS
from bestex.messages import Side, Tif
from tests.emulators import binance_perp_wire as perp
from tests.emulators import binance_wire as wire
from tests.emulators.binance import Binance
from tests.emulators.binance_rest import Act
from tests.emulators.binance_wire import Json, Refused
from tests.emulators.command import main
from tests.emulators.engine import DepthChange, Market
from tests.emulators.faults import What
from tests.emulators.server import Key, Reply, Socket
from tests.emulators.unified import TRADES_MAX, Position, Wallet, affords, price_for_market

WEEK_MS = 7 * 86_400_000
FUNDING_MS = 8 * 3_600_000
FUNDING_RATE = "0.00010000"


class BinancePerp(Binance):
    NAME, TOML = "binance_perp", perp.TOML

    def routes(self) -> Iterable[web.RouteDef]:
        signed, public = self._signed_route, self._public
        return [
            web.get("/fapi/v1/ping", public("ping", lambda _: {})),
            web.get("/fapi/v1/time", public("time", lambda _: {"serverTime": self.now_ms()})),
            web.get("/fapi/v1/exchangeInfo", public("exchangeInfo", self._info)),
            web.get("/fapi/v1/depth", public("depth", self._depth_snapshot)),
            web.get("/fapi/v1/trades", public("trades", lambda q: list(self.prints[self._market(q).symbol]))),
            web.get("/fapi/v1/premiumIndex", public("premiumIndex", self._premium)),
            web.post("/fapi/v1/order", signed("order", "new", self._new)),
            web.put("/fapi/v1/order", signed("order", "amend", self._amend)),
            web.delete("/fapi/v1/order", signed("order", "cancel", self._cancel)),
            web.get("/fapi/v1/order", signed("order", "query", self._query)),
            web.get("/fapi/v1/openOrder", signed("order", "query", self._open_order)),
            web.get("/fapi/v1/openOrders", signed("openOrders", "list", self._open_orders)),
            web.get("/fapi/v1/allOrders", signed("allOrders", "list", self._all_orders)),
            web.delete("/fapi/v1/allOpenOrders", signed("order", "cancel", self._cancel_all)),
            web.post("/fapi/v1/countdownCancelAll", signed("countdown", "other", self._countdown)),
            web.get("/fapi/v1/userTrades", signed("userTrades", "list", self._my_trades)),
            web.get("/fapi/v1/commissionRate", signed("commissionRate", "other", self._rates)),
            web.get("/fapi/v1/leverageBracket", signed("leverageBracket", "other", self._brackets)),
            web.get("/fapi/v2/balance", signed("balance", "list", self._balances)),
            web.get("/fapi/v3/balance", signed("balance", "list", self._balances)),
            web.get("/fapi/v2/account", signed("account", "list", self._account)),
            web.get("/fapi/v3/account", signed("account", "list", self._account)),
            web.get("/fapi/v2/positionRisk", signed("positionRisk", "list", self._positions)),
            web.get("/fapi/v3/positionRisk", signed("positionRisk", "list", self._positions)),
            web.get("/sapi/v1/account/apiRestrictions", signed("api", "other", self._rights)),
            web.post("/fapi/v1/listenKey", self._listen_key),
            web.put("/fapi/v1/listenKey", self._listen_key),
            web.delete("/fapi/v1/listenKey", self._listen_key),
            web.get("/ws", self._stream_socket),
            web.get("/stream", self._stream_socket),
            web.get("/public/ws{name:.*}", self._stream_socket),
            web.get("/market/ws{name:.*}", self._stream_socket),
            web.get("/{category:private}/ws", self._user_socket),
            web.get("/ws-fapi/v1", self._api_socket),
        ]

    # -- markets -----------------------------------------------------------------------------------------------

    def _info(self, _: Mapping[str, str]) -> Json:
        return {
            "timezone": "UTC",
            "serverTime": self.now_ms(),
            "futuresType": "U_MARGINED",
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}
            ],
            "exchangeFilters": [],
            "symbols": [perp.symbol_info(market) for market in self.ids.values()],
        }

    def _depth_snapshot(self, given: Mapping[str, str]) -> Json:
        return super()._depth_snapshot(given) | {"E": self.now_ms(), "T": self.now_ms()}

    def _mark(self, market: Market) -> Decimal:
        """Mid of the book; what there is of it where a side is empty."""
        sides = [price_for_market(market, side) for side in (Side.BUY, Side.SELL)]
        there = [price for price in sides if price]
        return sum(there, Decimal(0)) / len(there) if there else Decimal(0)

    def _next_funding_ms(self) -> int:
        return (self.now_ms() // FUNDING_MS + 1) * FUNDING_MS

    def _premium(self, given: Mapping[str, str]) -> Any:
        chosen = [self._market(given)] if "symbol" in given else list(self.ids.values())
        told = [
            {
                "symbol": wire.market_id(market),
                "markPrice": f"{self._mark(market):f}",
                "indexPrice": f"{self._mark(market):f}",
                "lastFundingRate": FUNDING_RATE,
                "interestRate": FUNDING_RATE,
                "nextFundingTime": self._next_funding_ms(),
                "time": self.now_ms(),
            }
            for market in chosen
        ]
        return told[0] if "symbol" in given else told

    def on_depth(self, change: DepthChange) -> None:
        market = self.engine.markets[change.symbol]
        name, now_ms = wire.market_id(market), self.now_ms()
        low = name.lower()
        told = {"e": "depthUpdate", "E": now_ms, "T": change.at_ns // MS, "s": name}
        told |= {"U": change.first_id, "u": change.last_id, "pu": change.previous_id}
        told |= {"b": wire.levels(change.bids), "a": wire.levels(change.asks)}
        self._publish((f"{low}@depth", f"{low}@depth@0ms", f"{low}@depth@100ms", f"{low}@depth@500ms"), told)
        best = market.snapshot(1)
        if best.bids and best.asks:
            (bid, bid_qty), (ask, ask_qty) = best.bids[0], best.asks[0]
            ticker = {"e": "bookTicker", "u": best.last_id, "s": name, "b": f"{bid:f}", "B": f"{bid_qty:f}"}
            ticker |= {"a": f"{ask:f}", "A": f"{ask_qty:f}", "T": now_ms, "E": now_ms}
            self._publish((f"{low}@bookTicker",), ticker)
        mark = f"{self._mark(market):f}"
        funding = {"e": "markPriceUpdate", "E": now_ms, "s": name, "p": mark, "i": mark, "P": mark}
        funding |= {"r": FUNDING_RATE, "T": self._next_funding_ms()}
        self._publish((f"{low}@markPrice", f"{low}@markPrice@1s"), funding)

    # -- orders ------------------------------------------------------------------------------------------------

    def _new(self, key: Key, given: Mapping[str, str]) -> Json:
        market, kind = self._market(given), given["type"]
        side, qty = Side(given["side"].lower()), Decimal(given["quantity"])
        price = None if kind == "MARKET" else Decimal(given["price"])
        reduces = given.get("reduceOnly", "").lower() == "true"
        perp.check(market, qty, price, reduces)
        name, tif = given.get("newClientOrderId", ""), given.get("timeInForce", "GTC")
        if len(name) > 36:
            raise Refused(*perp.LONG_ID)
        if name and any(wire.client_id(order) == name for order in self.engine.open_orders(key.account)):
            raise Refused(*perp.DUPLICATE)
        good_till_ms = int(given["goodTillDate"]) if tif == "GTD" else 0
        if tif == "GTD" and good_till_ms <= self.now_ms() + perp.GOOD_FOR_S_MIN * 1_000:
            raise Refused(*perp.GOOD_TILL)
        held = Wallet(self.engine, key.account).positions.get(market.symbol, Position()).size
        if reduces and (held * side.sign >= 0 or abs(held) < qty):
            raise Refused(*perp.REDUCE_ONLY)
        worth = price or price_for_market(market, side)
        if not affords(self.engine, key.account, market.symbol, side, qty, worth):
            raise Refused(*perp.MARGIN)
        answer = self.engine.submit(
            key.account,
            market.symbol,
            side,
            qty,
            price,
            client_id=name,
            tif=perp.TIFS[tif],
            post_only=tif == "GTX",
            good_till_ns=good_till_ms // 1_000 * 1_000 * MS,  # whole seconds count
        )
        if answer.order is None or not answer.ok:
            raise perp.refusal_of(answer.code)
        if answer.order.tif is Tif.FOK and answer.order.state is w.State.EXPIRED:
            raise Refused(*perp.NO_FOK)
        return perp.order_body(answer.order, market)

    def _cancel(self, key: Key, given: Mapping[str, str]) -> Json:
        answer = self.engine.cancel(self._found(key, given, wire.UNKNOWN_CANCEL))
        if not answer.ok or answer.order is None:
            raise Refused(*wire.UNKNOWN_CANCEL)
        return perp.order_body(answer.order, self._market(given))

    def _query(self, key: Key, given: Mapping[str, str]) -> Json:
        return perp.order_body(self._found(key, given, wire.NO_ORDER), self._market(given))

    def _open_order(self, key: Key, given: Mapping[str, str]) -> Json:
        order = self._found(key, given, wire.NO_ORDER)
        if order.state is not w.State.OPEN:
            raise Refused(*wire.NO_ORDER)
        return perp.order_body(order, self._market(given))

    def _amend(self, key: Key, given: Mapping[str, str]) -> Json:
        """In place: ids stay. `quantity` is the new total, fills included."""
        order, market = self._found(key, given, wire.NO_ORDER), self._market(given)
        qty, price = Decimal(given["quantity"]), Decimal(given["price"])
        perp.check(market, qty, price, reduces=False)
        if order.state is not w.State.OPEN:
            raise Refused(*wire.NO_ORDER)
        if (market.qty(order.qty), market.price(order.price)) == (qty, price):
            raise Refused(*perp.NO_CHANGE)
        answer = self.engine.amend(order, qty, price)
        if not answer.ok or answer.order is None:
            raise perp.refusal_of(answer.code)
        return perp.order_body(answer.order, market)

    def _cancel_all(self, key: Key, given: Mapping[str, str]) -> Json:
        self.engine.cancel_all(key.account, self._market(given).symbol)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _countdown(self, key: Key, given: Mapping[str, str]) -> Json:
        """0 disarms. The engine's switch is of the account; there is one symbol."""
        self._market(given)
        self.engine.cancel_all_after(key.account, int(given["countdownTime"]) * MS)
        return {"symbol": given["symbol"], "countdownTime": given["countdownTime"]}

    # -- the account -------------------------------------------------------------------------------------------

    def _open_orders(self, key: Key, given: Mapping[str, str]) -> list[Json]:
        symbol = self._market(given).symbol if "symbol" in given else ""
        return [
            perp.order_body(order, self.engine.markets[order.symbol])
            for order in self.engine.open_orders(key.account, symbol)
        ]

    def _all_orders(self, key: Key, given: Mapping[str, str]) -> list[Json]:
        market = self._market(given)
        found = {order.order_id: order for order in self.engine.orders(key.account)}
        return [perp.order_body(found[body["orderId"]], market) for body in super()._all_orders(key, given)]

    def _my_trades(self, key: Key, given: Mapping[str, str]) -> list[Json]:
        """A week from `startTime` at most; `fromId` goes with neither time."""
        market, limit = self._market(given), min(int(given.get("limit", "500")), 1_000)
        since_ms, until_ms = int(given.get("startTime", "0")), int(given.get("endTime", "0"))
        if "fromId" in given and (since_ms or until_ms):
            raise Refused(-1128, "Combination of optional parameters invalid.")
        if since_ms and until_ms - since_ms > WEEK_MS:
            raise Refused(-4178, "The time interval between startTime and endTime is longer than 7 days.")
        until_ms = until_ms or (since_ms + WEEK_MS if since_ms else self.now_ms())
        found = [
            trade
            for trade in self.engine.trades(key.account, limit=TRADES_MAX)
            if trade.symbol == market.symbol and since_ms <= trade.at_ns // MS <= until_ms
            if trade.trade_id >= int(given.get("fromId", "0"))
            if int(given.get("orderId", trade.order_id)) == trade.order_id
        ]
        chosen = found[:limit] if since_ms or "fromId" in given else found[-limit:]
        return [perp.trade_body(trade, market) for trade in chosen]

    def _assets(self, key: Key) -> list[Json]:
        wallet = Wallet(self.engine, key.account)
        return [
            {
                "asset": name,
                "balance": f"{held.total:f}",
                "walletBalance": f"{held.total:f}",
                "crossWalletBalance": f"{held.total:f}",
                "marginBalance": f"{held.total:f}",
                "availableBalance": f"{held.free:f}",
                "maxWithdrawAmount": f"{held.free:f}",
                "unrealizedProfit": "0",
                "crossUnPnl": "0",
                "initialMargin": f"{held.locked:f}",
                "maintMargin": "0",
                "positionInitialMargin": "0",
                "openOrderInitialMargin": "0",
                "marginAvailable": True,
                "updateTime": self.now_ms(),
            }
            for name, held in wallet.holdings.items()
        ]

    def _balances(self, key: Key, _: Mapping[str, str]) -> Any:
        return self._assets(key)

    def _account(self, key: Key, _: Mapping[str, str]) -> Json:
        return {"canTrade": key.can_trade, "assets": self._assets(key), "positions": self._held(key)}

    def _held(self, key: Key) -> list[Json]:
        return [
            perp.position_body(position, market, self._mark(market) or position.entry, self.now_ms())
            for symbol, position in Wallet(self.engine, key.account).positions.items()
            if position.size and (market := self.engine.markets[symbol])
        ]

    def _positions(self, key: Key, given: Mapping[str, str]) -> list[Json]:
        return [one for one in self._held(key) if given.get("symbol", one["symbol"]) == one["symbol"]]

    def _rates(self, _: Key, given: Mapping[str, str]) -> Json:
        listing = self._market(given).listing
        maker, taker = (Decimal(fee).scaleb(-8) for fee in (listing.maker_fee_e8, listing.taker_fee_e8))
        return {
            "symbol": given["symbol"],
            "makerCommissionRate": f"{maker:f}",
            "takerCommissionRate": f"{taker:f}",
        }

    def _brackets(self, *_: Any) -> list[Json]:
        bracket = {"bracket": 1, "initialLeverage": 125, "notionalCap": 300000, "notionalFloor": 0}
        bracket |= {"maintMarginRatio": 0.004, "cum": 0.0}  # type: ignore[dict-item]
        return [{"symbol": name, "brackets": [bracket]} for name in self.ids]

    # -- a user's stream ---------------------------------------------------------------------------------------

    async def _listen_key(self, request: web.Request) -> web.StreamResponse:
        def act() -> Reply:
            key = self._key(request.headers.get("X-MBX-APIKEY", ""))
            return Reply({"listenKey": f"listen-{key.key}"} if request.method != "DELETE" else {})

        return await self.rest(request, "other", lambda: self._answer("listenKey", lambda: act().body))

    async def _user_socket(self, request: web.Request) -> web.StreamResponse:
        key = self.keys.get(request.query.get("listenKey", "").removeprefix("listen-"))

        async with self.socket(request) as socket:
            socket.account = key.account if key else ""
            async for _ in socket.response:
                pass
            return socket.response

    def on_user(self, entry: w.JournalEntry) -> None:
        amended = isinstance(entry.request, w.Replace)
        for order in entry.orders:
            if order.state is w.State.REJECTED:
                continue
            market, now_ms = self.engine.markets[order.symbol], self.now_ms()
            trades = [trade for trade in entry.trades if trade.order_id == order.order_id]
            told = [perp.update(order, market, now_ms, trade) for trade in trades]
            if not trades or order.state not in (w.State.OPEN, w.State.FILLED):
                told.append(perp.update(order, market, now_ms, amended=amended))
            for one in told:
                self.tell_account(order.account, one)

    # -- the websocket API -------------------------------------------------------------------------------------

    def _methods(self, _: Socket, /) -> Mapping[str, tuple[What, Act]]:
        return {
            "order.place": ("new", self._new),
            "order.cancel": ("cancel", self._cancel),
            "order.modify": ("amend", self._amend),
            "order.status": ("query", self._query),
            "account.position": ("list", self._positions),
            "account.balance": ("list", self._balances),
            "account.status": ("list", self._account),
            "ping": ("other", lambda *_: {}),
        }


if __name__ == "__main__":
    main(BinancePerp)
