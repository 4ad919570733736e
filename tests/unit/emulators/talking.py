"""Unmodified clients of ccxt that talk to an emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import ccxt.pro

from bestex.ccxt_client import move
from bestex.messages import Side
from tests.emulators.server import Emulator, Key

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"
TYPES = {SPOT: "spot", PERP: "swap"}


def client(name: str, url: str, symbol: str = SPOT, key: Key | None = None, **options: Any) -> Any:
    """Of the account of `key`, for the market of `symbol`."""
    key = key or Key()
    made = getattr(ccxt.pro, name)(
        {
            "enableRateLimit": False,
            "apiKey": key.key,
            "secret": key.secret,
            "password": key.passphrase,
            "newUpdates": True,
            "timeout": 5_000,
            "options": {"defaultType": TYPES[symbol], **options},
        }
    )
    made.has["fetchCurrencies"] = False
    move(made, url)
    return made


@asynccontextmanager
async def talking(made: Any) -> AsyncIterator[Any]:
    """Loads the markets; closes it in the end."""
    try:
        await made.load_markets()
        yield made
    finally:
        await made.close()


def quote(emulator: Emulator, symbol: str, bid: str, ask: str, qty: str = "1") -> None:
    """Somebody else's orders on both sides."""
    for side, price in ((Side.BUY, bid), (Side.SELL, ask)):
        answer = emulator.engine.submit("other", symbol, side, Decimal(qty), Decimal(price))
        assert answer.ok, answer.text


async def heard(watch: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """The first of what a `watch_...` says that is wanted."""
    while True:
        said = await watch()
        for one in said if isinstance(said, list) else [said]:
            if wanted(one):
                return one
