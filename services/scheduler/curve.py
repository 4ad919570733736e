"""A planned curve: how much should have been sent by when, and within which bounds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from bestex.clock import FOREVER_NS, SECOND, Time
from bestex.instruments import Instrument
from bestex.messages import SchedulePoint

POINTS_MAX = 240  # more is finer than any plot, and a history is read by people


class Point(NamedTuple):
    """By `at_ns`, `qty` in total should have been sent, from `low` to `high` where the market fills what is sent."""

    at_ns: int
    qty: int
    low: int
    high: int


class Curve:
    """Points in order of time, straight in between; times in ns, quantities in the instrument's units. `why` says
    what it was made of, where that is worth a word: it goes into the event that stores the curve."""

    __slots__ = ("_columns", "why")

    def __init__(self, points: Sequence[Point], why: str = "") -> None:
        assert points, "a curve has at least one point"
        # Columns, in which what is the same number is one object: ten thousand parents have ten thousand curves.
        same: dict[int, int] = {}
        columns = zip(*points, strict=True)
        self._columns = tuple(tuple(same.setdefault(one, one) for one in column) for column in columns)
        self.why = why

    def problem(self) -> str:
        """Why it could not be stored and read back, as a sentence; empty where it can. An algorithm made it."""
        times, *totals = self._columns
        if any(set(map(type, column)) - {int, Time} for column in self._columns):
            return "a curve through what are no whole numbers"
        if not 0 <= min(times) <= max(times) < FOREVER_NS or min(map(min, totals)) < 0:
            return "a curve through what are no times and quantities"
        return "" if isinstance(self.why, str) else "a curve without words for why"

    @property
    def points(self) -> tuple[Point, ...]:
        return tuple(map(Point._make, zip(*self._columns, strict=True)))

    @property
    def first(self) -> Point:
        return Point._make(column[0] for column in self._columns)

    @property
    def start_ns(self) -> int:
        return self._columns[0][0]

    @property
    def end_ns(self) -> int:
        return self._columns[0][-1]

    def __len__(self) -> int:
        return len(self._columns[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Curve) and self._columns == other._columns

    __hash__ = None  # type: ignore[assignment]

    def at(self, now_ns: int) -> Point:
        """The curve then, to the nearest unit; its first and last point before and after it."""
        times, *columns = self._columns
        i = bisect_right(times, now_ns)
        if not i or i == len(times):
            return Point(now_ns, *(column[max(i - 1, 0)] for column in columns))
        gone, span = now_ns - times[i - 1], times[i] - times[i - 1]
        return Point(
            now_ns, *(column[i - 1] + _share(column[i] - column[i - 1], gone, span) for column in columns)
        )

    def qty(self, now_ns: int) -> int:
        """How much should have been sent by then. It is asked several times for every decision."""
        times, totals, _, _ = self._columns
        i = bisect_right(times, now_ns)
        if not i or i == len(times):
            return totals[max(i - 1, 0)]
        at_ns, total = times[i - 1], totals[i - 1]
        return total + _share(totals[i] - total, now_ns - at_ns, times[i] - at_ns)


def _share(qty: int, gone: int, span: int) -> int:
    """`gone` of `span` of it, to the nearest unit: equal steps of what divides equally are equal."""
    return (2 * qty * gone + span) // (2 * span)


def free(start_ns: int, end_ns: int, cum: int, qty: int) -> Curve:
    """No plan but the end: anything from `cum` to the whole may have been sent at any time."""
    if end_ns <= start_ns:
        return Curve([Point(start_ns, qty, cum, qty)])
    return Curve([Point(start_ns, cum, cum, qty), Point(end_ns, qty, cum, qty)])


def expected(
    start_ns: int, end_ns: int, cum: int, qty: int, paces: tuple[float, float, float], play: int
) -> Curve:
    """From `cum` on at the second of `paces` (units a second, rising) until `qty` or the end, within the first and
    the last of them. `play`: what one slice may be ahead or behind."""

    def total(at_ns: int, pace: float, ahead: int) -> int:
        return max(cum, min(cum + int(pace * (at_ns - start_ns) / SECOND) + ahead, qty))

    aheads = (-play, 0, play)
    # A bound bends where it leaves what is filled, and where it reaches the whole.
    bends = [
        at * SECOND / pace
        for pace, ahead in zip(paces, aheads, strict=True)
        for at in (-ahead, qty - cum - ahead)
        if pace
    ]
    inner = {start_ns + int(bend) for bend in bends if 0 < bend < end_ns - start_ns}
    return Curve(
        [
            Point(at_ns, middle, low, high)
            for at_ns in sorted({start_ns, *inner, end_ns})
            for low, middle, high in [[total(at_ns, *one) for one in zip(paces, aheads, strict=True)]]
        ]
    )


def through(times_ns: Sequence[int], totals: Sequence[int], slack: float = 0.0, why: str = "") -> Curve:
    """A curve through `totals` at `times_ns` that is followed in steps from one point to the next.

    Whoever follows it sends a step's quantity at its beginning, so the upper bound is a step ahead. `slack`: by how
    much of a step its time and size may vary. Shapes: as many totals as times, both rising.
    """
    steps = [after - before for before, after in pairwise(totals)] or [0]
    last = totals[-1]
    points = []
    for i, (at_ns, total) in enumerate(zip(times_ns, totals, strict=True)):
        behind, ahead = steps[max(i - 1, 0)], steps[min(i, len(steps) - 1)]
        play = int(slack * max(behind, ahead))
        low, high = max(total - play, totals[0]), min(total + ahead + play, last)
        points.append(Point(at_ns, total, low, high))
    return Curve(resample(points), why)


def capped(parts: Sequence[int], most: int) -> list[int]:
    """No part above `most`, 0 for any; what is over goes to the next ones, and what is left then to the last."""
    if not most:
        return list(parts)
    found, over = [], 0
    for part in parts[:-1]:
        found.append(min(part + over, most))
        over += part - found[-1]
    return [*found, parts[-1] + over]


def stepped(line: Curve, step_ns: int, slack: float) -> Curve:
    """`line` with the bounds of one who follows it in steps of `step_ns`, wherever it bends.

    A step's quantity goes out at its beginning, so the upper bound is a step ahead; `slack`, of a step, is by how
    much its time and size may vary.
    """
    start_ns, end_ns, points = line.start_ns, line.end_ns, resample(list(line.points), POINTS_MAX // 3)
    line = Curve(points, line.why)
    ahead_ns, behind_ns = int((1 + slack) * step_ns), int(slack * step_ns)
    bends = {at + shift for at, *_ in points for shift in (0, -ahead_ns, behind_ns)}
    times = sorted(at for at in bends if start_ns <= at <= end_ns)
    return Curve(
        [Point(at, line.qty(at), line.qty(at - behind_ns), line.qty(at + ahead_ns)) for at in times], line.why
    )


def resample(points: list[Point], most: int = POINTS_MAX) -> list[Point]:
    """At most so many of the points, the first and the last among them."""
    if len(points) <= most:
        return points
    last = len(points) - 1
    picks = {i * last // (most - 1) for i in range(most)}
    return [points[i] for i in sorted(picks)]


def to_schedule(curve: Curve, instrument: Instrument) -> list[SchedulePoint]:
    """The curve as users see it."""
    qty = instrument.qty
    return [SchedulePoint(Time(at), qty(total), qty(low), qty(high)) for at, total, low, high in curve.points]


def of_schedule(points: Sequence[SchedulePoint], instrument: Instrument) -> Curve:
    """The curve that was stored; bounds that were not are nothing and the whole."""
    units = instrument.qty_units
    most = units(points[-1].qty)
    return Curve(
        [
            Point(
                int(point.at),
                units(point.qty),
                0 if point.low is None else units(point.low),
                most if point.high is None else units(point.high),
            )
            for point in points
        ]
    )
