"""The published rules: vectors of integers against an oracle that enumerates."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bestex.clock import SECOND
from services.backtester.lab.l1.published import BASELINES, Execution, Published
from services.backtester.lab.l1.quotes import NEVER, Level1, Terms, read
from tests.unit.backtester.lab.l1 import level1, oracle
from tests.unit.backtester.lab.l1.oracle import Fill, Quote, Venue

PARAMETERS = (Fraction(2), Fraction("0.01"), Fraction("0.01"))

ROWS = st.lists(
    st.builds(
        Quote,
        st.sampled_from([0, 1, 2, 30, 59, 60, 61, 120, 200]).map(lambda second: second * SECOND),
        st.integers(0, 3),
        st.builds(
            Venue,
            st.integers(1000, 1003),
            st.sampled_from([0, 1, 99, 100, 150, 200, 300, 700]),
            st.integers(-2, 2),
            st.integers(0, 2),
        ),
    ),
    min_size=1,
    max_size=24,
)


def as_level1(rows: list[Quote]) -> Level1:
    """What the reader makes of these rows."""
    rows = sorted(rows, key=lambda row: row.at_ns)

    def column(values: list[int]) -> Any:
        return np.array(values, dtype=np.int64)

    return Level1(
        path=Path("rows"),
        sha256="",
        sign=1,
        at_ns=column([row.at_ns for row in rows]),
        venue=column([row.publisher for row in rows]),
        ask=column([row.venue.ask if row.venue.size else NEVER for row in rows]),
        ask_size=column([row.venue.size for row in rows]),
        bid=column([-NEVER] * len(rows)),
        bid_size=column([0] * len(rows)),
        fee=column([row.venue.fee for row in rows]),
        rebate=column([row.venue.rebate for row in rows]),
        price_scale=2,
        qty_scale=0,
        publishers=tuple(map(str, range(4))),
        rests=False,
    )


def fills_of(quotes: Level1, snapshots: Published, execution: Execution) -> list[Fill]:
    number = {at_ns: place for place, at_ns in enumerate(snapshots.at_ns[snapshots.starts].tolist())}
    return sorted(
        Fill(number[int(quotes.at_ns[row])], int(quotes.venue[row]), int(qty), cash)
        for row, qty, cash in zip(execution.rows, execution.qtys, execution.costs(quotes), strict=True)
    )


@settings(max_examples=150)
@given(rows=ROWS, qty=st.sampled_from([100, 250, 300, 500, 900, 1500]), lot=st.sampled_from([50, 100]))
def test_every_strategy_does_what_enumeration_does(rows: list[Quote], qty: int, lot: int) -> None:
    quotes = as_level1(rows)
    snapshots = Published(quotes)
    slow = {
        "router": oracle.router(rows, qty, lot, *PARAMETERS),
        **{name: getattr(oracle, name)(rows, qty) for name in BASELINES},
    }
    fast = {
        "router": snapshots.router(qty, lot),
        **{name: getattr(snapshots, name)(qty) for name in BASELINES},
    }
    for name, expected in slow.items():
        assert fills_of(quotes, snapshots, fast[name]) == sorted(expected), name


@settings(max_examples=60)
@given(rows=ROWS, qty=st.sampled_from([100, 300, 500]), factors=st.tuples(*[st.fractions(0, 100)] * 3))
def test_the_parameters_change_nothing(
    rows: list[Quote], qty: int, factors: tuple[Fraction, Fraction, Fraction]
) -> None:
    assert oracle.router(rows, qty, 100, *factors) == oracle.router(rows, qty, 100, *PARAMETERS)


def test_on_a_simulated_file_of_three_venues_it_is_what_enumeration_does(tmp_path: Path) -> None:
    terms = Terms(fee=Decimal("0.003"), rebate=Decimal("0.002"))
    quotes = read(level1.day(tmp_path / "day.csv", 3, 0.05), 1, terms)
    rows = [
        Quote(at_ns, venue, Venue(ask, size, fee, rebate))
        for at_ns, venue, ask, size, fee, rebate in zip(
            *(
                column.tolist()
                for column in (
                    quotes.at_ns, quotes.venue, quotes.ask, quotes.ask_size, quotes.fee, quotes.rebate,
                )
            ),
            strict=True,
        )
    ]  # fmt: skip
    assert len({row.publisher for row in rows}) == 3
    snapshots = Published(quotes)
    assert fills_of(quotes, snapshots, snapshots.router(2000, 100)) == oracle.router(
        rows, 2000, 100, *PARAMETERS
    )
    for name in BASELINES:
        fast = fills_of(quotes, snapshots, getattr(snapshots, name)(5000))
        assert fast == sorted(getattr(oracle, name)(rows, 5000)), name
        assert sum(fill.qty for fill in fast) == 5000


def test_of_equally_cheap_splits_the_first_in_enumeration_order_is_taken() -> None:
    venues = [Venue(1000, 300, 0, 0), Venue(999, 100, 1, 0), Venue(1000, 300, 0, 0)]
    rows = [Quote(0, place, venue) for place, venue in enumerate(venues)]
    quotes = as_level1(rows)
    snapshots = Published(quotes)
    taken = fills_of(quotes, snapshots, snapshots.router(500, 100))
    assert [(fill.venue, fill.qty) for fill in taken] == [(0, 100), (1, 100), (2, 300)]
    assert taken == oracle.router(rows, 500, 100, *PARAMETERS)


def test_the_same_displayed_quote_is_bought_again_and_again() -> None:
    """What makes the published figures flatter: nothing that was bought is ever gone."""
    rows = [Quote(second * SECOND, 0, Venue(1000, 100, 0, 0)) for second in range(5)]
    assert Published(as_level1(rows)).best_ask(500).filled == 500


@pytest.mark.parametrize("name", ["router", *BASELINES])
def test_a_sale_is_a_purchase_with_the_signs_changed(name: str, tmp_path: Path) -> None:
    rows = [
        level1.Row(second, venue, 1002 + second % 3, 200, 1000 + venue - second % 2, 100 * (1 + second % 4))
        for second in range(40)
        for venue in (1, 2)
    ]
    mirrored = [
        level1.Row(at_s, venue, 5000 - bid, bid_size, 5000 - ask, size)
        for at_s, venue, ask, size, bid, bid_size in rows
    ]
    selling = Published(level1.quotes(tmp_path / "sell.csv", rows, -1))
    buying = Published(level1.quotes(tmp_path / "buy.csv", mirrored, 1))
    arguments = (300, 100) if name == "router" else (2500,)
    sold, bought = getattr(selling, name)(*arguments), getattr(buying, name)(*arguments)
    assert sold.filled == bought.filled > 0
    assert sum(sold.costs(selling.quotes)) + 5000 * sold.filled == sum(bought.costs(buying.quotes))


def test_a_block_of_time_is_worked_alone() -> None:
    rows = [Quote(second * SECOND, 0, Venue(1000 + second, 100, 0, 0)) for second in range(10)]
    quotes = as_level1(rows)
    part = Published(quotes, 3 * SECOND, 5 * SECOND)
    assert part.count == 2
    assert part.sweep(500).costs(quotes) == [100 * 1003, 100 * 1004]
    assert Published(quotes, 20 * SECOND).sweep(500).filled == 0
