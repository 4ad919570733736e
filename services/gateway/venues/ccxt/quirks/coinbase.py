"""Coinbase Advanced Trade, spot. https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/rest-api

An order is known by the venue's id; its client id stands in the list of all orders and nowhere else, so without the
venue's id that list is read. A new order under a client id that is there is answered with the order that is there. A
request has no deadline, but the token that signs it ends, and is made to end with the order's. ccxt drops the unified
name of the client id, and the reasons for which a change or a cancel is refused: these requests are worded here.

The user's channel tells the sums of an order, not its trades and not its price: when the sum grows, the trades of the
order are asked for. An acknowledged order may still fail.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import ccxt
import structlog

from bestex.clock import SECOND
from bestex.errors import Code
from bestex.messages import Tif
from services.gateway import port as p
from services.gateway.venues.ccxt import outcomes
from services.gateway.venues.ccxt.quirks.base import PAGES_MAX, LimitTerms, Quirk
from services.gateway.venues.ccxt.said import IDS_MAX

REASONS = (
    "new_order_failure_reason",
    "error",
    "preview_failure_reason",
    "edit_failure_reason",
    "failure_reason",
)
REASON = re.compile(rf'"({"|".join(REASONS)})"\s*:\s*"(\w+)"')
STATUS = re.compile(
    r" (401|429) "
)  # what is refused before anything else is looked at, some of it without words
TOKEN_S = 120  # how long ccxt's tokens last
CLOCK_MS = 1_000  # the exchange tells its time in seconds: a difference below one is none
PAGE_ORDERS, PAGE_FILLS = 1_000, 100
QUERIED = 50  # orders that one question may be for
EARLIER_MS = 3_600_000  # before an order was sent, by our clock, nobody looks for it
LIVE = (
    ("PENDING", "QUEUED", "CANCEL_QUEUED"),
    ("OPEN",),
)  # in this order: open ones cannot be asked for with others
NOT_YET = {"PENDING", "QUEUED"}
ENDS = {"FILLED": "closed", "CANCELLED": "canceled", "EXPIRED": "expired", "FAILED": "rejected"}


class Coinbase(Quirk):
    capabilities: ClassVar[p.Capabilities] = p.Capabilities(
        tifs=frozenset({Tif.IOC, Tif.FOK, Tif.GTC}),
        post_only=True,
        client_id_length=36,
        native_replace=True,
        late_rejects=True,
        holdings=True,
        sequence_checks=True,
        rates=(p.RateBudget(scope="account", weight=30, window_ns=SECOND),),
    )
    codes: ClassVar[Mapping[str, Code]] = {
        "401": Code.VENUE_REJECTED,  # token: key, signature, or too late
        "429": Code.RATE_LIMITED,
        "rate_limit_exceeded": Code.RATE_LIMITED,
        "PERMISSION_DENIED": Code.VENUE_REJECTED,
        "INVALID_ARGUMENT": Code.INVALID_PARAMETER,
        "UNSUPPORTED_ORDER_CONFIGURATION": Code.INVALID_PARAMETER,
        "INVALID_SIDE": Code.INVALID_PARAMETER,
        "INVALID_REQUEST": Code.INVALID_PARAMETER,
        "INVALID_PRODUCT_ID": Code.UNKNOWN_SYMBOL,
        "INELIGIBLE_PAIR": Code.RESTRICTED,
        "UNTRADABLE_PRODUCT": Code.RESTRICTED,
        "GEOFENCING_RESTRICTION": Code.RESTRICTED,
        "ORDER_ENTRY_DISABLED": Code.RESTRICTED,
        "INVALID_SIZE_PRECISION": Code.OFF_LOT,
        "INVALID_PRICE_PRECISION": Code.OFF_TICK,
        "INVALID_LIMIT_PRICE": Code.INVALID_PRICE,
        "INVALID_BASE_SIZE_TOO_SMALL": Code.BELOW_MINIMUM,
        "INVALID_QUOTE_SIZE_TOO_SMALL": Code.BELOW_MINIMUM,
        "INVALID_BASE_SIZE_TOO_LARGE": Code.LIMIT_EXCEEDED,
        "INVALID_QUOTE_SIZE_TOO_LARGE": Code.LIMIT_EXCEEDED,
        "INSUFFICIENT_FUND": Code.INSUFFICIENT_FUNDS,
        "INSUFFICIENT_FUNDS": Code.INSUFFICIENT_FUNDS,
        "INVALID_LEDGER_BALANCE": Code.INSUFFICIENT_FUNDS,
        "INVALID_LIMIT_PRICE_POST_ONLY": Code.POST_ONLY_WOULD_TAKE,
        "INVALID_NO_LIQUIDITY": Code.NO_LIQUIDITY,
        "CANNOT_EDIT_TO_BELOW_FILLED_SIZE": Code.INVALID_QTY,
        "INVALID_EDITED_SIZE": Code.INVALID_QTY,
        "INVALID_EDITED_PRICE": Code.INVALID_PRICE,
        "ONLY_LIMIT_ORDER_EDITS_SUPPORTED": Code.INVALID_STATE,
    }
    duplicates: ClassVar[frozenset[str]] = frozenset({"DUPLICATE_CLIENT_ORDER_ID"})
    too_late: ClassVar[frozenset[str]] = frozenset(
        {"UNKNOWN_CANCEL_ORDER", "ORDER_IS_FULLY_FILLED", "ORDER_NOT_FOUND"}
    )
    options: ClassVar[Mapping[str, Any]] = {"fetchBalance": "v3PrivateGetBrokerageAccounts"}
    acknowledges: ClassVar[bool] = True

    def __init__(self, market_type: str) -> None:
        super().__init__(market_type)
        self._sent_ms: OrderedDict[str, int] = OrderedDict()  # by child
        self._owners: OrderedDict[str, str] = OrderedDict()  # by order: its client id, as the venue has it
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(exchange="coinbase")

    # -- words ---------------------------------------------------------------------------------------------------

    def code_of(self, error: BaseException) -> str:
        """The reason that says most; a preview's is named like the order's, with a word before."""
        text = str(error)
        found: dict[str, str] = {}
        for name, reason in REASON.findall(text):
            found.setdefault(name, reason)
        for name in REASONS:
            reason = found.get(name, "")
            if reason and not reason.endswith("FAILURE_REASON"):
                return reason.removeprefix("PREVIEW_")
        status = STATUS.search(text)
        return status.group(1) if status and not found else ""

    def own_id(self, order: Any) -> str:
        return str(order["info"].get("client_order_id") or "")

    # -- requests ------------------------------------------------------------------------------------------------

    async def create(self, exchange: Any, order: p.Submit, terms: LimitTerms) -> Any:
        symbol, amount, price, left_ms = terms
        limit: dict[str, Any] = {
            "base_size": exchange.amount_to_precision(symbol, amount),
            "limit_price": exchange.price_to_precision(symbol, price),
        }
        kind = {Tif.IOC: "sor_limit_ioc", Tif.FOK: "limit_limit_fok"}.get(order.tif, "limit_limit_gtc")
        if order.post_only or kind == "limit_limit_gtc":
            kind, limit["post_only"] = "limit_limit_gtc", order.post_only
        request = {
            "client_order_id": order.child_id,
            "product_id": exchange.market_id(symbol),
            "side": str(order.side).upper(),
            "order_configuration": {kind: limit},
        }
        _keep(self._sent_ms, order.child_id, exchange.milliseconds())
        signed = _until(
            exchange, exchange.sign("brokerage/orders", ["v3", "private"], "POST", request), left_ms
        )
        answer = await exchange.fetch(signed["url"], signed["method"], signed["headers"], signed["body"])
        _done(exchange, answer)
        made = answer.get("success_response") or {}
        return {"id": made.get("order_id"), "info": made}

    async def cancel(self, exchange: Any, order: p.Cancel, symbol: str) -> Any:
        found = order.venue_order_id or await self._find_id(exchange, symbol, order.child_id)
        if not found:
            raise ccxt.OrderNotFound('coinbase {"failure_reason":"UNKNOWN_CANCEL_ORDER"}')
        answer = await exchange.v3PrivatePostBrokerageOrdersBatchCancel({"order_ids": [found]})
        for result in answer["results"]:
            _done(exchange, result)
        return answer

    async def amend(self, exchange: Any, order: p.Replace, terms: LimitTerms) -> Any:
        symbol, amount, price, _ = terms
        found = order.venue_order_id or await self._find_id(exchange, symbol, order.child_id)
        if not found:
            raise ccxt.OrderNotFound('coinbase {"edit_failure_reason":"ORDER_NOT_FOUND"}')
        request = {
            "order_id": found,
            "size": exchange.amount_to_precision(symbol, amount),
            "price": exchange.price_to_precision(symbol, price),
        }
        _done(exchange, await exchange.v3PrivatePostBrokerageOrdersEdit(request))
        return {"id": found}

    async def order(self, exchange: Any, symbol: str, child_id: str, venue_order_id: str) -> Any:
        if venue_order_id:
            ask = exchange.v3PrivateGetBrokerageOrdersHistoricalOrderId
            return _parsed(exchange, symbol, (await ask({"order_id": venue_order_id}))["order"])
        row = await self._find(exchange, symbol, child_id)
        return None if row is None else _parsed(exchange, symbol, row)

    async def _find_id(self, exchange: Any, symbol: str, child_id: str) -> str:
        row = await self._find(exchange, symbol, child_id)
        return "" if row is None else str(row["order_id"])

    async def _find(self, exchange: Any, symbol: str, child_id: str) -> Any:
        """In the list of all orders, from when it was sent on; of one that another process sent, in the whole."""
        ask: dict[str, Any] = {"product_ids": [exchange.market_id(symbol)]}
        if sent_ms := self._sent_ms.get(child_id):
            ask["start_date"] = exchange.iso8601(sent_ms - EARLIER_MS)
        async for row in self._listed(exchange, ask):
            if row["client_order_id"] == child_id:
                return row
        return None

    async def _listed(self, exchange: Any, ask: dict[str, Any]) -> Any:
        cursor: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            request = {**ask, "limit": PAGE_ORDERS, **cursor}
            answer = await exchange.v3PrivateGetBrokerageOrdersHistoricalBatch(request)
            for row in answer["orders"]:
                yield row
            if not answer.get("has_next"):
                return
            cursor = {"cursor": answer["cursor"]}
        raise RuntimeError(f"more than {PAGES_MAX} pages of orders")

    async def open_orders(self, exchange: Any, symbol: str) -> list[Any]:
        return await self.open_orders_of(exchange, [symbol])

    async def open_orders_of(self, exchange: Any, symbols: Sequence[str]) -> list[Any]:
        found: dict[str, Any] = {}
        named = {exchange.market_id(symbol): symbol for symbol in symbols}
        for states in LIVE:
            ask = {"product_ids": list(named), "order_status": list(states)}
            async for row in self._listed(exchange, ask):
                found[row["order_id"]] = _parsed(exchange, named[row["product_id"]], row)
        return list(found.values())

    async def trades(self, exchange: Any, symbol: str, since_ms: int) -> list[Any]:
        return await self.trades_of(exchange, [symbol], since_ms)

    async def trades_of(self, exchange: Any, symbols: Sequence[str], since_ms: int) -> list[Any]:
        named = {exchange.market_id(symbol): exchange.market(symbol) for symbol in symbols}
        ask = {"product_ids": list(named), "start_sequence_timestamp": exchange.iso8601(since_ms)}
        rows = await self._filled(exchange, ask)
        await self._learn_owners(exchange, {row["order_id"] for row in rows})
        return self._trades(exchange, named, rows)

    async def _filled(self, exchange: Any, ask: dict[str, Any]) -> list[Any]:
        """Newest first, so that what comes meanwhile moves no page."""
        rows: dict[str, Any] = {}
        cursor: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            request = {**ask, "limit": PAGE_FILLS, **cursor}
            answer = await exchange.v3PrivateGetBrokerageOrdersHistoricalFills(request)
            rows |= {row["trade_id"]: row for row in answer["fills"]}
            if not answer.get("cursor") or not answer["fills"]:
                return list(rows.values())
            cursor = {"cursor": answer["cursor"]}
        raise RuntimeError(f"more than {PAGES_MAX} pages of trades")

    def _trades(self, exchange: Any, markets: Mapping[str, Any], rows: list[Any]) -> list[Any]:
        """`markets` by the venue's own names."""
        found = [
            exchange.parse_trade(
                {**row, "client_order_id": self._owners[row["order_id"]]}, markets[row["product_id"]]
            )
            for row in rows
        ]
        return sorted(found, key=lambda trade: trade["timestamp"])

    async def _learn_owners(self, exchange: Any, orders: set[str]) -> None:
        """A trade names its order by the venue's id alone. KeyError where the venue does not show one of them yet."""
        unknown = sorted(orders - self._owners.keys())
        for place in range(0, len(unknown), QUERIED):
            batch = unknown[place : place + QUERIED]
            found = {row["order_id"]: row async for row in self._listed(exchange, {"order_ids": batch})}
            for name in batch:
                _keep(self._owners, name, str(found[name]["client_order_id"]))

    # -- streams -------------------------------------------------------------------------------------------------

    def refusal(self, message: dict[str, Any]) -> str:
        return f"coinbase refuses: {message.get('message')}" if message.get("type") == "error" else ""

    def streams(self, exchange: Any) -> list[Any]:
        exchange.options["wsToken"] = None  # else one that has ended may be used again
        grown: asyncio.Queue[tuple[str, str]] = asyncio.Queue(IDS_MAX)
        sums: OrderedDict[str, Decimal] = OrderedDict()
        told: OrderedDict[str, None] = OrderedDict()

        async def orders() -> list[Any]:
            heard = [one for one in await exchange.watch_orders() if one["info"]["status"] not in NOT_YET]
            for one in heard:
                name, filled = one["id"], Decimal(one["info"]["cumulative_quantity"])
                _keep(self._owners, name, one["info"]["client_order_id"])
                if filled > sums.get(name, Decimal(0)):
                    grown.put_nowait((name, one["symbol"]))
                _keep(sums, name, filled)
            return [_told(one) for one in heard]

        async def trades() -> list[Any]:
            name, symbol = await grown.get()
            try:
                rows = await self._filled(exchange, {"order_ids": [name]})
            except ccxt.BaseError as error:  # they are pulled from time to time, and at the order's end
                self._log.warning("the trades of an order were not told", error=outcomes.text_of(error))
                return []
            new = [row for row in rows if row["trade_id"] not in told]
            for row in new:
                _keep(told, row["trade_id"], None)
            market = exchange.market(symbol)
            return self._trades(exchange, {market["id"]: market}, new)

        return [orders, trades]


