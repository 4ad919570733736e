"""What venues show within the limit, and the parameters of the strategies that go by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from bestex.errors import Code
from bestex.ladder import Level
from services.router.strategies.base import RouteTask, Strategy, levels_by_venue


@dataclass(frozen=True, slots=True)
class Survey:
    """`shown`: liquidity within the limit by venue, in quantity units, or in price x quantity units for quote.

    `thin` are the venues left out for too small a share of it, with the reason; the others are in `levels`.
    """

    levels: dict[str, list[Level]]
    shown: dict[str, int]
    thin: dict[str, str]


class LiquidityStrategy(Strategy, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the strategies that compare venues by what they show."""

    liquidity_type: Annotated[
        Literal["base", "quote"],
        Meta(description="Liquidity as quantity (base) or as its value, price x quantity (quote)."),
    ] = "base"
    min_liquidity_percent: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="Without venues that have less than this share of all liquidity: 5 is 5 %.",
            extra={"range": "0, or from 1 to 100"},
        ),
    ] = 0

    def __post_init__(self) -> None:
        # Below one percent it would leave out hardly anybody: it is a fraction where percent are asked for.
        if 0 < self.min_liquidity_percent < 1:
            given = self.min_liquidity_percent
            raise ValueError(
                f"min_liquidity_percent is in percent, 0 or from 1 to 100; for {given * 100:g} % write "
                f"{given * 100:g}, not {given:g}"
            )
        super().__post_init__()

    def survey(self, task: RouteTask) -> Survey:
        """The venues' liquidity within the limit, without those that are thin. Caps do not count in it."""
        levels = levels_by_venue(task)
        shown = {venue: self.liquidity(own) for venue, own in levels.items()}
        total = sum(shown.values())
        thin = {
            venue: f"{Code.NOT_SELECTED}: less of the liquidity than min_liquidity_percent"
            for venue, liquidity in shown.items()
            if 100 * liquidity < self.min_liquidity_percent * total
        }
        kept = {venue: own for venue, own in levels.items() if venue not in thin}
        return Survey(kept, shown, thin)

    def liquidity(self, levels: Sequence[Level]) -> int:
        """What these levels show, in the units of `liquidity_type`."""
        if self.liquidity_type == "quote":
            return sum(level.own_price * level.qty for level in levels)
        return sum(level.qty for level in levels)
