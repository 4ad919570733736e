"""One child: what it takes is gone, what it rests fills behind the queue, and nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from bestex.clock import SECOND
from services.backtester.lab.l1 import windows
from services.backtester.lab.l1.child import BASELINES, Child, Taken, best_ask, sweep
from services.backtester.lab.l1.grid import Grid, make
from services.backtester.lab.l1.quotes import Terms
from services.backtester.lab.l1.router import Parameters, Router
from tests.unit.backtester.lab.l1 import level1
from tests.unit.backtester.lab.l1.level1 import Row

TERMS = Terms(fee=Decimal("0.01"), rebate=Decimal("0.02"))


def grid_of(
    path: Path, rows: Sequence[Row], steps: int = 3, share: float = 0.0, terms: Terms = TERMS
) -> Grid:
    return make(level1.quotes(path, rows, terms=terms), SECOND, steps, share)


def child_of(grid: Grid, qty: int, first: int = 0) -> Child:
    return Child(grid, Taken(grid), first, first + grid.steps, qty)


def wait(child: Child, at: int) -> None:
    """Leave it for later."""
    assert child.first <= at < child.end


def shown(sizes: Sequence[int], asks: Sequence[int] = ()) -> list[Row]:
    """One venue, a row a second."""
    return [Row(second, 1, asks[second] if asks else 100, size, 98, 50) for second, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "asks", "bought"),
    [
        ([100, 100, 100, 100], [], 100),  # the same quote again is not new
        ([100, 130, 130, 130], [], 130),  # thirty more are
        ([100, 40, 90, 90], [], 150),  # of the forty all may be ours; the fifty that came are new
        (
            [100, 100, 100, 100],
            [100, 101, 100, 100],
            300,
        ),  # dearer: the level went, and what came back is new
        ([100, 100, 100, 100], [100, 99, 100, 100], 200),  # a better ask hides it, and it is still ours
        ([100, 0, 70, 70], [], 170),  # gone from the venue altogether
    ],
)
def test_what_was_taken_is_gone_until_new_size_is_shown(
    sizes: list[int], asks: list[int], bought: int, tmp_path: Path
) -> None:
    grid = grid_of(tmp_path / "q.csv", shown(sizes, asks))
    child = child_of(grid, 1000)
    child.work(best_ask)
    assert child.filled == bought
    assert child.unfilled == 1000 - bought


def test_what_rests_fills_at_its_price_less_the_rebate(tmp_path: Path) -> None:
    rows = [Row(0, 1, 102, 100, 100, 50), Row(0.5, 1, 101, 100, 99, 80), Row(1.5, 1, 100, 60, 98, 80)]
    rows += [Row(3, 1, 102, 100, 100, 50)]
    child = child_of(grid_of(tmp_path / "q.csv", rows), 70)
    child.work(lambda one, at: one.rest(at, 0, 70) if at == 0 else None)
    assert [(fill.at, fill.qty, fill.cash, fill.rested) for fill in child.fills] == [
        (2, 70, 70 * (100 - 2), True)
    ]


def test_what_is_missing_at_the_horizon_is_swept(tmp_path: Path) -> None:
    rows = [Row(second, venue, 100 + venue, 40, 98, 50) for second in range(5) for venue in (1, 2)]
    child = child_of(grid_of(tmp_path / "q.csv", rows), 60)
    child.work(wait)
    assert child.forced == child.filled == 60
    assert child.cash == 40 * (101 + 1) + 20 * (102 + 1)


def test_what_is_too_much_at_the_horizon_is_sold_back_to_the_bids(tmp_path: Path) -> None:
    rows = [Row(0, 1, 102, 100, 100, 50), Row(0, 2, 102, 100, 100, 50)]
    rows += [Row(0.5, venue, 100, 100, 97 + venue, 30) for venue in (1, 2)]
    rows += [Row(3, 1, 100, 100, 98, 30)]
    child = child_of(grid_of(tmp_path / "q.csv", rows), 60)

    def both(one: Child, at: int) -> None:
        if at == 0:
            one.rest(at, 0, 50)
            one.rest(at, 1, 50)

    child.work(both)
    assert (child.filled, child.over, child.unfilled) == (60, 40, 0)
    assert child.cash == 100 * (100 - 2) - 30 * (99 - 1) - 10 * (98 - 1)


def test_an_order_that_was_overtaken_by_a_better_bid_is_withdrawn(tmp_path: Path) -> None:
    rows = [Row(0, 1, 104, 100, 100, 50), Row(0.5, 1, 104, 100, 101, 50), Row(3, 1, 100, 100, 99, 5)]
    child = child_of(grid_of(tmp_path / "q.csv", rows), 60)
    child.work(lambda one, at: one.rest(at, 0, 60) if at == 0 else None)
    assert child.forced == 60


@pytest.mark.parametrize("name", ["router", *BASELINES])
def test_a_parents_children_sum_to_it(name: str, tmp_path: Path) -> None:
    quotes = level1.quotes(
        tmp_path / "q.csv",
        [
            Row(
                second + venue / 10,
                venue,
                101 + (second * venue) % 3,
                100 * (1 + second % 3),
                99 + second % 2,
                100,
            )
            for second in range(240)
            for venue in (1, 2, 3)
        ],
    )
    grid = make(quotes, SECOND, 6, 0.2)
    firsts = windows.windows(grid)
    decide = Router(grid, Parameters(50.0, 1.5, 0.01), 100, {}) if name == "router" else BASELINES[name]
    children = windows.parent(grid, decide, 4_050, firsts, 100)
    assert sum(child.filled for child in children) == 4_050
    for child in children:
        assert child.filled == sum(fill.qty for fill in child.fills)
        assert child.cash == sum(fill.cash for fill in child.fills)
    taken = sum(fill.qty for child in children for fill in child.fills if not fill.rested)
    assert taken > 0


def test_a_child_carries_what_it_could_not_fill_to_the_next(tmp_path: Path) -> None:
    grid = grid_of(tmp_path / "q.csv", shown([10] * 20 + [500] * 30), steps=3)
    children = windows.parent(grid, sweep, 600, [0, 30], 100)
    assert children[0].unfilled > 0
    assert children[1].qty == 300 + children[0].unfilled
    assert children[0].filled + children[1].filled + children[1].unfilled == 600


def test_windows_without_a_row_are_no_windows(tmp_path: Path) -> None:
    """A night between two days is not traded in."""
    rows = shown([100] * 12) + [Row(1000 + second, 1, 100, 100, 98, 50) for second in range(12)]
    grid = grid_of(tmp_path / "q.csv", rows)
    starts = [int(grid.at_ns[first] - level1.START_NS) // SECOND for first in windows.windows(grid)]
    assert all(start < 12 or start > 990 for start in starts)
    assert len(starts) >= 7


@pytest.mark.parametrize(
    ("qty", "count", "lot"), [(5000, 7, 100), (5050, 7, 100), (300, 5, 100), (40, 1, 100)]
)
def test_parts_are_lots_and_sum_to_the_whole(qty: int, count: int, lot: int) -> None:
    found = windows.parts(qty, count, lot)
    assert sum(found) == qty
    assert all(part % lot == 0 for part in found[:-1])
    assert max(found[:-1], default=0) - min(found[:-1], default=0) <= lot
