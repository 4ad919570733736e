"""What is traded where and on which terms, as it is configured: decimals, which become integers in `instruments`."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bestex.errors import ConfigError
from bestex.instruments import BPS_E8, Listing
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
    """Fees are `taker_bps` and `maker_bps`, or those of the tier that `traded_volume` reaches."""

    symbol: str = ""
    kind: Literal["spot", "perp", "dark"] = "spot"
    tick: Decimal
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
    """`calendar`: when it is traded, 24/7 or an exchange's hours (`bestex.sessions`)."""

    price_scale: Scale
    qty_scale: Scale
    start_price: Decimal = Decimal(100)
    calendar: str = "24/7"
    venues: dict[Name, ListingConfig]


def listing_of(path: str, symbol: str, item: InstrumentConfig, venue: str, terms: ListingConfig) -> Listing:
    def units(key: str, value: Decimal, scale: int) -> int:
        try:
            return to_units(value, scale)
        except UnitError as error:
            raise ConfigError(f"{path}.{key}: {error}") from None

    tick = units("tick", terms.tick, item.price_scale)
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
