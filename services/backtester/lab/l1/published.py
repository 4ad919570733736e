"""The exercise by the rules that others report, exactly, though they flatter.

A snapshot is the rows of one distinct time, the latest of each publisher, publishers in order; snapshots come in
order until the quantity S is filled. Every one is bought as if nothing had been bought before.

- Router: of all splits of S over the snapshot's venues in steps of a lot, none above what a venue displays, the first
  cheapest in enumeration order (the first venue's share ascending, then the second's): sum q_i (ask_i + fee_i) less
  rebates, plus theta (under + over) + lambda_under under + lambda_over over. No trade where no split sums up to S.
- Best Ask: up to the displayed size at the lowest ask, the first on a tie, without a look at the fee.
- Sweep: all venues by ask plus fee.
- VWAP: rest x size_i // total size at each venue, no more than its size, what is left to the cheapest ask plus fee
  with room.
- TWAP: buckets of 60 s from the first snapshot to the last, S split evenly, the first buckets one unit more; executed
  as Best Ask, and what a bucket leaves goes on in the next.

Cash is filled x (ask + fee). As no share is above what is displayed and the shares sum to S, nothing is ever under,
over or earns a rebate: lambda_over, lambda_under and theta change nothing (`PARAMETERS`). So the cheapest split needs
no enumeration: it fills venues by ask plus fee, of equal ones the last first, which is what the first in enumeration
order is. All of it is vectors of integers; the slow oracle that enumerates is with the tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bestex.clock import SECOND
from services.backtester.lab.l1.columns import Ints
from services.backtester.lab.l1.quotes import Level1

BUCKET_NS = 60 * SECOND
PARAMETERS = "lambda_over, lambda_under and theta change nothing here: no split is ever under, over or posted"
BASELINES = ("best_ask", "twap", "vwap", "sweep")


@dataclass(frozen=True)
class Execution:
    """What was bought: rows of the `Level1`, and how much at each, in the order of the rows."""

    rows: Ints
    qtys: Ints

    @property
    def filled(self) -> int:
        return int(self.qtys.sum())

    def costs(self, quotes: Level1) -> list[int]:
        """Cash of each fill, price units times quantity units; Python's integers, because 64 bits may not hold it."""
        prices = quotes.ask[self.rows] + quotes.fee[self.rows]
        return [price * qty for price, qty in zip(prices.tolist(), self.qtys.tolist(), strict=True)]


