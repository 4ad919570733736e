"""Kraken over HTTP: signatures, nonces, limits, and what it tells of markets, orders and accounts. Every refusal has
status 200, and stands in `error`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from bestex import sim_wire as w
from bestex.clock import SECOND
from bestex.matching import Print
from bestex.messages import Side
from tests.emulators import kraken_orders as orders
from tests.emulators import kraken_wire as wire
from tests.emulators.engine import Market
from tests.emulators.faults import Fault, What
from tests.emulators.kraken_orders import Counter, Refused
from tests.emulators.kraken_wire import Json
from tests.emulators.server import Emulator, Key, Reply

KEY = Key(secret=base64.b64encode(b"emulator-secret").decode())
CALLS, CALLS_PER_S = 20, 1.0  # of a key of a verified account
TRADING, TRADING_PER_S = 180, 3.75  # and of its orders of one pair
WEIGHTS = {"TradesHistory": 2, "AddOrder": 0, "AmendOrder": 0, "EditOrder": 0, "CancelOrder": 0}
PATIENCE = 10  # calls in a row that were too many, until the key is locked out
LOCKED_OUT_NS = 900 * SECOND
PUBLIC_TRADES = 1_000

Act = Callable[[Key, Json], Any]


class KrakenRest(Emulator):
    """`nonce_window`: by how much a nonce may be behind the highest, if it was not used: a setting of each key there,
    0 unless its owner says otherwise."""

    NAME, TOML = "kraken", wire.TOML

    def __init__(
        self,
        *arguments: Any,
        keys: Iterable[Key] = (KEY,),
        nonce_window: int = 0,
        call_limit: float = CALLS,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, keys=keys, **named)
        self.nonce_window, self.call_limit = nonce_window, call_limit
        self.nonces: dict[str, set[int]] = {}
        self.calls: dict[str, Counter] = {}
        self.trading: dict[tuple[str, str], Counter] = {}
        self.too_many: dict[str, int] = {}
        self.locked_out_until_ns: dict[str, int] = {}
        self.tokens: dict[str, tuple[Key, int]] = {}
        self.userrefs: dict[int, int] = {}
        self.prints: dict[str, deque[tuple[Print, int]]] = {
            symbol: deque(maxlen=PUBLIC_TRADES) for symbol in self.engine.markets
        }
        self._public_trades = 10**9

    def routes(self) -> Iterable[web.RouteDef]:
        public: dict[str, Callable[[Json], Any]] = {
            "Time": self._time,
            "SystemStatus": lambda _: {"status": "online", "timestamp": wire.stamp(self.now_ns())},
            "Assets": self._assets,
            "AssetPairs": lambda given: {wire.pair_id(one): wire.pair(one) for one in self._markets(given)},
            "Ticker": self._tickers,
            "Depth": self._depth_of,
            "Trades": self._public,
        }
        return [
            *(web.get(f"/0/public/{name}", self._of_all(act)) for name, act in public.items()),
            *(
                web.post(f"/0/private/{name}", self._of_key(name, what, act))
                for name, (what, act) in self.private().items()
            ),
        ]

    def private(self) -> dict[str, tuple[What, Act]]:
        raise NotImplementedError

    # -- the life of a request ---------------------------------------------------------------------------------

    def _of_all(self, act: Callable[[Json], Any]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self.rest(request, "other", lambda: self._answer(lambda: act(dict(request.query))))

        return handle

    def _of_key(self, name: str, what: What, act: Act) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            raw = await request.text()
            given = _read(request, raw)
            kind: What = "query" if what == "list" and given.get("cl_ord_id") else what

            def answer() -> Any:
                key = self._signed(request, raw, given)
                self._count(key, name)
                if what in ("new", "amend", "cancel") and not key.can_trade:
                    raise Refused("EGeneral:Permission denied")
                return act(key, given)

            return await self.rest(request, kind, lambda: self._answer(answer))

        return handle

    def _answer(self, act: Callable[[], Any]) -> Reply:
        try:
            return Reply({"error": [], "result": act()})
        except Refused as refused:
            return Reply({"error": [str(refused)]})

    def _signed(self, request: web.Request, raw: str, given: Json) -> Key:
        key = self.keys.get(request.headers.get("API-Key", ""))
        if key is None:
            raise Refused("EAPI:Invalid key")
        nonce = str(given.get("nonce", ""))
        if not nonce.isdigit():
            raise Refused("EAPI:Invalid nonce")
        if not hmac.compare_digest(sign(key, request.path, nonce, raw), request.headers.get("API-Sign", "")):
            raise Refused("EAPI:Invalid signature")
        used = self.nonces.setdefault(key.key, set())
        highest = max(used, default=-1)
        if int(nonce) in used or int(nonce) <= highest - self.nonce_window:
            raise Refused("EAPI:Invalid nonce")
        used.add(int(nonce))
        self.nonces[key.key] = {one for one in used if one > highest - self.nonce_window or one == int(nonce)}
        return key

    def _count(self, key: Key, name: str) -> None:
        if self.now_ns() < self.locked_out_until_ns.get(key.key, 0):
            raise Refused("EGeneral:Temporary lockout")
        counter = self.calls.setdefault(key.key, Counter(self.call_limit, CALLS_PER_S))
        if counter.fits(WEIGHTS.get(name, 1), self.now_s()):
            self.too_many[key.key] = 0
            return
        self.too_many[key.key] = self.too_many.get(key.key, 0) + 1
        if self.too_many[key.key] > PATIENCE:
            self.locked_out_until_ns[key.key] = self.now_ns() + LOCKED_OUT_NS
            raise Refused("EGeneral:Temporary lockout")
        raise Refused("EAPI:Rate limit exceeded")

    def count_order(self, account: str, symbol: str, act: str, order: w.OrderState | None = None) -> None:
        """Of one pair; `order` is the one that is changed or ended."""
        rested_s = 0.0 if order is None else (self.engine.now_ns() - order.updated_ns) / SECOND
        counter = self.trading.setdefault((account, symbol), Counter(TRADING, TRADING_PER_S))
        if not counter.fits(orders.weight(act, rested_s), self.now_s()):
            raise Refused("EOrder:Rate limit exceeded")

    def refusal(self, fault: Fault) -> Reply:
        known = {
            "busy": "EService:Busy",
            "rate_limited": "EOrder:Rate limit exceeded"
            if fault.what == "new"
            else "EAPI:Rate limit exceeded",
            "banned": "EGeneral:Temporary lockout",
            "maintenance": "EService:Unavailable",
            "skewed": "EAPI:Invalid nonce",
        }
        return Reply({"error": [known[fault.how]]})

    # -- public ------------------------------------------------------------------------------------------------

    def _markets(self, given: Json) -> list[Market]:
        if not given.get("pair"):
            return list(self.engine.markets.values())
        return [orders.find_market(self.engine, one) for one in str(given["pair"]).split(",")]

    def _time(self, _: Json) -> Json:
        return {"unixtime": int(self.now_s()), "rfc1123": ""}

    def _assets(self, _: Json) -> Json:
        names = {name for market in self.engine.markets.values() for name in (market.base, market.quote)}
        more = {
            "aclass": "currency",
            "decimals": wire.ASSET_PLACES,
            "display_decimals": 5,
            "status": "enabled",
        }
        return {wire.asset(name): {"altname": wire.alternative(name), **more} for name in sorted(names)}

    def last(self, market: Market) -> Decimal | None:
        prints = self.prints[market.symbol]
        return market.price(prints[-1][0].price) if prints else None

    def _tickers(self, given: Json) -> Json:
        found: Json = {}
        for market in self._markets(given):
            best, last = market.snapshot(1), self.last(market) or Decimal(0)
            sides = [
                [wire.price_text(market, side[0][0]), "1", wire.volume(side[0][1])]
                if side
                else ["0", "0", "0"]
                for side in (best.asks, best.bids)
            ]
            price = wire.price_text(market, last)
            found[wire.pair_id(market)] = {
                "a": sides[0],
                "b": sides[1],
                "c": [price, "0.00000001"],
                **{name: [price, price] for name in ("p", "l", "h")},
                "v": ["0.00000000", "0.00000000"],
                "t": [0, 0],
                "o": price,
            }
        return found

    def _depth_of(self, given: Json) -> Json:
        [market] = self._markets({"pair": given.get("pair", "?")})
        book = market.snapshot(min(int(given.get("count", 100)), 500))
        sides = {"asks": book.asks, "bids": book.bids}
        now_ns = self.now_ns()
        return {
            wire.pair_id(market): {name: wire.levels(market, side, now_ns) for name, side in sides.items()}
        }

    def _public(self, given: Json) -> Json:
        [market] = self._markets({"pair": given.get("pair", "?")})
        since = Decimal(given.get("since", "0"))
        since_ns = int(since * SECOND) if since < 10**12 else int(since)
        found = [one for one in self.prints[market.symbol] if one[0].at_ns > since_ns]
        rows = [
            [
                wire.cost(market.price(one.price)),
                wire.volume(market.qty(one.qty)),
                wire.seconds(one.at_ns),
                "s" if one.aggressor < 0 else "b",
                "l",
                "",
                number,
            ]
            for one, number in found[: int(given.get("count", PUBLIC_TRADES))]
        ]
        last = str(found[-1][0].at_ns) if found else str(since_ns)
        return {wire.pair_id(market): rows, "last": last}

    def remember(self, trade: Print, market: Market) -> int:
        """The number of a public trade: an own one's is that which its owner sees."""
        number = trade.trade_id.removeprefix("x")
        if trade.trade_id == number or not number.isdigit():
            self._public_trades += 1
            number = str(self._public_trades)
        self.prints[market.symbol].append((trade, int(number)))
        return int(number)


def _read(request: web.Request, raw: str) -> Json:
    try:
        if "json" in request.headers.get("Content-Type", ""):
            found = orjson.loads(raw)
            return found if isinstance(found, dict) else {}
    except orjson.JSONDecodeError:
        return {}
    return dict(parse_qsl(raw, keep_blank_values=True))


def sign(key: Key, path: str, nonce: str, body: str) -> str:
    try:
        secret = base64.b64decode(key.secret)
    except binascii.Error:
        return ""
    signed = path.encode() + hashlib.sha256((nonce + body).encode()).digest()
    return base64.b64encode(hmac.new(secret, signed, hashlib.sha512).digest()).decode()


def side_of(trade: Print) -> Side:
    return Side.SELL if trade.aggressor < 0 else Side.BUY
