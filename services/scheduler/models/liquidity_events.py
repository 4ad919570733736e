"""Liquidity events: moments at which more can be taken, nearer and cheaper, than usual.

A moment is scored from 0 to 1 by four parts, each of them from 0 to 1 as well:

- size: what stands within STATS_DEPTH_BPS of the mid against what usually stands there, d / (d + usual);
- concentration: the share of that which stands at the touch or next to it;
- spread: usual / (usual + spread);
- hidden: what trades say stands there beside what is displayed, and how soon an emptied best price stands again.

What is held against its usual is one half when it is as usual, or when nothing is known of it: what is not known is
no event. The score is their weighted mean: our own measure, which ranks moments and means nothing else. That takers
time their orders like this is Biais, Hillion and Spatt (1995), "An empirical analysis of the limit order book and the
order flow in the Paris Bourse", J. Finance 50: thick books and narrow spreads result in trades, thin ones in orders.
All of it is a function of the book and the statistics as they were heard last.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from bestex.human import Ratio
from bestex.messages import Side, Stats, VenueStats
from services.scheduler.market import STATS_DEPTH_BPS, Market
from services.scheduler.pricing import closer, collar

AS_USUAL = 0.5
REFILL_HALF_S = (
    1.0  # an IOC and what is routed again of it are over in some seconds: what is slower is no help
)

# Size says most, for it is what an event is about, and hidden least, for it changes over minutes. An otherwise usual
# moment with all its depth at the touch comes to .575: no event by the default threshold, for thin books look so too.
SIZE, CONCENTRATION, SPREAD, HIDDEN = 0.40, 0.25, 0.25, 0.10


class Parts(NamedTuple):
    size: float = AS_USUAL
    concentration: float = 0.0
    spread: float = AS_USUAL
    hidden: float = 0.0

    @property
    def score(self) -> float:
        return (
            SIZE * self.size
            + CONCENTRATION * self.concentration
            + SPREAD * self.spread
            + HIDDEN * self.hidden
        )

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value:.2f}" for name, value in self._asdict().items())
        return f"liquidity event {self.score:.2f}: {parts}"


class Moment(NamedTuple):
    """`qty` can be taken at `price` or better, in the instrument's units: at the touch and next to it."""

    price: int
    qty: int
    parts: Parts


def moment(
    side: Side, market: Market, near: float, bound: int | None, venues: Collection[str] | None = None
) -> Moment | None:
    """What a taker of `side` sees on `venues`, or on all; None where nothing can be had within `bound`.

    `near`: how far from the touch still counts as next to it, as a share of the price. `bound` in price units.
    """
    levels = market.levels(side, venues)
    if not levels:
        return None
    price = collar(2 * levels[0].price, near, side, None)
    if bound is not None:
        price = closer(side, price, bound) or 0
    within = [level for level in levels if (level.price - price) * side.sign <= 0]
    if not within:
        return None
    qty, price = sum(level.qty for level in within), within[-1].price
    depth = max(market.depth(side, STATS_DEPTH_BPS, venues), qty)
    by_venue: dict[str, int] = {}
    if market.book is not None:
        for level in within:
            name = market.book.venues[level.venue].venue
            by_venue[name] = by_venue.get(name, 0) + level.qty
    stats = market.stats
    parts = Parts(
        size=_against(depth, _usual_depth(side, market, venues)),
        concentration=qty / depth,
        spread=1 - _against(market.spread_bps, None if stats is None else stats.usual_spread_bps),
        hidden=0.0 if stats is None else _hidden(side, stats, by_venue),
    )
    return Moment(price, qty, parts)


def _against(now: float | None, usual: float | None) -> float:
    """From 0 for nothing, through one half for what is usual, towards 1; one half where it is not known."""
    if now is None or usual is None:
        return AS_USUAL
    now, usual = max(now, 0.0), max(usual, 0.0)
    return now / (now + usual) if now + usual else AS_USUAL


def _usual_depth(side: Side, market: Market, venues: Collection[str] | None) -> float | None:
    """In quantity units, on the side that is to be taken; None where nothing is known."""
    depths = [
        one.usual_ask_depth if side is Side.BUY else one.usual_bid_depth
        for one in (market.stats.venues if market.stats is not None else ())
        if venues is None or one.venue in venues
    ]
    known = [float(depth) for depth in depths if depth is not None]
    return sum(known) * 10.0**market.instrument.qty_scale if known else None


def _hidden(side: Side, stats: Stats, by_venue: dict[str, int]) -> float:
    """Over the venues, each weighing by what it displays at the touch."""
    shares = {one.venue: _behind(side, one) for one in stats.venues}
    return sum(shares.get(venue, 0.0) * qty for venue, qty in by_venue.items()) / sum(by_venue.values())


def _behind(side: Side, venue: VenueStats) -> float:
    """How much stands behind what a venue displays: hidden there now, or there again in a moment."""
    queue = venue.ask_queue if side is Side.BUY else venue.bid_queue
    refill_s = None if queue is None else queue.refill_s
    again = 0.0 if refill_s is None else 1 / (1 + refill_s / REFILL_HALF_S)
    return 1 - (1 - min(max(venue.hidden_share or 0.0, 0.0), 1.0)) * (1 - again)


def bound(side: Side, market: Market, limit: int | None, slippage: Ratio | None) -> int | None:
    """The worst price that an order may pay: its limit, or so far from the mid where that is closer; price units."""
    if slippage is None or market.mid_half is None:
        return limit
    return collar(market.mid_half, slippage, side, limit)
