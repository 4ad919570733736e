"""A venue's own numbers in the instrument's units, exactly: other scales, and contracts instead of base.

A contract of a linear listing stands for `contract_size` quantity units, where that is not 1; one of an inverse
listing for `contract_size` of quote, hence for floor(contracts x contract_size / price) of base, level by level.
"""

from __future__ import annotations

from math import gcd

from bestex.instruments import Instrument, Listing


class Conversion:
    """For numbers at `price_scale` and `qty_scale`. `is_identity`: they are the instrument's already."""

    __slots__ = ("_inverse", "_price_div", "_price_mul", "_qty_div", "_qty_mul", "is_identity")

    def __init__(self, instrument: Instrument, listing: Listing, price_scale: int, qty_scale: int) -> None:
        price_one, qty_one = 10**instrument.price_scale, 10**instrument.qty_scale
        self._inverse = listing.inverse
        self._price_mul, self._price_div = _ratio(price_one, 10**price_scale)
        if listing.inverse:
            worth = listing.contract_size * price_one * qty_one
        else:
            worth = listing.contract_size if listing.contract_size != 1 else qty_one
        self._qty_mul, self._qty_div = _ratio(worth, 10**qty_scale)
        factors = self._price_mul, self._price_div, self._qty_mul, self._qty_div
        self.is_identity = not listing.inverse and factors == (1, 1, 1, 1)

    def prices(self, prices: list[int]) -> list[int] | None:
        """None where one is finer than the instrument's scale."""
        return _scaled(prices, self._price_mul, self._price_div)

    def quantities(self, prices: list[int], sizes: list[int]) -> list[int] | None:
        """Base quantities; `prices` as `prices` gave them. None where one is finer than the instrument's scale."""
        if self._inverse:
            mul, div = self._qty_mul, self._qty_div
            return [size * mul // (div * price) for price, size in zip(prices, sizes, strict=True)]
        return _scaled(sizes, self._qty_mul, self._qty_div)


def _ratio(numerator: int, denominator: int) -> tuple[int, int]:
    common = gcd(numerator, denominator)
    return numerator // common, denominator // common


def _scaled(values: list[int], mul: int, div: int) -> list[int] | None:
    """Each value x mul / div; None where one does not come out whole."""
    if div == 1:
        return [value * mul for value in values] if mul != 1 else values
    pairs = [divmod(value * mul, div) for value in values]
    return None if any(rest for _, rest in pairs) else [whole for whole, _ in pairs]
