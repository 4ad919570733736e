"""What may be said of costs: what was planted is found, what is equal is equal, and looking often is paid for."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
import pytest

from bestex.clock import MINUTE
from bestex.messages import Side
from bestex.shortfall import PARTS, Costs
from services.backtester.lab.compare.analysis import Figures, Table, Worked, analyse

TIMES, SIZES = 18, (Decimal(1), Decimal(10))


def worked(
    variant: str, extra_bps: float = 0.0, noise: float = 0.0, seed: int = 1, times: int = TIMES
) -> list[Worked]:
    """Timing that all combinations share moves by 20 bps; each has noise and `extra_bps` of impact of its own."""
    shared, own = np.random.default_rng(7), np.random.default_rng(seed)
    found = []
    for number in range(times):
        drift = shared.normal(0, 20)
        for size in SIZES:
            for side in Side:
                impact = extra_bps + own.normal(0, noise) if noise else extra_bps
                found.append(one(variant, number, size, side, timing=side.sign * drift, impact=impact))
    return found


def one(variant: str, number: int, size: Decimal = Decimal(1), side: Side = Side.BUY, **bps: float) -> Worked:
    value = size * 100
    parts = {part: value * Decimal(repr(bps.get(part, 0.0))) / 10_000 for part in PARTS}
    costs = Costs(**parts, total=sum(parts.values(), Decimal(0)), basis=Decimal(0), value=value)
    return Worked(
        variant=variant,
        start_ns=number * MINUTE,
        side=side,
        size=size,
        reason="filled",
        fill_rate=1.0,
        fills=1,
        costs=costs,
        volatility_bps=float(number % 9),
    )


def figures(table: Table | None, group: int = 0) -> dict[str, Figures]:
    assert table is not None
    return {found.variant: found for found in table.groups[group].figures}


def test_a_planted_saving_is_found_under_noise_that_is_far_larger() -> None:
    parents = worked("a", 0, 0.5, seed=1) + worked("b", -1.0, 0.5, seed=2) + worked("c", 0, 0.5, seed=3)
    found = figures(analyse(parents, ["a", "b", "c"], "a", seed=1).overall)
    b, c = found["b"], found["c"]
    assert (found["a"].verdict, b.verdict, c.verdict) == ("baseline", "cheaper", "no difference shown")
    assert b.difference_bps is not None
    assert b.difference_bps.excludes_zero
    assert b.difference_bps.mean == pytest.approx(-1, abs=0.3)
    assert (b.n, b.pairs, b.difference_bps.times) == (4 * TIMES, 4 * TIMES, TIMES)
    assert b.cheaper is not None
    assert b.cheaper > 0.8


def test_the_same_costs_differ_by_exactly_nothing() -> None:
    found = figures(analyse(worked("a", 1, 2) + worked("b", 1, 2), ["a", "b"], "a", seed=1).overall)["b"]
    assert found.difference_bps is not None
    assert (found.difference_bps.mean, found.difference_bps.low, found.difference_bps.high) == (0, 0, 0)
    assert (found.verdict, found.p_holm, found.cheaper) == ("identical", 1, 0)


def test_among_twenty_an_interval_that_leaves_out_nothing_by_chance_is_no_verdict() -> None:
    """All combinations cost the same; the draw is one of those, about a quarter, in which some interval misses 0."""
    names = [f"v{i}" for i in range(21)]
    random = np.random.default_rng(6)
    parents = [
        msgspec.structs.replace(one(name, number, impact=random.normal()), volatility_bps=None)
        for name in names
        for number in range(20)
    ]
    found = figures(analyse(parents, names, "v0", seed=1).overall)
    alone = [each for each in found.values() if each.difference_bps and each.difference_bps.excludes_zero]
    assert alone
    assert {each.verdict for each in found.values()} == {"baseline", "no difference shown"}
    assert all(each.p_holm is not None and each.difference_bps is not None for each in alone)


def test_parts_sum_to_the_total_in_every_group() -> None:
    analysis = analyse(worked("a", 1, 2) + worked("b", 2, 2, seed=4), ["a", "b"], "b", seed=1)
    tables = [analysis.overall, analysis.by_size, analysis.by_side, analysis.by_volatility]
    assert [len(table.groups) for table in tables if table] == [1, 2, 2, 3]
    for table in tables:
        assert table is not None
        assert sum(group.figures[0].n for group in table.groups) == 4 * TIMES
        for group in table.groups:
            for found in group.figures:
                assert found.total_bps.mean == pytest.approx(sum(found.parts_bps.values()))


def test_a_group_is_looked_at_by_itself() -> None:
    """A saving on large orders only."""
    large = SIZES[1]
    saved = [parent if parent.size != large else cheaper(parent) for parent in worked("b")]
    analysis = analyse(worked("a") + saved, ["a", "b"], "a", seed=1)
    assert figures(analysis.by_size, 0)["b"].verdict == "identical"
    assert figures(analysis.by_size, 1)["b"].verdict == "cheaper"
    assert analysis.by_size is not None
    assert (analysis.by_size.tests, analysis.overall.tests) == (2, 1)


def cheaper(parent: Worked) -> Worked:
    """By one basis point of impact."""
    costs = parent.costs
    assert costs is not None
    less = costs.value / 10_000
    changed = msgspec.structs.replace(costs, impact=costs.impact - less, total=costs.total - less)
    return msgspec.structs.replace(parent, costs=changed)


def test_terciles_are_of_start_times_and_say_their_bounds() -> None:
    analysis = analyse(worked("a") + worked("b"), ["a", "b"], "a", seed=1)
    assert analysis.by_volatility is not None
    assert [
        group.figures[0].difference_bps or group.figures[1].n for group in analysis.by_volatility.groups
    ] == [
        24,
        24,
        24,
    ]
    assert analysis.by_volatility.groups[0].label == "calm: up to 2.67 bps a second"
    still = [msgspec.structs.replace(parent, volatility_bps=1.0) for parent in worked("a") + worked("b")]
    assert analyse(still, ["a", "b"], "a", seed=1).by_volatility is None


def test_what_was_refused_is_in_no_mean_and_is_told() -> None:
    refused = msgspec.structs.replace(
        one("b", 3), costs=None, reason="expired", text="it came late", fill_rate=0.0
    )
    parents = [one("a", i, impact=1) for i in range(8)] + [
        refused if i == 3 else one("b", i, impact=1) for i in range(8)
    ]
    analysis = analyse(parents, ["a", "b"], "a", seed=1)
    b = figures(analysis.overall)["b"]
    assert (b.n, b.pairs, b.refused, b.fill_rate) == (7, 7, 1, 1.0)
    assert any("1 of 8 have no cost: it came late (expired)" in note for note in analysis.notes)


def test_few_times_give_means_and_say_that_they_are_few() -> None:
    parents = [one(name, i, impact=i * scale) for name, scale in (("a", 1), ("b", 2)) for i in range(5)]
    analysis = analyse(parents, ["a", "b"], "a", seed=1)
    b = figures(analysis.overall)["b"]
    assert b.verdict == "too few times to say (5)"
    assert b.difference_bps is not None
    assert b.difference_bps.mean == 2
    assert any("below 6 no interval" in note for note in analysis.notes)


def test_overlapping_parents_are_resampled_in_runs_as_long_as_their_overlap() -> None:
    parents = worked("a", 0, 1) + worked("b", 0, 1, seed=2)
    found = figures(analyse(parents, ["a", "b"], "a", seed=1, block_min=4).overall)["b"]
    assert found.difference_bps is not None
    assert (found.difference_bps.block or 0) >= 4


def test_less_filled_is_told() -> None:
    parents = [one("a", i) for i in range(8)] + [
        msgspec.structs.replace(one("b", i), fill_rate=0.5, beyond=Decimal(1)) for i in range(8)
    ]
    notes = analyse(parents, ["a", "b"], "a", seed=1).notes
    assert any("b filled 50.0% and the baseline 100.0%" in note for note in notes)
    assert any("Of 8 orders more was left than all books showed" in note for note in notes)
