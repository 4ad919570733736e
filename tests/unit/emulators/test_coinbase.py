"""Coinbase as an unmodified ccxt sees it, and what ccxt does not look at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import ccxt
import pytest

from bestex.clock import SECOND
from bestex.messages import Side
from tests.emulators.coinbase import Coinbase
from tests.emulators.coinbase_keys import make_key
from tests.emulators.faults import Fault
from tests.emulators.server import Key, serve
from tests.unit.emulators.talking import client, heard, quote, talking
from tests.waiting import until

SYMBOL, PRODUCT = "BTC/USD", "BTC-USD"
KEYS = (make_key(), make_key("reader", "reader", can_trade=False))
V3: dict[str, Any] = {"fetchBalance": "v3PrivateGetBrokerageAccounts"}
LIMIT = {"base_size": "0.5", "limit_price": "100", "post_only": False}
ORDER = {
    "client_order_id": "new",
    "product_id": PRODUCT,
    "side": "BUY",
    "order_configuration": {"limit_limit_gtc": LIMIT},
}


def limit(**changed: Any) -> dict[str, Any]:
    return {"order_configuration": {"limit_limit_gtc": {**LIMIT, **changed}}}


@pytest.fixture
async def coinbase(tmp_path: Path) -> AsyncIterator[Coinbase]:
    async with serve(Coinbase(tmp_path, market="none", keys=KEYS)) as emulator:
        assert isinstance(emulator, Coinbase)
        yield emulator


@pytest.fixture
async def exchange(coinbase: Coinbase) -> AsyncIterator[Any]:
    async with talking(client("coinbase", coinbase.url, key=KEYS[0], **V3)) as made:
        yield made


async def test_products(exchange: Any, coinbase: Coinbase) -> None:
    assert exchange.symbols == ["BTC/USD", "BTC/USDT", "ETH/USD"]
    market = exchange.market(SYMBOL)
    assert (market["id"], market["precision"]) == (PRODUCT, {"amount": 1e-08, "price": 0.01})
    assert (market["taker"], market["limits"]["cost"]["min"]) == (0.008, 1)
    for method in ({}, {"method": "v3PublicGetBrokerageTime"}):
        assert abs(await exchange.fetch_time(method) - coinbase.now_ms()) < 2_000
    rights = await exchange.v3_private_get_brokerage_key_permissions()
    assert (rights["can_trade"], rights["can_transfer"]) == (True, False)


async def test_an_order_lives_and_dies(exchange: Any, coinbase: Coinbase) -> None:
    made = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, {"client_order_id": "one"})
    [found] = await exchange.fetch_open_orders(SYMBOL)
    assert (found["id"], found["clientOrderId"], found["status"]) == (made["id"], "one", "open")
    await exchange.edit_order(made["id"], SYMBOL, "limit", "buy", 0.4, 101)
    found = await exchange.fetch_order(made["id"], SYMBOL)
    [edit] = found["info"]["edit_history"]
    assert (edit["size"], edit["price"], found["amount"]) == ("0.4", "101", 0.5), "what was asked for stays"
    [there] = coinbase.engine.open_orders("default")
    assert coinbase.engine.markets[SYMBOL].qty(there.qty) == Decimal("0.4")
    await exchange.cancel_order(made["id"], SYMBOL)
    [ended] = await exchange.fetch_canceled_orders(SYMBOL)
    assert (ended["id"], ended["status"]) == (made["id"], "canceled")
    assert await exchange.fetch_open_orders(SYMBOL) == []


async def test_ccxt_drops_the_unified_name_of_a_client_id(exchange: Any, coinbase: Coinbase) -> None:
    await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
    assert coinbase.engine.order("default", client_id="one") is None


async def test_an_order_that_is_there_already_is_the_answer(exchange: Any, coinbase: Coinbase) -> None:
    first = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, {"client_order_id": "one"})
    other = await exchange.create_order("ETH/USD", "limit", "sell", 7, 9_000, {"client_order_id": "one"})
    assert other["id"] == first["id"], "whatever else was asked for"
    await exchange.cancel_order(first["id"], SYMBOL)
    again = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, {"client_order_id": "one"})
    assert again["id"] == first["id"], "and for ever"
    assert len(coinbase.engine.orders("default")) == 1


async def test_fees_are_in_quote_whatever_is_bought(exchange: Any, coinbase: Coinbase) -> None:
    quote(coinbase, SYMBOL, "99", "100")
    params = {"client_order_id": "one", "timeInForce": "IOC"}
    made = await exchange.create_order(SYMBOL, "limit", "buy", 0.2, 100, params)
    [trade] = await exchange.fetch_my_trades(SYMBOL)
    assert (trade["price"], trade["amount"], trade["takerOrMaker"]) == (100, 0.2, "taker")
    assert (trade["order"], trade["fee"]) == (made["id"], {"cost": 0.16, "currency": "USD"})
    balance = await exchange.fetch_balance()
    assert (balance["total"]["BTC"], balance["total"]["USD"], balance["total"]["ETH"]) == (0.2, -20.16, 0)
    fees = await exchange.fetch_trading_fee(SYMBOL)
    assert (fees["maker"], fees["taker"]) == (0.006, 0.008)
    record = await exchange.fetch_order(made["id"], SYMBOL)
    assert (record["status"], record["filled"], record["average"]) == ("closed", 0.2, 100)
    assert record["info"]["total_fees"] == "0.16"


async def test_trades_come_in_pages_newest_first_while_more_happen(exchange: Any, coinbase: Coinbase) -> None:
    quote(coinbase, SYMBOL, "99", "100", "100")

    def buy(times: int) -> None:
        for _ in range(times):
            coinbase.engine.submit("default", SYMBOL, Side.BUY, Decimal("0.1"), Decimal(100))

    buy(7)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await exchange.v3_private_get_brokerage_orders_historical_fills({"limit": 3, **cursor})
        seen += [one["trade_id"] for one in page["fills"]]
        if not page["cursor"]:
            break
        cursor = {"cursor": page["cursor"]}
        buy(2)
    assert (len(seen), len(set(seen))) == (7, 7)
    assert seen == sorted(seen, reverse=True)
    assert await exchange.fetch_my_trades(SYMBOL, since=coinbase.now_ms() + 1_000) == []
    batch = await exchange.v3_private_get_brokerage_orders_historical_batch({"limit": 4})
    assert (len(batch["orders"]), batch["has_next"]) == (4, True)


async def test_the_users_channel_tells_sums_and_no_prices(exchange: Any, coinbase: Coinbase) -> None:
    coinbase.engine.submit("default", SYMBOL, Side.BUY, Decimal("0.1"), Decimal(50), client_id="rests")
    [snapshot] = await exchange.watch_orders()
    assert (snapshot["clientOrderId"], snapshot["price"]) == ("rests", None)
    for price in ("99", "100"):
        coinbase.engine.submit("other", SYMBOL, Side.SELL, Decimal("0.2"), Decimal(price))
    watching = asyncio.create_task(heard(exchange.watch_orders, lambda one: one["clientOrderId"] == "one"))
    await asyncio.sleep(0)
    params = {"client_order_id": "one", "timeInForce": "IOC"}
    await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, params)
    info = (await asyncio.wait_for(watching, 10))["info"]
    assert (info["status"], info["cumulative_quantity"], info["leaves_quantity"]) == ("CANCELLED", "0.4", "0")
    assert (info["avg_price"], info["number_of_fills"]) == ("99.5", "2")
    assert not exchange.has["watchMyTrades"]
    assert not exchange.has["createOrderWs"]


async def test_the_watched_book_is_the_engines(exchange: Any, coinbase: Coinbase) -> None:
    for level in range(60):
        quote(coinbase, SYMBOL, str(99 - level), str(100 + level))
    await exchange.watch_order_book(SYMBOL)
    watching = asyncio.create_task(heard(lambda: exchange.watch_order_book(SYMBOL), lambda _: False))
    coinbase.engine.cancel_all("other", SYMBOL)
    quote(coinbase, SYMBOL, "97", "98", "2")

    def same() -> bool:
        told, snapshot = exchange.orderbooks[SYMBOL], coinbase.engine.markets[SYMBOL].snapshot()
        return all(
            [[float(price), float(qty)] for price, qty in ours] == list(map(list, theirs))
            for ours, theirs in ((snapshot.bids, told["bids"]), (snapshot.asks, told["asks"]))
        )

    await until(lambda: exchange.orderbooks[SYMBOL]["asks"][:1] == [[98, 2]] and same())
    watching.cancel()


async def test_one_number_counts_all_messages_of_a_connection(coinbase: Coinbase) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(coinbase.url) as socket:
        for channel in ("level2", "market_trades", "ticker", "heartbeats"):
            await socket.send_json({"type": "subscribe", "channel": channel, "product_ids": [PRODUCT]})
        first = [await socket.receive_json(timeout=5) for _ in range(6)]
        quote(coinbase, SYMBOL, "99", "100")
        last: list[Any] = []
        while not last or last[-1]["channel"] != "heartbeats":
            last.append(await socket.receive_json(timeout=5))
        assert [one["sequence_num"] for one in first + last] == list(range(6 + len(last)))
        assert first[-1]["events"][0]["subscriptions"].keys() == {
            "level2",
            "market_trades",
            "ticker",
            "heartbeats",
        }
        coinbase.faults.add(Fault(how="gap"))
        quote(coinbase, SYMBOL, "98", "101")
        await until(lambda: coinbase.faults.happened["gap"] == 1)
        quote(coinbase, SYMBOL, "97", "102")
        numbers = [last[-1]["sequence_num"]]
        while len(numbers) < 2 or numbers[-1] == numbers[-2] + 1:
            numbers.append((await socket.receive_json(timeout=5))["sequence_num"])
        assert numbers[-1] == numbers[-2] + 2
        await socket.send_json({"type": "subscribe", "channel": "user"})
        told: Any = {}
        while told.get("type") != "error":
            told = await socket.receive_json(timeout=5)
        assert told["message"] == "authentication failure"


async def test_public_trades_and_the_best_prices(exchange: Any, coinbase: Coinbase) -> None:
    quote(coinbase, SYMBOL, "99", "100")
    trades = asyncio.create_task(heard(lambda: exchange.watch_trades(SYMBOL), lambda _: True))
    best = asyncio.create_task(heard(lambda: exchange.watch_ticker(SYMBOL), lambda one: one["bid"] == 98))
    await until(lambda: any(len(one.topics) == 2 for one in coinbase.sockets))
    coinbase.engine.submit("other", SYMBOL, Side.BUY, Decimal(1), Decimal(98))
    coinbase.engine.submit("default", SYMBOL, Side.SELL, Decimal(1), Decimal(99))
    trade = await asyncio.wait_for(trades, 10)
    assert (trade["price"], trade["amount"]) == (99, 1)
    assert (await asyncio.wait_for(best, 10))["ask"] == 100
    [public] = await exchange.fetch_trades(SYMBOL)
    assert public["id"] == trade["id"]
    book = await exchange.fetch_order_book(SYMBOL, 5)
    assert (book["bids"][0], book["asks"][0]) == ([98, 1], [100, 1])


# -- what it refuses ---------------------------------------------------------------------------------------------

REFUSALS = [
    (limit(base_size="0.500000001"), "INVALID_SIZE_PRECISION", "PREVIEW_INVALID_SIZE_PRECISION"),
    (limit(base_size="4000"), "UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_BASE_SIZE_TOO_LARGE"),
    (limit(base_size="0.001"), "UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"),
    (limit(base_size="-1"), "INVALID_SIZE_PRECISION", "PREVIEW_INVALID_SIZE_PRECISION"),
    (limit(limit_price="100.001"), "INVALID_PRICE_PRECISION", "PREVIEW_INVALID_PRICE_PRECISION"),
    (limit(limit_price="free"), "INVALID_LIMIT_PRICE", "PREVIEW_INVALID_LIMIT_PRICE"),
    ({"product_id": "NO-NE"}, "INVALID_PRODUCT_ID", "PREVIEW_INVALID_PRODUCT_ID"),
    ({"side": "BOTH"}, "INVALID_SIDE", "PREVIEW_INVALID_SIDE"),
    ({"order_configuration": {"guess": LIMIT}}, "UNSUPPORTED_ORDER_CONFIGURATION", "PREVIEW_UNSUPPORTED"),
    ({"order_configuration": {}}, "UNSUPPORTED_ORDER_CONFIGURATION", "PREVIEW_UNSUPPORTED"),
]


@pytest.mark.parametrize(("changed", "reason", "preview"), REFUSALS)
async def test_mistakes_have_the_exchanges_reasons(
    exchange: Any, coinbase: Coinbase, changed: dict[str, Any], reason: str, preview: str
) -> None:
    with pytest.raises(ccxt.ExchangeError) as refused:
        await exchange.v3_private_post_brokerage_orders({**ORDER, **changed})
    said = json.loads(str(refused.value).removeprefix("coinbase "))
    assert (said["success"], said["order_id"], said["error_response"]["error"]) == (False, "", reason)
    assert said["error_response"]["preview_failure_reason"].startswith(preview)
    assert coinbase.engine.orders("default") == []


async def test_what_would_take_is_refused(exchange: Any, coinbase: Coinbase) -> None:
    quote(coinbase, SYMBOL, "99", "100")
    params = {"postOnly": True, "client_order_id": "one"}
    with pytest.raises(ccxt.ExchangeError, match="INVALID_LIMIT_PRICE_POST_ONLY"):
        await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, params)
    made = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 99, params)
    found = await exchange.fetch_order(made["id"], SYMBOL)
    assert (found["status"], found["postOnly"]) == ("open", True)
    everything = await exchange.fetch_orders(SYMBOL)
    assert len(everything) == 1, "what was refused never was"


async def test_what_has_ended_cannot_be_cancelled_or_changed(exchange: Any, coinbase: Coinbase) -> None:
    quote(coinbase, SYMBOL, "99", "100")
    filled = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
    gone = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 50)
    await exchange.cancel_order(gone["id"], SYMBOL)
    ids = [filled["id"], gone["id"], "nothing"]
    answer = await exchange.v3_private_post_brokerage_orders_batch_cancel({"order_ids": ids})
    assert [(one["success"], one["failure_reason"]) for one in answer["results"]] == [
        (False, "ORDER_IS_FULLY_FILLED"),
        (False, "UNKNOWN_CANCEL_ORDER"),
        (False, "UNKNOWN_CANCEL_ORDER"),
    ]
    edit = await exchange.v3_private_post_brokerage_orders_edit({"order_id": gone["id"], "price": "51"})
    assert (edit["success"], edit["errors"][0]["edit_failure_reason"]) == (False, "ORDER_NOT_FOUND")
    partly = await exchange.create_order(SYMBOL, "limit", "buy", 1, 100)
    edit = {"order_id": partly["id"], "size": "0.5", "price": "99"}
    answer = await exchange.v3_private_post_brokerage_orders_edit(edit)
    assert answer["errors"][0]["edit_failure_reason"] == "CANNOT_EDIT_TO_BELOW_FILLED_SIZE"
    with pytest.raises(ccxt.ExchangeError, match="order with this orderID was not found"):
        await exchange.fetch_order("nothing", SYMBOL)


async def test_an_account_spends_what_it_has(tmp_path: Path) -> None:
    emulator = Coinbase(tmp_path, market="none", deposits={"USD": Decimal(100)})
    async with serve(emulator), talking(client("coinbase", emulator.url, key=KEYS[0], **V3)) as exchange:
        with pytest.raises(ccxt.InsufficientFunds):
            await exchange.create_order(SYMBOL, "limit", "sell", 0.5, 100)
        await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
        with pytest.raises(ccxt.InsufficientFunds):
            await exchange.create_order(SYMBOL, "limit", "buy", 0.6, 100)
        assert (await exchange.fetch_balance())["USD"] == {"free": 50, "used": 50, "total": 100}


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [
        (make_key("nobody"), ccxt.AuthenticationError, "401"),
        (Key(KEYS[0].key, make_key("nobody").secret), ccxt.AuthenticationError, "401"),
        (KEYS[1], ccxt.PermissionDenied, "PERMISSION_DENIED"),
    ],
)
async def test_keys_are_checked(coinbase: Coinbase, key: Key, error: type[Exception], words: str) -> None:
    async with talking(client("coinbase", coinbase.url, key=KEYS[0])) as exchange:
        exchange.apiKey, exchange.secret = key.key, key.secret
        with pytest.raises(error, match=words):
            await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
        refused: list[Any] = []
        exchange.handle_message = lambda _, message: refused.append(
            message
        )  # what ccxt raises ends its reading
        watching = asyncio.create_task(exchange.watch_orders())
        await until(lambda: bool(refused))
        watching.cancel()
        assert (refused[0].get("message") == "authentication failure") == (key is not KEYS[1])


@pytest.mark.parametrize("skew_s", [-10, 121])
async def test_a_token_is_good_for_two_minutes(exchange: Any, coinbase: Coinbase, skew_s: int) -> None:
    coinbase.skew_ns = skew_s * SECOND
    with pytest.raises(ccxt.AuthenticationError, match="401 Unauthorized"):
        await exchange.fetch_balance()
    coinbase.skew_ns = 0
    await exchange.fetch_balance()


async def test_a_token_is_good_for_one_request_alone(exchange: Any) -> None:
    signed = exchange.sign("brokerage/accounts", ["v3", "private"], "GET", {})
    async with aiohttp.ClientSession() as http:
        async with http.get(signed["url"], headers=signed["headers"]) as answer:
            assert answer.status == 200
        other = signed["url"].replace("accounts", "key_permissions")
        async with http.get(other, headers=signed["headers"]) as answer:
            assert (answer.status, await answer.text()) == (401, "Unauthorized\n")
        for header in ({}, {"Authorization": "Bearer a.b.c"}, {"Authorization": "Bearer nothing"}):
            async with http.get(signed["url"], headers=header) as answer:
                assert answer.status == 401


async def test_a_user_has_thirty_requests_in_a_second(exchange: Any, coinbase: Coinbase) -> None:
    now_ns = coinbase.engine.now_ns() + 60 * SECOND
    coinbase.engine.now_ns = lambda: now_ns  # type: ignore[method-assign]
    for _ in range(30):
        await exchange.fetch_balance()
    with pytest.raises(ccxt.RateLimitExceeded, match="rate_limit_exceeded"):
        await exchange.fetch_balance()
    now_ns += SECOND
    await exchange.fetch_balance()


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("busy", ccxt.ExchangeError),
        ("rate_limited", ccxt.RateLimitExceeded),
        ("banned", ccxt.BaseError),
        ("maintenance", ccxt.ExchangeError),
        ("skewed", ccxt.AuthenticationError),
        ("server_error", ccxt.ExchangeNotAvailable),
        ("reset", ccxt.NetworkError),
    ],
)
async def test_what_goes_wrong_is_worded_as_there(
    exchange: Any, coinbase: Coinbase, how: Any, error: type[Exception]
) -> None:
    coinbase.faults.add(Fault(how=how, what="new"))
    with pytest.raises(error):
        await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
    assert coinbase.engine.orders("default") == []
    await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
