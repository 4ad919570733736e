"""Binance spot. https://developers.binance.com/docs/binance-spot-api-docs/errors

Client ids are unique among open orders only, so a second order under one id would be taken once the first has ended:
what keeps an order from being sent twice is the gateway alone. `recvWindow` makes the venue refuse what comes late.
Answers of class 5xx, -1006 and -1007 say of themselves that the outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import ccxt

from bestex.budget import Charges
from bestex.clock import DAY, MINUTE, SECOND
from bestex.errors import Code
from bestex.messages import Tif
from services.gateway import port as p
from services.gateway.venues.ccxt.quirks.base import PAGES_MAX, Closure, Quirk
from services.gateway.venues.ccxt.quirks.binance_socket import WINDOW_MAX_MS, BinanceSocket, limited

DAY_MS = 86_400_000  # the longest time that one question for trades may span


class Binance(Quirk):
    capabilities: ClassVar[p.Capabilities] = p.Capabilities(
        tifs=frozenset({Tif.IOC, Tif.FOK, Tif.GTC}),
        post_only=True,
        client_id_length=36,
        native_iceberg=True,
        holdings=True,
        fee_of_received=True,
        sequence_checks=True,
        rates=(
            p.RateBudget(scope="address", weight=6_000, window_ns=MINUTE),
            p.RateBudget(scope="orders", weight=100, window_ns=10 * SECOND),
            p.RateBudget(scope="orders", weight=200_000, window_ns=DAY),
        ),
    )
    codes: ClassVar[Mapping[str, Code]] = {
        "-1003": Code.RATE_LIMITED,
        "-1013": Code.INVALID_PARAMETER,  # a filter
        "-1015": Code.RATE_LIMITED,
        "-1021": Code.EXPIRED,  # outside of recvWindow
        "-1022": Code.VENUE_REJECTED,  # signature
        "-1100": Code.INVALID_PARAMETER,
        "-1102": Code.MISSING_PARAMETER,
        "-1111": Code.INVALID_PARAMETER,  # precision
        "-1121": Code.UNKNOWN_SYMBOL,
        "-2010": Code.VENUE_REJECTED,
        "-2014": Code.VENUE_REJECTED,
        "-2015": Code.VENUE_REJECTED,  # key, address or rights
    }
    absent: ClassVar[frozenset[str]] = frozenset({"-2013"})
    too_late: ClassVar[frozenset[str]] = frozenset({"-2011"})
    off_time: ClassVar[frozenset[str]] = frozenset({"-1021"})
    weights: ClassVar[Mapping[str, Charges]] = {
        "new": {"address": 1, "orders": 1},
        "cancel": {"address": 1},
        "amend": {"address": 4},
        "order": {"address": 4},
        "openOrders": {"address": 6},
        "myTrades": {"address": 20},
        "account": {"address": 20},
        "exchangeInfo": {"address": 20},
    }
    usual: ClassVar[Charges | None] = {"address": 1}
    options: ClassVar[Mapping[str, Any]] = {"fetchMarkets": {"types": ["spot"]}}
    QUIET: ClassVar[bool] = True
    page: ClassVar[int] = 1_000

    def __init__(self, market_type: str) -> None:
        super().__init__(market_type)
        self.socket = BinanceSocket(self, "spot")

    def limited(self, error: BaseException, headers: Mapping[str, str], now_ms: float) -> Closure | None:
        return limited(self.code_of(error), error, headers, now_ms)

    def is_duplicate(self, error: BaseException) -> bool:
        return self.code_of(error) == "-2010" and "Duplicate" in str(error)

    def refused(self, error: BaseException) -> Code | None:
        """-2010 has several texts; of two of them ccxt makes classes, and drops the code."""
        if isinstance(error, ccxt.OrderImmediatelyFillable):
            return Code.POST_ONLY_WOULD_TAKE
        if isinstance(error, ccxt.InsufficientFunds):
            return Code.INSUFFICIENT_FUNDS
        return super().refused(error)

    def deadline(self, left_ms: int) -> dict[str, Any]:
        return {"recvWindow": min(left_ms, WINDOW_MAX_MS)}

    def terms(self, order: p.Submit, left_ms: int) -> dict[str, Any]:
        params = super().terms(order, left_ms)
        return {
            name: value for name, value in params.items() if not (order.post_only and name == "timeInForce")
        }

    def named(self, child_id: str, venue_order_id: str) -> tuple[str | None, dict[str, Any]]:
        """By our own id: the venue's may not be known, and what works has the newest of that name."""
        return (venue_order_id or None), ({} if venue_order_id else {"origClientOrderId": child_id})

    async def trades(self, exchange: Any, symbol: str, since_ms: int) -> list[Any]:
        return await trades_in_spans(exchange, symbol, since_ms, DAY_MS, self.page)

    def answered_trades(self, answer: Any) -> list[Any]:
        """The answer is of the kind FULL. To ask for the trades instead costs twenty times as much as the order."""
        of_order = {"order": answer["id"], "timestamp": answer["timestamp"], "takerOrMaker": "taker"}
        return [{**trade, **of_order} for trade in answer.get("trades") or []]

    def own_id(self, order: Any) -> str:
        """In a report of a cancel, the order's own id is the one before."""
        info = order.get("info") or {}
        return str(info.get("C") or info.get("origClientOrderId") or order.get("clientOrderId") or "")


async def trades_in_spans(exchange: Any, symbol: str, since_ms: int, span_ms: int, page: int) -> list[Any]:
    """All own ones since then, oldest first: a span at a time by the clock, and within it by the trade's number."""
    known, now_ms = dict[str, Any](), exchange.milliseconds()
    for _ in range(PAGES_MAX):
        until_ms = since_ms + span_ms
        found = await exchange.fetch_my_trades(symbol, since_ms, page, {"endTime": until_ms})
        while found:
            known |= {trade["id"]: trade for trade in found}
            if len(found) < page:
                break
            following = {"fromId": int(found[-1]["id"]) + 1}
            found = await exchange.fetch_my_trades(symbol, None, page, following)
        since_ms = until_ms
        if since_ms > now_ms:
            return sorted(known.values(), key=lambda trade: trade["timestamp"])
    raise RuntimeError(f"more than {PAGES_MAX} questions for the trades of {symbol}")
