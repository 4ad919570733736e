"""Kraken as an unmodified ccxt sees it, and what ccxt does not look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import ccxt
import pytest

from bestex.messages import Side
from tests.emulators.faults import Fault
from tests.emulators.kraken import Kraken
from tests.emulators.kraken_rest import KEY
from tests.emulators.kraken_wire import checksum, order_id, order_number
from tests.emulators.server import serve
from tests.unit.emulators.talking import client, heard, quote, talking
from tests.waiting import until

SYMBOL = "BTC/USD"


@pytest.fixture
async def kraken(tmp_path: Path) -> AsyncIterator[Kraken]:
    async with serve(Kraken(tmp_path, market="none")) as emulator:
        assert isinstance(emulator, Kraken)
        yield emulator


@pytest.fixture
async def exchange(kraken: Kraken) -> AsyncIterator[Any]:
    async with talking(client("kraken", kraken.url, key=KEY)) as made:
        yield made


async def test_markets_have_three_names(exchange: Any) -> None:
    assert exchange.symbols == ["BTC/USD", "BTC/USDT", "ETH/USD"]
    names = [(one["id"], one["info"]["altname"], one["info"]["wsname"]) for one in exchange.markets.values()]
    assert sorted(names) == [
        ("XBTUSDT", "XBTUSDT", "XBT/USDT"),
        ("XETHZUSD", "ETHUSD", "ETH/USD"),
        ("XXBTZUSD", "XBTUSD", "XBT/USD"),
    ]
    market = exchange.market(SYMBOL)
    assert (market["precision"], market["taker"]) == ({"amount": 1e-08, "price": 0.1}, 0.004)
    assert (market["limits"]["amount"]["min"], market["limits"]["cost"]["min"]) == (5e-05, 0.5)
    assert (await exchange.fetch_status())["status"] == "ok"
    assert {"BTC", "ETH", "USD", "USDT"} <= set(await exchange.fetch_currencies())


async def test_an_order_lives_and_dies(kraken: Kraken, exchange: Any) -> None:
    made = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
    [found] = await exchange.fetch_open_orders(SYMBOL, params={"clientOrderId": "one"})
    assert (found["id"], found["clientOrderId"], found["status"]) == (made["id"], "one", "open")
    await exchange.edit_order(made["id"], SYMBOL, "limit", "buy", 0.4, 101)
    found = await exchange.fetch_order(made["id"], SYMBOL)
    assert (found["amount"], found["price"], found["filled"]) == (0.4, 101, 0), "under the id that it had"
    await exchange.cancel_order(None, SYMBOL, {"clientOrderId": "one"})
    assert await exchange.fetch_open_orders(SYMBOL) == []
    [ended] = await exchange.fetch_closed_orders(SYMBOL, params={"clientOrderId": "one"})
    assert (ended["id"], ended["status"], ended["info"]["reason"]) == (
        made["id"],
        "canceled",
        "User requested",
    )
    again = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
    assert again["id"] != made["id"], "an id is free when its order has ended"
    assert len(kraken.engine.orders("default")) == 2


async def test_the_query_for_one_order_knows_no_client_ids(exchange: Any) -> None:
    await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
    with pytest.raises(ccxt.BaseError, match="EGeneral:Invalid arguments:txid"):
        await exchange.private_post_queryorders({"cl_ord_id": "one"})
    with pytest.raises(ccxt.InvalidOrder, match="EOrder:Invalid order"):
        await exchange.private_post_queryorders({"txid": order_id(77)})


async def test_fees_are_in_quote_whatever_is_bought(exchange: Any, kraken: Kraken) -> None:
    quote(kraken, SYMBOL, "99", "100")
    await exchange.create_order(SYMBOL, "limit", "buy", 0.2, 100, {"timeInForce": "IOC"})
    [trade] = await exchange.fetch_my_trades(SYMBOL)
    assert (trade["price"], trade["amount"], trade["takerOrMaker"]) == (100, 0.2, "taker")
    assert trade["fee"] == {"cost": 0.08, "currency": "USD"}
    assert (await exchange.fetch_balance())["total"] == {"BTC": 0.2, "USD": -20.08}
    fees = await exchange.fetch_trading_fee(SYMBOL)
    assert (fees["maker"], fees["taker"]) == (0.0025, 0.004)
    balances = (await exchange.private_post_balance())["result"]
    assert balances == {"XXBT": "0.2000000000", "ZUSD": "-20.0800000000"}
    [asked] = (await exchange.private_post_querytrades({"txid": trade["id"]}))["result"].values()
    assert asked["ordertxid"] == trade["order"]


async def test_trades_come_in_pages_newest_first(exchange: Any, kraken: Kraken) -> None:
    quote(kraken, SYMBOL, "99", "100", "100")
    for _ in range(120):
        kraken.engine.submit("default", SYMBOL, Side.BUY, Decimal("0.1"), Decimal(100))
    pages = [await exchange.private_post_tradeshistory({"ofs": offset}) for offset in (0, 50, 100, 150)]
    rows = [row for page in pages for row in page["result"]["trades"].values()]
    assert [len(page["result"]["trades"]) for page in pages] == [50, 50, 20, 0]
    assert [page["result"]["count"] for page in pages] == [120] * 4
    times = [float(row["time"]) for row in rows]
    assert times == sorted(times, reverse=True)
    assert len({row["trade_id"] for row in rows}) == 120
    since = times[60]
    later = await exchange.private_post_tradeshistory({"start": since})
    assert int(later["result"]["count"]) <= 61, "what is asked for begins after that time"


async def test_what_a_taker_traded_is_one_trade_unless_asked_for_by_itself(
    exchange: Any, kraken: Kraken
) -> None:
    for price in ("100", "101", "102"):
        kraken.engine.submit("other", SYMBOL, Side.SELL, Decimal("0.1"), Decimal(price))
    await exchange.create_order(SYMBOL, "limit", "buy", 0.3, 102)
    [one] = (await exchange.private_post_tradeshistory())["result"]["trades"].values()
    assert (one["vol"], one["price"], one["cost"]) == ("0.30000000", "101.00000", "30.30000")
    split = await exchange.private_post_tradeshistory({"consolidate_taker": "false"})
    assert [row["price"] for row in split["result"]["trades"].values()] == [
        "102.00000",
        "101.00000",
        "100.00000",
    ]


async def test_an_order_that_ends_is_told_without_its_terms(exchange: Any, kraken: Kraken) -> None:
    for price in ("99", "100"):
        kraken.engine.submit("other", SYMBOL, Side.SELL, Decimal("0.2"), Decimal(price))
    told: list[Any] = []
    handle = exchange.handle_message

    def hear(socket: Any, message: Any) -> None:  # because ccxt shows the last state of an order alone
        if message.get("channel") == "executions" and message["type"] == "update":
            told.extend(message["data"])
        handle(socket, message)

    exchange.handle_message = hear
    orders = asyncio.create_task(heard(exchange.watch_orders, lambda one: one["status"] == "canceled"))
    trades = asyncio.create_task(heard(exchange.watch_my_trades, lambda _: True))
    money = asyncio.create_task(
        heard(exchange.watch_balance, lambda one: one.get("BTC", {}).get("total") == 0.4)
    )
    await until(lambda: any({"executions", "balances"} <= one.topics for one in kraken.sockets))
    params = {"clientOrderId": "one", "timeInForce": "IOC"}
    made = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, params)
    await asyncio.wait_for(asyncio.gather(orders, trades, money), 10)
    assert [(one["exec_type"], one["order_status"], one.get("cum_qty")) for one in told] == [
        ("pending_new", "pending_new", None),
        ("new", "new", None),
        ("trade", "partially_filled", 0.2),
        ("trade", "partially_filled", 0.4),
        ("canceled", "canceled", 0.4),
    ]
    assert {(one["order_id"], one["cl_ord_id"]) for one in told} == {(made["id"], "one")}
    assert ["symbol" in one for one in told] == [True, False, True, True, False]
    asked = await exchange.fetch_my_trades(SYMBOL, params={"consolidate_taker": "false"})
    assert [(one["id"], one["timestamp"]) for one in asked] == [
        (one["exec_id"], exchange.parse8601(one["timestamp"])) for one in told if one["exec_type"] == "trade"
    ]
    assert trades.result()["fee"] == {"cost": 0.0792, "currency": "USD"}


async def test_open_orders_and_trades_are_in_a_snapshot_if_they_are_asked_for(
    exchange: Any, kraken: Kraken
) -> None:
    quote(kraken, SYMBOL, "99", "100")
    kraken.engine.submit("default", SYMBOL, Side.BUY, Decimal("0.1"), Decimal(100), client_id="gone")
    kraken.engine.submit("default", SYMBOL, Side.BUY, Decimal("0.1"), Decimal(50), client_id="rests")
    token = (await exchange.private_post_getwebsocketstoken())["result"]["token"]
    async with aiohttp.ClientSession() as http, http.ws_connect(kraken.url + "/v2") as socket:
        params = {"channel": "executions", "token": token, "snap_trades": True}
        await socket.send_json({"method": "subscribe", "params": params, "req_id": 7})
        _, answer, snapshot = [await socket.receive_json(timeout=5) for _ in range(3)]
        assert (answer["success"], answer["req_id"]) == (True, 7)
        assert [(one["exec_type"], one["cl_ord_id"]) for one in snapshot["data"]] == [
            ("new", "rests"),
            ("trade", "gone"),
        ]
        await socket.send_json({"method": "subscribe", "params": {**params, "token": "wrong"}})
        assert (await socket.receive_json(timeout=5))["error"] == "ESession:Invalid session"


async def test_orders_go_over_the_socket_too(exchange: Any, kraken: Kraken) -> None:
    made = await exchange.create_order_ws(SYMBOL, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
    await exchange.edit_order_ws(made["id"], SYMBOL, "limit", "buy", 0.4, 100)
    assert (await exchange.fetch_order(made["id"], SYMBOL))["amount"] == 0.4
    with pytest.raises(ccxt.ExchangeError, match="Duplicate cl_ord_id"):
        await exchange.create_order_ws(SYMBOL, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
    kraken.faults.add(Fault(how="busy", what="new"))
    with pytest.raises(ccxt.ExchangeError, match="EService:Busy"):
        await exchange.create_order_ws(SYMBOL, "limit", "buy", 0.5, 100, {"clientOrderId": "two"})
    await exchange.cancel_order_ws(made["id"])
    assert kraken.engine.open_orders("default") == []
    with pytest.raises(ccxt.OrderNotFound, match="EOrder:Unknown order"):
        await exchange.cancel_order_ws(made["id"])


@pytest.mark.parametrize("depth", [10, 25, 100])
async def test_the_watched_book_is_the_engines(exchange: Any, kraken: Kraken, depth: int) -> None:
    for level in range(60):
        quote(kraken, SYMBOL, str(99 - level), str(100 + level))
    await exchange.watch_order_book(SYMBOL, depth)
    watching = asyncio.create_task(heard(lambda: exchange.watch_order_book(SYMBOL, depth), lambda _: False))
    bids = [order for order in kraken.engine.open_orders("other") if order.side is Side.BUY]
    for order in bids[:5]:
        kraken.engine.cancel(order)  # what is below comes up
    for price in ("98.5", "99.3", "99.4"):
        quote(kraken, SYMBOL, price, str(199 - Decimal(price)), "2")  # and what is below is pushed out

    def same() -> bool:
        told, snapshot = exchange.orderbooks[SYMBOL], kraken.engine.markets[SYMBOL].snapshot(depth)
        sides = [(snapshot.bids, told["bids"]), (snapshot.asks, told["asks"])]
        return all(
            [[float(price), float(qty)] for price, qty in ours] == [list(level)[:2] for level in theirs]
            for ours, theirs in sides
        )

    await until(lambda: exchange.orderbooks[SYMBOL]["asks"][:1] == [[99.6, 2]] and same())
    watching.cancel()


def test_the_checksum_is_that_of_the_documents() -> None:
    asks = """45285.2 0.00100000 45286.4 1.54571953 45286.6 1.54571109 45289.6 1.54560911 45290.2 0.15890660
        45291.8 1.54553491 45294.7 0.04454749 45296.1 0.35380000 45297.5 0.09945542 45299.5 0.18772827"""
    bids = """45283.5 0.10000000 45283.4 1.54582015 45282.1 0.10000000 45281.0 0.10000000 45280.3 1.54592586
        45279.0 0.07990000 45277.6 0.03310103 45277.5 0.30000000 45277.3 1.54602737 45276.6 0.15445238"""

    def levels(text: str) -> list[tuple[Decimal, Decimal]]:
        numbers = list(map(Decimal, text.split()))
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    assert checksum(levels(bids), levels(asks), 1) == 3310070434


def test_ids_can_be_read_back() -> None:
    assert [order_number(order_id(number)) for number in (1, 31, 32, 10**9)] == [1, 31, 32, 10**9]
    assert [order_number(wrong) for wrong in ("", "TAAAAA-AAAAA-AAAAAB", "O1", "OAAAAA-AAAAA-AAAAA1")] == [
        0
    ] * 4


async def test_public_trades_and_the_best_prices(exchange: Any, kraken: Kraken) -> None:
    quote(kraken, SYMBOL, "99", "100")
    trades = asyncio.create_task(exchange.watch_trades(SYMBOL))
    best = asyncio.create_task(heard(lambda: exchange.watch_ticker(SYMBOL), lambda one: one["bid"] == 98))
    await until(lambda: any(len(one.topics) == 2 for one in kraken.sockets))
    kraken.engine.submit("other", SYMBOL, Side.BUY, Decimal(1), Decimal(98))
    kraken.engine.submit("default", SYMBOL, Side.SELL, Decimal(1), Decimal(99))
    [trade] = await asyncio.wait_for(trades, 10)
    assert (trade["side"], trade["price"], trade["amount"]) == ("sell", 99, 1)
    assert (await asyncio.wait_for(best, 10))["ask"] == 100
    ticker = await exchange.fetch_ticker(SYMBOL)
    assert (ticker["bid"], ticker["ask"], ticker["last"]) == (98, 100, 99)
    [public] = await exchange.fetch_trades(SYMBOL)
    [own] = await exchange.fetch_my_trades(SYMBOL)
    assert public["id"] == trade["id"] == str(own["info"]["trade_id"]), "one number for all who look"
    book = await exchange.fetch_order_book(SYMBOL, 5)
    assert (book["bids"][0][:2], book["asks"][0][:2]) == ([98, 1], [100, 1])


async def test_the_switch_cancels_unless_it_is_asked_again(exchange: Any, kraken: Kraken) -> None:
    await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
    await exchange.cancel_all_orders_after(60_000)
    await exchange.cancel_all_orders_after(0)
    await exchange.cancel_all_orders_after(1_000)
    await until(lambda: not kraken.engine.open_orders("default"))


async def test_a_reference_cancels_all_that_have_it(exchange: Any, kraken: Kraken) -> None:
    for price in (100, 101):
        await exchange.create_order(SYMBOL, "limit", "buy", 0.5, price, {"userref": 5})
    await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 102)
    assert len(await exchange.fetch_open_orders(SYMBOL, params={"userref": 5})) == 2
    answer = await exchange.cancel_order(None, SYMBOL, {"userref": 5})
    assert answer["info"]["result"]["count"] == 2
    [left] = kraken.engine.open_orders("default")
    assert kraken.engine.markets[SYMBOL].price(left.price) == 102
    await exchange.cancel_all_orders()
    assert kraken.engine.open_orders("default") == []


async def test_an_edited_order_is_another_one(exchange: Any, kraken: Kraken) -> None:
    made = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
    edit = {"pair": "XBTUSD", "txid": made["id"], "volume": "0.4", "price": "101"}
    result = (await exchange.private_post_editorder(edit))["result"]
    assert (result["originaltxid"], result["status"]) == (made["id"], "ok")
    [order] = await exchange.fetch_open_orders(SYMBOL)
    assert (order["id"], order["amount"], order["price"]) == (result["txid"], 0.4, 101)
    assert len(kraken.engine.orders("default")) == 2


async def test_what_is_only_to_be_checked_is_not_placed(exchange: Any, kraken: Kraken) -> None:
    answer = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, {"validate": "true"})
    assert answer["id"] is None
    assert kraken.engine.orders("default") == []
