"""A level-1 file on a grid of times, and what an order that rests there would have seen pass.

An order's children begin at grid times, decide at grid times and end at one, so that all that does not depend on a
decision is computed once: the quotes, and probes. A probe is an order without end that joins the venue's best bid at
one grid time, behind all that is displayed; its record is what had passed at each of the next grid times. It is the
truth by which a child's order fills, and, once it is past, what is known of outflows.

A level-1 file does not tell trades from cancels. The rules, of which none lets more fill than was sold:
- Of a decrease of the size at the best bid, `trade_share` traded, from the front of the queue. The rest was
  cancelled behind us.
- A displayed size below what we thought is ahead of us is what is ahead of us.
- When the best bid falls below our price, all ahead of us has gone; we are the best bid, and what trades at the worse
  ones trades with us first. While it is above our price, nothing passes.
- When the venue's ask comes down to our price, we are filled whole: whoever asks there would have sold to us.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from bestex.errors import UsageError
from services.backtester.lab.l1.columns import Ints
from services.backtester.lab.l1.quotes import NEVER, Level1

Floats = NDArray[np.float64]

TIMES_MAX = 200_000  # of a grid: some hundred bytes a venue each
NO_ROW = -1


@dataclass(frozen=True)
class Venue:
    """The rows of one venue, in time order."""

    at_ns: Ints
    ask: Ints
    ask_size: Ints
    bid: Ints
    bid_size: Ints


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Times `at_ns` (G,), `step_ns` apart. Of each time and venue, (G, K): `row` the venue's newest row, NO_ROW
    before its first, and its quotes; an ask that is not there has price NEVER, a bid -NEVER, and both a size of 0.

    `passed` (G, K, D): what passed an order that joined then until the end of each of the next D steps, beyond the
    queue, in units; inf where it filled whole. `outflow` (G, K, D): with what left the queue, so that
    passed = (outflow - queue)+; 0 where there was no bid to join. Both nan beyond the grid's end.
    """

    quotes: Level1
    venues: tuple[Venue, ...]
    step_ns: int
    steps: int
    at_ns: Ints
    row: Ints
    ask: Ints
    ask_size: Ints
    bid: Ints
    bid_size: Ints
    fee: Ints
    rebate: Ints
    mid: Floats
    passed: Floats
    outflow: Floats

    @property
    def last(self) -> int:
        return len(self.at_ns) - 1


def make(quotes: Level1, step_ns: int, steps: int, trade_share: float) -> Grid:
    """The grid of `step_ns` from the first row on; probes live `steps` steps. UsageError where it is too long."""
    first_ns, last_ns = int(quotes.at_ns[0]), int(quotes.at_ns[-1])
    count = -((first_ns - last_ns) // step_ns) + 1
    if count > TIMES_MAX:
        raise UsageError(
            f"{quotes.path}: {(last_ns - first_ns) / 3600e9:.0f} hours in steps of {step_ns / 1e9:g} s are "
            f"{count} decisions; more than {TIMES_MAX} are not kept: give a longer --horizon"
        )
    at_ns = first_ns + step_ns * np.arange(count, dtype=np.int64)
    members = [np.flatnonzero(quotes.venue == place) for place in range(len(quotes.publishers))]
    venues = tuple(
        Venue(quotes.at_ns[of], quotes.ask[of], quotes.ask_size[of], quotes.bid[of], quotes.bid_size[of])
        for of in members
    )
    row = np.stack([np.searchsorted(one.at_ns, at_ns, side="right") - 1 for one in venues], axis=1)
    columns = {
        name: _at(row, [getattr(quotes, name)[of] for of in members], absent)
        for name, absent in (
            ("ask", NEVER), ("ask_size", 0), ("bid", -NEVER), ("bid_size", 0), ("fee", 0), ("rebate", 0),
        )
    }  # fmt: skip
    shape = (count, len(venues), steps)
    passed, outflow = np.full(shape, np.nan), np.full(shape, np.nan)
    if quotes.rests:
        for place, venue in enumerate(venues):
            _probe(venue, row[:, place], trade_share, passed[:, place], outflow[:, place])
    return Grid(
        quotes=quotes,
        venues=venues,
        step_ns=step_ns,
        steps=steps,
        at_ns=at_ns,
        row=row,
        mid=_mid(columns["ask"], columns["bid"]),
        passed=passed,
        outflow=outflow,
        **columns,
    )


def _at(row: Ints, columns: list[Ints], absent: int) -> Ints:
    found = np.stack(
        [
            column[np.maximum(row[:, place], 0)] if len(column) else np.zeros(len(row))
            for place, column in enumerate(columns)
        ],
        axis=1,
    )
    kept: Ints = np.where(row == NO_ROW, absent, found).astype(np.int64)
    return kept


def _mid(ask: Ints, bid: Ints) -> Floats:
    """The middle of the best bid and the best ask of all venues, (G,); the best ask where nobody bids, nan where
    nobody asks."""
    best_ask, best_bid = ask.min(axis=1), bid.max(axis=1)
    mid = np.where(best_bid > -NEVER, (best_ask + best_bid) / 2, best_ask)
    found: Floats = np.where(best_ask < NEVER, mid, np.nan)
    return found


def _probe(venue: Venue, row: Ints, share: float, passed: Floats, outflow: Floats) -> None:
    """Fill `passed` and `outflow`, (G, D), of one venue."""
    count, steps = passed.shape
    for joined in range(count - 1):
        first, ends = int(row[joined]), row[joined + 1 : joined + 1 + steps].tolist()
        price = int(venue.bid[first]) if first != NO_ROW else -NEVER
        if price == -NEVER:
            passed[joined, : len(ends)] = outflow[joined, : len(ends)] = 0.0
            continue
        queue = float(venue.bid_size[first])
        span = slice(first + 1, ends[-1] + 1)
        bids, sizes, asks = (column[span].tolist() for column in (venue.bid, venue.bid_size, venue.ask))
        probe = Probe(price, queue, share)
        at = 0
        for step, end in enumerate(ends):
            until = end - first
            probe.see(bids[at:until], sizes[at:until], asks[at:until])
            at = until
            passed[joined, step] = probe.passed
            outflow[joined, step] = queue - probe.ahead + probe.passed


class Probe:
    """An order without end at `price`, behind `ahead`, which is all that is displayed at the best bid."""

    __slots__ = ("_best", "_shown", "ahead", "passed", "price", "share")

    def __init__(self, price: int, ahead: float, share: float) -> None:
        self.price, self.ahead, self.share = price, ahead, share
        self.passed = 0.0
        self._best, self._shown = price, int(ahead)

    def see(self, bids: Sequence[int], sizes: Sequence[int], asks: Sequence[int]) -> None:
        """The venue's next rows."""
        price, share, ahead, passed = self.price, self.share, self.ahead, self.passed
        best, shown = self._best, self._shown
        for bid, size, ask in zip(bids, sizes, asks, strict=True):
            if bid > best or best > price:
                gone = 0.0
            elif bid == best:
                gone = shown - size
            else:
                gone = shown
            best, shown = bid, size
            if gone > 0.0:
                traded = share * gone
                if traded > ahead:
                    passed += traded - ahead
                    ahead = 0.0
                else:
                    ahead -= traded
            if bid < price:
                ahead = 0.0
            elif bid == price and size < ahead:
                ahead = float(size)
            if ask <= price:
                passed, ahead = inf, 0.0
        self.ahead, self.passed = ahead, passed
        self._best, self._shown = best, shown
