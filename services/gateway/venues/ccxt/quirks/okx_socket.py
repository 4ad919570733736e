"""OKX's private websocket, for orders. https://www.okx.com/docs-v5/en/#order-book-trading-trade-ws-place-order"""

from __future__ import annotations

import hashlib
from typing import Any

import ccxt

from services.gateway import port as p
from services.gateway.venues.ccxt.line import Json
from services.gateway.venues.ccxt.quirks.base import LimitTerms, Quirk
from services.gateway.venues.ccxt.quirks.binance_socket import raise_for


class OkxSocket:
    ping = "ping"

    def __init__(self, quirk: Quirk) -> None:
        self._quirk = quirk

    def url(self, exchange: Any) -> str:
        found: str = exchange.get_url("private", "private")
        return found

    def login(self, exchange: Any) -> Json | None:
        stamp = str(exchange.nonce() // 1_000)
        text, secret = exchange.encode(f"{stamp}GET/users/self/verify"), exchange.encode(exchange.secret)
        given = {"apiKey": exchange.apiKey, "passphrase": exchange.password, "timestamp": stamp}
        signature = exchange.hmac(text, secret, hashlib.sha256, "base64")
        return {"op": "login", "args": [given | {"sign": signature}]}

    def is_in(self, message: Json) -> bool:
        if message.get("event") == "error":
            raise ccxt.AuthenticationError(f"okx {message.get('code')} {message.get('msg')}")
        return message.get("event") == "login"

    def number(self, message: Json) -> str:
        return str(message.get("id") or "")

    def new(self, exchange: Any, number: str, order: p.Submit, terms: LimitTerms) -> Json:
        symbol, amount, price, left_ms = terms
        params = self._quirk.terms(order, left_ms)
        request = exchange.create_order_request(symbol, "limit", str(order.side), amount, price, params)
        return self._frame(exchange, number, "order", request, symbol, left_ms)

    def cancel(self, exchange: Any, number: str, order: p.Cancel, symbol: str) -> Json:
        venue_id, params = self._quirk.named(order.child_id, order.venue_order_id)
        name = {"ordId": venue_id} if venue_id else {"clOrdId": params["clientOrderId"]}
        request = {"instId": exchange.market_id(symbol), **name}
        return self._frame(exchange, number, "cancel-order", request, symbol)

    def amend(self, exchange: Any, number: str, order: p.Replace, terms: LimitTerms) -> Json:
        symbol, amount, price, left_ms = terms
        venue_id, params = self._quirk.named(order.child_id, order.venue_order_id)
        side = str(order.side)
        request = exchange.edit_order_request(venue_id, symbol, "limit", side, amount, price, params)
        return self._frame(exchange, number, "amend-order", request, symbol, left_ms)

    def _frame(
        self, exchange: Any, number: str, op: str, request: Json, symbol: str, left_ms: int | None = None
    ) -> Json:
        code = exchange.safe_integer(exchange.market(symbol), "instIdCode")
        if code is not None:  # where the exchange names its instruments by number, sockets want that
            request = {**request, "instIdCode": code}
            del request["instId"]
        frame: Json = {"id": number, "op": op, "args": [request]}
        return frame if left_ms is None else {**frame, "expTime": str(exchange.nonce() + left_ms)}

    def order(self, exchange: Any, message: Json, symbol: str) -> Any:
        raise_for(exchange, 200, self.url(exchange), message)
        [done] = message["data"]
        return exchange.parse_order(done, exchange.market(symbol))
