"""What a market traded at, and where its mid stood, while an order was at work: its benchmarks besides the arrival.

Both are sums that only grow, so the average over any interval is one difference of two of them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

from bestex.messages import MarketTrade, Stats

POINTS_MAX = 2_000_000  # trades of one market that are kept: days of a busy one, in 48 MB
HEARD_MAX = 4_096  # trades that wait to be counted together; some 1 MB


class Interval:
    """Prices in quote, quantities in base, times in ns. An average is None where nothing is known."""

    __slots__ = ("_area", "_began_ns", "_heard", "_mid", "_mid_ns", "_notional", "_qty", "_trade_ns")

    def __init__(self) -> None:
        self._trade_ns, self._notional, self._qty = array("q"), array("d"), array("d")
        self._mid_ns, self._mid, self._area = array("q"), array("d"), array("d")
        self._began_ns = 0
        self._heard: list[MarketTrade] = []

    def trade(self, trade: MarketTrade) -> None:
        """One public trade. Those of several venues may come a little out of order: they count as of now."""
        self._heard.append(trade)
        if len(self._heard) >= HEARD_MAX:
            self._count()

    def _count(self) -> None:
        """What was heard since the last time goes into the sums."""
        at_ns, notional, qty = (
            (self._trade_ns[-1], self._notional[-1], self._qty[-1]) if self._trade_ns else (0, 0.0, 0.0)
        )
        for trade in self._heard:
            if len(self._trade_ns) >= POINTS_MAX:
                gone = POINTS_MAX // 2
                self._began_ns = self._trade_ns[gone]
                for column in (self._trade_ns, self._notional, self._qty):
                    del column[:gone]
            price, size = trade.price / 10**trade.price_scale, trade.qty / 10**trade.qty_scale
            at_ns = max(at_ns, trade.recv_ns)
            notional += price * size
            qty += size
            self._trade_ns.append(at_ns)
            self._notional.append(notional)
            self._qty.append(qty)
        self._heard.clear()

    def stats(self, stats: Stats) -> None:
        """The mid, about once a second; it stands until the next one."""
        if stats.mid is None or (self._mid_ns and stats.at <= self._mid_ns[-1]):
            return
        area = self._area[-1] + self._mid[-1] * (stats.at - self._mid_ns[-1]) if self._mid_ns else 0.0
        self._mid_ns.append(int(stats.at))
        self._mid.append(float(stats.mid))
        self._area.append(area)

    def vwap(self, start_ns: int, end_ns: int) -> float | None:
        """By all that was traded from the start to the end, both included."""
        self._count()
        first = bisect_left(self._trade_ns, start_ns) - 1
        last = bisect_right(self._trade_ns, end_ns) - 1
        if last <= first or start_ns < self._began_ns:
            return None
        qty = self._qty[last] - (self._qty[first] if first >= 0 else 0.0)
        notional = self._notional[last] - (self._notional[first] if first >= 0 else 0.0)
        return notional / qty if qty else None

    def twap(self, start_ns: int, end_ns: int) -> float | None:
        """Of the mid; from the first one known, where that is later than the start."""
        if not self._mid_ns or self._mid_ns[0] > end_ns:
            return None
        start_ns = max(start_ns, self._mid_ns[0])
        if end_ns <= start_ns:
            return self._mid[bisect_right(self._mid_ns, end_ns) - 1]
        return (self._area_at(end_ns) - self._area_at(start_ns)) / (end_ns - start_ns)

    def _area_at(self, at_ns: int) -> float:
        i = bisect_right(self._mid_ns, at_ns) - 1
        return self._area[i] + self._mid[i] * (at_ns - self._mid_ns[i])
