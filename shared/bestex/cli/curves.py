"""A planned curve, and what became of it, to be looked at: a table, a plot on the terminal, one page with an SVG."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from bestex.cli.common import table
from bestex.clock import HOUR, MINUTE, SECOND, rfc3339

if TYPE_CHECKING:
    from rich.table import Table

    from bestex.messages import SchedulePoint
    from bestex.parent import Event

ROWS_MIN, ROWS_MAX = 8, 16  # a curve of fewer points, or of more, is shown at equal steps
STEPS = 10
PLOT_ROWS, PLOT_COLUMNS_MAX = 14, 100
TICKS = 5
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 960, 420, 80, 40, 16, 16  # of the SVG, in its own units


class Planned(NamedTuple):
    """At a time in ns, in base. For eyes alone, so in floats."""

    at_ns: int
    qty: float
    low: float
    high: float


class Filled(NamedTuple):
    at_ns: int
    qty: float


@dataclass(frozen=True)
class Picture:
    """`plans`: the planned curves one after the other, each up to where the next one took its place. `filled`: steps,
    each from its time on; empty for an order that is none yet."""

    title: str
    notes: tuple[str, ...]
    plans: tuple[tuple[Planned, ...], ...]
    filled: tuple[Filled, ...] = ()

    @property
    def start_ns(self) -> int:
        return self.plans[0][0].at_ns

    @property
    def end_ns(self) -> int:
        return max(self.plans[-1][-1].at_ns, self.filled[-1].at_ns if self.filled else 0, self.start_ns + 1)

    @property
    def most(self) -> float:
        return max(point.high for plan in self.plans for point in plan) or 1.0

    def planned_at(self, at_ns: int) -> Planned:
        plan = next((one for one in reversed(self.plans) if one[0].at_ns <= at_ns), self.plans[0])
        return between(plan, at_ns)

    def filled_at(self, at_ns: int) -> float:
        done = bisect_right(self.filled, at_ns, key=lambda step: step.at_ns)
        return self.filled[done - 1].qty if done else 0.0


def plan_of(schedule: Sequence[SchedulePoint]) -> tuple[Planned, ...]:
    """Bounds that were not stored are nothing and the whole."""
    most = schedule[-1].qty
    return tuple(
        Planned(
            int(point.at),
            float(point.qty),
            float(point.low or 0),
            float(most if point.high is None else point.high),
        )
        for point in schedule
    )


def of_history(title: str, events: Iterable[Event], notes: tuple[str, ...] = ()) -> Picture | None:
    """Planned against filled, of an order that exists; None where its history holds no plan."""
    plans: list[tuple[Planned, ...]] = []
    filled: list[Filled] = []
    for event in events:
        if schedule := getattr(event, "schedule", None):
            if plans:
                plans[-1] = until(plans[-1], int(event.at))
            # A changed plan may count from the last slice on; it was in force from the change on.
            plans.append(since(plan_of(schedule), int(event.at)))
        cum: Decimal | None = getattr(event, "cum_qty", None)
        if cum is not None and (not filled or float(cum) > filled[-1].qty):
            filled.append(Filled(int(event.at), float(cum)))
    kept = tuple(plan for plan in plans if plan)
    return Picture(title, notes, kept, tuple(filled)) if kept else None


def until(plan: tuple[Planned, ...], at_ns: int) -> tuple[Planned, ...]:
    """Its part before `at_ns`; nothing where that is none."""
    if at_ns <= plan[0].at_ns:
        return ()
    if at_ns >= plan[-1].at_ns:
        return plan
    return (*(point for point in plan if point.at_ns < at_ns), between(plan, at_ns))


def since(plan: tuple[Planned, ...], at_ns: int) -> tuple[Planned, ...]:
    """Its part from `at_ns` on, at least its last point."""
    if at_ns <= plan[0].at_ns:
        return plan
    return (between(plan, at_ns), *(point for point in plan if point.at_ns > at_ns))


def between(plan: Sequence[Planned], at_ns: int) -> Planned:
    """The curve then: straight between its points, and level before and after them."""
    after = bisect_right(plan, at_ns, key=lambda point: point.at_ns)
    if not after or after == len(plan):
        return plan[max(after - 1, 0)]._replace(at_ns=at_ns)
    a, b = plan[after - 1], plan[after]
    share = (at_ns - a.at_ns) / (b.at_ns - a.at_ns)
    mixed = (x + share * (y - x) for x, y in zip(a[1:], b[1:], strict=True))
    return Planned(at_ns, *mixed)


# -- on the terminal -----------------------------------------------------------------------------------------------


def rows(picture: Picture) -> Table:
    figures = ["planned", "low", "high", *(["filled", "ahead"] if picture.filled else [])]
    shown = table("time, UTC", "after", *figures, right=["after", *figures])
    for at_ns in _times(picture):
        point = picture.planned_at(at_ns)
        cells = [f"{value:.6g}" for value in point[1:]]
        if picture.filled:
            done = picture.filled_at(at_ns)
            cells += [f"{done:.6g}", f"{done - point.qty:+.6g}"]
        shown.add_row(_clock(at_ns), _span(at_ns - picture.start_ns), *cells)
    return shown


def plot(picture: Picture, columns: int) -> str:
    """`columns`: as wide as the terminal is."""
    import uniplot

    unit_ns, unit = next(
        (
            (ns, name)
            for ns, name in ((HOUR, " h"), (MINUTE, " min"))
            if picture.end_ns - picture.start_ns > 2 * ns
        ),
        (SECOND, " s"),
    )
    series: dict[str, list[tuple[float, float]]] = {"low": [], "high": [], "planned": []}
    for plan in picture.plans:
        for point in plan:
            x = (point.at_ns - picture.start_ns) / unit_ns
            for name, y in (("low", point.low), ("high", point.high), ("planned", point.qty)):
                series[name].append((x, y))
    if picture.filled:
        series["filled"] = [((x - picture.start_ns) / unit_ns, y) for x, y in _steps(picture)]
    text: str = uniplot.plot_to_string(
        [[y for _, y in points] for points in series.values()],
        [[x for x, _ in points] for points in series.values()],
        lines=True,
        width=max(min(columns - 16, PLOT_COLUMNS_MAX), 20),
        height=PLOT_ROWS,
        color=sys.stdout.isatty(),
        legend_labels=list(series),
        x_unit=unit,
        y_min=0,
        y_max=picture.most,
    )
    return text


def _times(picture: Picture) -> list[int]:
    """The rows of a table: the curve's own points where they are as many as are read at a glance."""
    points = sorted({point.at_ns for plan in picture.plans for point in plan})
    if not picture.filled and (len(points) <= 2 or ROWS_MIN <= len(points) <= ROWS_MAX):
        return points
    start_ns, span_ns = picture.start_ns, picture.end_ns - picture.start_ns
    return [start_ns + span_ns * i // STEPS for i in range(STEPS + 1)]


def _steps(picture: Picture) -> list[tuple[int, float]]:
    """The corners of the filled line."""
    corners: list[tuple[int, float]] = []
    for step in picture.filled:
        if corners:
            corners.append((step.at_ns, corners[-1][1]))
        corners.append((step.at_ns, step.qty))
    return corners


def _clock(at_ns: int) -> str:
    return rfc3339(at_ns)[11:19]


def _span(ns: int) -> str:
    seconds = ns // SECOND
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes}:{seconds % 60:02d}"


