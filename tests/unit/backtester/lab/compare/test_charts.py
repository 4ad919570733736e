"""Plots that can be read, and a page that needs nothing but itself."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from services.backtester.lab.compare import charts

values = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5)


@given(values)
def test_ticks_are_round_few_and_enclose_all(found: list[float]) -> None:
    ticks = charts.nice(found)
    slack = 1e-6 * max(1.0, *map(abs, found))
    assert ticks[0] <= min(found) + slack
    assert ticks[-1] >= max(found) - slack
    assert 2 <= len(ticks) <= 10
    steps = [b - a for a, b in pairwise(ticks)]
    assert all(math.isclose(step, steps[0], rel_tol=1e-3) for step in steps)


def figures(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(re.sub(r"<ul.*", "", svg)).iter())


def test_every_difference_has_its_dot_and_those_that_leave_out_zero_stand_out() -> None:
    bars = [
        charts.Bar("a <b> & c", -1.0, -1.5, -0.5),
        charts.Bar("unsure", 0.2, -0.5, 0.9),
        charts.Bar("few", 0.3, None, None),
        charts.Bar("none", None, None, None),
    ]
    found = figures(charts.intervals(bars, "bps", 'differences "here"'))
    dots = [each for each in found if each.tag == "circle"]
    assert [dot.get("class") for dot in dots] == ["mean sure", "mean", "mean"]
    texts = [each.text for each in found if each.tag == "text"]
    assert "a <b> & c" in texts
    assert "no pairs" in texts


def test_the_bars_parts_lie_end_to_end_costs_right_and_gains_left() -> None:
    found = figures(charts.stacks(["a"], ["one", "two", "three"], [[1.0, -0.5, 2.0]], "bps", "parts"))
    spans = [
        (float(each.get("x", "")), float(each.get("x", "")) + float(each.get("width", "")))
        for each in found
        if each.tag == "rect"
    ]
    zero = spans[0][0]
    assert spans[2][0] == spans[0][1]
    assert spans[1][1] == zero
    unit = spans[0][1] - zero
    assert math.isclose(spans[2][1] - spans[2][0], 2 * unit, abs_tol=0.2)
    assert math.isclose(zero - spans[1][0], unit / 2, abs_tol=0.2)


def test_a_long_line_is_thinned_and_keeps_its_end() -> None:
    points = [(float(i), float(i)) for i in range(10_000)]
    svg = charts.lines(["a"], [points], "y", "x", "line")
    (path,) = [each for each in figures(svg) if each.get("class") == "line"]
    drawn = (path.get("d") or "").removeprefix("M").split("L")
    assert len(drawn) <= charts.POINTS_MAX + 1
    assert drawn[-1].startswith(f"{charts.WIDTH - 20:.1f} ")
    assert figures(charts.lines(["a"], [[]], "y", "x", "nothing yet"))


class Page(HTMLParser):
    """The tags that are open, and all that would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset", "action")]
        if tag in ("script", "link", "iframe", "object"):
            self.fetched.append(tag)
        if tag not in ("meta", "path", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.text += data
