"""The shape of a market's day: which share of its volume falls into each minute, from the days before.

Every day weighs the same: a day is looked at as shares of its own volume, so that a wild one does not drown the
others. The shares are averaged over buckets of minutes, and over the days by their mean, from MEDIAN_DAYS_MIN days on
by their median, and drawn towards an even day where they are few. The average of the days before is the classical
profile, against which Bialkowski, Darolles and Le Fol (2008, "Improving VWAP strategies") measure their dynamic one.
A minute that is missing says nothing, and is never a zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bestex.messages import VolumeDay

DAYS_KEPT = 30  # sessions of each symbol: six weeks of an exchange's; markets change their habits in months
MEDIAN_DAYS_MIN = 5  # of fewer, a median throws more away than it protects from
FLAT_DAYS = 1  # an even day beside those that are known: of one or two, most of the shape is chance
KNOWN_MIN = 0.1  # a day of which less is known tells nothing of its shape
PASSES = 3  # a day's scale follows from the shape where it is known, and the shape from the scales

Floats = NDArray[np.float64]


class Day(NamedTuple):
    """One session. `volumes`: base of each minute, NaN where it is missing; shape (minutes,)."""

    date: str
    volumes: Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which minutes are not missing."""
        return ~np.isnan(self.volumes)

    @property
    def says_something(self) -> bool:
        """Not a day of which next to nothing is known, nor one on which nothing was traded, as in an outage."""
        return bool(self.known.mean() >= KNOWN_MIN and np.nansum(self.volumes) > 0)


class Profile(NamedTuple):
    """What a session is expected to trade. `shares` of its minutes, shape (minutes,), sum 1; `volume`: a typical
    session's, in base. `dates`: the days that it is made of, oldest first."""

    shares: Floats
    volume: float
    dates: tuple[str, ...]


def day_of(message: VolumeDay) -> Day:
    """What is no amount of anything counts as missing."""
    volumes = np.array(
        [np.nan if qty is None or not qty.is_finite() or qty < 0 else float(qty) for qty in message.minutes]
    )
    return Day(message.date, volumes)


def profile(days: Sequence[Day], minutes: int, bucket: int) -> Profile | None:
    """Of a session of so many `minutes`, in buckets of so many; None where no day says anything.

    Half days are left out where there are whole ones. What is left is stretched to the session's length, which keeps
    an open at the open and a close at the close.
    """
    days = [day for day in days if day.says_something]
    longest = max((len(day.volumes) for day in days), default=0)
    days = sorted((day for day in days if len(day.volumes) == longest), key=lambda day: day.date)
    if not days:
        return None
    rates = np.vstack([_stretched(day.volumes, minutes) for day in days])
    edges = _edges(minutes, bucket)
    buckets = np.vstack([_mean(rates[:, a:b]) for a, b in pairwise(edges)]).T
    widths = np.diff(edges).astype(float)
    shape, totals = _shape(buckets, widths)
    weight = len(days) / (len(days) + FLAT_DAYS)
    shares = weight * np.repeat(shape, np.diff(edges)) + (1 - weight) / minutes
    return Profile(shares, float(np.median(totals)), tuple(day.date for day in days))


def _edges(minutes: int, bucket: int) -> list[int]:
    """Where buckets begin and end; the last one is cut."""
    return [*range(0, minutes, max(bucket, 1)), minutes]


def _mean(values: Floats) -> Floats:
    """Of each row; NaN where all of it is missing."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    means: Floats = np.nansum(values, axis=1) / np.maximum(count, 1)
    means[count == 0] = np.nan
    return means


def _stretched(volumes: Floats, minutes: int) -> Floats:
    """A day's volumes as if it had so many minutes, at the same rate a minute."""
    if len(volumes) == minutes:
        return volumes
    at = (np.arange(minutes) + 0.5) * len(volumes) / minutes
    stretched: Floats = volumes[np.minimum(at.astype(int), len(volumes) - 1)]
    return stretched


def _shape(buckets: Floats, widths: Floats) -> tuple[Floats, Floats]:
    """The typical rate in each bucket, and each day's whole volume. `buckets`: rates a minute, (days, buckets)."""
    known = ~np.isnan(buckets)
    middle = np.nanmedian if len(buckets) >= MEDIAN_DAYS_MIN else np.nanmean
    held = known.any(axis=0)
    at = np.flatnonzero(held)
    shape, totals = np.ones(buckets.shape[1]), np.zeros(len(buckets))
    for _ in range(PASSES):
        # What a day traded where it is known, against what the shape gives there, is its scale.
        there = (known * widths * shape).sum(axis=1)
        totals = np.nansum(buckets * widths, axis=1) / np.where(there > 0, there, 1.0)
        relative = buckets / np.where(totals > 0, totals, np.nan)[:, None]
        known_shape = middle(relative[:, held], axis=0)
        shape = np.interp(np.arange(len(shape)), at, np.nan_to_num(known_shape))
        whole = (shape * widths).sum()
        if whole <= 0:  # the median of days that trade now and then
            shape, whole = np.ones(len(shape)), widths.sum()
        shape = shape / whole
    return shape, totals
