"""What Kraken refuses, in its own words, and what ccxt makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import pytest

from bestex.clock import SECOND
from tests.emulators.faults import Fault
from tests.emulators.kraken import Kraken
from tests.emulators.kraken_orders import Counter, weight
from tests.emulators.kraken_rest import KEY
from tests.emulators.server import Key, serve
from tests.unit.emulators.talking import client, quote, talking

SYMBOL = "BTC/USD"
READER = Key(key="reader", secret=KEY.secret, account="reader", can_trade=False)
ORDER = {
    "pair": "XBTUSD",
    "type": "buy",
    "ordertype": "limit",
    "volume": "0.5",
    "price": "100",
    "cl_ord_id": "new",
}
# The same order over the websocket.
NAMES = {"type": "side", "ordertype": "order_type", "volume": "order_qty", "price": "limit_price"}
REFUSALS = [
    ({"volume": "0.500000001"}, "EGeneral:Invalid arguments:volume", ccxt.InvalidOrder),
    ({"volume": "0.00001"}, "EOrder:Order minimum not met", ccxt.InvalidOrder),
    ({"volume": "0.0001"}, "EOrder:Cost minimum not met", ccxt.ExchangeError),
    ({"volume": "-1"}, "EGeneral:Invalid arguments:volume", ccxt.InvalidOrder),
    ({"volume": "many"}, "EGeneral:Invalid arguments:volume", ccxt.InvalidOrder),
    ({"price": "100.01"}, "EOrder:Tick size check failed", ccxt.ExchangeError),
    ({"price": "0"}, "EGeneral:Invalid arguments:price", ccxt.InvalidOrder),
    ({"cl_ord_id": "taken"}, "EOrder:Duplicate cl_ord_id", ccxt.ExchangeError),
    ({"cl_ord_id": "x" * 19}, "EGeneral:Invalid arguments:cl_ord_id", ccxt.ExchangeError),
    ({"userref": "5"}, "EGeneral:Invalid arguments", ccxt.BadRequest),
    ({"type": "both"}, "EGeneral:Invalid arguments:type", ccxt.ExchangeError),
    ({"ordertype": "guess"}, "EGeneral:Invalid arguments:ordertype", ccxt.ExchangeError),
    ({"timeinforce": "FOK"}, "EGeneral:Invalid arguments:timeinforce", ccxt.ExchangeError),
    ({"oflags": "viqc"}, "EGeneral:Invalid arguments:oflags", ccxt.ExchangeError),
    ({"oflags": "post", "timeinforce": "IOC"}, "EGeneral:Invalid arguments", ccxt.BadRequest),
    ({"pair": "NONE"}, "EQuery:Unknown asset pair", ccxt.ExchangeError),
    ({"deadline": "soon"}, "EGeneral:Invalid arguments:deadline", ccxt.ExchangeError),
]


@pytest.fixture
async def kraken(tmp_path: Path) -> AsyncIterator[Kraken]:
    async with serve(Kraken(tmp_path, market="none", keys=(KEY, READER))) as emulator:
        assert isinstance(emulator, Kraken)
        yield emulator


@pytest.fixture
async def exchange(kraken: Kraken) -> AsyncIterator[Any]:
    async with talking(client("kraken", kraken.url, key=KEY)) as made:
        yield made


async def test_mistakes_have_the_exchanges_words(exchange: Any, kraken: Kraken) -> None:
    await exchange.private_post_addorder({**ORDER, "cl_ord_id": "taken"})
    for changed, words, error in REFUSALS:
        with pytest.raises(error) as refused:
            await exchange.private_post_addorder({**ORDER, **changed})
        assert f'{{"error":["{words}"]}}' in str(refused.value), changed
    assert len(kraken.engine.orders("default")) == 1


async def test_the_websocket_has_the_same_words(exchange: Any) -> None:
    for changed, words, _ in REFUSALS:
        if changed.keys() & {"oflags", "userref", "pair"} or changed.get("cl_ord_id") == "taken":
            continue  # are worded in another way there
        order = {NAMES.get(name, name): value for name, value in {**ORDER, **changed}.items()}
        if "timeinforce" in order:
            order["time_in_force"] = order.pop("timeinforce")
        token = await exchange.authenticate()
        request = {"method": "add_order", "req_id": exchange.request_id()}
        request["params"] = {**order, "symbol": SYMBOL, "token": token}
        del request["params"]["pair"]
        url, name = exchange.urls["api"]["ws"]["privateV2"], str(request["req_id"])
        with pytest.raises(ccxt.ExchangeError, match=words):
            await asyncio.wait_for(exchange.watch(url, name, request, name), 10)


async def test_what_would_take_is_refused(exchange: Any, kraken: Kraken) -> None:
    quote(kraken, SYMBOL, "99", "100")
    with pytest.raises(ccxt.ExchangeError, match="EOrder:Post only order"):
        await exchange.create_order(
            SYMBOL, "limit", "buy", 0.5, 100, {"postOnly": True, "clientOrderId": "one"}
        )
    assert await exchange.fetch_closed_orders(SYMBOL) == []
    await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 99, {"postOnly": True, "clientOrderId": "one"})
    with pytest.raises(ccxt.ExchangeError, match="EOrder:Post only order"):
        await exchange.edit_order(None, SYMBOL, "limit", "buy", 0.5, 100, {"clientOrderId": "one"})


async def test_what_has_ended_cannot_be_cancelled_or_changed(exchange: Any, kraken: Kraken) -> None:
    with pytest.raises(ccxt.OrderNotFound, match="EOrder:Unknown order"):
        await exchange.cancel_order(None, SYMBOL, {"clientOrderId": "nothing"})
    made = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
    kraken.engine.cancel_all("default")
    with pytest.raises(ccxt.OrderNotFound, match="EOrder:Unknown order"):
        await exchange.cancel_order(made["id"], SYMBOL)
    with pytest.raises(ccxt.InvalidOrder, match="EOrder:Unknown order"):
        await exchange.edit_order(made["id"], SYMBOL, "limit", "buy", 0.5, 101)


async def test_an_order_after_its_deadline_is_not_taken(exchange: Any, kraken: Kraken) -> None:
    def at(seconds: float) -> dict[str, str]:
        return {"deadline": exchange.iso8601(int(kraken.now_ms() + seconds * 1_000))}

    with pytest.raises(ccxt.ExchangeError, match="EService:Deadline elapsed"):
        await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, at(-0.5))
    with pytest.raises(ccxt.ExchangeError, match="EGeneral:Invalid arguments:deadline"):
        await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, at(90))
    await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, at(10))
    assert len(kraken.engine.orders("default")) == 1


async def test_an_account_spends_what_it_has(tmp_path: Path) -> None:
    emulator = Kraken(tmp_path, market="none", deposits={"USD": Decimal(100)})
    async with serve(emulator), talking(client("kraken", emulator.url, key=KEY)) as exchange:
        with pytest.raises(ccxt.InsufficientFunds):
            await exchange.create_order(SYMBOL, "limit", "sell", 0.5, 100)
        await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
        with pytest.raises(ccxt.InsufficientFunds):
            await exchange.create_order(SYMBOL, "limit", "buy", 0.6, 100)
        assert (await exchange.fetch_balance())["USD"] == {"free": 50, "used": 50, "total": 100}


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [
        (Key(key="nobody", secret=KEY.secret), ccxt.AuthenticationError, "EAPI:Invalid key"),
        (Key(secret="d3Jvbmc="), ccxt.ExchangeError, "EAPI:Invalid signature"),
        (READER, ccxt.PermissionDenied, "EGeneral:Permission denied"),
    ],
)
async def test_keys_are_checked(kraken: Kraken, key: Key, error: type[Exception], words: str) -> None:
    async with talking(client("kraken", kraken.url, key=key)) as exchange:
        with pytest.raises(error, match=words):
            await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
        if key is READER:
            info = (await exchange.private_post_getapikeyinfo())["result"]
            assert "modify-trades" not in info["permissions"]
            assert await exchange.fetch_open_orders(SYMBOL) == []


async def test_a_nonce_is_used_once_and_rises(exchange: Any, kraken: Kraken) -> None:
    await exchange.fetch_balance()
    last = exchange.options["lastNonce"]
    exchange.incrementing_nonce = lambda: last
    with pytest.raises(ccxt.InvalidNonce, match="EAPI:Invalid nonce"):
        await exchange.fetch_balance()
    exchange.incrementing_nonce = lambda: last - 5
    with pytest.raises(ccxt.InvalidNonce):
        await exchange.fetch_balance()
    kraken.nonce_window = 10
    await exchange.fetch_balance()
    with pytest.raises(ccxt.InvalidNonce):
        await exchange.fetch_balance()  # within the window, and used


async def test_calls_are_counted_and_the_count_decays(exchange: Any, kraken: Kraken) -> None:
    now_ns = 1_800_000_000 * SECOND
    kraken.engine.now_ns = lambda: now_ns  # type: ignore[method-assign]
    for _ in range(10):
        await exchange.fetch_my_trades(SYMBOL)  # counts two
    with pytest.raises(ccxt.DDoSProtection, match="EAPI:Rate limit exceeded"):
        await exchange.fetch_balance()
    await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)  # orders are counted elsewhere
    now_ns += SECOND
    await exchange.fetch_balance()
    for _ in range(10):
        with pytest.raises(ccxt.DDoSProtection, match="EAPI:Rate limit exceeded"):
            await exchange.fetch_balance()
    with pytest.raises(ccxt.DDoSProtection, match="EGeneral:Temporary lockout"):
        await exchange.fetch_balance()
    now_ns += 60 * SECOND
    with pytest.raises(ccxt.DDoSProtection, match="EGeneral:Temporary lockout"):
        await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
    now_ns += 900 * SECOND
    await exchange.fetch_balance()


async def test_an_order_that_is_cancelled_young_counts_much(exchange: Any, kraken: Kraken) -> None:
    now_ns = kraken.engine.now_ns()
    kraken.engine.now_ns = lambda: now_ns  # type: ignore[method-assign]
    for _ in range(20):  # of 180
        made = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
        await exchange.cancel_order(made["id"], SYMBOL)
    with pytest.raises(ccxt.DDoSProtection, match="EOrder:Rate limit exceeded"):
        await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
    await exchange.create_order("ETH/USD", "limit", "buy", 0.5, 100)  # each pair by itself
    now_ns += SECOND
    await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)


def test_a_counter_decays_to_nothing_and_not_below() -> None:
    counter = Counter(limit=10, decay_per_s=2)
    assert counter.fits(10, 100.0)
    assert not counter.fits(1, 100.4)
    assert counter.fits(1, 100.5)
    assert counter.fits(10, 1_000.0)
    assert not counter.fits(1, 1_000.0)


@pytest.mark.parametrize(
    ("act", "rested_s", "counts"),
    [
        ("add", 0, 1),
        ("cancel", 4.9, 8),
        ("cancel", 5, 6),
        ("cancel", 299, 1),
        ("cancel", 301, 0),
        ("amend", 20, 1),
    ],
)
def test_what_an_act_counts_depends_on_how_long_the_order_rested(
    act: str, rested_s: float, counts: int
) -> None:
    assert weight(act, rested_s) == counts


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("busy", ccxt.ExchangeNotAvailable),
        ("rate_limited", ccxt.DDoSProtection),
        ("banned", ccxt.DDoSProtection),
        ("maintenance", ccxt.ExchangeNotAvailable),
        ("skewed", ccxt.InvalidNonce),
        ("server_error", ccxt.ExchangeNotAvailable),
        ("reset", ccxt.NetworkError),
    ],
)
async def test_what_goes_wrong_is_worded_as_there(
    exchange: Any, kraken: Kraken, how: Any, error: type[Exception]
) -> None:
    kraken.faults.add(Fault(how=how, what="new"))
    with pytest.raises(error):
        await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
    assert kraken.engine.orders("default") == []
    await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100)
