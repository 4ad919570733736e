"""Binance as an unmodified ccxt sees it, and what ccxt does not look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import pytest

from bestex.messages import Side
from tests.emulators.binance import Binance
from tests.emulators.faults import Fault
from tests.emulators.server import Key, serve
from tests.unit.emulators.talking import SPOT, client, heard, quote, talking
from tests.waiting import until

KEYS = (Key(), Key(key="reader", secret="reads", account="reader", can_trade=False))
DEPOSITS = {"USDT": Decimal(1_000), "BTC": Decimal(1)}


@pytest.fixture
async def binance(tmp_path: Path) -> AsyncIterator[Binance]:
    async with serve(Binance(tmp_path, market="none", keys=KEYS)) as emulator:
        assert isinstance(emulator, Binance)
        yield emulator


@asynccontextmanager
async def of(emulator: Binance, key: Key | None = None) -> AsyncIterator[Any]:
    async with talking(
        client("binance", emulator.url, SPOT, key, fetchMarkets={"types": ["spot"]}, fetchMargins=False)
    ) as exchange:
        yield exchange


async def test_markets_have_the_filters_that_are_applied(binance: Binance) -> None:
    async with of(binance) as exchange:
        market = exchange.market(SPOT)
        assert sorted(exchange.symbols) == [SPOT, "ETH/USDT"]
        assert (market["precision"]["amount"], market["precision"]["price"]) == (1e-05, 0.01)
        assert market["limits"]["cost"]["min"] == 5


async def test_an_order_lives_and_dies(binance: Binance) -> None:
    async with of(binance) as exchange:
        made = await exchange.create_order(SPOT, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})
        assert (made["clientOrderId"], made["status"], made["filled"]) == ("one", "open", 0)
        [opened] = await exchange.fetch_open_orders(SPOT)
        assert opened["id"] == made["id"]
        found = await exchange.fetch_order(None, SPOT, {"origClientOrderId": "one"})
        assert (found["amount"], found["price"]) == (0.5, 100)
        await exchange.cancel_order(made["id"], SPOT)
        assert (await exchange.fetch_order(made["id"], SPOT))["status"] == "canceled"
        assert await exchange.fetch_open_orders(SPOT) == []


async def test_a_client_id_is_free_again_once_its_order_has_ended(binance: Binance) -> None:
    async with of(binance) as exchange:
        params = {"clientOrderId": "one"}
        made = await exchange.create_order(SPOT, "limit", "buy", 0.5, 100, params)
        with pytest.raises(ccxt.InvalidOrder, match="Duplicate"):
            await exchange.create_order(SPOT, "limit", "buy", 0.5, 100, params)
        await exchange.cancel_order(made["id"], SPOT)
        again = await exchange.create_order(SPOT, "limit", "buy", 0.5, 100, params)
        assert again["id"] != made["id"]
        journal = [order.client_id for order in binance.engine.orders("default")]
        assert journal == ["one", "one~2"], "the journal tells the second one apart"


async def test_the_book_is_the_engines_through_every_change(binance: Binance) -> None:
    async with of(binance) as exchange:
        quote(binance, SPOT, "99", "101")

        def first(said: Any) -> bool:
            return bool(said["bids"] and said["bids"][0] == [99, 1])

        book = asyncio.create_task(heard(lambda: exchange.watch_order_book(SPOT), first))
        await until(lambda: bool(binance.sockets and binance.sockets[0].topics))
        quote(binance, SPOT, "98", "102", "2")
        await asyncio.wait_for(book, 10)
        binance.engine.submit("default", SPOT, Side.SELL, Decimal("0.4"), Decimal(99))

        def right(said: Any) -> bool:
            return bool(said["bids"] == [[99, 0.6], [98, 2]] and said["asks"] == [[101, 1], [102, 2]])

        assert await asyncio.wait_for(heard(lambda: exchange.watch_order_book(SPOT), right), 10)


async def test_trades_of_ours_come_by_the_stream_and_by_the_list_with_one_id(binance: Binance) -> None:
    async with of(binance) as exchange:
        watched = asyncio.create_task(exchange.watch_my_trades(SPOT))
        await until(lambda: any(socket.account for socket in binance.sockets))
        await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        binance.engine.submit("other", SPOT, Side.SELL, Decimal("0.5"), Decimal(100))
        [told] = await asyncio.wait_for(watched, 10)
        [listed] = await exchange.fetch_my_trades(SPOT)
        assert (told["id"], told["price"], told["amount"]) == (listed["id"], 100, 0.5)
        assert (listed["takerOrMaker"], listed["fee"]["currency"]) == ("maker", "BTC")


async def test_the_list_of_trades_is_paged_by_number_and_holds_a_day_at_most(binance: Binance) -> None:
    async with of(binance) as exchange:
        for _ in range(3):
            binance.engine.submit("other", SPOT, Side.SELL, Decimal("0.1"), Decimal(100))
            await exchange.create_order(SPOT, "limit", "buy", 0.1, 100)
        first, second, third = await exchange.fetch_my_trades(SPOT)
        page = await exchange.fetch_my_trades(SPOT, None, 2, {"fromId": int(second["id"])})
        assert [trade["id"] for trade in page] == [second["id"], third["id"]]
        span = {"endTime": first["timestamp"] + 2 * 86_400_000}
        with pytest.raises(ccxt.BaseError, match="24 hours"):
            await exchange.fetch_my_trades(SPOT, first["timestamp"], 2, span)


@pytest.mark.parametrize(
    ("change", "code", "error"),
    [
        ({"price": 100.001}, "PRICE_FILTER", ccxt.InvalidOrder),
        ({"amount": 0.00001}, "NOTIONAL", ccxt.BadRequest),
        ({"amount": 100}, "insufficient", ccxt.InsufficientFunds),
        ({"side": "sell", "amount": 2}, "insufficient", ccxt.InsufficientFunds),
    ],
)
async def test_refusals_are_worded_as_the_exchange_words_them(
    tmp_path: Path, change: dict[str, Any], code: str, error: type[Exception]
) -> None:
    made = Binance(tmp_path, market="none", deposits=DEPOSITS)
    async with serve(made), of(made) as exchange:
        order = {"symbol": SPOT, "side": "buy", "amount": 0.1, "price": 100, **change}
        exchange.markets[SPOT]["precision"]["price"] = 0.0001  # so that ccxt does not round it away
        with pytest.raises(error, match=code):
            await exchange.create_order(
                order["symbol"], "limit", order["side"], order["amount"], order["price"]
            )
        assert made.engine.open_orders("default") == []


async def test_wrong_signatures_wrong_clocks_and_missing_rights_are_refused(binance: Binance) -> None:
    for key, error in (
        (Key(secret="wrong"), ccxt.AuthenticationError),
        (Key(key="wrong"), ccxt.AuthenticationError),
        (KEYS[1], ccxt.AuthenticationError),
    ):
        async with of(binance, key) as exchange:
            with pytest.raises(error):
                await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
    binance.skew_ns = 10 * 10**9
    async with of(binance) as exchange:
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        await exchange.load_time_difference()
        await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("rate_limited", ccxt.DDoSProtection),
        ("banned", ccxt.DDoSProtection),
        ("busy", ccxt.BaseError),
        ("maintenance", ccxt.BaseError),
        ("truncated", ccxt.BaseError),
        ("reset", ccxt.ExchangeNotAvailable),
    ],
)
async def test_faults_look_as_they_do_at_the_exchange(binance: Binance, how: Any, error: Any) -> None:
    async with of(binance) as exchange:
        binance.faults.add(Fault(how=how, what="new"))
        with pytest.raises(error):
            await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        assert binance.engine.open_orders("default") == []
