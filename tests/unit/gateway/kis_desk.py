"""KIS's adapter at a desk of the contract: its emulator, other settings, a second adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from bestex.clock import SECOND
from bestex.config import Config
from services.gateway import port as p
from services.gateway.venues.kis.adapter import KisVenue
from tests.contract.rigs import CLOCK, Desk
from tests.emulators.kis import Kis
from tests.waiting import until


def kis(desk: Desk) -> Kis:
    assert isinstance(desk.emulator, Kis)
    return desk.emulator


def optioned(config: Config, venue: str, **options: Any) -> Config:
    changed = msgspec.structs.replace(config.venues[venue], options=options)
    return msgspec.structs.replace(config, venues={**config.venues, venue: changed})


@asynccontextmanager
async def connected(desk: Desk, config: Config) -> AsyncIterator[KisVenue]:
    """Another adapter than the desk's, with its own settings."""
    venue = KisVenue(desk.rig.venue, config, CLOCK)
    heard: list[Any] = []
    await venue.connect(lambda said: heard.append(said), CLOCK.now_ns)
    try:
        await until(lambda: any(isinstance(one, p.SessionState) for one in heard))
        yield venue
    finally:
        await venue.disconnect()


def replace(desk: Desk, child_id: str, venue_order_id: str, off: int = -3, qty: int = 0) -> p.Replace:
    order = desk.order(child_id, off=off)
    return p.Replace(
        venue=desk.rig.venue,
        symbol="BTC/USDT",
        child_id=child_id,
        venue_order_id=venue_order_id,
        side=order.side,
        qty=qty or order.qty,
        price=order.price,
        deadline_ns=CLOCK.now_ns() + 5 * SECOND,
    )
