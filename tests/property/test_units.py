"""Conversion is exact or an error; every split conserves."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bestex.units import (
    UnitError,
    ceil_to,
    floor_to,
    from_units,
    split,
    to_units,
    total,
)

SCALES = st.integers(0, 18)
UNITS = st.integers(-(10**20), 10**20)


@given(units=UNITS, scale=SCALES)
def test_units_survive_the_way_out_and_in(units: int, scale: int) -> None:
    assert to_units(from_units(units, scale), scale) == units
    assert to_units(Decimal(str(from_units(units, scale))), scale) == units


@given(value=st.decimals(allow_nan=True, allow_infinity=True), scale=SCALES)
def test_conversion_is_exact_or_an_error(value: Decimal, scale: int) -> None:
    try:
        units = to_units(value, scale)
    except UnitError:
        return
    assert from_units(units, scale) == value


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "1e999999", "1e-999999", "0.001"])
def test_what_is_no_whole_number_of_units_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        to_units(Decimal(text), 2)


@given(units=st.integers(0, 10**12), step=st.integers(1, 10**6))
def test_rounding_goes_the_named_way_to_the_grid(units: int, step: int) -> None:
    assert floor_to(units, step) <= units <= ceil_to(units, step)
    assert floor_to(units, step) % step == ceil_to(units, step) % step == 0
    assert ceil_to(units, step) - floor_to(units, step) in (0, step)


@given(
    whole=st.integers(0, 10**15),
    weights=st.lists(st.integers(0, 10**9), min_size=1, max_size=12).filter(any),
    lot=st.integers(1, 1000),
)
def test_a_split_conserves_and_keeps_whole_lots(whole: int, weights: list[int], lot: int) -> None:
    parts = split(whole, weights, lot)
    assert sum(parts) == whole
    assert min(parts) >= 0
    assert sum(part % lot != 0 for part in parts) <= 1
    assert all(part == 0 for part, weight in zip(parts, weights, strict=True) if weight == 0)
    lots, mass = whole // lot, sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part // lot - lots * weight / mass) <= 1 + 1e-6 * lots


@pytest.mark.parametrize(
    ("whole", "weights", "lot"), [(1, [], 1), (1, [0], 1), (1, [-1, 2], 1), (-1, [1], 1), (1, [1], 0)]
)
def test_a_split_without_sense_is_refused(whole: int, weights: list[int], lot: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - min() of nothing is a ValueError too, and as good
        split(whole, weights, lot)


@given(st.lists(st.decimals(-(10**15), 10**15, places=18), max_size=20))
def test_a_total_is_exact_beyond_28_digits(values: list[Decimal]) -> None:
    assert to_units(total(*values), 18) == sum(to_units(value, 18) for value in values)
