"""Venues as people look at them: how each is configured, what its adapter can, and what a look at it has found."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from bestex import live, plugins
from bestex.config import Config
from bestex.instruments import BPS_E8


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it can be traded with, but should be changed
    WRONG = "wrong"
    UNKNOWN = "unknown"  # cannot be looked at


class Found(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was looked at. `text` is a sentence; `write` what to write in the configuration instead."""

    what: str
    verdict: Verdict
    text: str
    code: str = ""
    write: str = ""


Say = Callable[[Found], None]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """A listing as it is configured; decimals as text."""

    symbol: str
    tick: str
    lot: str
    taker_bps: str
    maker_bps: str
    max_order_value: str | None


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """One venue by the configuration alone. `lacks`: why it may not trade for real, though it is to."""

    venue: str
    kind: str
    adapter: str
    enabled: bool
    priority: int
    keys: str
    instruments: dict[str, Terms]
    max_open_orders: int | None
    lacks: list[str]
    capabilities: Any


def configured(config: Config) -> list[Configured]:
    return [_configured(name, config) for name in config.venues]


def _configured(name: str, config: Config) -> Configured:
    settings = config.venues[name]
    terms = {}
    for instrument in config.make_instruments().all:
        listing = instrument.listing(name)
        if listing is not None:
            most = config.limits.of_order(instrument.symbol).max_order_value
            terms[instrument.symbol] = Terms(
                symbol=listing.symbol,
                tick=f"{instrument.price(listing.tick):f}",
                lot=f"{instrument.qty(listing.lot):f}",
                taker_bps=f"{listing.taker_fee_e8 / BPS_E8:g}",
                maker_bps=f"{listing.maker_fee_e8 / BPS_E8:g}",
                max_order_value=None if most is None else f"{most:f}",
            )
    return Configured(
        venue=name,
        kind=settings.kind,
        adapter=settings.adapter,
        enabled=settings.enabled,
        priority=settings.priority,
        keys=settings.keys,
        instruments=terms,
        max_open_orders=config.limits.open_orders.get(name),
        lacks=[str(lack) for lack in live.lacking(name, config)],
        capabilities=msgspec.to_builtins(stated_capabilities(name, config)),
    )


def stated_capabilities(name: str, config: Config) -> Any:
    """The `Capabilities` of the real venue `name`, whatever its mode; None where it has no adapter for orders.

    An adapter states them with `stated(name, config)`, or by a class attribute where they do not depend on the name.
    """
    adapter = config.venues[name].adapter
    if adapter not in plugins.GATEWAYS:
        return None
    kind = plugins.load(plugins.GATEWAYS, adapter)
    stated = getattr(kind, "stated", None)
    return getattr(kind, "capabilities", None) if stated is None else stated(name, config)
