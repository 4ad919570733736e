"""OKX v5: spot, and swaps in contracts.

https://www.okx.com/docs-v5/en/#order-book-trading-trade-post-place-order and its error codes. One answer has a code
for the request and one for each order (`sCode`), and the order's is the reason. A request carries its own deadline in
the header `expTime`. A post-only order that would take is taken, and then cancelled by the exchange (`cancelSource`
31). Fees are negative where they are paid; ccxt turns the sign of a query's, and leaves that of a stream's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import ccxt

from bestex.budget import Charges
from bestex.clock import SECOND
from bestex.errors import Code
from bestex.messages import Tif
from services.gateway import port as p
from services.gateway.venues.ccxt.quirks.base import PAGES_MAX, Closure, LimitTerms, Quirk
from services.gateway.venues.ccxt.quirks.okx_socket import OkxSocket

PAGE = 100
RECENT_MS = 2 * 86_400_000  # trades so young stand in the list that may be asked for often
SWITCH_S = (10, 120)  # what the dead-man switch can be set to
SCODE = re.compile(r'"sCode"\s*:\s*"?([1-9]\d*)')
POST_ONLY = "31"
RATES = {
    "new": 60,
    "cancel": 60,
    "amend": 60,
    "orders": 1_000,
    "trade/order": 60,
    "trade/orders-pending": 60,
    "trade/fills": 60,
    "trade/fills-history": 10,
    "account/balance": 10,
    "account/positions": 10,
    "account/trade-fee": 5,
    "trade/cancel-all-after": 2,
    "address": 20,  # what is asked without keys
}
PAUSE_MS = 2_000
BLOCKED_MS = 60_000  # its edge names no time


class Okx(Quirk):
    capabilities: ClassVar[p.Capabilities] = p.Capabilities(
        tifs=frozenset({Tif.IOC, Tif.FOK, Tif.GTC}),
        post_only=True,
        client_id_length=32,
        native_replace=True,
        late_rejects=True,
        dead_man=True,
        holdings=True,
        fee_of_received=True,
        one_wallet=True,
        sequence_checks=True,
        # By instrument; so it is enough for all together. `orders` is what an account may enter and change in all.
        rates=tuple(
            p.RateBudget(scope=scope, weight=weight, window_ns=2 * SECOND) for scope, weight in RATES.items()
        ),
    )
    codes: ClassVar[Mapping[str, Code]] = {
        "50011": Code.RATE_LIMITED,
        "50014": Code.MISSING_PARAMETER,
        "50036": Code.EXPIRED,  # after the request's own deadline
        "50061": Code.RATE_LIMITED,
        "50101": Code.VENUE_REJECTED,  # keys of another environment
        "50102": Code.EXPIRED,  # its time is off by more than half a minute
        "50103": Code.VENUE_REJECTED,
        "50104": Code.VENUE_REJECTED,
        "50105": Code.VENUE_REJECTED,  # passphrase
        "50106": Code.VENUE_REJECTED,
        "50107": Code.VENUE_REJECTED,
        "50110": Code.VENUE_REJECTED,  # address
        "50111": Code.VENUE_REJECTED,  # no such key
        "50112": Code.VENUE_REJECTED,
        "50113": Code.VENUE_REJECTED,  # signature
        "50114": Code.VENUE_REJECTED,
        "50120": Code.VENUE_REJECTED,  # rights of the key
        "51000": Code.INVALID_PARAMETER,
        "51001": Code.UNKNOWN_SYMBOL,
        "51004": Code.LIMIT_EXCEEDED,
        "51005": Code.LIMIT_EXCEEDED,
        "51006": Code.INVALID_PRICE,
        "51007": Code.BELOW_MINIMUM,
        "51008": Code.INSUFFICIENT_FUNDS,
        "51010": Code.VENUE_REJECTED,  # the account's mode
        "51015": Code.UNKNOWN_SYMBOL,
        "51020": Code.BELOW_MINIMUM,
        "51100": Code.BELOW_MINIMUM,
        "51101": Code.LIMIT_EXCEEDED,
        "51116": Code.INVALID_PRICE,
        "51119": Code.INSUFFICIENT_FUNDS,
        "51120": Code.BELOW_MINIMUM,
        "51121": Code.OFF_LOT,
        "51127": Code.INSUFFICIENT_FUNDS,
        "51131": Code.INSUFFICIENT_FUNDS,
        "51136": Code.INVALID_PRICE,
        "51137": Code.INVALID_PRICE,
        "51138": Code.INVALID_PRICE,
        "51155": Code.RESTRICTED,
        "51203": Code.LIMIT_EXCEEDED,
        "51500": Code.INVALID_PARAMETER,
        "51502": Code.INSUFFICIENT_FUNDS,
        "51511": Code.POST_ONLY_WOULD_TAKE,
    }
    duplicates: ClassVar[frozenset[str]] = frozenset({"51016"})
    absent: ClassVar[frozenset[str]] = frozenset({"51603"})
    too_late: ClassVar[frozenset[str]] = frozenset({"51400", "51401", "51402", "51503", "51509", "51510"})
    # After its deadline comes too what is sent by a clock that is behind.
    off_time: ClassVar[frozenset[str]] = frozenset({"50036", "50102"})
    weights: ClassVar[Mapping[str, Charges]] = {
        **{scope: {scope: 1} for scope in RATES},
        "new": {"new": 1, "orders": 1},
        "amend": {"amend": 1, "orders": 1},
    }
    usual: ClassVar[Charges | None] = {"address": 1}
    options: ClassVar[Mapping[str, Any]] = {"fetchMarkets": {"types": ["spot", "swap"]}}
    acknowledges: ClassVar[bool] = True

    def __init__(self, market_type: str) -> None:
        super().__init__(market_type)
        self.socket = OkxSocket(self)

    def limited(self, error: BaseException, headers: Mapping[str, str], now_ms: float) -> Closure | None:  # noqa: ARG002
        """50011 is of the one kind of request, 50061 of an account's orders; a page of the edge is of all."""
        code = self.code_of(error)
        if code in ("50011", "50061"):
            return Closure(("orders",) if code == "50061" else (), PAUSE_MS)
        blocked = "1015" in str(error) or isinstance(error, ccxt.RateLimitExceeded | ccxt.DDoSProtection)
        return Closure(tuple(RATES), BLOCKED_MS) if blocked and not code else None

    def code_of(self, error: BaseException) -> str:
        found = SCODE.search(str(error))
        return found.group(1) if found else super().code_of(error)

    def own_id(self, order: Any) -> str:
        return super().own_id(order) or str(order["info"].get("clOrdId") or "")

    def why(self, order: Any) -> Code | None:
        return Code.POST_ONLY_WOULD_TAKE if order["info"].get("cancelSource") == POST_ONLY else None

    # -- requests ------------------------------------------------------------------------------------------------

    async def create(self, exchange: Any, order: p.Submit, terms: LimitTerms) -> Any:
        symbol, amount, price, left_ms = terms
        params = self.terms(order, left_ms)
        request = exchange.create_order_request(symbol, "limit", str(order.side), amount, price, params)
        return await self._timed(exchange, "trade/order", request, symbol, left_ms)

    async def _timed(self, exchange: Any, path: str, request: Any, symbol: str, left_ms: int) -> Any:
        """One request that OKX does not do when it comes later than that by the exchange's own clock. ccxt's own
        methods take no header for one request alone."""
        signed = exchange.sign(path, ["private"], "POST", request)
        signed["headers"]["expTime"] = str(exchange.nonce() + left_ms)
        answer = await exchange.fetch(signed["url"], signed["method"], signed["headers"], signed["body"])
        [done] = answer["data"]
        return exchange.parse_order(done, exchange.market(symbol))

    async def open_orders(self, exchange: Any, symbol: str) -> list[Any]:
        return await self.open_orders_of(exchange, [symbol])

    async def open_orders_of(self, exchange: Any, symbols: Sequence[str]) -> list[Any]:
        return await self._paged(
            exchange.privateGetTradeOrdersPending, exchange, symbols, exchange.parse_order, "ordId", {}
        )

    async def trades(self, exchange: Any, symbol: str, since_ms: int) -> list[Any]:
        return await self.trades_of(exchange, [symbol], since_ms)

    async def trades_of(self, exchange: Any, symbols: Sequence[str], since_ms: int) -> list[Any]:
        recent = since_ms >= exchange.nonce() - RECENT_MS
        ask = exchange.privateGetTradeFills if recent else exchange.privateGetTradeFillsHistory
        found = await self._paged(
            ask, exchange, symbols, exchange.parse_trade, "billId", {"begin": str(since_ms)}
        )
        return [paid(trade, "fee") for trade in reversed(found)]

    async def _paged(
        self, ask: Any, exchange: Any, symbols: Sequence[str], parse: Any, key: str, more: dict[str, str]
    ) -> list[Any]:
        """Of one symbol, or of all of the account. Newest first, so that what comes meanwhile moves no page."""
        markets = {market["id"]: market for market in map(exchange.market, symbols)}
        found, after = list[Any](), dict[str, str]()
        kind = {"instType": "SPOT" if self.market_type == "spot" else "SWAP", "limit": str(PAGE)}
        if len(markets) == 1:
            kind["instId"] = next(iter(markets))
        for _ in range(PAGES_MAX):
            rows = (await ask({**kind, **more, **after}))["data"]
            found += [parse(row, markets[row["instId"]]) for row in rows if row["instId"] in markets]
            if len(rows) < PAGE:
                return found
            after = {"after": rows[-1][key]}
        raise RuntimeError(f"more than {PAGES_MAX} pages of {', '.join(markets)}")

    async def arm(self, exchange: Any, timeout_ms: int, symbols: Sequence[str]) -> None:  # noqa: ARG002
        """Of the whole account, spot and swaps; not below 10 s, which is what the exchange takes."""
        seconds = math.ceil(timeout_ms / 1_000)
        if seconds:
            seconds = min(max(seconds, SWITCH_S[0]), SWITCH_S[1])
        await exchange.cancel_all_orders_after(seconds * 1_000)

    def streams(self, exchange: Any) -> list[Any]:
        async def trades() -> list[Any]:
            return [paid(trade, "fillFee") for trade in await exchange.watch_my_trades()]

        return [exchange.watch_orders, trades]


def paid(trade: Any, name: str) -> Any:
    """A copy with the fee that the venue's own field `name` has, above zero where it is paid."""
    cost = -Decimal(trade["info"].get(name) or 0)
    return {**trade, "fee": {**(trade.get("fee") or {}), "cost": cost}}
