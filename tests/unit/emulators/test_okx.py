"""OKX as an unmodified ccxt sees it, and what ccxt does not look at."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import ccxt
import pytest

from bestex.messages import Side
from tests.emulators.faults import Fault
from tests.emulators.okx import Okx
from tests.emulators.okx_wire import checksum
from tests.unit.emulators.talking import PERP, SPOT, heard, quote
from tests.unit.emulators.talking_okx import EACH, IN_BASE, of
from tests.waiting import until


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
        await until(lambda: sum(len(one.state.get("args", ())) for one in okx.sockets) >= 2)
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
            lambda: (
                {one["channel"] for s in okx.sockets for one in s.state.get("args", ())}
                == {"trades", "bbo-tbt"}
            )
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


async def test_the_switch_cancels_unless_it_is_asked_again(okx: Okx) -> None:
    async with of(okx) as exchange:
        await exchange.create_order(SPOT, "limit", "buy", 0.5, 100)
        with pytest.raises(ccxt.BadRequest):
            await exchange.cancel_all_orders_after(1_000)
        okx.SWITCH_S = (1, 120)
        await exchange.cancel_all_orders_after(1_000)
        await until(lambda: not okx.engine.open_orders("default"))
