"""OKX as an unmodified ccxt sees it, and what ccxt does not look at."""

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
from tests.emulators.faults import Fault
from tests.emulators.okx import Okx
from tests.emulators.okx_wire import checksum
from tests.emulators.server import Key, serve
from tests.unit.emulators.talking import PERP, SPOT, client, heard, quote, talking
from tests.waiting import until

KEYS = (Key(), Key(key="reader", secret="reads", account="reader", can_trade=False))
FETCH: dict[str, Any] = {"fetchMarkets": {"types": ["spot", "swap"]}}
EACH = pytest.mark.parametrize("symbol", [SPOT, PERP])
IDS = {SPOT: "BTC-USDT", PERP: "BTC-USDT-SWAP"}
IN_BASE = {SPOT: 1, PERP: 100}  # what is to be ordered for one BTC


@pytest.fixture
async def okx(tmp_path: Path) -> AsyncIterator[Okx]:
    async with serve(Okx(tmp_path, market="none", keys=KEYS)) as emulator:
        assert isinstance(emulator, Okx)
        yield emulator


@asynccontextmanager
async def of(emulator: Okx, symbol: str = SPOT, key: Key | None = None) -> AsyncIterator[Any]:
    async with talking(client("okx", emulator.url, symbol, key, **FETCH)) as exchange:
        yield exchange


async def test_swaps_count_contracts(okx: Okx) -> None:
    async with of(okx) as exchange:
        assert sorted(exchange.symbols) == [SPOT, PERP, "ETH/USDT"]
        spot, perp = exchange.market(SPOT), exchange.market(PERP)
        assert (spot["precision"], spot["limits"]["amount"]["min"]) == (
            {"amount": 1e-08, "price": 0.1},
            1e-05,
        )
        assert (perp["precision"], perp["contractSize"]) == ({"amount": 0.01, "price": 0.1}, 0.01)
        await exchange.create_order(PERP, "limit", "buy", 50, 100)
        [order] = okx.engine.open_orders("default")
        assert okx.engine.markets[PERP].qty(order.qty) == Decimal("0.5")


@EACH
async def test_an_order_lives_and_dies(okx: Okx, symbol: str) -> None:
    async with of(okx, symbol) as exchange:
        amount = 0.5 * IN_BASE[symbol]
        made = await exchange.create_order(symbol, "limit", "buy", amount, 100, {"clientOrderId": "one"})
        [open_order] = await exchange.fetch_open_orders(symbol)
        assert (open_order["id"], open_order["status"], open_order["amount"]) == (made["id"], "open", amount)
        edited = await exchange.edit_order(made["id"], symbol, "limit", "buy", amount / 2, 101)
        assert edited["id"] == made["id"]
        found = await exchange.fetch_order(None, symbol, {"clientOrderId": "one"})
        assert (found["amount"], found["price"], found["id"]) == (amount / 2, 101, made["id"])
        await exchange.cancel_order(None, symbol, {"clientOrderId": "one"})
        found = await exchange.fetch_order(made["id"], symbol)
        assert (found["status"], found["filled"]) == ("canceled", 0)
        assert await exchange.fetch_open_orders(symbol) == []
        [ended] = await exchange.fetch_canceled_orders(symbol)
        assert ended["id"] == made["id"]
        again = await exchange.create_order(symbol, "limit", "buy", amount, 100, {"clientOrderId": "one"})
        found = await exchange.fetch_order(None, symbol, {"clientOrderId": "one"})
        assert found["id"] == again["id"] != made["id"], (
            "an id is free when its order has ended; the newest is shown"
        )


@pytest.mark.parametrize(
    ("symbol", "currency", "fee"), [(SPOT, "BTC", 0.0002), (PERP, "USDT", 0.01)], ids=["spot", "perp"]
)
async def test_fees_are_negative_where_they_are_paid(
    okx: Okx, symbol: str, currency: str, fee: float
) -> None:
    async with of(okx, symbol) as exchange:
        quote(okx, symbol, "99", "100")
        amount = 0.2 * IN_BASE[symbol]
        await exchange.create_order(symbol, "limit", "buy", amount, 100, {"timeInForce": "IOC"})
        [trade] = await exchange.fetch_my_trades(symbol)
        assert (trade["price"], trade["amount"], trade["takerOrMaker"]) == (100, amount, "taker")
        assert (trade["fee"]["currency"], trade["fee"]["cost"]) == (currency, fee)
        assert float(trade["info"]["fee"]) == -fee
        rates = await exchange.fetch_trading_fee(symbol)
        assert (rates["maker"], rates["taker"]) == ((0.0008, 0.001) if symbol == SPOT else (0.0002, 0.0005))
        balance = await exchange.fetch_balance()
        if symbol == SPOT:
            assert balance["total"] == {"BTC": pytest.approx(0.1998), "USDT": -20}
        else:
            assert balance["total"] == {"USDT": pytest.approx(-0.01)}
            [position] = await exchange.fetch_positions([symbol])
            assert (position["side"], position["contracts"], position["entryPrice"]) == ("long", 20, 100)


