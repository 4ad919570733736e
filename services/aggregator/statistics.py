"""The `stats` of one instrument, about once a second."""

from __future__ import annotations

from decimal import Decimal
from math import prod
from typing import Any

from bestex.clock import MINUTE, MS, SECOND, Time
from bestex.ladder import BPS_ONE, Ladder
from bestex.messages import BookStatus, Side, Stats, VenueStats
from bestex.units import from_units
from services.aggregator.consolidation import Column, Consolidation
from services.aggregator.estimators import Steadiness, Usual, Volatility

MARK_HOLD_NS = MINUTE  # venues tell mark prices once a second or more often
DEPTH_BPS = 10  # how far from the mid depth still counts
SPREAD_HALF_BPS = 5.0  # the spread at which the score's spread part is one half
REFILL_HALF_S = 5.0  # the time to refill at which its resilience part is one half
HIDDEN_SHARE_MAX = 0.8  # prints alone do not make a book more than five times as deep


def liquidity_score(
    depth: int,
    reference: int,
    spread_bps: float | None,
    steadiness: float,
    *,
    refill_s: float | None = None,
    hidden_share: float | None = None,
) -> float:
    """From 0, nothing to trade with, towards 1: the geometric mean of its parts, each in [0, 1].

    - depth / (depth + reference): `depth` is the thinner side within DEPTH_BPS of the mid, and what trades say stands
      there hidden beside it; `reference` the larger of the last minute's volume on all venues and the mean depth of a
      venue;
    - 1 / (1 + spread / SPREAD_HALF_BPS), a crossed spread counting as 0;
    - steadiness: how much of its depth the book keeps from second to second (estimators.Steadiness);
    - resilience, where it is known: 1 / (1 + refill / REFILL_HALF_S), how soon an emptied best price stands again.

    Our own measure, without a paper behind it: it ranks venues and moments, its value means nothing alone.
    """
    if depth <= 0 or spread_bps is None:
        return 0.0
    there = depth / (1 - min(hidden_share or 0.0, HIDDEN_SHARE_MAX))
    parts = [there / (there + reference), 1 / (1 + max(spread_bps, 0.0) / SPREAD_HALF_BPS), steadiness]
    if refill_s is not None:
        parts.append(1 / (1 + refill_s / REFILL_HALF_S))
    score: float = prod(parts) ** (1 / len(parts))
    return score


