"""An exchange about which nothing special is known: the unified methods of ccxt, and no trust in what it cannot show.

A quirk says how requests are worded and what answers prove; it sends through the exchange that it is given, once,
and judges no outcome. `order` and `trades` are given the market's unified symbol.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import ccxt

from bestex.budget import Charges
from bestex.errors import Code
from bestex.messages import Tif
from services.gateway import port as p
from services.gateway.venues.ccxt import outcomes
from services.gateway.venues.ccxt.line import Json, Words

PAGES_MAX = 1_000
PAUSE_MS = 2_000  # after a word of too much that does not say how long
CODE = re.compile(r'"(?:code|retCode|ret_code|sCode|error_code)"\s*:\s*"?(-?\d+)')


class Closure(NamedTuple):
    """What a venue closes that was asked too much: `scopes` of its rates, all that the request wanted where empty."""

    scopes: Collection[str]
    wait_ms: int


class LimitTerms(NamedTuple):
    """Of a limit order, or of what it is to become, as ccxt wants them. It must not be taken later than `left_ms`."""

    symbol: str
    amount: float
    price: float
    left_ms: int


class SocketQuirk(Words, Protocol):
    """How a venue words orders on a websocket, in frames that carry `number`."""

    def new(self, exchange: Any, number: str, order: p.Submit, terms: LimitTerms) -> Json: ...

    def cancel(self, exchange: Any, number: str, order: p.Cancel, symbol: str) -> Json: ...

    def amend(self, exchange: Any, number: str, order: p.Replace, terms: LimitTerms) -> Json: ...

    def order(self, exchange: Any, message: Json, symbol: str) -> Any:
        """What an answer says of the order, in ccxt's words; raises ccxt's error where it is a refusal."""


class Quirk:
    """Made for one market type of the exchange: spot or swap.

    `codes`: the venue's own error codes that prove a refusal, and what they are to us. Empty: by ccxt's classes.
    `duplicates`: the codes that say that the client id is there already. `absent`: those that say that there is no
    such order, and `too_late` those that say that it has ended. `off_time`: those that refuse a request for its time.
    `weights`: what a request costs of `capabilities.rates`, by `new`, `cancel`, `amend` or its path; `usual` for
    those that are not named, None for one of each. `socket`: where orders may go over a websocket.
    """

    capabilities: ClassVar[p.Capabilities] = p.Capabilities(post_only=True)
    codes: ClassVar[Mapping[str, Code]] = {}
    duplicates: ClassVar[frozenset[str]] = frozenset()
    absent: ClassVar[frozenset[str]] = frozenset()
    too_late: ClassVar[frozenset[str]] = frozenset()
    off_time: ClassVar[frozenset[str]] = frozenset()
    weights: ClassVar[Mapping[str, Charges]] = {}
    usual: ClassVar[Charges | None] = None
    options: ClassVar[Mapping[str, Any]] = {}  # of the ccxt exchange
    page: ClassVar[int] = 100  # trades in one answer at most
    QUIET: ClassVar[bool] = (
        False  # trades cost a request for each symbol, and the stream tells of the whole account
    )
    acknowledges: ClassVar[bool] = (
        False  # the answer to a new order has ids, and says nothing of where it stands
    )

    def __init__(self, market_type: str) -> None:
        self.market_type = market_type
        self.socket: SocketQuirk | None = None

    # -- words ---------------------------------------------------------------------------------------------------

    def code_of(self, error: BaseException) -> str:
        """The venue's own code, out of the body that ccxt quotes; empty where there is none."""
        found = CODE.search(str(error))
        return found.group(1) if found else ""

    def is_duplicate(self, error: BaseException) -> bool:
        return isinstance(error, ccxt.DuplicateOrderId) or self.code_of(error) in self.duplicates

    def refused(self, error: BaseException) -> Code | None:
        """Why the venue refused for certain; None where that is not certain."""
        return outcomes.refusal(error, self.code_of(error), self.codes)

    def is_absent(self, error: BaseException) -> bool:
        return isinstance(error, ccxt.OrderNotFound) and (
            not self.absent or self.code_of(error) in self.absent
        )

    def is_too_late(self, error: BaseException) -> bool:
        """For a cancel: there is nothing to cancel, or not any more."""
        return self.is_absent(error) or self.code_of(error) in self.too_late

    def is_off_time(self, error: BaseException) -> bool:
        return self.code_of(error) in self.off_time

    def charges(self, what: str) -> Charges | None:
        return self.weights.get(what, self.usual)

    def limited(self, error: BaseException, headers: Mapping[str, str], now_ms: float) -> Closure | None:  # noqa: ARG002
        """What to leave alone, and for how long, where `error` says that it was too much; None where it does not.
        `headers`: of the last answer over HTTP; `now_ms` by the venue's clock."""
        if not isinstance(error, ccxt.RateLimitExceeded | ccxt.DDoSProtection):
            return None
        return Closure((), retry_after_ms(headers) or PAUSE_MS)

    def terms(self, order: p.Submit, left_ms: int) -> dict[str, Any]:
        """The parameters of a new order. `left_ms`: it must not be taken later than that."""
        params: dict[str, Any] = {"clientOrderId": order.child_id}
        if order.post_only:
            params["postOnly"] = True
        else:
            params["timeInForce"] = {Tif.IOC: "IOC", Tif.FOK: "FOK"}.get(order.tif, "GTC")
        return params | self.deadline(left_ms)

    def deadline(self, left_ms: int) -> dict[str, Any]:  # noqa: ARG002
        """What makes the venue refuse a request that comes later than that."""
        return {}

    def named(self, child_id: str, venue_order_id: str) -> tuple[str | None, dict[str, Any]]:
        """How an order is named in a cancel, an amendment or a query: its id at the venue, and parameters."""
        return (venue_order_id or None), ({} if venue_order_id else {"clientOrderId": child_id})

    # -- requests ------------------------------------------------------------------------------------------------

    async def create(self, exchange: Any, order: p.Submit, terms: LimitTerms) -> Any:
        symbol, amount, price, left_ms = terms
        params = self.terms(order, left_ms)
        return await exchange.create_order(symbol, "limit", str(order.side), amount, price, params)

    async def cancel(self, exchange: Any, order: p.Cancel, symbol: str) -> Any:
        venue_id, params = self.named(order.child_id, order.venue_order_id)
        return await exchange.cancel_order(venue_id, symbol, params)

    async def amend(self, exchange: Any, order: p.Replace, terms: LimitTerms) -> Any:
        symbol, amount, price, _ = terms
        venue_id, params = self.named(order.child_id, order.venue_order_id)
        return await exchange.edit_order(venue_id, symbol, "limit", str(order.side), amount, price, params)

    async def order(self, exchange: Any, symbol: str, child_id: str, venue_order_id: str) -> Any:
        """As the venue has it; None where it says that there is none. Raises where it does not say."""
        venue_id, params = self.named(child_id, venue_order_id)
        try:
            return await exchange.fetch_order(venue_id, symbol, params)
        except ccxt.OrderNotFound as error:
            if self.is_absent(error):
                return None
            raise

    async def open_orders(self, exchange: Any, symbol: str) -> list[Any]:
        found: list[Any] = await exchange.fetch_open_orders(symbol)
        return found

    async def open_orders_of(self, exchange: Any, symbols: Sequence[str]) -> list[Any]:
        """Of all these. One request for each symbol, where the venue has none for all."""
        return [one for symbol in symbols for one in await self.open_orders(exchange, symbol)]

    async def trades_of(self, exchange: Any, symbols: Sequence[str], since_ms: int) -> list[Any]:
        """Of all these, those of one symbol oldest first. One request for each, where the venue has none for all."""
        return [one for symbol in symbols for one in await self.trades(exchange, symbol, since_ms)]

    async def trades(self, exchange: Any, symbol: str, since_ms: int) -> list[Any]:
        """All own ones since then, oldest first, each once: by time, page by page, a page's last moment again."""
        known: dict[str, Any] = {}
        for _ in range(PAGES_MAX):
            page = await exchange.fetch_my_trades(symbol, since_ms, self.page)
            new = [trade for trade in page if trade["id"] not in known]
            known |= {trade["id"]: trade for trade in new}
            if len(page) < self.page or not new:
                break
            since_ms = max(trade["timestamp"] for trade in page)
        else:
            raise ccxt.ExchangeError(f"more than {PAGES_MAX} pages of trades")
        return sorted(known.values(), key=lambda trade: trade["timestamp"])

    async def arm(self, exchange: Any, timeout_ms: int, symbols: Sequence[str]) -> None:  # noqa: ARG002
        """`symbols`: those that we trade there, for a venue that wants them named."""
        await exchange.cancel_all_orders_after(timeout_ms)

    def own_id(self, order: Any) -> str:
        """The client id of an order as ccxt gives it."""
        return str(order.get("clientOrderId") or "")

    def why(self, order: Any) -> Code | None:  # noqa: ARG002
        """What the venue's record says of the reason that an order ended; None where it says nothing special."""
        return None

    def answered_trades(self, answer: Any) -> list[Any]:  # noqa: ARG002
        """Trades that the answer to a new order holds, with the ids and fees that they have everywhere else."""
        return []

    def refusal(self, message: dict[str, Any]) -> str:  # noqa: ARG002
        """What a message of a stream says of a subscription that is refused; empty for every other message."""
        return ""

    def streams(self, exchange: Any) -> list[Any]:
        """What is watched for orders and for trades of ours; each returns lists of them."""
        return [
            watch
            for name, watch in (
                ("watchOrders", exchange.watch_orders),
                ("watchMyTrades", exchange.watch_my_trades),
            )
            if exchange.has.get(name)
        ]


def retry_after_ms(headers: Mapping[str, str]) -> int:
    """0 where there is none, or a date: no exchange of ours sends one."""
    for name, value in headers.items():
        if name.lower() == "retry-after" and value.strip().isdigit():
            return int(value) * 1_000
    return 0
