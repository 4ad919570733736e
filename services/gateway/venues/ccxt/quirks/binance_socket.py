"""Binance's websocket API, spot and USD-M: every request is signed by itself.

https://developers.binance.com/docs/binance-spot-api-docs/websocket-api and
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-api-general-info
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import ccxt

from services.gateway import port as p
from services.gateway.venues.ccxt.line import Json
from services.gateway.venues.ccxt.quirks.base import PAUSE_MS, Closure, LimitTerms, Quirk, retry_after_ms

WINDOW_MAX_MS = 60_000
ORDERS_PAUSE_MS = 10_000  # the shorter window of the orders' own limit
ADDRESS_PAUSE_MS = 60_000
RETRY = re.compile(r'"retryAfter":\s*(\d+)|banned until (\d+)')


def limited(code: str, error: BaseException, headers: Mapping[str, str], now_ms: float) -> Closure | None:
    """-1015 is of orders alone; -1003 of the address, and then nothing at all may be asked for a while."""
    if code == "-1015":
        return Closure(("orders",), retry_after_ms(headers) or ORDERS_PAUSE_MS)
    if code != "-1003" and (code or not isinstance(error, ccxt.RateLimitExceeded | ccxt.DDoSProtection)):
        return None
    found = RETRY.search(str(error))
    if found is not None:
        return Closure(("address",), max(int(float(found.group(1) or found.group(2)) - now_ms), PAUSE_MS))
    return Closure(("address",), retry_after_ms(headers) or ADDRESS_PAUSE_MS)


class BinanceSocket:
    ping = ""

    def __init__(self, quirk: Quirk, market_type: str) -> None:
        self._quirk, self._market_type = quirk, market_type

    def url(self, exchange: Any) -> str:
        found: str = exchange.urls["api"]["ws"]["ws-api"][self._market_type]
        return found

    def login(self, exchange: Any) -> Json | None:  # noqa: ARG002
        return None

    def is_in(self, message: Json) -> bool:  # noqa: ARG002
        return True

    def number(self, message: Json) -> str:
        return str(message.get("id") or "")

    def new(self, exchange: Any, number: str, order: p.Submit, terms: LimitTerms) -> Json:
        symbol, amount, price, left_ms = terms
        params = self._quirk.terms(order, left_ms)
        request = exchange.create_order_request(symbol, "limit", str(order.side), amount, price, params)
        return self._signed(exchange, number, "order.place", request, left_ms)

    def cancel(self, exchange: Any, number: str, order: p.Cancel, symbol: str) -> Json:
        request = {"symbol": exchange.market_id(symbol), **self._name(order)}
        return self._signed(exchange, number, "order.cancel", request, WINDOW_MAX_MS)

    def amend(self, exchange: Any, number: str, order: p.Replace, terms: LimitTerms) -> Json:
        symbol, amount, price, left_ms = terms
        request = exchange.edit_contract_order_request(None, symbol, "limit", str(order.side), amount, price)
        del request["orderId"]
        return self._signed(exchange, number, "order.modify", request | self._name(order), left_ms)

    def _name(self, order: p.Cancel | p.Replace) -> Json:
        venue_id, params = self._quirk.named(order.child_id, order.venue_order_id)
        return {"orderId": venue_id} if venue_id else params

    def _signed(self, exchange: Any, number: str, method: str, request: Json, left_ms: int) -> Json:
        """ccxt's own window would be put over the one that is asked for."""
        usual = exchange.options.get("recvWindow")
        exchange.options["recvWindow"] = min(left_ms, WINDOW_MAX_MS)
        try:
            params = exchange.sign_params(request)
        finally:
            exchange.options["recvWindow"] = usual
        return {"id": number, "method": method, "params": params}

    def order(self, exchange: Any, message: Json, symbol: str) -> Any:
        if message.get("status") == 200:
            return exchange.parse_order(message["result"], exchange.market(symbol))
        error = message.get("error") or {}
        raise_for(exchange, int(message.get("status") or 0), self.url(exchange), error)
        raise ccxt.ExchangeError(f"{exchange.id} {json.dumps(error)}")


def raise_for(exchange: Any, status: int, url: str, body: Any) -> None:
    """ccxt's own judgement of a refusal, as if it had come over HTTP."""
    judge: Callable[..., None] = exchange.handle_errors
    judge(status, "", url, "POST", {}, json.dumps(body), body, {}, {})