async def test_trades_come_in_pages_newest_first(okx: Okx) -> None:
    async with of(okx) as exchange:
        quote(okx, SPOT, "99", "100", "10")
        for _ in range(7):
            okx.engine.submit("default", SPOT, Side.BUY, Decimal("0.1"), Decimal(100))
        seen: list[str] = []
        while True:
            after = {"after": seen[-1]} if seen else {}
            page = await exchange.private_get_trade_fills({"instType": "SPOT", "limit": "3", **after})
            seen += [one["billId"] for one in page["data"]]
            if len(page["data"]) < 3:
                break
        assert (len(seen), len(set(seen))) == (7, 7)
        assert seen == sorted(seen, reverse=True)
        newer = await exchange.private_get_trade_fills({"instType": "SPOT", "before": seen[2]})
        assert [one["billId"] for one in newer["data"]] == seen[:2]
        assert len(await exchange.fetch_my_trades(SPOT)) == 7
        assert await exchange.fetch_my_trades(SPOT, since=okx.now_ms() + 1) == []


async def test_each_fill_is_told_with_what_was_filled_until_then(okx: Okx) -> None:
    async with of(okx) as exchange:
        quote(okx, SPOT, "98", "99", "0.2")
        quote(okx, SPOT, "97", "100", "0.2")
        told: list[Any] = []
        parse = exchange.handle_orders

        def hear(socket: Any, message: Any) -> None:  # because ccxt shows the last state of an order alone
            told.extend(message["data"])
            parse(socket, message)

        exchange.handle_orders = hear
        orders = asyncio.create_task(heard(exchange.watch_orders, lambda one: one["status"] == "canceled"))
        money = asyncio.create_task(heard(exchange.watch_balance, lambda one: "BTC" in one))
        trades = asyncio.create_task(heard(exchange.watch_my_trades, lambda _: True))
        await until(lambda: sum(len(one.state["args"]) for one in okx.sockets) >= 2)
        made = await exchange.create_order(
            SPOT, "limit", "buy", 0.5, 100, {"clientOrderId": "one", "timeInForce": "IOC"}
        )
        await asyncio.wait_for(asyncio.gather(orders, money, trades), 10)
        assert [(one["state"], one["accFillSz"], one["fillPx"], one["fillFee"]) for one in told] == [
            ("live", "0", "", "0"),
            ("partially_filled", "0.2", "99", "-0.0002"),
            ("partially_filled", "0.4", "100", "-0.0002"),
            ("canceled", "0.4", "", "0"),
        ]
        assert {one["ordId"] for one in told} == {made["id"]}
        asked = await exchange.fetch_my_trades(SPOT)
        assert [one["id"] for one in asked] == [one["tradeId"] for one in told if one["tradeId"]]
        assert trades.result()["fee"]["cost"] == -0.0002, "ccxt leaves the sign of the stream"


@EACH
async def test_what_would_take_is_taken_and_then_cancelled(okx: Okx, symbol: str) -> None:
    async with of(okx, symbol) as exchange:
        quote(okx, symbol, "99", "100")
        params = {"clientOrderId": "one", "postOnly": True}
        made = await exchange.create_order(symbol, "limit", "buy", 0.5, 100, params)
        found = await exchange.fetch_order(made["id"], symbol)
        assert (found["status"], found["filled"], found["info"]["cancelSource"]) == ("canceled", 0, "31")


