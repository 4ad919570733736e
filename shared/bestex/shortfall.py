"""What an order cost against its arrival price, in parts that sum exactly.

Implementation shortfall (Perold 1988, "The Implementation Shortfall: Paper versus Reality") with the parts of
Wagner and Edwards (1993). With sign s (+1 buy), quantity Q of which q filled for the notional N, and the mids
P0 on arrival (at acceptance, or at a later start), P1 when the first child was decided, P2 at the end:

    delay        s q (P1 - P0)
    trading      s (N - q P1)
    opportunity  s (Q - q) (P2 - P0)
    shortfall    delay + trading + opportunity + fees  =  s (N - q P0) + s (Q - q)(P2 - P0) + fees

Where the touch before each trade is known the same sum is told trade by trade. A trade of q at p, on a venue that
quotes b above the consolidated market (its basis), when the consolidated mid was M and half the spread h:

    timing       s q (M - P0)                 the market had gone there since the arrival, by itself or after us
    spread       q h where we took, -q h where we rested; h is negative while venues' quotes cross
    impact       s q (p - b - M) - spread     beyond the touch: depth that was walked, quotes that had gone meanwhile
    basis        s q b                        what such a contract is dearer by: a price of another thing, and no cost

    total        spread + fees + impact + timing + opportunity  =  shortfall - basis

Where it is known what taking the rest at the end would have paid (R) and its fees (F), the rest counts with that, and
an order that fills little does not look cheap:

    opportunity  s (R - (Q - q) P0) + F

Everything is exact in decimals of quote. Positive is cost, on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, localcontext
from typing import Literal, NamedTuple

import msgspec

from bestex.messages import Side
from bestex.units import EXACT, total

BPS = 10_000
AVERAGE = Context(prec=28)  # a quotient has no last digit: this many are more than anybody reads


class Shortfall(NamedTuple):
    """In quote; `total` is the sum of the others."""

    delay: Decimal
    trading: Decimal
    opportunity: Decimal
    fees: Decimal
    total: Decimal


class Touch(NamedTuple):
    """The best consolidated prices, and how much more the venue of a trade quotes than that market."""

    bid: Decimal
    ask: Decimal
    basis: Decimal = Decimal(0)


class PricedTrade(NamedTuple):
    """One fill in decimals of base and quote, and the touch before it; None where no book was known."""

    qty: Decimal
    price: Decimal
    fee: Decimal
    liquidity: Literal["maker", "taker", "unknown"]
    touch: Touch | None


class Rest(NamedTuple):
    """What was not filled, as if taken at the end: in quote, prices less their basis."""

    notional: Decimal
    fees: Decimal


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """In quote; `total` is the sum of `spread`, `fees`, `impact`, `timing` and `opportunity`, and with `basis` the
    shortfall. `value` is the whole order's at the arrival price."""

    spread: Decimal
    fees: Decimal
    impact: Decimal
    timing: Decimal
    opportunity: Decimal
    total: Decimal
    basis: Decimal
    value: Decimal

    def bps(self, part: str) -> float:
        """One of the fields in basis points of `value`."""
        found = bps(getattr(self, part), self.value)
        assert found is not None, "an order is for something"
        return found


PARTS = ("spread", "fees", "impact", "timing", "opportunity")


def shortfall(
    side: Side,
    qty: Decimal,
    filled: Decimal,
    notional: Decimal,
    fees: Decimal,
    *,
    arrival: Decimal,
    release: Decimal | None = None,
    end: Decimal | None = None,
    rest: Decimal | None = None,
) -> Shortfall:
    """The order's shortfall. Where `release` (P1) is not known all of the slippage is trading. What is left counts at
    what it would have cost at the end (R), where `rest` says so (its fees are then among `fees`), else at the mid
    `end` (P2), else not at all."""
    release = arrival if release is None else release
    end = arrival if end is None else end
    with localcontext(EXACT):
        delay = side.sign * filled * (release - arrival)
        trading = side.sign * (notional - filled * release)
        left = max(qty - filled, Decimal(0))
        opportunity = side.sign * (left * (end - arrival) if rest is None else rest - left * arrival)
        return Shortfall(delay, trading, opportunity, fees, delay + trading + opportunity + fees)


def decompose(
    side: Side,
    qty: Decimal,
    trades: Iterable[PricedTrade],
    *,
    arrival: Decimal,
    end: Decimal | None = None,
    rest: Rest | None = None,
) -> Costs:
    """An order's cost, trade by trade. Of a trade without a touch all is impact. What is left counts at `rest` where
    that is given, else at the mid `end`, else not at all."""
    spread = impact = timing = basis = fees = filled = Decimal(0)
    sign = side.sign
    with localcontext(EXACT):
        for trade in trades:
            touch = Touch(arrival, arrival) if trade.touch is None else trade.touch
            mid = (touch.bid + touch.ask) / 2
            paid = trade.qty * (touch.ask - touch.bid) / 2
            paid = -paid if trade.liquidity == "maker" else paid
            spread += paid
            impact += sign * trade.qty * (trade.price - touch.basis - mid) - paid
            timing += sign * trade.qty * (mid - arrival)
            basis += sign * trade.qty * touch.basis
            fees += trade.fee
            filled += trade.qty
        left = max(qty - filled, Decimal(0))
        opportunity = sign * left * ((arrival if end is None else end) - arrival)
        if rest is not None:
            opportunity = sign * (rest.notional - left * arrival) + rest.fees
        return Costs(
            spread=spread,
            fees=fees,
            impact=impact,
            timing=timing,
            opportunity=opportunity,
            total=total(spread, fees, impact, timing, opportunity),
            basis=basis,
            value=qty * arrival,
        )


def bps(cost: Decimal, base: Decimal) -> float | None:
    """`cost` in basis points of `base`; None where that is nothing."""
    return float(AVERAGE.divide(cost, base)) * BPS if base else None
