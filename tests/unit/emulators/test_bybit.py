"""Bybit as an unmodified ccxt sees it, and what ccxt does not look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import ccxt
import pytest

from bestex.messages import Side
from tests.emulators.bybit import Bybit
from tests.emulators.faults import Fault
from tests.emulators.server import Key, serve
from tests.unit.emulators.talking import PERP, SPOT, client, heard, quote, talking
from tests.waiting import until

KEYS = (Key(), Key(key="reader", secret="reads", account="reader", can_trade=False))
FETCH: dict[str, Any] = {"fetchMarkets": {"types": ["spot", "linear"]}}
EACH = pytest.mark.parametrize("symbol", [SPOT, PERP])


@pytest.fixture
async def bybit(tmp_path: Path) -> AsyncIterator[Bybit]:
    async with serve(Bybit(tmp_path, market="none", keys=KEYS)) as emulator:
        assert isinstance(emulator, Bybit)
        yield emulator


@asynccontextmanager
async def of(emulator: Bybit, symbol: str = SPOT, key: Key | None = None) -> AsyncIterator[Any]:
    async with talking(client("bybit", emulator.url, symbol, key, **FETCH)) as exchange:
        yield exchange


async def test_markets_have_the_filters_that_are_applied(bybit: Bybit) -> None:
    async with of(bybit) as exchange:
        assert sorted(exchange.symbols) == [SPOT, PERP, "ETH/USDT"]
        spot, perp = exchange.market(SPOT), exchange.market(PERP)
        assert (spot["precision"], spot["limits"]["cost"]["min"]) == ({"amount": 1e-06, "price": 0.01}, 5)
        assert (perp["precision"], perp["limits"]["amount"]["min"]) == (
            {"amount": 0.001, "price": 0.1},
            0.001,
        )
        assert (perp["contractSize"], perp["linear"]) == (1, True)


@EACH
async def test_an_order_lives_and_dies(bybit: Bybit, symbol: str) -> None:
    async with of(bybit, symbol) as exchange:
        made = await exchange.create_order(symbol, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
        assert (made["clientOrderId"], made["status"]) == ("one", None), (
            "the answer has ids, and nothing more"
        )
        [open_order] = await exchange.fetch_open_orders(symbol)
        assert (open_order["id"], open_order["status"], open_order["amount"]) == (made["id"], "open", 0.5)
        [known] = await exchange.fetch_open_orders(symbol, params={"orderLinkId": "one"})
        assert known["id"] == made["id"]
        edited = await exchange.edit_order(made["id"], symbol, "limit", "buy", 0.25, 101)
        assert edited["id"] == made["id"]
        found = await exchange.fetch_order(made["id"], symbol, {"acknowledged": True})
        assert (found["amount"], found["price"], found["clientOrderId"]) == (0.25, 101, "one")
        await exchange.cancel_order(None, symbol, {"orderLinkId": "one"})
        found = await exchange.fetch_order(made["id"], symbol, {"acknowledged": True})
        assert (found["status"], found["filled"]) == ("canceled", 0)
        assert await exchange.fetch_open_orders(symbol) == []
        [ended] = await exchange.fetch_canceled_orders(symbol)
        assert ended["id"] == made["id"]


@pytest.mark.parametrize(
    ("symbol", "currency", "fee"), [(SPOT, "BTC", 0.0002), (PERP, "USDT", 0.011)], ids=["spot", "perp"]
)
async def test_fees_of_a_spot_purchase_are_taken_of_what_was_bought(
    bybit: Bybit, symbol: str, currency: str, fee: float
) -> None:
    async with of(bybit, symbol) as exchange:
        quote(bybit, symbol, "99", "100")
        await exchange.create_order(symbol, "limit", "buy", 0.2, 100, {"timeInForce": "IOC"})
        [trade] = await exchange.fetch_my_trades(symbol)
        assert (trade["price"], trade["amount"], trade["takerOrMaker"]) == (100, 0.2, "taker")
        assert (trade["fee"]["currency"], trade["fee"]["cost"]) == (currency, fee)
        await exchange.create_order(symbol, "limit", "sell", 0.1, 99, {"timeInForce": "IOC"})
        balance = await exchange.fetch_balance()
        if symbol == SPOT:
            assert balance["total"]["BTC"] == pytest.approx(0.0998)
            assert balance["total"]["USDT"] == pytest.approx(-20 + 9.9 * 0.999)
        else:
            assert balance["total"]["USDT"] == pytest.approx(-0.1 - 20 * 0.00055 - 9.9 * 0.00055)
            [position] = await exchange.fetch_positions([symbol])
            assert (position["side"], position["contracts"], position["entryPrice"]) == ("long", 0.1, 100)


async def test_trades_come_in_pages_newest_first(bybit: Bybit) -> None:
    async with of(bybit) as exchange:
        quote(bybit, SPOT, "99", "100", "10")
        for _ in range(7):
            bybit.engine.submit("default", SPOT, Side.BUY, Decimal("0.1"), Decimal(100))
        seen: list[str] = []
        cursor, pages = "", 0
        while True:
            params = {"cursor": cursor} if cursor else {}
            page = await exchange.fetch_my_trades(SPOT, limit=3, params=params)
            seen += [trade["id"] for trade in reversed(page)]
            cursor, pages = (
                page[-1]["info"].get("nextPageCursor") or page[0]["info"].get("nextPageCursor"),
                pages + 1,
            )
            if not cursor:
                break
        assert (len(seen), len(set(seen)), pages) == (7, 7, 3)
        assert seen == sorted(seen, reverse=True)
        assert await exchange.fetch_my_trades(SPOT, since=bybit.now_ms() + 1) == []


async def test_user_streams_tell_orders_trades_and_money(bybit: Bybit) -> None:
    async with of(bybit) as exchange:
        quote(bybit, SPOT, "99", "100")
        orders = asyncio.create_task(heard(exchange.watch_orders, lambda one: one["status"] == "closed"))
        trades = asyncio.create_task(heard(exchange.watch_my_trades, lambda _: True))
        money = asyncio.create_task(exchange.watch_balance())
        await until(
            lambda: {"order", "execution", "wallet"} <= {t for one in bybit.sockets for t in one.topics}
        )
        made = await exchange.create_order(SPOT, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
        order, trade, balance = await asyncio.wait_for(asyncio.gather(orders, trades, money), 10)
        assert (order["id"], order["clientOrderId"], order["filled"]) == (made["id"], "one", 0.5)
        assert (trade["order"], trade["amount"], trade["fee"]["currency"]) == (made["id"], 0.5, "BTC")
        assert balance["BTC"]["total"] == pytest.approx(0.4995)
        [asked] = await exchange.fetch_my_trades(SPOT)
        assert asked["id"] == trade["id"], "one trade has one id"


@EACH
async def test_what_the_book_refuses_is_told_later(bybit: Bybit, symbol: str) -> None:
    async with of(bybit, symbol) as exchange:
        quote(bybit, symbol, "99", "100")
        late = asyncio.create_task(heard(exchange.watch_orders, lambda one: one["clientOrderId"] == "one"))
        await until(lambda: any("order" in one.topics for one in bybit.sockets))
        made = await exchange.create_order(
            symbol, "limit", "buy", 0.5, 100, {"clientOrderId": "one", "postOnly": True}
        )
        assert made["id"], "the answer was yes"
        order = await asyncio.wait_for(late, 10)
        status = "rejected" if symbol == SPOT else "canceled"
        assert (order["status"], order["info"]["rejectReason"]) == (status, "EC_PostOnlyWillTakeLiquidity")


@EACH
async def test_orders_go_over_the_socket_too(bybit: Bybit, symbol: str) -> None:
    async with of(bybit, symbol) as exchange:
        made = await exchange.create_order_ws(symbol, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
        await exchange.edit_order_ws(made["id"], symbol, "limit", "buy", 0.4, 100)
        state = bybit.engine.order("default", client_id="one")
        assert state is not None
        assert bybit.engine.markets[symbol].qty(state.qty) == Decimal("0.4")
        await exchange.cancel_order_ws(made["id"], symbol)
        assert bybit.engine.open_orders("default") == []
        with pytest.raises(ccxt.InvalidOrder):
            await exchange.create_order_ws(symbol, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})


@EACH
@pytest.mark.parametrize("depth", [50, 200])
async def test_the_watched_book_is_the_engines(bybit: Bybit, symbol: str, depth: int) -> None:
    async with of(bybit, symbol) as exchange:
        for level in range(60):
            quote(bybit, symbol, str(99 - level), str(100 + level))
        await exchange.watch_order_book(symbol, depth)
        bybit.engine.cancel_all("other", symbol)
        quote(bybit, symbol, "97", "98", "2")

        def same() -> bool:
            told, snapshot = exchange.orderbooks[symbol], bybit.engine.markets[symbol].snapshot(depth)
            sides = [(snapshot.bids, told["bids"]), (snapshot.asks, told["asks"])]
            return all(
                [list(map(float, one)) for one in ours] == list(map(list, theirs)) for ours, theirs in sides
            )

        await until(lambda: exchange.orderbooks[symbol]["asks"][:1] == [[98, 2]] and same())
        assert len(exchange.orderbooks[symbol]["bids"]) == 1, "what has left the book is gone"


async def test_a_lost_update_is_a_gap_in_its_number(bybit: Bybit) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(bybit.url + "/v5/public/spot") as socket:
        await socket.send_json({"op": "subscribe", "args": ["orderbook.50.BTCUSDT"], "req_id": "1"})
        answer = await socket.receive_json(timeout=5)
        assert answer["success"]
        snapshot = await socket.receive_json(timeout=5)
        assert (snapshot["type"], snapshot["data"]["u"]) == ("snapshot", 1)
        bybit.faults.add(Fault(how="gap"))
        bybit.engine.submit("other", SPOT, Side.BUY, Decimal(1), Decimal(98))
        await until(lambda: bybit.faults.happened["gap"] == 1)
        bybit.engine.submit("other", SPOT, Side.BUY, Decimal(1), Decimal(99))
        delta = await socket.receive_json(timeout=5)
        assert (delta["data"]["u"], delta["data"]["b"]) == (3, [["99", "1"]]), (
            "the one before is lost for good"
        )


async def test_public_trades_and_the_best_prices(bybit: Bybit) -> None:
    async with of(bybit) as exchange:
        quote(bybit, SPOT, "99", "100")
        trades = asyncio.create_task(exchange.watch_trades(SPOT))
        best = asyncio.create_task(exchange.watch_bids_asks([SPOT]))
        await asyncio.wait_for(best, 10)
        await until(lambda: any("publicTrade.BTCUSDT" in one.topics for one in bybit.sockets))
        bybit.engine.submit("default", SPOT, Side.SELL, Decimal("0.1"), Decimal(99))
        [trade] = await asyncio.wait_for(trades, 10)
        assert (trade["side"], trade["price"], trade["amount"]) == ("sell", 99, 0.1)
        ticker = await exchange.fetch_ticker(SPOT)
        assert (ticker["bid"], ticker["ask"], ticker["last"]) == (99, 100, 99)
        [asked] = await exchange.fetch_trades(SPOT)
        assert asked["id"] == trade["id"]


ORDER: dict[str, Any] = {
    "side": "Buy",
    "orderType": "Limit",
    "qty": "0.5",
    "price": "100",
    "timeInForce": "GTC",
    "orderLinkId": "new",
}
REFUSALS = [
    ({"qty": "0.0000005"}, 170137, 10001, ccxt.InvalidOrder),
    ({"qty": "0.00001", "price": "600000"}, 170136, 10001, ccxt.InvalidOrder),
    ({"qty": "9999"}, 170135, 10001, ccxt.InvalidOrder),
    ({"qty": "0.04"}, 170140, 110094, ccxt.InvalidOrder),
    ({"price": "100.001"}, 170134, 10001, ccxt.InvalidOrder),
    ({"orderLinkId": "taken"}, 170141, 110072, ccxt.InvalidOrder),
    ({"side": "Both"}, 170117, 10001, ccxt.InvalidOrder),
    ({"timeInForce": "GTD"}, 170115, 10001, ccxt.InvalidOrder),
    ({"symbol": "NONE"}, 170121, 10001, ccxt.InvalidOrder),
    ({"orderLinkId": "x" * 37}, 10001, 10001, ccxt.BadRequest),
    ({"orderLinkId": "no/slash"}, 10001, 10001, ccxt.BadRequest),
    ({"qty": "1e3"}, 10001, 10001, ccxt.BadRequest),
]


@EACH
@pytest.mark.parametrize(("changed", "spot", "linear", "error"), REFUSALS)
async def test_mistakes_have_the_exchanges_codes(
    bybit: Bybit, symbol: str, changed: dict[str, str], spot: int, linear: int, error: type[Exception]
) -> None:
    async with of(bybit, symbol) as exchange:
        first = {**ORDER, "category": "spot" if symbol == SPOT else "linear", "symbol": "BTCUSDT"}
        await exchange.private_post_v5_order_create({**first, "orderLinkId": "taken"})
        code = spot if symbol == SPOT else linear
        with pytest.raises(ccxt.BaseError, match=f'"retCode":{code}') as raised:
            await exchange.private_post_v5_order_create({**first, **changed})
        assert isinstance(raised.value, ccxt.BadRequest if code == 10001 else error)


@EACH
async def test_what_has_ended_cannot_be_cancelled(bybit: Bybit, symbol: str) -> None:
    async with of(bybit, symbol) as exchange:
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.cancel_order(None, symbol, {"orderLinkId": "nothing"})
        await exchange.create_order(symbol, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
        bybit.engine.cancel_all("default")
        error = ccxt.InvalidOrder if symbol == SPOT else ccxt.OrderNotFound
        with pytest.raises(error):
            await exchange.cancel_order(None, symbol, {"orderLinkId": "one"})
        with pytest.raises(error):
            await exchange.edit_order("", symbol, "limit", "buy", 0.4, 100, {"orderLinkId": "one"})


async def test_an_account_spends_what_it_has(tmp_path: Path) -> None:
    deposits = {"USDT": Decimal(100)}
    emulator = Bybit(tmp_path, market="none", deposits=deposits)
    async with serve(emulator), of(emulator) as exchange:
        with pytest.raises(ccxt.InsufficientFunds, match="170131"):
            await exchange.create_order(SPOT, "limit", "sell", 0.5, 100)
        await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        with pytest.raises(ccxt.InsufficientFunds, match="170131"):
            await exchange.create_order(SPOT, "limit", "buy", 0.6, 100)
        with pytest.raises(ccxt.InsufficientFunds, match="110007"):
            await exchange.create_order(PERP, "limit", "buy", 6, 100)
        await exchange.create_order(PERP, "limit", "sell", 4, 100)
        balance = await exchange.fetch_balance()
        assert balance["USDT"] == {"free": 10, "used": 90, "total": 100, "debt": 0}


@pytest.mark.parametrize(
    ("key", "error", "code"),
    [
        (Key(key="nobody"), ccxt.AuthenticationError, 10003),
        (Key(secret="wrong"), ccxt.AuthenticationError, 10004),
        (KEYS[1], ccxt.PermissionDenied, 10005),
    ],
)
async def test_keys_are_checked(bybit: Bybit, key: Key, error: type[Exception], code: int) -> None:
    async with of(bybit, key=key) as exchange:
        exchange.options["enableUnifiedMargin"], exchange.options["enableUnifiedAccount"] = False, True
        with pytest.raises(error, match=str(code)):
            await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        if code != 10005:
            with pytest.raises(ccxt.ExchangeError, match=r"invalid|failed"):
                await asyncio.wait_for(exchange.watch_orders(), 10)


@pytest.mark.parametrize("skew_s", [-1.5, 6])
async def test_a_time_outside_of_the_window_is_refused(bybit: Bybit, skew_s: float) -> None:
    async with of(bybit) as exchange:
        bybit.skew_ns = int(skew_s * 1e9)
        with pytest.raises(ccxt.InvalidNonce, match="10002"):
            await exchange.fetch_balance()
        await exchange.load_time_difference()
        await exchange.fetch_balance()


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("busy", ccxt.ExchangeError),
        ("rate_limited", ccxt.RateLimitExceeded),
        ("banned", ccxt.RateLimitExceeded),
        ("maintenance", ccxt.ExchangeNotAvailable),
        ("skewed", ccxt.InvalidNonce),
        ("server_error", ccxt.ExchangeNotAvailable),
        ("reset", ccxt.NetworkError),
    ],
)
async def test_what_goes_wrong_is_worded_as_there(bybit: Bybit, how: Any, error: type[Exception]) -> None:
    async with of(bybit) as exchange:
        await exchange.is_unified_enabled()
        bybit.faults.add(Fault(how=how, what="new"))
        with pytest.raises(error):
            await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        assert bybit.engine.orders("default") == []
        await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)


async def test_an_account_has_twenty_orders_a_second(bybit: Bybit) -> None:
    async with of(bybit) as exchange:
        bybit.engine.now_ns = lambda: 1_700_000_000_000_000_000  # type: ignore[method-assign]
        await exchange.load_time_difference()
        for _ in range(20):
            await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        assert exchange.last_response_headers["X-Bapi-Limit-Status"] == "0"
        with pytest.raises(ccxt.RateLimitExceeded, match="10006"):
            await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        await exchange.cancel_all_orders(SPOT)


async def test_the_switch_is_thrown_when_the_private_stream_has_been_gone(bybit: Bybit) -> None:
    async with of(bybit) as exchange:
        await exchange.cancel_all_orders_after(3_000, {"type": "spot"})
        await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        bybit.windows_s["default", "spot"] = 0
        await exchange.authenticate(
            exchange.implode_hostname(exchange.urls["api"]["ws"]["private"]["contract"])
        )
        client_ = next(iter(exchange.clients.values()))
        await client_.send({"op": "subscribe", "args": ["dcp.spot"], "req_id": "9"})
        await until(lambda: any("dcp.spot" in one.topics for one in bybit.sockets))
        assert bybit.engine.open_orders("default")
        bybit.cut(user=True)
        await until(lambda: not bybit.engine.open_orders("default"))
