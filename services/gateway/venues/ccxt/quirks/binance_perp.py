"""Binance USD-M futures. https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code

Orders are amended in place under the same id; a post-only order that would take is refused at once; the switch that
cancels everything is asked for by symbol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bestex.budget import Charges
from bestex.clock import MINUTE, SECOND
from bestex.errors import Code
from bestex.messages import Tif
from services.gateway import port as p
from services.gateway.venues.ccxt.quirks.base import Closure, Quirk
from services.gateway.venues.ccxt.quirks.binance import trades_in_spans
from services.gateway.venues.ccxt.quirks.binance_socket import WINDOW_MAX_MS, BinanceSocket, limited

WEEK_MS = 7 * 86_400_000  # the longest time that one question for trades may span


class BinancePerp(Quirk):
    capabilities: ClassVar[p.Capabilities] = p.Capabilities(
        tifs=frozenset({Tif.IOC, Tif.FOK, Tif.GTC}),
        post_only=True,
        client_id_length=36,
        native_replace=True,
        dead_man=True,
        holdings=True,
        sequence_checks=True,
        rates=(
            p.RateBudget(scope="address", weight=2_400, window_ns=MINUTE),
            p.RateBudget(scope="orders", weight=300, window_ns=10 * SECOND),
            p.RateBudget(scope="orders", weight=1_200, window_ns=MINUTE),
        ),
    )
    codes: ClassVar[Mapping[str, Code]] = {
        "-1003": Code.RATE_LIMITED,
        "-1013": Code.INVALID_PARAMETER,
        "-1015": Code.RATE_LIMITED,
        "-1021": Code.EXPIRED,  # outside of recvWindow
        "-1022": Code.VENUE_REJECTED,  # signature
        "-1102": Code.MISSING_PARAMETER,
        "-1111": Code.OFF_LOT,
        "-1121": Code.UNKNOWN_SYMBOL,
        "-2014": Code.VENUE_REJECTED,
        "-2015": Code.VENUE_REJECTED,  # key, address or rights
        "-2018": Code.INSUFFICIENT_FUNDS,
        "-2019": Code.INSUFFICIENT_FUNDS,
        "-2027": Code.LIMIT_EXCEEDED,
        "-4003": Code.INVALID_QTY,
        "-4004": Code.BELOW_MINIMUM,
        "-4005": Code.LIMIT_EXCEEDED,
        "-4014": Code.OFF_TICK,
        "-4164": Code.BELOW_MINIMUM,
        "-5021": Code.FOK_UNFILLED,
        "-5022": Code.POST_ONLY_WOULD_TAKE,
        "-5027": Code.INVALID_PARAMETER,  # an amendment that changes nothing
    }
    duplicates: ClassVar[frozenset[str]] = frozenset({"-4116"})
    absent: ClassVar[frozenset[str]] = frozenset({"-2013"})
    too_late: ClassVar[frozenset[str]] = frozenset({"-2011"})
    off_time: ClassVar[frozenset[str]] = frozenset({"-1021"})
    # New orders and amendments cost nothing of the address: it is named so that its closing holds for them.
    weights: ClassVar[Mapping[str, Charges]] = {
        "new": {"address": 0, "orders": 1},
        "cancel": {"address": 1},
        "amend": {"address": 0, "orders": 1},
        "userTrades": {"address": 5},
        "account": {"address": 5},
        "balance": {"address": 5},
        "positionRisk": {"address": 5},
        "countdownCancelAll": {"address": 10},
        "commissionRate": {"address": 20},
    }
    usual: ClassVar[Charges | None] = {"address": 1}
    options: ClassVar[Mapping[str, Any]] = {"fetchMarkets": {"types": ["linear"]}}
    QUIET: ClassVar[bool] = True
    page: ClassVar[int] = 1_000

    def __init__(self, market_type: str) -> None:
        super().__init__(market_type)
        self.socket = BinanceSocket(self, "linear")

    def limited(self, error: BaseException, headers: Mapping[str, str], now_ms: float) -> Closure | None:
        return limited(self.code_of(error), error, headers, now_ms)

    def deadline(self, left_ms: int) -> dict[str, Any]:
        return {"recvWindow": min(left_ms, WINDOW_MAX_MS)}

    def named(self, child_id: str, venue_order_id: str) -> tuple[str | None, dict[str, Any]]:
        return (venue_order_id or None), ({} if venue_order_id else {"origClientOrderId": child_id})

    async def trades(self, exchange: Any, symbol: str, since_ms: int) -> list[Any]:
        return await trades_in_spans(exchange, symbol, since_ms, WEEK_MS, self.page)

    async def arm(self, exchange: Any, timeout_ms: int, symbols: Sequence[str]) -> None:
        for symbol in symbols:
            name = exchange.market(symbol)["id"]
            await exchange.fapiPrivatePostCountdownCancelAll({"symbol": name, "countdownTime": timeout_ms})
