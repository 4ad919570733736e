"""Coinbase Advanced Trade over HTTP: tokens, limits, and what it tells of markets, orders and accounts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from aiohttp import web

from bestex.clock import SECOND
from bestex.matching import Print
from tests.emulators import coinbase_orders as orders
from tests.emulators import coinbase_wire as wire
from tests.emulators.budget import Budget
from tests.emulators.coinbase_keys import is_good, make_key, name_in
from tests.emulators.coinbase_orders import Bad
from tests.emulators.coinbase_wire import Json
from tests.emulators.engine import Market
from tests.emulators.faults import Fault, What
from tests.emulators.server import Emulator, Key, Reply
from tests.emulators.unified import text

PER_SECOND, PUBLIC_PER_SECOND = 30, 10  # requests of a user, and of an address
PUBLIC_TRADES = 1_000
UNAUTHORIZED = b"Unauthorized\n"
BLOCKED = b"<html><title>Access denied | error 1015</title><body>You are being rate limited</body></html>"
BASE = "/api/v3/brokerage"

Act = Callable[[Key, Json], Any]


class Unauthorized(Exception):
    """Its token is not good."""


class CoinbaseRest(Emulator):
    NAME, TOML = "coinbase", wire.TOML

    def __init__(
        self, *arguments: Any, keys: Iterable[Key] | None = None, per_second: float = PER_SECOND, **named: Any
    ) -> None:
        super().__init__(*arguments, keys=(make_key(),) if keys is None else keys, **named)
        self.per_second = per_second
        self.budgets: dict[str, Budget] = {}
        self.originals: dict[int, Json] = {}  # configurations of orders before they were edited
        self.edits: dict[int, list[Json]] = {}
        self.prints: dict[str, deque[tuple[Print, str]]] = {
            symbol: deque(maxlen=PUBLIC_TRADES) for symbol in self.engine.markets
        }
        self._public_trades = 10**9

    def routes(self) -> Iterable[web.RouteDef]:
        public: dict[str, Callable[[Json], Any]] = {
            "/v2/time": self._time,
            f"{BASE}/time": self._time,
            f"{BASE}/market/products": self._products,
            f"{BASE}/market/product_book": self._book,
            f"{BASE}/market/products/{{product_id}}": self._product,
            f"{BASE}/market/products/{{product_id}}/ticker": self._ticker,
        }
        return [
            *(web.get(path, self._of_all(act)) for path, act in public.items()),
            *(
                web.route(verb, f"{BASE}/{path}", self._of_key(what, act))
                for verb, path, what, act in self.private()
            ),
        ]

    def private(self) -> list[tuple[str, str, What, Act]]:
        raise NotImplementedError

    # -- the life of a request ---------------------------------------------------------------------------------

    def _of_all(self, act: Callable[[Json], Any]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            def answer() -> Any:
                self._spend("", PUBLIC_PER_SECOND)
                return act(_asked(request))

            return await self.rest(request, "other", lambda: self._answer(answer))

        return handle

    def _of_key(self, what: What, act: Act) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            raw = await request.read()

            def answer() -> Any:
                key = self._signed(request)
                self._spend(key.account, self.per_second)
                if what in ("new", "amend", "cancel") and not key.can_trade:
                    raise Bad(403, "PERMISSION_DENIED", "Missing required scopes")
                given = _asked(request)
                if request.method == "POST":
                    given = _read(raw)
                return act(key, given)

            return await self.rest(request, what, lambda: self._answer(answer))

        return handle

    def _answer(self, act: Callable[[], Any]) -> Reply:
        try:
            return Reply(act())
        except Unauthorized:
            return Reply(UNAUTHORIZED, 401)
        except Bad as bad:
            return _refused(bad.status, bad.code, bad.text)

    def _signed(self, request: web.Request) -> Key:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        key = self.keys.get(name_in(token)) if scheme == "Bearer" else None
        uri = f"{request.method} {request.host}{request.path}"
        if key is None or not is_good(token, key, self.now_s(), uri):
            raise Unauthorized
        return key

    def key_of(self, token: str) -> Key | None:
        """Of a websocket's token."""
        key = self.keys.get(name_in(token))
        return key if key is not None and is_good(token, key, self.now_s(), "") else None

    def _spend(self, account: str, limit: float) -> None:
        budget = self.budgets.setdefault(account, Budget(limit, 1.0, patience=1_000_000))
        if budget.spend(1, self.now_s()):
            raise Bad(429, "rate_limit_exceeded", "Too many requests")

    def refusal(self, fault: Fault) -> Reply:
        match fault.how:
            case "rate_limited":
                return _refused(429, "rate_limit_exceeded", "Too many requests")
            case "banned":
                return Reply(BLOCKED, 403)
            case "skewed":
                return Reply(UNAUTHORIZED, 401)
            case "maintenance":
                return _refused(503, "unavailable", "service is temporarily unavailable")
            case _:
                return _refused(500, "INTERNAL", "internal server error")

    # -- public ------------------------------------------------------------------------------------------------

    def market(self, given: Json) -> Market:
        found = orders.find_market(self.engine, str(given.get("product_id", "")))
        if found is None:
            raise Bad(404, "NOT_FOUND", "product not found")
        return found

    def _time(self, _: Json) -> Json:
        seconds = int(self.now_s())
        said = {
            "iso": wire.stamp(self.now_ns()),
            "epochSeconds": str(seconds),
            "epochMillis": str(self.now_ms()),
        }
        return {**said, "data": {"iso": wire.stamp(seconds * SECOND), "epoch": seconds}}

    def last(self, market: Market) -> str:
        prints = self.prints[market.symbol]
        return text(market.price(prints[-1][0].price)) if prints else ""

    def _products(self, given: Json) -> Json:
        spot = given.get("product_type", "SPOT") == "SPOT"
        found = [wire.product(one, self.last(one)) for one in self.engine.markets.values() if spot]
        return {"products": found, "num_products": len(found)}

    def _product(self, given: Json) -> Json:
        market = self.market(given)
        return wire.product(market, self.last(market))

    def _book(self, given: Json) -> Json:
        market = self.market(given)
        book = market.snapshot(min(int(given.get("limit", 1_000)), 1_000))
        sides = {"bids": wire.sizes(book.bids), "asks": wire.sizes(book.asks)}
        head = {"product_id": wire.product_id(market), "time": wire.stamp(self.now_ns())}
        return {"pricebook": {**head, **sides}, "last": self.last(market)}

    def _ticker(self, given: Json) -> Json:
        market = self.market(given)
        best = market.snapshot(1)
        bid, ask = (text(side[0][0]) if side else "" for side in (best.bids, best.asks))
        rows = [self.trade(*one, market) for one in reversed(self.prints[market.symbol])]
        return {"trades": rows[: int(given.get("limit", 100))], "best_bid": bid, "best_ask": ask}

    def trade(self, trade: Print, number: str, market: Market) -> Json:
        return {
            "trade_id": number,
            "product_id": wire.product_id(market),
            "price": text(market.price(trade.price)),
            "size": text(market.qty(trade.qty)),
            "side": "SELL" if trade.aggressor < 0 else "BUY",
            "time": wire.stamp(trade.at_ns),
        }

    def remember(self, trade: Print, market: Market) -> str:
        """The number of a public trade."""
        self._public_trades += 1
        self.prints[market.symbol].append((trade, str(self._public_trades)))
        return str(self._public_trades)


def _refused(status: int, code: str, message: str) -> Reply:
    return Reply({"error": code, "error_details": message, "message": message}, status)


def _asked(request: web.Request) -> Json:
    """The query and the path; a name that comes more than once has a list."""
    query = {name: request.query.getall(name) for name in request.query}
    single = {name: found[0] if len(found) == 1 else found for name, found in query.items()}
    return {**single, **request.match_info}


def _read(raw: bytes) -> Json:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Bad(400, "INVALID_ARGUMENT", "the body is no JSON")
    return found