def _until(exchange: Any, signed: Any, left_ms: int) -> Any:
    """The request with a token that ends in so long by the exchange's clock, to the second. One that is signed
    without a token, with an old kind of key, stays as it is."""
    headers = signed["headers"]
    if "Authorization" not in headers:
        return signed
    behind_ms = exchange.options.get("timeDifference") or 0
    now_ms = exchange.milliseconds() - (behind_ms if abs(behind_ms) > CLOCK_MS else 0)
    ends_s = min(math.ceil((now_ms + left_ms) / 1_000), now_ms // 1_000 + TOKEN_S)
    edwards = not exchange.secret.startswith("-----BEGIN")
    token = exchange.create_auth_token(ends_s - TOKEN_S, "POST", signed["url"], edwards)
    return {**signed, "headers": {**headers, "Authorization": f"Bearer {token}"}}


def _done(exchange: Any, answer: Any) -> None:
    """ExchangeError with its reasons where it says that it was not done."""
    if not answer.get("success"):
        raise ccxt.ExchangeError(f"coinbase {exchange.json(answer)}")


def _parsed(exchange: Any, symbol: str, row: Any) -> Any:
    """With the terms of the newest edit, of all kinds of orders, and with the ends that ccxt takes for one."""
    status = row["status"]
    if status == "UNKNOWN_ORDER_STATUS":
        raise ccxt.ExchangeError(f"coinbase does not say where order {row['order_id']} stands")
    order = exchange.parse_order(row, exchange.market(symbol))
    terms = next(iter(row["order_configuration"].values()))
    last = (row.get("edit_history") or [{}])[-1]
    changed = {
        "status": _ended(status, Decimal(row["filled_size"] or 0)),
        "amount": last.get("size") or terms.get("base_size"),
        "price": last.get("price") or terms.get("limit_price"),
        "filled": row["filled_size"] or 0,
    }
    return {**order, **changed}


def _told(one: Any) -> Any:
    """An order of the stream, which has no price; nothing is left of one that has ended."""
    info = one["info"]
    filled, left = Decimal(info["cumulative_quantity"]), Decimal(info["leaves_quantity"])
    whole = filled + left if left or info["status"] == "FILLED" else None
    return {**one, "status": _ended(info["status"], filled), "amount": whole, "filled": filled}


def _ended(status: str, filled: Decimal) -> str:
    """What fails with something filled has ended like one that is cancelled."""
    ended = ENDS.get(status, "open")
    return "canceled" if ended == "rejected" and filled else ended


def _keep(kept: OrderedDict[str, Any], name: str, value: Any) -> None:
    kept[name] = value
    if len(kept) > IDS_MAX:
        kept.popitem(last=False)
