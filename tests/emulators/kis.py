"""Korea Investment & Securities: KRX, NXT and the United States, real or virtual: `python -m tests.emulators.kis`.

What is KIS's own about it: orders have no client ids and fills no ids, every amendment and every cancel has a new
order number, notices are encrypted, an appkey may have one websocket, and outside of the hours orders are refused.
Not emulated: that what is open at the close is cancelled, amendments of a part, market orders as FOK, orders at the
mid. Numbers of amendments and cancels are forgotten when the emulator ends; orders are not.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

from bestex import sim_wire as w
from bestex.clock import MINUTE
from bestex.matching import Print
from tests.emulators import kis_wire as wire
from tests.emulators.command import main
from tests.emulators.engine import DepthChange, Engine, Market
from tests.emulators.kis_orders import Numbers, working
from tests.emulators.kis_rest import KisRest
from tests.emulators.kis_wire import KRX, NXT, US, Json
from tests.emulators.server import Key, Socket

REGISTERED_MAX = 40
PING_S = 10.0
PINGS_UNANSWERED_MAX = 3
BOOKS = {"H0STASP0": KRX, "H0NXASP0": NXT, "HDFSASP0": US}
TRADES = {"H0STCNT0": KRX, "H0NXCNT0": NXT, "HDFSCNT0": US}
NOTICES = {False: ("H0STCNI0", "H0GSCNI0"), True: ("H0STCNI9", "H0GSCNI9")}


class Kis(KisRest):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.approvals: dict[str, Key] = {}
        self._telling: Engine = self.engine
        self._pings: asyncio.Task[None] | None = None
        for engine in self.engines.values():
            engine.on_depth = lambda change, engine=engine: self._depth_of(engine, change)  # type: ignore[misc]
            engine.on_trade = self.on_trade
            engine.on_user = self._user

    def routes(self) -> Iterable[web.RouteDef]:
        return [*super().routes(), web.get("/", self._socket), web.get("/tryitout", self._socket)]

    async def start(self, port: int = 0) -> None:
        await super().start(port)
        self._pings = asyncio.create_task(self._ping_forever())

    async def stop(self) -> None:
        if self._pings is not None:
            self._pings.cancel()
            await asyncio.wait({self._pings})
        await super().stop()

    def approve(self, key: Key) -> str:
        text = secrets.token_hex(18)
        self.approvals[text] = key
        return text

    # -- the websocket -----------------------------------------------------------------------------------------

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        return await self.listen(request, self._heard)

    async def _ping_forever(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            self.ping()

    def ping(self) -> None:
        now_ns = self.now_ns()
        text = {"header": {"tr_id": "PINGPONG", "datetime": wire.date(now_ns) + wire.hour(now_ns)}}
        for socket in list(self.sockets):
            socket.state["unanswered"] = socket.state.get("unanswered", 0) + 1
            if socket.state["unanswered"] > PINGS_UNANSWERED_MAX:
                socket.abort()
            else:
                socket.put(text)

    def _heard(self, socket: Socket, data: Any) -> None:
        header = data.get("header", {}) if isinstance(data, dict) else {}
        if header.get("tr_id") == "PINGPONG":
            socket.state["unanswered"] = 0
            return
        given = data.get("body", {}).get("input", {}) if isinstance(data, dict) else {}
        tr_id, tr_key = given.get("tr_id", ""), given.get("tr_key", "")
        key = self.approvals.get(header.get("approval_key", ""))
        topic = f"{tr_id}|{tr_key}"
        if key is None or key.key not in self.keys:
            self._answer(socket, tr_id, tr_key, "OPSP0011", "invalid approval : NOT FOUND")
        elif any(one is not socket and one.state.get("appkey") == key.key for one in self.sockets):
            self._answer(socket, tr_id, tr_key, "OPSP8996", "ALREADY IN USE appkey")
        elif header.get("tr_type") == "2":
            self._unsubscribe(socket, tr_id, tr_key, topic)
        elif header.get("tr_type") != "1":
            self._answer(socket, tr_id, tr_key, "OPSP8997", "JSON PARSING ERROR : invalid tr_type")
        elif topic in socket.topics:
            self._answer(socket, tr_id, tr_key, "OPSP0002", "ALREADY IN SUBSCRIBE")
        elif len(socket.topics) >= REGISTERED_MAX:
            self._answer(socket, tr_id, tr_key, "OPSP0008", "MAX SUBSCRIBE OVER")
        elif wrong := self._wrong_topic(key, tr_id, tr_key):
            self._answer(socket, tr_id, tr_key, *wrong)
        else:
            socket.state["appkey"] = key.key
            socket.topics.add(topic)
            if tr_id in NOTICES[self.virtual]:
                socket.account = key.account
            self._answer(socket, tr_id, tr_key, "OPSP0000", "SUBSCRIBE SUCCESS")
            self._greet(socket, tr_id, tr_key)

    def _wrong_topic(self, key: Key, tr_id: str, tr_key: str) -> tuple[str, str] | None:
        if tr_id in NOTICES[self.virtual]:
            right = tr_key == key.passphrase  # the user's name, as they log in with
        elif tr_id in BOOKS or tr_id in TRADES:
            right = self._find(tr_id, tr_key) is not None
        else:
            return "OPSP8991", "SUBSCRIBE ERROR : invalid tr_id"
        return None if right else ("OPSP8992", "SUBSCRIBE ERROR : invalid tr_key")

    def _unsubscribe(self, socket: Socket, tr_id: str, tr_key: str, topic: str) -> None:
        if topic not in socket.topics:
            self._answer(socket, tr_id, tr_key, "OPSP0003", "UNSUBSCRIBE ERROR(not found!)")
            return
        socket.topics.remove(topic)
        self._answer(socket, tr_id, tr_key, "OPSP0001", "UNSUBSCRIBE SUCCESS")

    def _answer(self, socket: Socket, tr_id: str, tr_key: str, code: str, text: str) -> None:
        is_good = code in ("OPSP0000", "OPSP0001")
        body: Json = {"rt_cd": "0" if is_good else "9", "msg_cd": code, "msg1": text}
        is_notice = tr_id in NOTICES[self.virtual]
        if is_good:
            secret = socket.state.setdefault(
                "secret", {"iv": secrets.token_hex(8), "key": secrets.token_hex(16)}
            )
            body["output"] = secret
        header = {"tr_id": tr_id, "tr_key": tr_key, "encrypt": "Y" if is_notice and is_good else "N"}
        socket.put({"header": header, "body": body})

    # -- market data -------------------------------------------------------------------------------------------

    def _key(self, exchange: str, market: Market) -> str:
        return wire.us_key(market) if exchange == US else market.base

    def _find(self, tr_id: str, tr_key: str) -> Market | None:
        exchange = BOOKS.get(tr_id) or TRADES[tr_id]
        markets = self.engines[exchange].markets.values()
        return next((market for market in markets if self._key(exchange, market) == tr_key), None)

    def _greet(self, socket: Socket, tr_id: str, tr_key: str) -> None:
        if tr_id in BOOKS:
            market = self._find(tr_id, tr_key)
            assert market is not None
            socket.put(self._book(BOOKS[tr_id], tr_id, market))

    def _book(self, exchange: str, tr_id: str, market: Market) -> str:
        return wire.frame(tr_id, [wire.book(exchange, market, market.snapshot(wire.LEVELS), self.now_ns())])

    def _depth_of(self, engine: Engine, change: DepthChange) -> None:
        self._telling = engine
        self._depth(change)

    def on_depth(self, change: DepthChange) -> None:
        exchange = self.exchange_of(self._telling)
        market = self._telling.markets[change.symbol]
        tr_id = next(one for one, its in BOOKS.items() if its == exchange)
        self.tell(f"{tr_id}|{self._key(exchange, market)}", self._book(exchange, tr_id, market))

    def on_trade(self, trade: Print, market: Market) -> None:
        exchange = next(one for one, name in wire.VENUES.items() if name == trade.venue)
        price, qty = market.price(trade.price), market.qty(trade.qty)
        bars = self.bars.setdefault((exchange, market.symbol), {})
        bar = bars.setdefault(
            (trade.at_ns + self.skew_ns) // MINUTE, [price, price, price, price, Decimal(0)]
        )
        bar[1:] = [max(bar[1], price), min(bar[2], price), price, bar[4] + qty]
        volume = sum((one[4] for one in bars.values()), Decimal(0))
        tr_id = next(one for one, its in TRADES.items() if its == exchange)
        fields = wire.trade(exchange, market, price, qty, trade.aggressor, volume, self.now_ns())
        self.tell(f"{tr_id}|{self._key(exchange, market)}", wire.frame(tr_id, [fields]))

    # -- what happens to the account ---------------------------------------------------------------------------

    def on_user(self, entry: w.JournalEntry) -> None:
        exchange = next(one for one, name in wire.VENUES.items() if name == entry.venue)
        numbers = self.numbers[exchange]
        states = {state.order_id: state for state in entry.orders}
        for state in states.values():
            self._acknowledged(exchange, numbers, state, entry)
        for trade in entry.trades:
            order = numbers.engine.order(trade.account, order_id=trade.order_id)
            if order is not None:
                market = numbers.engine.markets[trade.symbol]
                qty, price = market.qty(trade.qty), market.price(trade.price)
                self._notice(exchange, numbers, order, qty, price, is_fill=True)
        for state in states.values():
            at_once = state.state in (w.State.CANCELED, w.State.EXPIRED)
            if at_once and not isinstance(entry.request, w.Cancel | w.CancelAll):
                left = numbers.engine.markets[state.symbol].qty(state.qty - state.cum_qty)
                self._notice(exchange, numbers, state, left, Decimal(0), accepted="3")

    def _acknowledged(
        self, exchange: str, numbers: Numbers, state: w.OrderState, entry: w.JournalEntry
    ) -> None:
        """An order, an amendment or a cancel of theirs was taken, or an order refused."""
        market = numbers.engine.markets[state.symbol]
        request = entry.request
        if request is None or getattr(request, "client_id", None) != state.client_id:
            return
        refused = state.state is w.State.REJECTED
        revised = {w.Replace: "1", w.Cancel: "2"}.get(type(request), "0")
        qty, price = market.qty(state.qty), market.price(state.price)
        self._notice(exchange, numbers, state, qty, price, revised=revised, refused=refused)

    def _notice(
        self,
        exchange: str,
        numbers: Numbers,
        state: w.OrderState,
        qty: Decimal,
        price: Decimal,
        *,
        revised: str = "0",
        refused: bool = False,
        is_fill: bool = False,
        accepted: str = "",
    ) -> None:
        tr_id = NOTICES[self.virtual][exchange == US]
        market, links = numbers.engine.markets[state.symbol], numbers.links(state)
        link = links[-1] if revised == "2" else working(links)
        for key in self.keys.values():
            for socket in self.sockets if key.account == state.account else ():
                if f"{tr_id}|{key.passphrase}" not in socket.topics:
                    continue
                fields = wire.notice(
                    exchange,
                    user=key.passphrase,
                    account=state.account,
                    order_no=link.number,
                    original_no=link.of,
                    side=state.side,
                    revised=revised,
                    kind=link.ord_dvsn,
                    code=market.base,
                    qty=qty,
                    price=price,
                    ns=self.now_ns(),
                    refused=refused,
                    is_fill=is_fill,
                    accepted=accepted or ("2" if is_fill else "1"),
                    order_qty=link.qty,
                )
                socket.put(wire.frame(tr_id, [fields], **socket.state["secret"]))


def decoded(text: str) -> list[str]:
    """The parts of a data frame."""
    return text.split("|", 3)


def subscription(approval: str, tr_id: str, tr_key: str, tr_type: str = "1") -> str:
    """What a client sends to hear of something, or no more (`tr_type` 2)."""
    header = {"approval_key": approval, "custtype": "P", "tr_type": tr_type, "content-type": "utf-8"}
    return orjson.dumps({"header": header, "body": {"input": {"tr_id": tr_id, "tr_key": tr_key}}}).decode()


if __name__ == "__main__":
    main(Kis)
