"""The fast book against a plain dict that is sorted at every look."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bestex import depth
from bestex.depth import BookSide, units_of_text
from bestex.units import to_units


class SlowSide:
    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[int, int] = {}

    def update(self, changes: list[tuple[int, int]]) -> None:
        for price, qty in changes:
            self.levels[price] = qty
            if not qty:
                del self.levels[price]

    def top(self, n: int) -> tuple[list[int], list[int]]:
        prices = sorted(self.levels, key=lambda price: -self.sign * price)[:n]
        return prices, [self.levels[price] for price in prices]


CHANGES = st.lists(st.tuples(st.integers(1, 60), st.sampled_from([0, 0, 1, 2, 7])), max_size=30)
STEPS = st.lists(st.tuples(CHANGES, st.sampled_from([0, 1, 3, 10, 20, 60])), max_size=20)


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "NEAR_LEVELS", 8)


@given(sign=st.sampled_from([1, -1]), steps=STEPS)
def test_the_fast_side_shows_what_the_slow_one_shows(
    sign: int, steps: list[tuple[list[tuple[int, int]], int]]
) -> None:
    fast, slow = BookSide(sign), SlowSide(sign)
    for changes, n in steps:
        fast.update(changes)
        slow.update(changes)
        if n:  # a book that nobody reads for a while must come out the same
            assert fast.top(n) == slow.top(n)
            prices, qtys = slow.top(1)
            assert fast.best() == ((prices[0], qtys[0]) if prices else None)
    assert dict(fast) == slow.levels
    assert len(fast) == len(slow.levels)


@given(
    value=st.decimals(0, 10**12, allow_nan=False, allow_infinity=False, places=8), scale=st.integers(8, 12)
)
def test_text_gives_the_same_units_as_the_decimal(value: Decimal, scale: int) -> None:
    assert units_of_text(f"{value:f}", scale) == to_units(value, scale)
