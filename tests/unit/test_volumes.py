"""The shape of a day from the days before: whole, half, with holes, empty."""

from __future__ import annotations

from decimal import Decimal as D

import numpy as np
import pytest

from bestex.clock import Time
from bestex.messages import VolumeDay
from bestex.volumes import FLAT_DAYS, MEDIAN_DAYS_MIN, Day, Floats, day_of, profile

MINUTES = 390
PLACES = (np.arange(MINUTES) + 0.5) / MINUTES
SMILE: Floats = 1 + 4 * (2 * PLACES - 1) ** 2


def days(*volumes: Floats) -> list[Day]:
    return [Day(f"2026-11-{i:02}", each) for i, each in enumerate(volumes, 1)]


def drawn(shares: Floats, count: int) -> Floats:
    """A shape as so many days of it are believed."""
    believed: Floats = (count * shares / shares.sum() + FLAT_DAYS / len(shares)) / (count + FLAT_DAYS)
    return believed


def test_every_day_weighs_the_same_however_much_it_traded() -> None:
    falling = np.linspace(2, 1, MINUTES)
    found = profile(days(SMILE, 100 * falling), MINUTES, 1)
    assert found is not None
    wanted = drawn(SMILE / SMILE.sum() + falling / falling.sum(), 2)
    assert found.shares == pytest.approx(wanted, rel=1e-6)
    assert found.shares.sum() == pytest.approx(1)
    assert found.dates == ("2026-11-01", "2026-11-02")


def test_one_wild_day_of_many_changes_nothing() -> None:
    wild = SMILE.copy()
    wild[200:215] *= 500
    calm = [SMILE] * MEDIAN_DAYS_MIN
    with_it, without = profile(days(*calm, wild), MINUTES, 15), profile(days(*calm, SMILE), MINUTES, 15)
    assert with_it is not None
    assert without is not None
    assert with_it.shares == pytest.approx(without.shares, rel=1e-6)


def test_few_days_are_believed_less_than_many() -> None:
    steepness = []
    for count in (1, 2, 20):
        found = profile(days(*[SMILE] * count), MINUTES, 15)
        assert found is not None
        steepness.append(found.shares.max() / found.shares.min())
    assert steepness == sorted(steepness)
    assert steepness[-1] > 0.8 * SMILE.max() / SMILE.min()


def test_a_bucket_is_its_own_mean() -> None:
    found = profile(days(SMILE), MINUTES, 15)
    assert found is not None
    by_bucket = found.shares.reshape(-1, 15)
    assert (by_bucket == by_bucket[:, :1]).all()
    assert by_bucket.sum(axis=1) == pytest.approx(drawn(SMILE, 1).reshape(-1, 15).sum(axis=1), rel=1e-6)


def test_the_last_bucket_is_as_long_as_what_is_left() -> None:
    found = profile(days(SMILE), MINUTES, 100)
    assert found is not None
    assert found.shares.sum() == pytest.approx(1)
    assert len(set(found.shares[300:])) == 1


def test_a_missing_minute_is_no_zero() -> None:
    holes = SMILE.copy()
    holes[:195] = np.nan  # the recorder was not there in the morning
    found = profile(days(SMILE, 3 * holes), MINUTES, 15)
    assert found is not None
    assert found.shares == pytest.approx(drawn(_bucketed(SMILE), 2), rel=1e-6)
    assert found.volume == pytest.approx((SMILE.sum() + 3 * SMILE.sum()) / 2, rel=1e-2)
    zeros = profile(days(SMILE, 3 * np.nan_to_num(holes)), MINUTES, 15)
    assert zeros is not None
    assert zeros.shares[:195].sum() < 0.9 * found.shares[:195].sum()


def test_what_is_missing_on_every_day_is_taken_from_its_neighbours() -> None:
    holes = np.full(MINUTES, 2.0)
    holes[150:180] = np.nan
    found = profile(days(holes, holes), MINUTES, 15)
    assert found is not None
    assert found.shares == pytest.approx(np.full(MINUTES, 1 / MINUTES))
    assert found.volume == pytest.approx(2.0 * MINUTES)


def test_days_of_nothing_and_days_of_which_next_to_nothing_is_known_are_left_out() -> None:
    unknown = np.full(MINUTES, np.nan)
    unknown[:20] = 9.0
    found = profile(days(SMILE, np.zeros(MINUTES), unknown), MINUTES, 15)
    assert found is not None
    assert found.dates == ("2026-11-01",)
    assert profile(days(np.zeros(MINUTES), unknown), MINUTES, 15) is None
    assert profile([], MINUTES, 15) is None


def test_a_half_day_is_expected_to_be_the_same_day_in_less_time() -> None:
    whole, half = profile(days(SMILE), MINUTES, 1), profile(days(SMILE), 210, 1)
    assert whole is not None
    assert half is not None
    assert len(half.shares) == 210
    assert half.volume / whole.volume == pytest.approx(210 / 390, rel=0.01)
    cumulative = np.cumsum(half.shares)
    for place in (0.1, 0.5, 0.9):
        there = np.cumsum(whole.shares)[round(place * MINUTES) - 1]
        assert cumulative[round(place * 210) - 1] == pytest.approx(there, abs=0.003)


def test_half_days_are_left_out_where_there_are_whole_ones_and_stretched_where_there_are_none() -> None:
    short = np.linspace(3, 1, 210)
    mixed = profile(days(short, SMILE, short), MINUTES, 1)
    assert mixed is not None
    assert mixed.dates == ("2026-11-02",)
    alone = profile(days(short), MINUTES, 1)
    assert alone is not None
    assert alone.shares[0] / alone.shares[-1] == pytest.approx(
        drawn(short, 1)[0] / drawn(short, 1)[-1], rel=0.02
    )


def test_days_on_which_little_is_ever_traded_give_an_even_shape() -> None:
    rare = []
    for i in range(6):
        volumes = np.zeros(MINUTES)
        volumes[50 * i] = 1.0
        rare.append(volumes)
    found = profile(days(*rare), MINUTES, 1)
    assert found is not None
    assert found.shares == pytest.approx(np.full(MINUTES, 1 / MINUTES))


def test_what_is_no_amount_counts_as_missing() -> None:
    minutes = [D(1), None, D("NaN"), D("-1"), D("Infinity"), D(0)]
    message = VolumeDay(symbol="A", date="2026-11-27", opens_at=Time(0), minutes=minutes, at=Time(0))
    found = day_of(message)
    assert list(found.known) == [True, False, False, False, False, True]


def _bucketed(volumes: Floats, width: int = 15) -> Floats:
    return np.repeat(volumes.reshape(-1, width).mean(axis=1), width)
