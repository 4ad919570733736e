"""How fine the decimal text of a file is: scales are inferred exactly, so that no number is ever rounded."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from bestex.depth import TextUnits, units_of_text
from bestex.units import UnitError, to_units

MAX_UNITS = 2**63 - 1  # what the live plane and numpy hold; a larger number of units is a scale gone wrong


class Scales:
    """The finest digits seen of one symbol."""

    def __init__(self) -> None:
        self.price = 0
        self.qty = 0

    def see(self, price: str, qty: str) -> None:
        self.see_all(((price, qty),))

    def see_all(self, levels: Iterable[tuple[str, str]]) -> None:
        """Of prices and quantities. `digits` is written out: every number of a recording comes by here."""
        price_scale, qty_scale = self.price, self.qty
        for price, qty in levels:
            dot = price.find(".")
            if 0 <= dot < len(price) - 1 - price_scale:
                price_scale = max(price_scale, len(price.rstrip("0")) - dot - 1)
            dot = qty.find(".")
            if 0 <= dot < len(qty) - 1 - qty_scale:
                qty_scale = max(qty_scale, len(qty.rstrip("0")) - dot - 1)
        self.price, self.qty = price_scale, qty_scale

    def join(self, other: Scales) -> None:
        """Whatever is finer in the other's."""
        self.price, self.qty = max(self.price, other.price), max(self.qty, other.qty)


def digits(text: str, known: int) -> int:
    """Decimals of `text` without trailing zeros, where that may be more than `known`; else anything smaller."""
    dot = text.find(".")
    return len(text.rstrip("0")) - dot - 1 if 0 <= dot < len(text) - 1 - known else 0


def plain_text(text: str) -> str:
    """A number as plain digits: others write 1e-05 or +5. UnitError where it is none, or below zero."""
    text = text.strip()
    if text.isdigit() or text.replace(".", "", 1).isdigit():
        return f"0{text}" if text.startswith(".") else text
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise UnitError(f"{text[:40]!r} is no number") from None
    if not number.is_finite() or number < 0 or abs(number.adjusted()) > 38:
        raise UnitError(f"{text[:40]!r} is no number above zero")
    return f"{number:f}"


def pointed(text: str, exponent: int) -> str:
    """Whole units of 10^-exponent as decimal text: 61250000000 at 9 is 61.250000000."""
    if not exponent:
        return text
    if not text.isdigit():
        raise UnitError(f"{text[:40]!r} is no whole number, as prices in units of 10^-{exponent} are")
    text = text.zfill(exponent + 1)
    return f"{text[:-exponent]}.{text[-exponent:]}"


class ExactUnits(TextUnits):
    """As `TextUnits`, of numbers as people's tools write them, whole numbers of 10^-`exponent` where given."""

    __slots__ = ("_exponent",)

    def __init__(self, scale: int, exponent: int = 0) -> None:
        super().__init__(scale)
        self._exponent = exponent

    def __missing__(self, text: str) -> int:
        units = super().__missing__(text) if self._is_plain(text) else self._read(text)
        if units > MAX_UNITS:
            del self[text]
            raise UnitError(f"{text} is too large for units of 10^-{self.scale}")
        return units

    def _is_plain(self, text: str) -> bool:
        return not self._exponent and text.isascii() and text[:1].isdigit() and "e" not in text.lower()

    def _read(self, text: str) -> int:
        written = pointed(plain_text(text), self._exponent)
        self[text] = units = units_of_text(written, self.scale)
        return units


def decimal_text(units: int, scale: int) -> str:
    """Units of 10^-scale as decimal text with all of the scale's digits."""
    if not scale:
        return str(units)
    text = str(units).zfill(scale + 1)
    return f"{text[:-scale]}.{text[-scale:]}"


def nearest_units(text: str, scale: int) -> int:
    """For numbers that carry the noise of binary floats: the nearest whole number of 10^-scale."""
    number = Decimal(plain_text(text))
    return to_units(round(number, scale), scale)
