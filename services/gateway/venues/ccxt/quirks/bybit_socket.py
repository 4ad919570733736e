"""Bybit's websocket for orders. https://bybit-exchange.github.io/docs/v5/websocket/trade/guideline"""

from __future__ import annotations

import hashlib
from typing import Any

import ccxt

from services.gateway import port as p
from services.gateway.venues.ccxt.line import Json
from services.gateway.venues.ccxt.quirks.base import LimitTerms, Quirk
from services.gateway.venues.ccxt.quirks.binance_socket import raise_for

LOGIN_MS = 10_000  # how long a login's signature is good


class BybitSocket:
    ping = '{"op":"ping"}'

    def __init__(self, quirk: Quirk) -> None:
        self._quirk = quirk

    def url(self, exchange: Any) -> str:
        found: str = exchange.implode_hostname(exchange.urls["api"]["ws"]["private"]["trade"])
        return found

    def login(self, exchange: Any) -> Json | None:
        expires = str(exchange.nonce() + LOGIN_MS)
        text, secret = exchange.encode("GET/realtime" + expires), exchange.encode(exchange.secret)
        return {"op": "auth", "args": [exchange.apiKey, expires, exchange.hmac(text, secret, hashlib.sha256)]}

    def is_in(self, message: Json) -> bool:
        if message.get("op") != "auth":
            return False
        if message.get("retCode") != 0:
            raise ccxt.AuthenticationError(f"bybit {message.get('retCode')} {message.get('retMsg')}")
        return True

    def number(self, message: Json) -> str:
        return str(message.get("reqId") or "")

    def new(self, exchange: Any, number: str, order: p.Submit, terms: LimitTerms) -> Json:
        symbol, amount, price, left_ms = terms
        params = self._quirk.terms(order, left_ms)
        request = exchange.create_order_request(symbol, "limit", str(order.side), amount, price, params, True)
        return self._frame(exchange, number, "order.create", request, left_ms)

    def cancel(self, exchange: Any, number: str, order: p.Cancel, symbol: str) -> Json:
        venue_id, params = self._quirk.named(order.child_id, order.venue_order_id)
        request = exchange.cancel_order_request(venue_id, symbol, params)
        request.pop("orderFilter", None)  # not taken here
        return self._frame(exchange, number, "order.cancel", request)

    def amend(self, exchange: Any, number: str, order: p.Replace, terms: LimitTerms) -> Json:
        symbol, amount, price, left_ms = terms
        venue_id, params = self._quirk.named(order.child_id, order.venue_order_id)
        side = str(order.side)
        request = exchange.edit_order_request(venue_id, symbol, "limit", side, amount, price, params)
        return self._frame(exchange, number, "order.amend", request, left_ms)

    def _frame(self, exchange: Any, number: str, op: str, request: Json, left_ms: int | None = None) -> Json:
        usual = exchange.options["recvWindow"]
        window = usual if left_ms is None else min(left_ms, usual)
        header = {"X-BAPI-TIMESTAMP": str(exchange.nonce()), "X-BAPI-RECV-WINDOW": str(window)}
        return {"reqId": number, "header": header, "op": op, "args": [request]}

    def order(self, exchange: Any, message: Json, symbol: str) -> Any:
        """Refusals as HTTP words them, by the same codes."""
        body = {
            "retCode": message.get("retCode"),
            "retMsg": message.get("retMsg"),
            "result": message.get("data"),
        }
        raise_for(exchange, 200, self.url(exchange), body)
        return exchange.parse_order(message["data"], exchange.market(symbol))
