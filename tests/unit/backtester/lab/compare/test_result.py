"""The result in words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bestex.clock import MINUTE
from services.backtester.lab.compare.analysis import analyse
from services.backtester.lab.compare.result import cumulative, headline, p_text, signed
from tests.unit.backtester.lab.compare.test_analysis import one, worked


def test_the_headline_tells_the_largest_differences_and_counts_the_rest() -> None:
    names = ["a", "b", "c", "d", "e", "f"]
    parents = [
        parent for i, name in enumerate(names) for parent in worked(name, -float(i) if i % 2 else float(i))
    ]
    told = headline(analyse(parents, names, "a", seed=1))
    assert told.startswith(
        "f is cheaper than a by 5.00 bps (95% interval -5.00 to -5.00, 72 pairs, p 0.001 after"
    )
    assert told.index("f is cheaper") < told.index("e is dearer") < told.index("d is cheaper")
    assert told.endswith("2 more differ.")


def test_where_nothing_differs_the_headline_says_so() -> None:
    analysis = analyse(worked("a") + worked("b"), ["a", "b"], "a", seed=1)
    assert headline(analysis) == "b against a: identical."


def test_costs_are_summed_start_by_start() -> None:
    parents = [one("a", i, impact=10 * (i + 1)) for i in (2, 0, 1)] + [one("b", 0, impact=99)]
    assert cumulative(parents, "a") == [(0.0, 0.1), (1.0, pytest.approx(0.3)), (2.0, pytest.approx(0.6))]
    assert cumulative(parents, "b")[-1][1] == pytest.approx(0.99)
    assert parents[0].start_ns == 2 * MINUTE
    assert parents[0].size == Decimal(1)


def test_numbers_have_a_sign_unless_they_are_nothing() -> None:
    assert [signed(value) for value in (1.234, -1.2, 0.001, -0.001, 0.0)] == [
        "+1.23",
        "-1.20",
        "0.00",
        "0.00",
        "0.00",
    ]
    assert [p_text(p) for p in (None, 0.5, 0.0001)] == ["–", "0.500", "< 0.001"]
