"""Binance USD-M as an unmodified ccxt sees it, and what ccxt does not look at."""

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
from tests.emulators.binance_perp import BinancePerp
from tests.emulators.faults import Fault
from tests.emulators.server import serve
from tests.unit.emulators.talking import PERP, client, heard, quote, talking
from tests.waiting import until


@pytest.fixture
async def perps(tmp_path: Path) -> AsyncIterator[BinancePerp]:
    async with serve(BinancePerp(tmp_path, market="none")) as emulator:
        assert isinstance(emulator, BinancePerp)
        yield emulator


@asynccontextmanager
async def of(emulator: BinancePerp) -> AsyncIterator[Any]:
    async with talking(client("binanceusdm", emulator.url, PERP)) as exchange:
        yield exchange


async def test_an_order_lives_is_amended_in_place_and_dies(perps: BinancePerp) -> None:
    async with of(perps) as exchange:
        made = await exchange.create_order(PERP, "limit", "buy", 2, 100, {"clientOrderId": "one"})
        assert (made["clientOrderId"], made["status"]) == ("one", "open")
        edited = await exchange.edit_order(made["id"], PERP, "limit", "buy", 1.5, 101)
        assert (edited["id"], edited["amount"], edited["price"]) == (made["id"], 1.5, 101)
        found = await exchange.fetch_order(None, PERP, {"origClientOrderId": "one"})
        assert (found["id"], found["amount"]) == (made["id"], 1.5)
        [opened] = await exchange.fetch_open_orders(PERP)
        assert opened["id"] == made["id"]
        await exchange.cancel_order(made["id"], PERP)
        [ended] = await exchange.fetch_orders(PERP)
        assert (ended["status"], await exchange.fetch_open_orders(PERP)) == ("canceled", [])
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.cancel_order(made["id"], PERP)


async def test_orders_over_the_websocket_are_the_same_orders(perps: BinancePerp) -> None:
    async with of(perps) as exchange:
        made = await exchange.create_order_ws(PERP, "limit", "buy", 2, 100, {"clientOrderId": "one"})
        edited = await exchange.edit_order_ws(made["id"], PERP, "limit", "buy", 1.5, 100)
        assert (edited["id"], edited["amount"]) == (made["id"], 1.5)
        await exchange.cancel_order_ws(made["id"], PERP)
        [order] = perps.engine.orders("default")
        assert (order.client_id, order.state) == ("one", "canceled")


async def test_the_book_is_the_engines_through_every_change(perps: BinancePerp) -> None:
    async with of(perps) as exchange:
        quote(perps, PERP, "99", "101", "2")

        def right(said: Any) -> bool:
            return bool(said["bids"] == [[99, 0.8], [98, 3]] and said["asks"] == [[101, 2], [102, 3]])

        watching = asyncio.create_task(heard(lambda: exchange.watch_order_book(PERP), right))
        await until(lambda: bool(perps.sockets and perps.sockets[0].topics))
        quote(perps, PERP, "98", "102", "3")
        perps.engine.submit("default", PERP, Side.SELL, Decimal("1.2"), Decimal(99))
        assert await asyncio.wait_for(watching, 10)


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"amount": 0.5}, ccxt.BaseError, "-4164"),
        ({"amount": 2_000}, ccxt.BaseError, "-4005"),
        ({"params": {"clientOrderId": "x" * 37}}, ccxt.BaseError, "-4015"),
        ({"params": {"timeInForce": "GTX"}, "price": 101}, ccxt.InvalidOrder, "-5022"),
        ({"params": {"timeInForce": "FOK"}, "amount": 3, "price": 101}, ccxt.InvalidOrder, "-5021"),
        ({"params": {"reduceOnly": True}}, ccxt.BaseError, "-2022"),
        ({"params": {"timeInForce": "GTD", "goodTillDate": 1_700_000_000_000}}, ccxt.BaseError, "-5040"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_refusals_have_the_codes_of_the_exchange(
    perps: BinancePerp, change: dict[str, Any], error: Any, code: str
) -> None:
    async with of(perps) as exchange:
        quote(perps, PERP, "99", "101", "2")
        order = {"amount": 2, "price": 100, "params": {}, **change}
        with pytest.raises(error, match=code):
            await exchange.create_order(
                PERP, "limit", "buy", order["amount"], order["price"], order["params"]
            )
        assert perps.engine.open_orders("default") == []


async def test_margin_and_duplicate_ids_are_refused(tmp_path: Path) -> None:
    made = BinancePerp(tmp_path, market="none", deposits={"USDT": Decimal(100)})
    async with serve(made), of(made) as exchange:
        await exchange.create_order(PERP, "limit", "buy", 2, 100, {"clientOrderId": "one"})
        with pytest.raises(ccxt.BaseError, match="-4116"):
            await exchange.create_order(PERP, "limit", "buy", 2, 100, {"clientOrderId": "one"})
        with pytest.raises(ccxt.ExchangeError, match="-2019"):
            await exchange.create_order(PERP, "limit", "buy", 20, 100)


async def test_all_orders_are_cancelled_when_nobody_asks_again(perps: BinancePerp) -> None:
    async with of(perps) as exchange:
        await exchange.create_order(PERP, "limit", "buy", 2, 100)
        asked = {"symbol": "BTCUSDT", "countdownTime": 50}
        assert (await exchange.fapiPrivatePostCountdownCancelAll(asked))["countdownTime"] == "50"
        await until(lambda: not perps.engine.open_orders("default"), 10)


async def test_a_lost_answer_leaves_the_order_there(perps: BinancePerp) -> None:
    async with of(perps) as exchange:
        perps.faults.add(Fault(how="reset", what="new", when="after"))
        with pytest.raises(ccxt.NetworkError):
            await exchange.create_order(PERP, "limit", "buy", 2, 100, {"clientOrderId": "one"})
        found = await exchange.fetch_order(None, PERP, {"origClientOrderId": "one"})
        assert found["status"] == "open"