# -- as a page -----------------------------------------------------------------------------------------------------


def page(picture: Picture) -> str:
    """One HTML page that needs nothing but itself."""
    notes = "".join(f"<p>{escape(note)}</p>" for note in picture.notes)
    columns = ["time, UTC", "planned", "low", "high", *(["filled"] if picture.filled else [])]
    head = "".join(f"<th>{name}</th>" for name in columns)
    lines = []
    for at_ns in _times(picture):
        cells = [_clock(at_ns), *(f"{value:.6g}" for value in picture.planned_at(at_ns)[1:])]
        if picture.filled:
            cells.append(f"{picture.filled_at(at_ns):.6g}")
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(picture.title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{escape(picture.title)}</h1>{notes}\n{svg(picture)}\n"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></body></html>\n"
    )


def svg(picture: Picture) -> str:
    """The band of the bounds, the planned line, and the filled steps."""
    span_ns, most = picture.end_ns - picture.start_ns, picture.most

    def x(at_ns: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (at_ns - picture.start_ns) / span_ns

    def y(qty: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * qty / most

    def path(points: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{x(at_ns):.1f},{y(qty):.1f}" for at_ns, qty in points)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(picture.title)}">']
    for i in range(TICKS + 1):
        qty, at_ns = most * i / TICKS, picture.start_ns + span_ns * i // TICKS
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(qty):.1f}" y2="{y(qty):.1f}"/>'
            f'<text x="{LEFT - 8}" y="{y(qty) + 4:.1f}" text-anchor="end">{qty:.4g}</text>'
            f'<text x="{x(at_ns):.1f}" y="{HEIGHT - 12}" text-anchor="{_anchor(i)}">{_clock(at_ns)}</text>'
        )
    for plan in picture.plans:
        band = [(p.at_ns, p.high) for p in plan] + [(p.at_ns, p.low) for p in reversed(plan)]
        parts.append(f'<polygon class="band" points="{path(band)}"/>')
        parts.append(f'<polyline class="planned" points="{path((p.at_ns, p.qty) for p in plan)}"/>')
    if picture.filled:
        parts.append(f'<polyline class="filled" points="{path(_steps(picture))}"/>')
    parts.append(f'<text x="{LEFT + 12}" y="{TOP + 14}" class="planned">planned, and its bounds</text>')
    if picture.filled:
        parts.append(f'<text x="{LEFT + 12}" y="{TOP + 32}" class="filled">filled</text>')
    return "".join([*parts, "</svg>"])


def _anchor(tick: int) -> str:
    return "start" if not tick else "end" if tick == TICKS else "middle"


_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --grid: #d8dee4; --plan: #0969da; --fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --grid: #30363d; --plan: #58a6ff; --fill: #3fb950 }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.3rem }
svg { width: 100%; height: auto }
svg text { font-size: 12px; fill: var(--ink) }
svg text.planned { fill: var(--plan) } svg text.filled { fill: var(--fill) }
.grid { stroke: var(--grid) } .band { fill: var(--plan); opacity: .18 }
polyline { fill: none; stroke-width: 2 }
polyline.planned { stroke: var(--plan) } polyline.filled { stroke: var(--fill) }
table { border-collapse: collapse; margin-top: 1rem; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid var(--grid) }
"""