class Published:
    """The snapshots of `quotes` that begin within [`from_ns`, `to_ns`); all of them by default."""

    def __init__(self, quotes: Level1, from_ns: int | None = None, to_ns: int | None = None) -> None:
        self.quotes = quotes
        first = 0 if from_ns is None else int(np.searchsorted(quotes.at_ns, from_ns))
        last = len(quotes) if to_ns is None else int(np.searchsorted(quotes.at_ns, to_ns))
        at_ns, venue = quotes.at_ns[first:last], quotes.venue[first:last]
        order = np.lexsort((venue, at_ns))  # stable: of one time and venue in the order of the file
        last_of = np.ones(len(order), np.bool_)
        if len(order):
            sorted_at, sorted_venue = at_ns[order], venue[order]
            last_of[:-1] = (sorted_at[1:] != sorted_at[:-1]) | (sorted_venue[1:] != sorted_venue[:-1])
        self.rows: Ints = first + order[last_of]
        self.at_ns = quotes.at_ns[self.rows]
        begins = np.ones(len(self.rows), np.bool_)
        begins[1:] = self.at_ns[1:] != self.at_ns[:-1]
        self.starts: Ints = np.flatnonzero(begins).astype(np.int64)
        self._of: Ints = np.cumsum(begins) - 1  # the snapshot of each row
        self.size = quotes.ask_size[self.rows]
        self.ask = quotes.ask[self.rows]
        self.price = self.ask + quotes.fee[self.rows]

    @property
    def count(self) -> int:
        return len(self.starts)

    def router(self, qty: int, lot: int) -> Execution:
        if qty % lot or not self.count:
            return self._none()
        room = np.minimum(self.size, qty) // lot * lot
        enough = np.flatnonzero(np.add.reduceat(room, self.starts) >= qty)
        if not len(enough):
            return self._none()
        first, last = self._span(int(enough[0]))
        places = np.arange(first, last)
        order = places[np.lexsort((-places, self.price[first:last]))]
        return self._filled(order, _fill_up(room[order], qty))

    def best_ask(self, qty: int) -> Execution:
        best, sizes = self._best(qty)
        return self._filled(best, _fill_up(sizes, qty))

    def twap(self, qty: int) -> Execution:
        best, sizes = self._best(qty)
        if not self.count:
            return self._none()
        times = self.at_ns[self.starts]
        buckets = int(times[-1] - times[0]) // BUCKET_NS + 1
        done = (times - times[0]) // BUCKET_NS + 1  # buckets that have begun
        due = done * (qty // buckets) + np.minimum(done, qty % buckets)
        # filled_t = min(due_t, filled_(t-1) + size_t), written out: the least of all that ever bound it.
        before = np.cumsum(sizes)
        filled = before + np.minimum(np.minimum.accumulate(due - before), 0)
        return self._filled(best, np.diff(filled, prepend=0))

    def sweep(self, qty: int) -> Execution:
        whole, last, rest = self._until(qty)
        if last is None:
            return whole
        order = last[np.argsort(self.price[last], kind="stable")]
        return self._joined(whole, self._filled(order, _fill_up(self.size[order], rest)))

    def vwap(self, qty: int) -> Execution:
        whole, last, rest = self._until(qty)
        if last is None:
            return whole
        sizes: list[int] = self.size[last].tolist()
        total = sum(sizes)
        shares = [min(rest * size // total, size) for size in sizes]
        left = rest - sum(shares)
        for place in np.argsort(self.price[last], kind="stable").tolist():
            more = min(left, sizes[place] - shares[place])
            shares[place] += more
            left -= more
        return self._joined(whole, self._filled(last, np.array(shares, np.int64)))

    # -- parts -----------------------------------------------------------------------------------------------

    def _span(self, snapshot: int) -> tuple[int, int]:
        first = int(self.starts[snapshot])
        last = int(self.starts[snapshot + 1]) if snapshot + 1 < self.count else len(self.rows)
        return first, last

    def _best(self, qty: int) -> tuple[Ints, Ints]:
        """The place of each snapshot's lowest ask, the first on a tie, and its size, `qty` at most."""
        if not self.count:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        lowest = np.minimum.reduceat(self.ask, self.starts)
        at_best = np.flatnonzero(self.ask == lowest[self._of])
        _, first = np.unique(self._of[at_best], return_index=True)
        best = at_best[first].astype(np.int64)
        return best, np.minimum(self.size[best], qty)

    def _until(self, qty: int) -> tuple[Execution, Ints | None, int]:
        """The snapshots that are bought whole; the places of the one that is not, and how much there."""
        if not self.count:
            return self._none(), None, 0
        totals = np.add.reduceat(np.minimum(self.size, qty), self.starts)
        bought = np.cumsum(np.minimum(totals, qty))
        partial = int(np.searchsorted(bought, qty))
        if partial == self.count:
            return self._filled(np.arange(len(self.rows)), self.size), None, 0
        first, last = self._span(partial)
        rest = qty - (int(bought[partial - 1]) if partial else 0)
        return self._filled(np.arange(first), self.size[:first]), np.arange(first, last), rest

    def _filled(self, places: Ints, qtys: Ints) -> Execution:
        some = qtys > 0
        return Execution(self.rows[places[some]], qtys[some])

    def _joined(self, one: Execution, other: Execution) -> Execution:
        return Execution(np.concatenate([one.rows, other.rows]), np.concatenate([one.qtys, other.qtys]))

    def _none(self) -> Execution:
        return Execution(np.zeros(0, np.int64), np.zeros(0, np.int64))


def _fill_up(sizes: Ints, qty: int) -> Ints:
    """As much of each in turn as is left of `qty`."""
    before = np.cumsum(sizes) - sizes
    taken: Ints = np.clip(qty - before, 0, sizes)
    return taken
