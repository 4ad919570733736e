"""Clients of ccxt that talk to an emulated OKX."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.emulators.okx import Okx
from tests.emulators.server import Key
from tests.unit.emulators.talking import PERP, SPOT, client, talking

KEYS = (Key(), Key(key="reader", secret="reads", account="reader", can_trade=False))
FETCH: dict[str, Any] = {"fetchMarkets": {"types": ["spot", "swap"]}}
EACH = pytest.mark.parametrize("symbol", [SPOT, PERP])
IDS = {SPOT: "BTC-USDT", PERP: "BTC-USDT-SWAP"}
IN_BASE = {SPOT: 1, PERP: 100}  # what is to be ordered for one BTC


@asynccontextmanager
async def of(emulator: Okx, symbol: str = SPOT, key: Key | None = None) -> AsyncIterator[Any]:
    async with talking(client("okx", emulator.url, symbol, key, **FETCH)) as exchange:
        yield exchange
