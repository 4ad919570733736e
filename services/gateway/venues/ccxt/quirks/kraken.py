"""Kraken spot. https://docs.kraken.com/api/docs/guides/spot-errors and /guides/spot-clordid

Refusals are words, with status 200. A client id is unique among open orders only, and the query for one order knows
no client ids: by it an order is found in the lists of open and of closed ones. An order carries its own deadline;
that it elapsed is no proof that the order was not taken just before, so it counts as unknown, and is looked for. The
stream tells of an end without saying of what: the terms are kept from the order's first word.

Requests of one key need rising nonces, and those that are under way together arrive in any order. Lists are asked for
one after the other; so that an order is not refused because of one, the key's nonce window should be set there to ten
seconds (10000). All limits are counters that decay; a cancel of a young order counts eight.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from bestex.clock import MINUTE, MS
from bestex.errors import Code
from bestex.messages import Tif
from services.gateway import port as p
from services.gateway.venues.ccxt.quirks.base import PAGES_MAX, LimitTerms, Quirk
from services.gateway.venues.ccxt.said import FOREIGN, IDS_MAX

WORDS = re.compile(r'"(E[A-Za-z]+:[^"]+)"')
PAGE = 50
QUERIED = 20  # orders that one question may be for
DEADLINE_MS = (500, 60_000)  # how far it may be off
CLOCK_MS = 1_000  # the exchange tells its time in seconds: a difference below one is none
SNAPSHOT = {"snap_orders": True, "snap_trades": False}  # ccxt takes a mixture of both for one of them


class Kraken(Quirk):
    capabilities: ClassVar[p.Capabilities] = p.Capabilities(
        tifs=frozenset({Tif.IOC, Tif.GTC}),
        post_only=True,
        client_id_length=18,
        native_replace=True,
        dead_man=True,
        holdings=True,
        sequence_checks=True,
        rates=(p.RateBudget(scope="account", weight=60, window_ns=MINUTE),),
    )
    codes: ClassVar[Mapping[str, Code]] = {
        "EAPI:Invalid key": Code.VENUE_REJECTED,
        "EAPI:Invalid signature": Code.VENUE_REJECTED,
        "EAPI:Invalid nonce": Code.VENUE_REJECTED,
        "EAPI:Rate limit exceeded": Code.RATE_LIMITED,
        "EGeneral:Temporary lockout": Code.RATE_LIMITED,
        "EGeneral:Too many requests": Code.RATE_LIMITED,
        "EGeneral:Permission denied": Code.VENUE_REJECTED,
        "EGeneral:Invalid arguments": Code.INVALID_PARAMETER,
        "EAccount:Invalid permissions": Code.RESTRICTED,
        "EQuery:Unknown asset pair": Code.UNKNOWN_SYMBOL,
        "EQuery:Invalid asset pair": Code.UNKNOWN_SYMBOL,
        "EOrder:Rate limit exceeded": Code.RATE_LIMITED,
        "EOrder:Domain rate limit exceeded": Code.RATE_LIMITED,
        "EOrder:Orders limit exceeded": Code.LIMIT_EXCEEDED,
        "EOrder:Insufficient funds": Code.INSUFFICIENT_FUNDS,
        "EOrder:Order minimum not met": Code.BELOW_MINIMUM,
        "EOrder:Cost minimum not met": Code.BELOW_MINIMUM,
        "EOrder:Tick size check failed": Code.OFF_TICK,
        "EOrder:Invalid price": Code.INVALID_PRICE,
        "EOrder:Invalid order": Code.VENUE_REJECTED,
        "EOrder:Post only order": Code.POST_ONLY_WOULD_TAKE,
        "EService:Market in cancel_only mode": Code.VENUE_REJECTED,
        "EService:Market in limit_only mode": Code.VENUE_REJECTED,
        "EService:Market in post_only mode": Code.VENUE_REJECTED,
    }
    absent: ClassVar[frozenset[str]] = frozenset({"EOrder:Unknown order"})
    too_late: ClassVar[frozenset[str]] = absent

    def __init__(self, market_type: str) -> None:
        super().__init__(market_type)
        self._one_at_a_time = asyncio.Lock()
        self._terms: OrderedDict[str, dict[str, Any]] = OrderedDict()  # by order: what the stream said of it
        self._owners: OrderedDict[str, str] = OrderedDict()  # by order: its client id, as the venue has it

    # -- words ---------------------------------------------------------------------------------------------------

    def code_of(self, error: BaseException) -> str:
        """The first two parts; a third one says which argument it was."""
        found = WORDS.search(str(error))
        return ":".join(found.group(1).split(":")[:2]) if found else ""

    def is_duplicate(self, error: BaseException) -> bool:
        """The words for it are not documented: whatever is said of a client id, the order is looked for."""
        return super().is_duplicate(error) or "cl_ord_id" in str(error)

    def own_id(self, order: Any) -> str:
        """Without a client id ccxt takes the reference for it, which several orders can have."""
        return str(order["info"].get("cl_ord_id") or "")

    def why(self, order: Any) -> Code | None:
        reason = order["info"].get("cancel_reason") or order["info"].get("reason") or ""
        return Code.POST_ONLY_WOULD_TAKE if str(reason).lower().startswith("post only") else None

    # -- requests ------------------------------------------------------------------------------------------------

    async def create(self, exchange: Any, order: p.Submit, terms: LimitTerms) -> Any:
        symbol, amount, price, left_ms = terms
        params = self.terms(order, left_ms) | {"deadline": deadline(exchange, left_ms)}
        return await exchange.create_order(symbol, "limit", str(order.side), amount, price, params)

    async def amend(self, exchange: Any, order: p.Replace, terms: LimitTerms) -> Any:
        """The answer names the change: without a name nothing says that there was any. The order keeps its own id."""
        venue_id, params = self.named(order.child_id, order.venue_order_id)
        symbol, amount, price, _ = terms
        left_ms = order.deadline_ns // MS - exchange.milliseconds()
        params["deadline"] = deadline(exchange, left_ms)
        answer = await exchange.edit_order(venue_id, symbol, "limit", str(order.side), amount, price, params)
        return {"id": None if answer.get("id") is None else order.venue_order_id}

    async def order(self, exchange: Any, symbol: str, child_id: str, venue_order_id: str) -> Any:
        """By our own id first among the open ones: what ends in between is then among the closed."""
        async with self._one_at_a_time:
            if venue_order_id:
                found = (await exchange.privatePostQueryOrders({"txid": venue_order_id}))["result"]
                return self._parsed(exchange, symbol, venue_order_id, found[venue_order_id])
            by_name = {"cl_ord_id": child_id}
            found = (await exchange.privatePostOpenOrders(by_name))["result"]["open"]
            if not found:
                found = (await exchange.privatePostClosedOrders(by_name))["result"]["closed"]
        newest = max(found.items(), key=lambda item: float(item[1]["opentm"]), default=None)
        return None if newest is None else self._parsed(exchange, symbol, *newest)

    def _parsed(self, exchange: Any, symbol: str, venue_order_id: str, row: Any) -> Any:
        return exchange.parse_order({"id": venue_order_id, **row}, exchange.market(symbol))

    async def open_orders(self, exchange: Any, symbol: str) -> list[Any]:
        return await self.open_orders_of(exchange, [symbol])

    async def open_orders_of(self, exchange: Any, symbols: Sequence[str]) -> list[Any]:
        """All of the account, in one answer."""
        async with self._one_at_a_time:
            rows = (await exchange.privatePostOpenOrders())["result"]["open"]
        found = (
            [self._parsed(exchange, symbols[0], name, row) for name, row in rows.items()] if symbols else []
        )
        return [order for order in found if order["symbol"] in symbols]

    async def trades(self, exchange: Any, symbol: str, since_ms: int) -> list[Any]:
        return await self.trades_of(exchange, [symbol], since_ms)

    async def trades_of(self, exchange: Any, symbols: Sequence[str], since_ms: int) -> list[Any]:
        """All of the account, newest first, so that what comes meanwhile shows some of them twice and none never.
        Each by itself: what a taker traded is else one trade, under another id than on the stream."""
        rows: dict[str, Any] = {}
        ask = {"start": since_ms // 1_000 - 1, "consolidate_taker": "false", "without_count": "true"}
        async with self._one_at_a_time:
            for number in range(PAGES_MAX):
                page = (await exchange.privatePostTradesHistory({**ask, "ofs": number * PAGE}))["result"][
                    "trades"
                ]
                rows |= page
                if len(page) < PAGE:
                    break
            else:
                raise RuntimeError(f"more than {PAGES_MAX} pages of trades")
            await self._learn_owners(exchange, {row["ordertxid"] for row in rows.values()})
        made: list[Any] = []
        for name, row in rows.items():
            owner = self._owners[row["ordertxid"]]
            trade = exchange.parse_trade({"id": name, "cl_ord_id": owner, **row})
            if trade["symbol"] in symbols and trade["timestamp"] >= since_ms:
                made.append(trade)
        return sorted(made, key=lambda trade: trade["timestamp"])

    async def _learn_owners(self, exchange: Any, orders: set[str]) -> None:
        """A trade names its order by the venue's id alone. Those that are not known are asked for together."""
        unknown = sorted(orders - self._owners.keys())
        for place in range(0, len(unknown), QUERIED):
            batch = unknown[place : place + QUERIED]
            found = (await exchange.privatePostQueryOrders({"txid": ",".join(batch)}))["result"]
            for name in batch:
                _keep(self._owners, name, found[name].get("cl_ord_id") or f"{FOREIGN}{name}")

    async def arm(self, exchange: Any, timeout_ms: int, symbols: Sequence[str]) -> None:  # noqa: ARG002
        """Of the whole account."""
        await exchange.cancel_all_orders_after(math.ceil(timeout_ms / 1_000) * 1_000)

    # -- streams -------------------------------------------------------------------------------------------------

    def refusal(self, message: dict[str, Any]) -> str:
        refused = message.get("method") == "subscribe" and not message.get("success")
        return f"kraken refuses a subscription: {message.get('error')}" if refused else ""

    def streams(self, exchange: Any) -> list[Any]:
        """One subscription has both, and whoever is first makes it: so both ask for the same, with a new token."""
        exchange.client(exchange.urls["api"]["ws"]["private"]).subscriptions.pop("authenticated", None)

        async def orders() -> list[Any]:
            heard = await exchange.watch_private("orders", None, None, None, SNAPSHOT)
            return [made for one in heard if (made := self._whole(exchange, one["info"])) is not None]

        async def trades() -> list[Any]:
            heard = await exchange.watch_private("myTrades", None, None, None, SNAPSHOT)
            return [one for one in heard if one["info"].get("exec_type") == "trade"]

        return [orders, trades]

    def _whole(self, exchange: Any, info: Any) -> Any:
        """An order with what was said of it before; None while it is only on its way to the book, and where its terms
        were never said."""
        known = self._terms.get(info["order_id"], {}) | info
        _keep(self._terms, info["order_id"], known)
        if known["exec_type"] in ("pending_new", "trade") or not known.get("symbol"):
            return None
        order = exchange.parse_ws_order(known)
        return {**order, "filled": known.get("cum_qty") or 0, "amount": known.get("order_qty")}


def deadline(exchange: Any, left_ms: int) -> str:
    """By the exchange's clock."""
    behind_ms = exchange.options.get("timeDifference") or 0
    now_ms = exchange.milliseconds() - (behind_ms if abs(behind_ms) > CLOCK_MS else 0)
    at_ms = now_ms + min(max(left_ms, DEADLINE_MS[0]), DEADLINE_MS[1] - CLOCK_MS)
    return (
        datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _keep(kept: OrderedDict[str, Any], name: str, value: Any) -> None:
    kept[name] = value
    if len(kept) > IDS_MAX:
        kept.popitem(last=False)
