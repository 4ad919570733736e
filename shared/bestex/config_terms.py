"""What is traded where and on which terms, as it is configured: decimals, which become integers in `instruments`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import gcd
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bestex.errors import Code, ConfigError
from bestex.instruments import BPS_E8, Listing, wrong_ticks
from bestex.units import MAX_SCALE, UnitError, to_units

Name = Annotated[str, Meta(pattern=r"\A[a-z0-9_]{1,24}\Z")]
Scale = Annotated[int, Meta(ge=0, le=MAX_SCALE)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: immutable, and a misspelt key is an error."""


class FeeTier(Section, frozen=True, kw_only=True):
    """The fees of whoever has traded at least `volume` there, in quote, over the venue's own period."""

    volume: Decimal
    taker_bps: Decimal
    maker_bps: Decimal


class ListingConfig(Section, frozen=True, kw_only=True):
    """Fees are `taker_bps` and `maker_bps`, or those of the tier that `traded_volume` reaches. `tick` is one for all
    prices; `ticks`, in its place, says from which price on which one holds: [["0", "1"], ["2000", "5"], ...]."""

    symbol: str = ""
    kind: Literal["spot", "perp", "dark"] = "spot"
    tick: Decimal | None = None
    ticks: list[tuple[Decimal, Decimal]] = []
    lot: Decimal
    min_qty: Decimal | None = None
    max_qty: Decimal | None = None
    min_notional: Decimal = Decimal(0)
    taker_bps: Decimal = Decimal(0)
    maker_bps: Decimal = Decimal(0)
    ticket_fee: Decimal = Decimal(0)
    fee_tiers: list[FeeTier] = []
    traded_volume: Decimal = Decimal(0)
    contract_size: Decimal | None = None
    inverse: bool = False

    @property
    def fees_bps(self) -> tuple[Decimal, Decimal]:
        """Taker's and maker's."""
        reached = [tier for tier in self.fee_tiers if tier.volume <= self.traded_volume]
        if not reached:
            return self.taker_bps, self.maker_bps
        best = max(reached, key=lambda tier: tier.volume)
        return best.taker_bps, best.maker_bps


class InstrumentConfig(Section, frozen=True, kw_only=True):
    """`calendar`: when it is traded, 24/7 or an exchange's hours (`bestex.sessions`); where none is given, whenever
    one of its venues trades."""

    price_scale: Scale
    qty_scale: Scale
    start_price: Decimal = Decimal(100)
    calendar: str = ""
    venues: dict[Name, ListingConfig]


def mixed(real: Sequence[str], others: Sequence[str]) -> str:
    """What is wrong with an instrument whose orders are real at some venues and simulated at others. One that is
    worked for real at one venue and not at another would be half of what it says that it is."""
    if not real or not others:
        return ""
    return (
        f"{', '.join(real)} would trade for real, {', '.join(others)} would not, and one order may go to all; "
        f"write the same mode for all, or enabled = false ({Code.LIVE_MIXED})"
    )


def listing_of(path: str, symbol: str, item: InstrumentConfig, venue: str, terms: ListingConfig) -> Listing:
    def units(key: str, value: Decimal, scale: int) -> int:
        try:
            return to_units(value, scale)
        except UnitError as error:
            raise ConfigError(f"{path}.{key}: {error}") from None

    if (terms.tick is None) == (not terms.ticks):
        raise ConfigError(f"{path}: either tick or ticks must be given")
    ticks = tuple(
        (units("ticks", start, item.price_scale), units("ticks", tick, item.price_scale))
        for start, tick in terms.ticks
    )
    if ticks and (wrong := wrong_ticks(ticks)):
        raise ConfigError(f"{path}.ticks: {wrong}")
    tick = (
        gcd(*(tick for _, tick in ticks))
        if terms.tick is None
        else units("tick", terms.tick, item.price_scale)
    )
    lot = units("lot", terms.lot, item.qty_scale)
    if tick < 1 or lot < 1:
        raise ConfigError(f"{path}: tick and lot must be positive")
    min_qty = lot if terms.min_qty is None else units("min_qty", terms.min_qty, item.qty_scale)
    max_qty = 0 if terms.max_qty is None else units("max_qty", terms.max_qty, item.qty_scale)
    if min_qty % lot or max_qty % lot:
        raise ConfigError(f"{path}: min_qty and max_qty must be multiples of lot")
    taker_bps, maker_bps = terms.fees_bps
    contract = 1
    if terms.contract_size is not None:
        contract = units("contract_size", terms.contract_size, 0 if terms.inverse else item.qty_scale)
    return Listing(
        venue=venue,
        symbol=terms.symbol or symbol,
        kind=terms.kind,
        tick=tick,
        ticks=ticks,
        lot=lot,
        min_qty=min_qty,
        max_qty=max_qty,
        min_notional=units("min_notional", terms.min_notional, item.price_scale + item.qty_scale),
        taker_fee_e8=int(taker_bps * BPS_E8),
        maker_fee_e8=int(maker_bps * BPS_E8),
        ticket_fee=units("ticket_fee", terms.ticket_fee, item.price_scale + item.qty_scale),
        contract_size=contract,
        inverse=terms.inverse,
    )
