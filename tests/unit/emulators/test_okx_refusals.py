"""What OKX refuses, in its own codes, and what ccxt makes of them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import pytest

from tests.emulators.faults import Fault
from tests.emulators.okx import Okx
from tests.emulators.server import Key, serve
from tests.unit.emulators.talking import PERP, SPOT, quote
from tests.unit.emulators.talking_okx import EACH, IDS, KEYS, of

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