@EACH
async def test_orders_go_over_the_socket_too(okx: Okx, symbol: str) -> None:
    async with of(okx, symbol) as exchange:
        made = await exchange.create_order_ws(symbol, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
        await exchange.edit_order_ws(made["id"], symbol, "limit", "buy", 0.4, 100)
        found = await exchange.fetch_order(made["id"], symbol)
        assert found["amount"] == 0.4
        with pytest.raises(ccxt.InvalidOrder, match="51016"):
            await exchange.create_order_ws(symbol, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
        await exchange.cancel_order_ws(made["id"], symbol)
        assert okx.engine.open_orders("default") == []


@EACH
async def test_the_watched_book_is_the_engines(okx: Okx, symbol: str) -> None:
    async with of(okx, symbol) as exchange:
        for level in range(60):
            quote(okx, symbol, str(99 - level), str(100 + level))
        await exchange.watch_order_book(symbol)
        okx.engine.cancel_all("other", symbol)
        quote(okx, symbol, "97", "98", "2")

        def same() -> bool:
            told, snapshot = exchange.orderbooks[symbol], okx.engine.markets[symbol].snapshot(400)
            sides = [(snapshot.bids, told["bids"]), (snapshot.asks, told["asks"])]
            return all(
                [[float(price), float(qty) * IN_BASE[symbol]] for price, qty in ours]
                == list(map(list, theirs))
                for ours, theirs in sides
            )

        best = [98, 2 * IN_BASE[symbol]]
        await until(lambda: exchange.orderbooks[symbol]["asks"][:1] == [best] and same())
        assert len(exchange.orderbooks[symbol]["bids"]) == 1, "what has left the book is gone"


async def test_books_have_a_chain_and_a_checksum(okx: Okx) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(okx.url + "/ws/v5/public") as socket:
        await socket.send_json({"op": "subscribe", "args": [{"channel": "books", "instId": "BTC-USDT"}]})
        answer, first = [await socket.receive_json(timeout=5) for _ in range(2)]
        assert (answer["event"], first["action"], first["data"][0]["prevSeqId"]) == (
            "subscribe",
            "snapshot",
            -1,
        )
        quote(okx, SPOT, "99", "100.5", "0.25")
        update = (await socket.receive_json(timeout=5))["data"][0]
        assert update["prevSeqId"] == first["data"][0]["seqId"]
        assert update["checksum"] == checksum([["99", "0.25"]], [["100.5", "0.25"]])
        okx.faults.add(Fault(how="gap"), Fault(how="bad_checksum"))
        okx.engine.submit("other", SPOT, Side.BUY, Decimal(1), Decimal(97))
        await until(lambda: okx.faults.happened["gap"] == 1)
        okx.engine.submit("other", SPOT, Side.BUY, Decimal(1), Decimal(96))
        spoiled = (await socket.receive_json(timeout=5))["data"][0]
        assert spoiled["prevSeqId"] > update["seqId"]
        told = [["99", "0.25"], ["97", "1"], ["96", "1"]]
        assert spoiled["checksum"] == checksum(told, [["100.5", "0.25"]]) + 1


async def test_the_chain_of_fifty_levels_has_no_gap_where_a_lower_one_changes(okx: Okx) -> None:
    for level in range(50):
        okx.engine.submit("other", SPOT, Side.BUY, Decimal(1), Decimal(100 + level))
    await until(lambda: len(okx.engine.markets[SPOT].bids) == 50)
    async with aiohttp.ClientSession() as http, http.ws_connect(okx.url + "/ws/v5/public") as socket:
        await socket.send_json(
            {"op": "subscribe", "args": [{"channel": "books50-l2-tbt", "instId": "BTC-USDT"}]}
        )
        _, first = [await socket.receive_json(timeout=5) for _ in range(2)]
        okx.engine.submit("other", SPOT, Side.BUY, Decimal(1), Decimal(50))
        await until(lambda: len(okx.engine.markets[SPOT].bids) == 51)
        okx.engine.submit("other", SPOT, Side.BUY, Decimal(1), Decimal(149))
        update = (await socket.receive_json(timeout=5))["data"][0]
        assert (update["bids"], update["prevSeqId"]) == ([["149", "2", "0", "1"]], first["data"][0]["seqId"])


def test_the_checksum_is_that_of_the_documents() -> None:
    bids = [["3366.1", "7", "0", "3"], ["3366", "6", "3", "4"]]
    asks = [["3366.8", "9", "10", "3"], ["3368", "8", "3", "4"]]
    # The text is "3366.1:7:3366.8:9:3366:6:3368:8".
    assert checksum(bids, asks) == -1881014294


async def test_public_trades_and_the_best_prices(okx: Okx) -> None:
    async with of(okx) as exchange:
        quote(okx, SPOT, "99", "100")
        trades = asyncio.create_task(exchange.watch_trades(SPOT))
        best = asyncio.create_task(
            heard(lambda: exchange.watch_bids_asks([SPOT]), lambda one: one[SPOT]["ask"] == 100)
        )
        await until(
            lambda: {one["channel"] for s in okx.sockets for one in s.state["args"]} == {"trades", "bbo-tbt"}
        )
        okx.engine.submit("default", SPOT, Side.SELL, Decimal("0.1"), Decimal(99))
        [trade] = await asyncio.wait_for(trades, 10)
        assert (trade["side"], trade["price"], trade["amount"]) == ("sell", 99, 0.1)
        assert (await asyncio.wait_for(best, 10))[SPOT]["ask"] == 100
        ticker = await exchange.fetch_ticker(SPOT)
        assert (ticker["bid"], ticker["ask"], ticker["last"]) == (99, 100, 99)
        [asked] = await exchange.fetch_trades(SPOT)
        assert asked["id"] == trade["id"]
        assert (await exchange.fetch_funding_rate(PERP))["fundingRate"] == 0.0001


ORDER = {"side": "buy", "ordType": "limit", "sz": "0.5", "px": "100", "clOrdId": "new"}
REFUSALS = [
    ({"sz": "0.500000001"}, "51121", ccxt.InvalidOrder),
    ({"sz": "0.000001"}, "51020", ccxt.InvalidOrder),
    ({"sz": "99999999999999"}, "51005", ccxt.InvalidOrder),
    ({"sz": "1e3"}, "51000", ccxt.BadRequest),
    ({"px": "100.01"}, "51000", ccxt.BadRequest),
    ({"clOrdId": "taken"}, "51016", ccxt.InvalidOrder),
    ({"clOrdId": "x" * 33}, "51000", ccxt.BadRequest),
    ({"clOrdId": "with-dash"}, "51000", ccxt.BadRequest),
    ({"side": "both"}, "51000", ccxt.BadRequest),
    ({"ordType": "gtd"}, "51000", ccxt.BadRequest),
    ({"tdMode": "none"}, "51000", ccxt.BadRequest),
    ({"instId": "NONE"}, "51001", ccxt.BadSymbol),
]


@EACH
@pytest.mark.parametrize(("changed", "code", "error"), REFUSALS)
async def test_mistakes_have_the_exchanges_codes(
    okx: Okx, symbol: str, changed: dict[str, str], code: str, error: type[Exception]
) -> None:
    async with of(okx, symbol) as exchange:
        order = {**ORDER, "instId": IDS[symbol], "tdMode": "cash" if symbol == SPOT else "cross"}
        await exchange.private_post_trade_order({**order, "clOrdId": "taken"})
        with pytest.raises(error, match=f'"sCode":"{code}"'):
            await exchange.private_post_trade_order({**order, **changed})
        both = await exchange.private_post_trade_batch_orders(
            [{**order, **changed}, {**order, "clOrdId": "other"}]
        )
        assert (both["code"], [one["sCode"] for one in both["data"]]) == ("2", [code, "0"])


@EACH
async def test_what_has_ended_cannot_be_cancelled_or_changed(okx: Okx, symbol: str) -> None:
    async with of(okx, symbol) as exchange:
        with pytest.raises(ccxt.OrderNotFound, match="51400"):
            await exchange.cancel_order(None, symbol, {"clientOrderId": "nothing"})
        with pytest.raises(ccxt.OrderNotFound, match="51603"):
            await exchange.fetch_order(None, symbol, {"clientOrderId": "nothing"})
        await exchange.create_order(symbol, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
        okx.engine.cancel_all("default")
        with pytest.raises(ccxt.OrderNotFound, match="51401"):
            await exchange.cancel_order(None, symbol, {"clientOrderId": "one"})
        with pytest.raises(ccxt.OrderNotFound, match="51509"):
            await exchange.edit_order(None, symbol, "limit", "buy", 0.4, 100, {"clientOrderId": "one"})
        quote(okx, symbol, "99", "100")
        await exchange.create_order(symbol, "limit", "buy", 0.5, 100, {"clientOrderId": "two"})
        with pytest.raises(ccxt.OrderNotFound, match="51402"):
            await exchange.cancel_order(None, symbol, {"clientOrderId": "two"})
        with pytest.raises(ccxt.ExchangeError, match="51510"):
            await exchange.edit_order(None, symbol, "limit", "buy", 0.4, 100, {"clientOrderId": "two"})


async def test_a_request_that_comes_after_its_own_deadline_does_nothing(okx: Okx) -> None:
    async with of(okx) as exchange:
        exchange.headers = {"expTime": str(okx.now_ms() - 1)}
        with pytest.raises(ccxt.ExchangeError, match="50036"):
            await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        exchange.headers = {"expTime": str(okx.now_ms() + 10_000)}
        await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        assert len(okx.engine.orders("default")) == 1


async def test_an_account_spends_what_it_has(tmp_path: Path) -> None:
    emulator = Okx(tmp_path, market="none", deposits={"USDT": Decimal(100)})
    async with serve(emulator), of(emulator) as exchange:
        with pytest.raises(ccxt.InsufficientFunds, match="51008"):
            await exchange.create_order(SPOT, "limit", "sell", 0.5, 100)
        await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        with pytest.raises(ccxt.InsufficientFunds, match="51008"):
            await exchange.create_order(PERP, "limit", "buy", 600, 100)
        await exchange.create_order(PERP, "limit", "sell", 400, 100)
        balance = await exchange.fetch_balance()
        assert balance["USDT"] == {"free": 10, "used": 90, "total": 100}


@pytest.mark.parametrize(
    ("key", "error", "code", "socket_code"),
    [
        (Key(key="nobody"), ccxt.AuthenticationError, "50111", "60005"),
        (Key(secret="wrong"), ccxt.AuthenticationError, "50113", "60007"),
        (Key(passphrase="wrong"), ccxt.AuthenticationError, "50105", "60024"),
        (KEYS[1], ccxt.ExchangeError, "50120", ""),
    ],
)
async def test_keys_are_checked(
    okx: Okx, key: Key, error: type[Exception], code: str, socket_code: str
) -> None:
    async with of(okx, key=key) as exchange:
        with pytest.raises(error, match=code):
            await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        if socket_code:
            with pytest.raises(ccxt.AuthenticationError, match=socket_code):
                await asyncio.wait_for(exchange.watch_orders(), 10)


@pytest.mark.parametrize("skew_s", [-31, 31])
async def test_a_time_that_is_off_by_half_a_minute_is_refused(okx: Okx, skew_s: float) -> None:
    async with of(okx) as exchange:
        okx.skew_ns = int(skew_s * 1e9)
        with pytest.raises(ccxt.InvalidNonce, match="50102"):
            await exchange.fetch_balance()
        await exchange.load_time_difference()
        await exchange.fetch_balance()


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("busy", ccxt.RequestTimeout),
        ("rate_limited", ccxt.RateLimitExceeded),
        ("banned", ccxt.NetworkError),
        ("maintenance", ccxt.OnMaintenance),
        ("skewed", ccxt.InvalidNonce),
        ("server_error", ccxt.ExchangeNotAvailable),
        ("reset", ccxt.NetworkError),
    ],
)
async def test_what_goes_wrong_is_worded_as_there(okx: Okx, how: Any, error: type[Exception]) -> None:
    async with of(okx) as exchange:
        okx.faults.add(Fault(how=how, what="new"))
        with pytest.raises(error):
            await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        assert okx.engine.orders("default") == []
        await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)


async def test_an_account_has_five_requests_for_its_fees_in_two_seconds(okx: Okx) -> None:
    async with of(okx) as exchange:
        okx.engine.now_ns = lambda: 1_700_000_000_000_000_000  # type: ignore[method-assign]
        await exchange.load_time_difference()
        for _ in range(5):
            await exchange.fetch_trading_fee(SPOT)
        with pytest.raises(ccxt.RateLimitExceeded, match="50011"):
            await exchange.fetch_trading_fee(SPOT)


async def test_the_switch_cancels_unless_it_is_asked_again(okx: Okx) -> None:
    async with of(okx) as exchange:
        await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        with pytest.raises(ccxt.BadRequest):
            await exchange.cancel_all_orders_after(1_000)
        okx.SWITCH_S = (1, 120)
        await exchange.cancel_all_orders_after(1_000)
        await until(lambda: not okx.engine.open_orders("default"))
