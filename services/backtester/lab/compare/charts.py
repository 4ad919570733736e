"""Three plots as inline SVG: colours are the page's variables, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

COLOURS = 8  # of the page; further series take them again, with dashes
WIDTH = 860
ROW = 26
LABEL_CHARS = 34
CHAR_PX = 6.6
POINTS_MAX = 600  # of a line: more than the plot has pixels to show


class Bar(NamedTuple):
    """`low` and `high` are None where there is no interval."""

    label: str
    mean: float | None
    low: float | None
    high: float | None


class Scale(NamedTuple):
    """A linear map of values to pixels."""

    low: float
    high: float
    first_px: float
    last_px: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.first_px + share * (self.last_px - self.first_px)


def intervals(bars: Sequence[Bar], unit: str, title: str) -> str:
    """Each difference with its interval around it, and the line of no difference."""
    left = _label_px([bar.label for bar in bars])
    ends = [value for bar in bars for value in (bar.mean, bar.low, bar.high) if value is not None]
    ticks = nice([0.0, *ends])
    x = Scale(ticks[0], ticks[-1], left, WIDTH - 70)
    height = ROW * len(bars) + 46
    out = _axis_x(x, ticks, 8, height - 38)
    for i, bar in enumerate(bars):
        y = 8 + ROW * (i + 0.5)
        out.append(_label(left - 10, y, bar.label))
        if bar.mean is None:
            out.append(f'<text class="faint" x="{x(0.0):.1f}" y="{y + 4:.1f}">no pairs</text>')
            continue
        sure = ""
        if bar.low is not None and bar.high is not None:
            sure = " sure" if bar.low > 0 or bar.high < 0 else ""
            first, last = x(bar.low), x(bar.high)
            out.append(f'<path class="span{sure}" d="M{first:.1f} {y:.1f}H{last:.1f}"/>')
            out += [f'<path class="span{sure}" d="M{end:.1f} {y - 4:.1f}v8"/>' for end in (first, last)]
        out.append(f'<circle class="mean{sure}" cx="{x(bar.mean):.1f}" cy="{y:.1f}" r="4"/>')
        furthest = x(bar.mean if bar.high is None else bar.high)
        out.append(f'<text class="value" x="{furthest + 8:.1f}" y="{y + 4:.1f}">{bar.mean:+.2f}</text>')
    out.append(f'<path class="zero" d="M{x(0.0):.1f} 8V{height - 38}"/>')
    out.append(_caption(left, height, unit))
    return _svg(height, title, out)


def stacks(
    labels: Sequence[str], parts: Sequence[str], values: Sequence[Sequence[float]], unit: str, title: str
) -> str:
    """A bar of `parts` a label, costs to the right of 0 and gains to its left, with a mark at their sum.

    `values`: one row a label, one column a part.
    """
    left = _label_px(labels)
    sums = [sum(value for value in row if value * sign > 0) for row in values for sign in (1, -1)]
    ticks = nice([0.0, *sums])
    x = Scale(ticks[0], ticks[-1], left, WIDTH - 70)
    height = ROW * len(labels) + 46
    out = _axis_x(x, ticks, 8, height - 38)
    for i, (label, row) in enumerate(zip(labels, values, strict=True)):
        y = 8 + ROW * i
        out.append(_label(left - 10, y + ROW / 2, label))
        reached = {1: 0.0, -1: 0.0}
        for part, (name, value) in enumerate(zip(parts, row, strict=True)):
            sign = 1 if value >= 0 else -1
            first, last = sorted((x(reached[sign]), x(reached[sign] + value)))
            reached[sign] += value
            out.append(
                f'<rect x="{first:.1f}" y="{y + 5:.1f}" width="{last - first:.1f}" height="{ROW - 10}" '
                f'style="fill:var(--c{part % COLOURS + 1})"><title>{escape(name)} {value:+.3f}</title></rect>'
            )
        whole = sum(row)
        out.append(f'<path class="sum" d="M{x(whole):.1f} {y + 2:.1f}v{ROW - 4}"/>')
        out.append(
            f'<text class="value" x="{x(reached[1]) + 8:.1f}" y="{y + ROW / 2 + 4:.1f}">{whole:+.2f}</text>'
        )
    out.append(f'<path class="zero" d="M{x(0.0):.1f} 8V{height - 38}"/>')
    out.append(_caption(left, height, unit))
    return _svg(height, title, out) + legend(parts)


def lines(
    labels: Sequence[str], series: Sequence[Sequence[tuple[float, float]]], unit: str, across: str, title: str
) -> str:
    """A line of (x, y) points a label; both axes begin where the data do, y at 0 as well."""
    height, left, bottom = 320, 84, 280
    xs = [point[0] for points in series for point in points] or [0.0]
    ys = [point[1] for points in series for point in points]
    ticks = nice([0.0, *ys])
    x = Scale(min(xs), max(max(xs), min(xs) + 1e-9), left, WIDTH - 20)
    y = Scale(ticks[0], ticks[-1], bottom, 12)
    out = []
    for tick in ticks:
        kind = "zero" if tick == 0 else "grid"
        out.append(f'<path class="{kind}" d="M{left} {y(tick):.1f}H{WIDTH - 20}"/>')
        out.append(f'<text class="tick end" x="{left - 8}" y="{y(tick) + 4:.1f}">{number(tick)}</text>')
    out += [
        f'<text class="tick mid" x="{x(tick):.1f}" y="{bottom + 18}">{number(tick)}</text>'
        for tick in nice(xs)
        if x.low <= tick <= x.high
    ]
    for i, points in enumerate(series):
        step = max(1, math.ceil(len(points) / POINTS_MAX))
        shown = [*points[:-1:step], *points[-1:]]
        path = "L".join(f"{x(px):.1f} {y(py):.1f}" for px, py in shown)
        dashes = ";stroke-dasharray:6 4" if i >= COLOURS else ""
        if shown:
            out.append(f'<path class="line" style="stroke:var(--c{i % COLOURS + 1}){dashes}" d="M{path}"/>')
    out.append(_caption(left, height, f"{unit}, {across}"))
    return _svg(height, title, out) + legend(labels)


def legend(labels: Sequence[str]) -> str:
    entries = []
    for i, label in enumerate(labels):
        dashed = " dashed" if i >= COLOURS else ""
        entries.append(
            f'<li><i class="key{dashed}" style="--k:var(--c{i % COLOURS + 1})"></i>{escape(label)}</li>'
        )
    return f'<ul class="legend">{"".join(entries)}</ul>'


def nice(values: Sequence[float], about: int = 6) -> list[float]:
    """Round ticks at equal distances, of which the first and the last enclose all finite `values`."""
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-6):
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, max(last, first + 1) + 1)]


def number(value: float) -> str:
    return f"{value:,.10g}"


def _axis_x(x: Scale, ticks: Sequence[float], top: float, bottom: float) -> list[str]:
    out = []
    for tick in ticks:
        out.append(f'<path class="grid" d="M{x(tick):.1f} {top:.1f}V{bottom:.1f}"/>')
        out.append(f'<text class="tick mid" x="{x(tick):.1f}" y="{bottom + 16:.1f}">{number(tick)}</text>')
    return out


def _label_px(labels: Sequence[str]) -> float:
    return min(LABEL_CHARS, max((len(label) for label in labels), default=0)) * CHAR_PX + 24


def _label(x: float, y: float, text: str) -> str:
    short = text if len(text) <= LABEL_CHARS else text[: LABEL_CHARS - 1] + "…"
    return (
        f'<text class="end" x="{x:.1f}" y="{y + 4:.1f}">{escape(short)}<title>{escape(text)}</title></text>'
    )


def _caption(x: float, height: float, text: str) -> str:
    return f'<text class="faint" x="{x:.1f}" y="{height - 4:.1f}">{escape(text)}</text>'


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<div class="scroll"><svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title, quote=True)}">{"".join(parts)}</svg></div>'
    )
