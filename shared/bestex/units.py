"""Integer prices and quantities: the only place where decimals become integers and back.

Inside a core a price is an integer count of 10**-price_scale quote and a quantity an integer count of
10**-qty_scale base. Conversion is exact or an error; rounding is a separate, named act.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, Context, Decimal, Inexact, InvalidOperation

MAX_SCALE = 18  # finer than any venue quotes; keeps 10**scale far from absurd
DIGITS_MAX = 6  # behind the point of a statistic: finer than any model, and Python writes no exponent
MAX_DIGITS = 38  # a longer number is a mistake or an attack, never an order

_EXACT = Context(prec=4 * MAX_DIGITS, traps=[Inexact, InvalidOperation])
_POWERS = tuple(10**i for i in range(4 * MAX_SCALE))


class UnitError(ValueError):
    """A decimal that is not a whole number of units, not finite, or absurdly long."""


def to_units(value: Decimal, scale: int) -> int:
    """`value` as a whole number of 10**-scale; UnitError where it is not finite or has a finer digit."""
    if not value.is_finite():
        raise UnitError(f"{value} is not a finite number")
    if abs(value.adjusted()) > MAX_DIGITS:
        raise UnitError("a number of more than 38 digits")
    try:
        scaled = value.scaleb(scale, _EXACT)
    except Inexact:
        raise UnitError("a number of more than 38 digits") from None
    units = int(scaled)
    if units != scaled:
        raise UnitError(f"{value} is finer than 10^-{scale}")
    return units


def from_units(units: int, scale: int) -> Decimal:
    """The exact decimal of `units` x 10**-scale, without trailing zeros."""
    one = _POWERS[scale]
    if units % one == 0:
        return Decimal(units // one)
    return Decimal(units).scaleb(-scale, _EXACT).normalize(_EXACT)


def plain(amount: Decimal, digits: int) -> Decimal:
    """`amount` without a digit beyond so many, six at the most: written, it has no exponent. For statistics only."""
    text = format(amount.quantize(Decimal(1).scaleb(-min(digits, DIGITS_MAX)), ROUND_DOWN), "f")
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)


def floor_to(units: int, step: int) -> int:
    """The largest multiple of `step` not above `units`."""
    return units - units % step


def ceil_to(units: int, step: int) -> int:
    """The smallest multiple of `step` not below `units`."""
    return units + -units % step


def split(total: int, weights: Sequence[int], lot: int = 1) -> list[int]:
    """`total` in len(weights) parts proportional to the integer `weights`, each a multiple of `lot`.

    The largest-remainder method: the parts sum to `total` exactly; what `total` has beyond whole lots goes to
    the last part that has any weight. Raises ValueError for no weights, a negative one, or all zero.
    """
    mass = sum(weights)
    if total < 0 or lot < 1 or mass <= 0 or min(weights) < 0:
        raise ValueError(f"cannot split {total} by {list(weights)} in lots of {lot}")
    lots, odd = divmod(total, lot)
    parts = [lots * weight // mass for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(lots * weights[i] % mass), i))
    for i in by_remainder[: lots - sum(parts)]:
        parts[i] += 1
    result = [part * lot for part in parts]
    if odd:
        result[max(i for i, weight in enumerate(weights) if weight)] += odd
    assert sum(result) == total, "a split must conserve its total"
    return result


# For cash: Python's own 28 digits, which a large notional with fees can exceed, round in silence.
EXACT = Context(prec=4 * MAX_DIGITS, traps=[Inexact, InvalidOperation])


def total(*values: Decimal) -> Decimal:
    """The exact sum; decimal.Inexact where there is none of 4 x MAX_DIGITS digits."""
    result = Decimal(0)
    for value in values:
        result = EXACT.add(result, value)
    return result
