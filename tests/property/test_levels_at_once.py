"""A feed's updates taken at once, on a ladder that keeps only the near levels in order, against level by level."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from bestex import sim_wire as w
from bestex.background import BackgroundTrade, LevelsSet
from bestex.instruments import Instrument, Instruments, Listing
from bestex.matching import SimExchange, ladder, market
from bestex.messages import Side, Tif
from tests.unit.matching.plain_ladder import PlainLadder

VENUE, SYMBOL = "sim_a", "X/Y"
INSTRUMENTS = Instruments(
    (Instrument(symbol=SYMBOL, price_scale=0, qty_scale=0, listings=(Listing(venue=VENUE, symbol=SYMBOL),)),)
)

prices = st.integers(90, 111)
levels = st.dictionaries(prices, st.sampled_from([0, 0, 1, 2, 5, 9]), max_size=8)
times = st.sampled_from([0, 0, 1, 40])
operations = st.one_of(
    st.tuples(st.just("levels"), times, levels, levels),
    st.tuples(st.just("levels"), times, levels, levels),
    st.tuples(st.just("whole"), times, levels, levels),
    st.tuples(st.just("trade"), times, prices, st.integers(1, 12), st.sampled_from([1, -1, 0])),
    st.tuples(st.just("submit"), times, st.sampled_from(list(Side)), prices, st.integers(1, 20)),
    st.tuples(st.just("good till"), times, st.sampled_from(list(Side)), prices, st.integers(1, 60)),
    st.tuples(st.just("take"), times, st.sampled_from(list(Side)), prices, st.integers(1, 20)),
    st.tuples(st.just("cancel"), times, st.integers(0, 8)),
)


@contextmanager
def short_ladders() -> Iterator[None]:
    """So that prices beyond the near ones, and forgotten zeros, are everywhere."""
    with (
        patch.object(ladder, "NEAR_LEVELS", 2),
        patch.object(ladder, "SPARE_LEVELS", 1),
        patch.object(ladder, "SWEEP_LEVELS", 6),
    ):
        yield


class Fed:
    def __init__(self, kind: type, *, at_once: bool) -> None:
        with patch.object(market, "Ladder", kind):
            self.sim = SimExchange(INSTRUMENTS, [VENUE], step_by_step=not at_once)
        self._orders = 0

    def do(self, now_ns: int, operation: tuple[Any, ...]) -> Any:
        """What is seen from outside after it."""
        match operation:
            case ("levels" | "whole" as kind, _, bids, asks):
                self.sim.background(SYMBOL, LevelsSet(now_ns, VENUE, bids, asks, kind == "whole"))
            case ("trade", _, price, qty, aggressor):
                self.sim.background(SYMBOL, BackgroundTrade(now_ns, VENUE, price, qty, aggressor, "t"))
            case ("cancel", _, number):
                self.sim.cancel(w.Cancel(venue=VENUE, client_id=f"c{number}"), now_ns)
            case (kind, _, side, price, amount):
                self._submit(kind, side, price, amount, now_ns)
        made = self.sim.market(VENUE, SYMBOL)
        return self.sim.drain(), self.sim.drain_prints(), made.book(5), made.book(100), made.best(1)

    def _submit(self, kind: str, side: Side, price: int, amount: int, now_ns: int) -> None:
        self._orders += 1
        order = w.Submit(
            venue=VENUE,
            symbol=SYMBOL,
            client_id=f"c{self._orders}",
            side=side,
            qty=7 if kind == "good till" else amount,
            price=price,
            tif={"submit": Tif.GTC, "take": Tif.IOC, "good till": Tif.GTD}[kind],
            good_till_ns=now_ns + amount if kind == "good till" else 0,
        )
        self.sim.submit(order, now_ns)


@settings(max_examples=150)
@given(st.lists(operations, min_size=10, max_size=50))
def test_an_update_taken_at_once_does_what_its_levels_do_one_by_one(history: list[tuple[Any, ...]]) -> None:
    with short_ladders():
        fast, slow = Fed(ladder.Ladder, at_once=True), Fed(PlainLadder, at_once=False)
        now_ns = 1
        for operation in history:
            now_ns += operation[1]
            assert fast.do(now_ns, operation) == slow.do(now_ns, operation), operation
