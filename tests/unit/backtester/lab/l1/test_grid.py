"""What passes an order that rests, by level-1 rows alone."""

from __future__ import annotations

from math import inf
from pathlib import Path

import numpy as np
import pytest

from bestex.background import ASK, BID, BackgroundTrade
from bestex.clock import SECOND
from bestex.errors import UsageError
from bestex.market import simulate
from services.backtester.lab.l1 import files, grid
from services.backtester.lab.l1.grid import Probe
from services.backtester.lab.l1.quotes import NEVER, Terms, read
from tests.unit.backtester.lab.l1 import level1
from tests.unit.backtester.lab.l1.level1 import Row

ASK_PX = 110


@pytest.mark.parametrize(
    ("rows", "share", "ahead", "passed"),
    [
        (
            [(100, 150, ASK_PX)],
            0.5,
            150.0,
            0.0,
        ),  # 100 left: 50 from the front, and no more than 150 can be ahead
        ([(100, 20, ASK_PX)], 0.5, 20.0, 0.0),
        ([(100, 250, ASK_PX), (100, 150, ASK_PX)], 0.5, 150.0, 0.0),  # more behind us passes nobody
        (
            [(99, 500, ASK_PX)],
            0.5,
            0.0,
            0.0,
        ),  # the level went: we are the best bid, and none has traded with us
        (
            [(99, 500, ASK_PX), (99, 400, ASK_PX)],
            0.5,
            0.0,
            50.0,
        ),  # what trades at a worse price trades with us
        ([(101, 500, ASK_PX), (101, 100, ASK_PX)], 0.5, 250.0, 0.0),  # behind a better bid nothing passes
        ([(101, 500, ASK_PX), (100, 80, ASK_PX)], 0.5, 80.0, 0.0),
        ([(98, 100, 100)], 0.0, 0.0, inf),  # who asks at our price would have sold to us
        ([(-NEVER, 0, ASK_PX)], 0.0, 0.0, 0.0),
        ([(100, 0, ASK_PX)], 1.0, 0.0, 0.0),
    ],
)
def test_a_probe_sees_no_more_pass_than_was_sold(
    rows: list[tuple[int, int, int]], share: float, ahead: float, passed: float
) -> None:
    probe = Probe(100, 250.0, share)
    for bid, size, ask in rows:
        probe.see([bid], [size], [ask])
    assert (probe.ahead, probe.passed) == (ahead, passed)


def test_a_grid_holds_the_newest_row_of_each_time(tmp_path: Path) -> None:
    rows = [
        Row(0, 1, 102, 5, 100, 6),
        Row(1, 2, 103, 7, 99, 8),
        Row(4, 1, 104, 9, 101, 0),
        Row(4.5, 2, 105, 1),
    ]
    found = grid.make(level1.quotes(tmp_path / "q.csv", rows), 2 * SECOND, 2, 0.1)
    assert found.ask.tolist() == [[102, NEVER], [102, 103], [104, 103], [104, 105]]
    assert found.bid.tolist() == [[100, -NEVER], [100, 99], [-NEVER, 99], [-NEVER, -NEVER]]
    assert found.mid.tolist() == [101, 101, 101, 104]


def test_a_probe_is_asked_for_what_is_past_alone(tmp_path: Path) -> None:
    """Rows after a time change nothing that was known then: cut the file, and all until there stays."""
    quotes = read(level1.day(tmp_path / "day.csv", 5, 0.1), 1, Terms())
    path = tmp_path / "cut.csv"
    whole = (tmp_path / "day.csv").read_text().splitlines()
    path.write_text("\n".join(whole[: len(whole) // 2]) + "\n")
    cut = read(path, 1, Terms())
    long, short = (grid.make(of, 5 * SECOND, 3, 0.01) for of in (quotes, cut))
    until = short.last  # the last time of the shorter grid may be after its last row
    for joined in range(until):
        for steps in range(1, min(3, until - 1 - joined) + 1):
            assert np.array_equal(
                long.outflow[joined, :, steps - 1], short.outflow[joined, :, steps - 1], equal_nan=True
            )
    assert np.array_equal(long.ask[:until], short.ask[:until])


def test_by_default_less_fills_than_trades_would_have_filled(tmp_path: Path) -> None:
    """A simulated market tells its trades: what rests would have been filled by them more often than by our rules."""
    events = list(simulate(level1.STOCK, "equity", 2, 3600, level1.START_PRICE, level1.START_NS))
    path = tmp_path / "day.csv"
    files.write(path, files.of_events(events, level1.VENUES), 4, 0)
    quotes = read(path, 1, Terms())
    found = grid.make(quotes, 10 * SECOND, 6, 0.005)
    lot, unit = 100, 10 ** (4 - quotes.price_scale)
    for place, name in enumerate(level1.VENUES):
        trades = [
            event
            for event in events
            if isinstance(event, BackgroundTrade) and event.venue == name and event.aggressor == ASK
        ]
        times = [trade.at_ns for trade in trades]
        ours = theirs = 0.0
        for joined in range(0, found.last - 6):
            if found.bid[joined, place] == -NEVER:
                continue
            price, ahead, passed = int(found.bid[joined, place]), float(found.bid_size[joined, place]), 0.0
            venue, first, last = (
                found.venues[place],
                int(found.row[joined, place]),
                int(found.row[joined + 6, place]),
            )
            begin, end = np.searchsorted(times, found.at_ns[[joined, joined + 6]], side="right")
            happened = sorted(
                [(trade.at_ns, 0, at) for at, trade in enumerate(trades[begin:end], int(begin))]
                + [(int(venue.at_ns[row]), 1, row) for row in range(first + 1, last + 1)]
            )
            for _, kind, at in happened:
                if kind == 0:
                    traded = trades[at].price // unit
                    before = ahead if traded == price else 0.0
                    if traded <= price:
                        passed += max(trades[at].qty - before, 0.0)
                        ahead = max(before - trades[at].qty, 0.0)
                elif venue.ask[at] <= price:
                    passed = inf
                elif venue.bid[at] < price:
                    ahead = 0.0
                elif venue.bid[at] == price:
                    ahead = min(ahead, float(venue.bid_size[at]))
            theirs += min(passed, lot)
            ours += min(float(found.passed[joined, place, 5]), lot)
        assert 0.75 * theirs < ours < 1.02 * theirs, name
    assert BID == -ASK


def test_too_many_decisions_are_refused_with_what_to_do(tmp_path: Path) -> None:
    rows = [Row(0, 1, 102, 5), Row(3_000_000, 1, 102, 5)]
    with pytest.raises(UsageError, match="--horizon"):
        grid.make(level1.quotes(tmp_path / "q.csv", rows), SECOND, 2, 0.1)
