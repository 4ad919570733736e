"""OKX over HTTP: signatures, the life of a request, limits, and what it tells of markets, orders and accounts."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

from bestex import sim_wire as w
from bestex.clock import SECOND
from tests.emulators import okx_orders as orders
from tests.emulators import okx_wire as wire
from tests.emulators.budget import Budget
from tests.emulators.engine import Market
from tests.emulators.faults import Fault, What
from tests.emulators.okx_orders import Refused
from tests.emulators.okx_wire import Json
from tests.emulators.server import Emulator, Key, Reply
from tests.emulators.unified import Position, Wallet, is_perp, text

AGE_MS = 30_000  # how far the time of a request may be off
# Requests in two seconds: of an account where it must be known, else of an address.
PER_TWO_SECONDS = {
    "order": 60,
    "batch-orders": 300,
    "cancel-order": 60,
    "amend-order": 60,
    "orders-pending": 60,
    "orders-history": 40,
    "fills": 60,
    "fills-history": 10,
    "balance": 10,
    "positions": 10,
    "trade-fee": 5,
    "config": 5,
    "cancel-all-after": 2,
    "instruments": 20,
    "books": 40,
    "trades": 100,
    "ticker": 20,
}
LISTED_MAX = 100
BLOCKED = b"<html><title>Access denied | error 1015</title><body>You are being rate limited</body></html>"

Act = Callable[[Key, Any], list[Json]]


class OkxRest(Emulator):
    NAME, TOML = "okx", wire.TOML
    SWITCH_S = (10, 120)  # what the dead-man switch may be set to

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.budgets: dict[tuple[str, str], Budget] = {}
        self.prints: dict[str, deque[Json]] = {symbol: deque(maxlen=500) for symbol in self.engine.markets}

    def routes(self) -> Iterable[web.RouteDef]:
        public: dict[str, Callable[[Json], list[Json]]] = {
            "public/time": lambda _: [{"ts": str(self.now_ms())}],
            "public/instruments": self._instruments,
            "public/mark-price": self._marks,
            "public/funding-rate": self._funding,
            "market/books": self._books,
            "market/trades": self._trades,
            "market/ticker": lambda given: [self.ticker(orders.find_market(self.engine, given))],
        }
        private: list[tuple[str, str, What, Act]] = [
            ("POST", "trade/order", "new", self.each(orders.place)),
            ("POST", "trade/batch-orders", "new", self.each(orders.place)),
            ("POST", "trade/cancel-order", "cancel", self.each(orders.cancel)),
            ("POST", "trade/amend-order", "amend", self.each(orders.amend)),
            ("POST", "trade/cancel-all-after", "other", self._set_switch),
            ("GET", "trade/order", "query", self._order),
            ("GET", "trade/orders-pending", "list", self._pending),
            ("GET", "trade/orders-history", "list", self._history),
            ("GET", "trade/fills", "list", self._fills),
            ("GET", "trade/fills-history", "list", self._fills),
            ("GET", "account/balance", "list", self._balance),
            ("GET", "account/positions", "list", self._positions),
            ("GET", "account/config", "other", self._config),
            ("GET", "account/trade-fee", "other", self._fees),
        ]
        return [
            *(web.get(f"/api/v5/{path}", self._public(path, act)) for path, act in public.items()),
            *(
                web.route(verb, f"/api/v5/{path}", self._private(path, what, act))
                for verb, path, what, act in private
            ),
        ]

    # -- the life of a request ---------------------------------------------------------------------------------

    def _public(self, path: str, act: Callable[[Json], list[Json]]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            def answer() -> list[Json]:
                self.spend("", path.rpartition("/")[2])
                return act(dict(request.query))

            return await self.rest(request, "other", lambda: self._answer(answer))

        return handle

    def _private(self, path: str, what: What, act: Act) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            raw = await request.text()

            def answer() -> list[Json]:
                key = self._signed(request, raw)
                self.spend(key.account, path.rpartition("/")[2])
                if what in ("new", "cancel", "amend") and not key.can_trade:
                    raise Refused("50120", "This API key doesn't have permission to use this function", 401)
                self.check_deadline(request.headers.get("expTime", ""))
                return act(key, orjson.loads(raw) if request.method == "POST" else dict(request.query))

            return await self.rest(request, what, lambda: self._answer(answer))

        return handle

    def _answer(self, act: Callable[[], list[Json]]) -> Reply:
        try:
            return Reply(self.body(act()))
        except Refused as refused:
            return Reply({"code": refused.code, "msg": refused.text, "data": []}, refused.status)

    def body(self, data: list[Json]) -> Json:
        """Code 1 where every part of it failed, 2 where some did."""
        failed = [one for one in data if one.get("sCode", "0") != "0"]
        code, message = "0", ""
        if failed:
            whole = len(failed) == len(data)
            code = "1" if whole else "2"
            message = "All operations failed" if whole else "Bulk operation partially succeeded"
        stamp = str(self.now_ns() // 1_000)
        return {"code": code, "msg": message, "data": data, "inTime": stamp, "outTime": stamp}

    def each(self, act: Callable[..., Json]) -> Act:
        """For one order, or for each of a list: the refusal of one is an answer."""

        def done(key: Key, given: Any) -> list[Json]:
            answers = []
            for one in given if isinstance(given, list) else [given]:
                try:
                    answers.append(act(self.engine, key.account, one) | {"ts": str(self.now_ms())})
                except Refused as refused:
                    ids = {name: one.get(name, "") for name in ("ordId", "clOrdId")}
                    answers.append({**ids, "tag": "", "ts": str(self.now_ms())})
                    answers[-1] |= {"sCode": refused.code, "sMsg": refused.text}
            return answers

        return done

    def _signed(self, request: web.Request, raw: str) -> Key:
        names = ("KEY", "SIGN", "TIMESTAMP", "PASSPHRASE")
        name, signature, stamp, passphrase = (request.headers.get(f"OK-ACCESS-{one}", "") for one in names)
        for one, given, code in zip(names, (name, signature, stamp, passphrase), (3, 6, 7, 4), strict=True):
            if not given:
                raise Refused(f"5010{code}", f"Request header OK-ACCESS-{one} cannot be empty", 401)
        try:
            at = datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
        except ValueError:
            raise Refused("50112", "Invalid OK-ACCESS-TIMESTAMP", 401) from None
        if abs(at * 1_000 - self.now_ms()) > AGE_MS:
            raise Refused("50102", "Timestamp request expired", 401)
        key = self.keys.get(name)
        if key is None:
            raise Refused("50111", "Invalid OK-ACCESS-KEY", 401)
        if key.passphrase != passphrase:
            raise Refused("50105", "Request header OK-ACCESS-PASSPHRASE incorrect", 401)
        if not hmac.compare_digest(sign(key, f"{stamp}{request.method}{request.raw_path}{raw}"), signature):
            raise Refused("50113", "Invalid Sign", 401)
        return key

    def check_deadline(self, exp_time: str) -> None:
        if exp_time and (not exp_time.isdigit() or int(exp_time) < self.now_ms()):
            raise Refused("50036", "The expTime can't be earlier than the current system time.")

    def spend(self, account: str, name: str) -> None:
        limit = PER_TWO_SECONDS.get(name)
        if limit is not None:
            budget = self.budgets.setdefault((account, name), Budget(limit, 2.0, patience=1_000_000))
            if budget.spend(1, self.now_s()):
                raise Refused("50011", "Too Many Requests", 429)

    def refusal(self, fault: Fault) -> Reply:
        known = {
            "busy": (
                "50004",
                "API endpoint request timeout (does not mean that the request was successful or failed, please check "
                "the request result)",
                400,
            ),
            "rate_limited": ("50011", "Too Many Requests", 429),
            "maintenance": ("50001", "Service temporarily unavailable. Please try again later.", 503),
            "skewed": ("50102", "Timestamp request expired", 401),
        }
        if fault.how == "banned":
            return Reply(BLOCKED, 403)
        code, message, status = known[fault.how]
        return Reply({"code": code, "msg": message, "data": []}, status)

    # -- public ------------------------------------------------------------------------------------------------

    def of(self, given: Json) -> list[Market]:
        kind = given.get("instType")
        if kind not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "ANY"):
            raise Refused("51000", "Parameter instType error", 400)
        found = [market for market in self.engine.markets.values() if kind in (wire.inst_type(market), "ANY")]
        return [one for one in found if given.get("instId", wire.inst_id(one)) == wire.inst_id(one)]

    def _instruments(self, given: Json) -> list[Json]:
        return [wire.instrument(market) for market in self.of(given)]

    def _marks(self, given: Json) -> list[Json]:
        return [
            {
                "instType": wire.inst_type(market),
                "instId": wire.inst_id(market),
                "markPx": self.ticker(market)["bidPx"],
                "ts": str(self.now_ms()),
            }
            for market in self.of(given)
        ]

    def _funding(self, given: Json) -> list[Json]:
        market = orders.find_market(self.engine, given)
        if not is_perp(market):
            raise Refused("51000", "Parameter instId error", 400)
        next_ms = (self.now_ms() // 28_800_000 + 1) * 28_800_000
        times = {
            "fundingTime": str(next_ms),
            "nextFundingTime": str(next_ms + 28_800_000),
            "ts": str(self.now_ms()),
        }
        return [{"instType": "SWAP", "instId": wire.inst_id(market), "fundingRate": "0.0001", **times}]

    def _books(self, given: Json) -> list[Json]:
        market = orders.find_market(self.engine, given)
        found = market.snapshot(min(int(given.get("sz", "1")), 400))
        return [
            {
                "asks": wire.levels(market, found.asks),
                "bids": wire.levels(market, found.bids),
                "ts": str(self.now_ms()),
                "seqId": found.last_id,
            }
        ]

    def _trades(self, given: Json) -> list[Json]:
        market = orders.find_market(self.engine, given)
        return list(reversed(self.prints[market.symbol]))[: min(int(given.get("limit", "100")), 500)]

    def ticker(self, market: Market) -> Json:
        prints = self.prints[market.symbol]
        return wire.ticker(market, prints[-1]["px"] if prints else "", self.now_ms())

    # -- private -----------------------------------------------------------------------------------------------

    def _order(self, key: Key, given: Json) -> list[Json]:
        found = orders.find(self.engine, key.account, given)
        if found is None:
            raise Refused("51603", "Order does not exist")
        return [wire.order(self.engine, found)]

    def _pending(self, key: Key, given: Json) -> list[Json]:
        return self._page(self.engine.open_orders(key.account), {"instType": "ANY", **given})

    def _history(self, key: Key, given: Json) -> list[Json]:
        ended = [one for one in self.engine.orders(key.account) if one.state is not w.State.OPEN]
        return self._page(ended, given)

    def _page(self, states: list[w.OrderState], given: Json) -> list[Json]:
        """Newest first; `after` an id the older ones, `before` it the newer ones."""
        wanted = {market.symbol for market in self.of(given)}
        after, before = (wire.order_number(given.get(name, "")) for name in ("after", "before"))
        begin, end = int(given.get("begin", 0)), int(given.get("end", self.now_ms() + AGE_MS))
        found = [
            one
            for one in reversed(states)
            if one.symbol in wanted
            and (not after or one.order_id < after)
            and one.order_id > before
            and begin <= one.created_ns // 1_000_000 <= end
        ]
        return [
            wire.order(self.engine, one) for one in found[: min(int(given.get("limit", "100")), LISTED_MAX)]
        ]

    def _fills(self, key: Key, given: Json) -> list[Json]:
        """Newest first; `after` a bill the older ones, `before` it the newer ones."""
        wanted = {market.symbol for market in self.of({"instType": "ANY", **given})}
        number = wire.order_number(given.get("ordId", ""))
        after, before = (wire.order_number(given.get(name, "")) for name in ("after", "before"))
        begin, end = int(given.get("begin", 0)), int(given.get("end", self.now_ms() + AGE_MS))
        found = [
            one
            for one in reversed(self.engine.trades(key.account, limit=1_000_000))
            if one.symbol in wanted
            and (not number or one.order_id == number)
            and (not after or one.trade_id < after)
            and one.trade_id > before
            and begin <= one.at_ns // 1_000_000 <= end
        ]
        return [
            wire.fill(self.engine, one) for one in found[: min(int(given.get("limit", "100")), LISTED_MAX)]
        ]

    def _balance(self, key: Key, given: Json) -> list[Json]:
        return [wire.balance(self.engine, key.account, self.now_ms(), given.get("ccy", ""))]

    def positions(self, account: str, symbols: Iterable[str]) -> list[Json]:
        held = Wallet(self.engine, account).positions
        markets = [self.engine.markets[symbol] for symbol in symbols if symbol in held]
        return [
            wire.position(market, held.get(market.symbol, Position()), self.now_ms()) for market in markets
        ]

    def _positions(self, key: Key, given: Json) -> list[Json]:
        wanted = set(filter(None, given.get("instId", "").split(",")))
        symbols = [
            market.symbol
            for market in self.of({"instType": given.get("instType", "ANY")})
            if is_perp(market) and (not wanted or wire.inst_id(market) in wanted)
        ]
        return [one for one in self.positions(key.account, symbols) if wanted or one["pos"] != "0"]

    def _config(self, key: Key, _: Json) -> list[Json]:
        rights = ["read_only"] + ["trade"] * key.can_trade + ["withdraw"] * key.can_withdraw
        account = {"uid": "1", "mainUid": "1", "acctLv": "2", "posMode": "net_mode", "autoLoan": False}
        return [
            {
                **account,
                "level": "Lv1",
                "perm": ",".join(rights),
                "ip": "127.0.0.1" if key.bound else "",
                "label": "emulated",
            }
        ]

    def _fees(self, _: Key, given: Json) -> list[Json]:
        listing = self.of({"instType": given.get("instType")})[0].listing
        maker, taker = (
            text(-Decimal(fee).scaleb(-8)) for fee in (listing.maker_fee_e8, listing.taker_fee_e8)
        )
        rates = {"maker": maker, "taker": taker, "makerU": maker, "takerU": taker}
        return [
            {
                **rates,
                "level": "Lv1",
                "instType": given["instType"],
                "category": "1",
                "ts": str(self.now_ms()),
            }
        ]

    def _set_switch(self, key: Key, given: Json) -> list[Json]:
        seconds = int(given.get("timeOut", -1))
        if seconds and not self.SWITCH_S[0] <= seconds <= self.SWITCH_S[1]:
            raise Refused("51000", "Parameter timeOut error", 400)
        self.engine.cancel_all_after(key.account, seconds * SECOND)
        at = str(self.now_ms() + seconds * 1_000) if seconds else "0"
        return [{"triggerTime": at, "tag": "", "ts": str(self.now_ms())}]


def sign(key: Key, signed: str) -> str:
    return base64.b64encode(hmac.new(key.secret.encode(), signed.encode(), hashlib.sha256).digest()).decode()