class Statistics:
    """Fed by `take`, once a second."""

    def __init__(self, consolidation: Consolidation, start_ns: int) -> None:
        self._of = consolidation
        self._instrument = consolidation.instrument
        self._volatility = Volatility()
        self._steadiness = Steadiness()
        self._spread = Usual()
        self._start_ns = start_ns
        self._at_ns = start_ns

    def take(self, now_ns: int) -> Stats:
        """The figures as of now, of what the consolidation shows."""
        book = self._of.view(now_ns)
        ladder = Ladder(book)
        bids = ladder.depth_by_venue(Side.SELL, DEPTH_BPS)
        asks = ladder.depth_by_venue(Side.BUY, DEPTH_BPS)
        bid_depth, ask_depth = sum(bids.values()), sum(asks.values())
        volumes = [column.volume.total(now_ns) for column in self._of.columns]
        depths = [min(bids.get(column.venue, 0), asks.get(column.venue, 0)) for column in book.venues]
        reference = max(sum(volumes), sum(depths) // max(len(depths), 1))
        self._volatility.observe(ladder.mid if (ladder.mid or 0) > 0 else None, now_ns)
        self._steadiness.observe(min(bid_depth, ask_depth), now_ns)
        self._spread.observe(ladder.spread_bps, now_ns)
        mid_half, qty = ladder.mid_half_units, self._qty
        unit = float(qty(1))
        elapsed_s = max(now_ns - self._at_ns, 1) / SECOND
        venues = []
        for column, shown, depth, volume in zip(self._of.columns, book.venues, depths, volumes, strict=True):
            column.steadiness.observe(depth, now_ns)
            # Where its book is not heard, nothing can be said of its depth.
            live = shown.status is BookStatus.LIVE
            column.usual_bids.observe(bids.get(shown.venue, 0) if live else None, now_ns)
            column.usual_asks.observe(asks.get(shown.venue, 0) if live else None, now_ns)
            flow = column.flow
            flow.second(now_ns)
            spread = _spread_bps(column)
            venues.append(
                VenueStats(
                    venue=shown.venue,
                    status=shown.status,
                    age_ms=(now_ns - (column.heard_ns or self._start_ns)) / MS,
                    spread_bps=spread,
                    bid_depth=qty(bids.get(shown.venue, 0)),
                    ask_depth=qty(asks.get(shown.venue, 0)),
                    basis_bps=2 * BPS_ONE * shown.basis / mid_half if mid_half else 0.0,
                    volume=qty(volume),
                    liquidity_score=_score(column, depth, reference, spread)
                    if shown.status is BookStatus.LIVE
                    else 0.0,
                    updates_per_s=column.updates / elapsed_s,
                    lost=column.source.lost,
                    rejected=dict(column.rejected),
                    bid_queue=flow.bids.stats(unit),
                    ask_queue=flow.asks.stats(unit),
                    adverse_bps_1s=flow.near.bps,
                    adverse_bps_10s=flow.far.bps,
                    trades=flow.near.trades,
                    hidden_share=flow.hidden_share,
                    usual_bid_depth=self._usual(column.usual_bids),
                    usual_ask_depth=self._usual(column.usual_asks),
                    **_marked(column, now_ns),
                )
            )
            column.updates = 0
        self._at_ns = now_ns
        return Stats(
            symbol=book.symbol,
            at=Time(now_ns),
            mid=None if mid_half is None else from_units(mid_half * 5, self._instrument.price_scale + 1),
            spread_bps=ladder.spread_bps,
            bid_depth=qty(bid_depth),
            ask_depth=qty(ask_depth),
            volatility_bps=self._volatility.bps,
            volume=qty(sum(volumes)),
            recent_volume=qty(sum(column.volume.recent(now_ns) for column in self._of.columns)),
            traded=qty(sum(column.volume.ever for column in self._of.columns)),
            counting_since=Time(self._start_ns),
            liquidity_score=liquidity_score(
                min(bid_depth, ask_depth), reference, ladder.spread_bps, self._steadiness.value
            ),
            locked=book.locked,
            crossed=book.crossed,
            venues=venues,
            usual_spread_bps=self._spread.value,
        )

    def _qty(self, units: int) -> Decimal:
        return self._instrument.qty(units)

    def _usual(self, depth: Usual) -> Decimal | None:
        return None if depth.value is None else self._qty(round(depth.value))


def _score(column: Column, depth: int, reference: int, spread: float | None) -> float:
    flow = column.flow
    refills = [queue.refill.seconds for queue in (flow.bids, flow.asks) if queue.refill.seconds is not None]
    return liquidity_score(
        depth,
        reference,
        spread,
        column.steadiness.value,
        refill_s=max(refills, default=None),
        hidden_share=flow.hidden_share,
    )


def _spread_bps(column: Column) -> float | None:
    if column.mid_half is None:
        return None
    return 2 * BPS_ONE * (column.levels.ask_px[0] - column.levels.bid_px[0]) / column.mid_half


def _marked(column: Column, now_ns: int) -> dict[str, Any]:
    """The mark price and the funding of a perpetual, if they were told of late."""
    mark = column.mark
    if mark is None or now_ns - mark.recv_ns > MARK_HOLD_NS:
        return {}
    return {
        "mark": from_units(mark.mark, mark.price_scale),
        "funding_rate": mark.funding_rate,
        "next_funding": Time(mark.next_funding_ns) if mark.next_funding_ns else None,
    }
