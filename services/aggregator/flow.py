"""What happens at one venue's best prices: how fast its queues empty, what comes back, what a trade is followed by.

A queue's outflow is what leaves it from the front, by trades or by cancels: an order that joins it is filled by what
leaves beyond all that stood ahead (Cont and Kukanov, section 2). A book shows the sum of what left and what joined,
so the outflow is taken as the larger of the fall of the size and of what was traded; a best price that is gone has
let go of all that stood there. Estimates are kept by the second, as exponentially weighted sums: old seconds fade.
"""

from __future__ import annotations

from collections import deque
from math import sqrt

from bestex.clock import MINUTE, SECOND
from bestex.messages import QueueStats
from services.aggregator.estimators import decay
from services.aggregator.normalise import Columns

FLOW_HALF_LIFE_NS = 2 * MINUTE  # some hundred seconds of a busy venue, and yet the day's present mood
TRADES_HALF_LIFE = 200  # trades whose consequences are averaged
TRADES_PENDING_MAX = 10_000  # of the last ten seconds; the oldest go first
NEAR_NS, FAR_NS = SECOND, 10 * SECOND  # after a trade
DEPLETED = 0.5  # a queue that lost more than this share at once is to be refilled
REFILLED = 0.8  # and is again when so much of it stands there
REFILL_NS_MAX = 30 * SECOND  # what has not come back by then does not come back


class Queue:
    """One side's best price. `sign` is +1 for bids, where a higher price is better, and -1 for asks."""

    __slots__ = (
        "_at_ns",
        "_level",
        "_now",
        "_squares",
        "_sum",
        "_traded",
        "_traded_sum",
        "_weight",
        "refill",
        "sign",
    )

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.refill = _Refill()
        self._level: tuple[int, int] | None = None
        self._traded = 0
        self._now = [0, 0]  # outflow and trades of this second
        self._at_ns = 0
        self._weight = self._sum = self._squares = self._traded_sum = 0.0

    def trade(self, qty: int) -> None:
        """Somebody took from this side."""
        self._traded += qty

    def book(self, level: tuple[int, int] | None, now_ns: int) -> int:
        """The best price and size as they are now; what was traded beyond the size that had been displayed."""
        before, traded = self._level, self._traded
        self._level, self._traded = level, 0
        if before is None:
            return 0
        price, size = before
        kept = 0
        if level is not None:
            better = (level[0] - price) * self.sign
            kept = size if better > 0 else level[1] if not better else 0
        self._now[0] += max(size - kept, traded)
        self._now[1] += traded
        self.refill.book(price * self.sign, size, kept, level, self.sign, now_ns)
        return max(traded - size, 0)

    def forget(self) -> None:
        self._level, self._traded = None, 0

    def second(self, now_ns: int) -> None:
        """A second is over."""
        if self._at_ns and self._level is not None:
            past = decay(now_ns - self._at_ns, FLOW_HALF_LIFE_NS)
            seconds = (now_ns - self._at_ns) / SECOND
            out, traded = (amount / seconds for amount in self._now)
            self._weight = past * self._weight + 1
            self._sum = past * self._sum + out
            self._squares = past * self._squares + out * out
            self._traded_sum = past * self._traded_sum + traded
        self._at_ns = now_ns
        self._now = [0, 0]

    def stats(self, unit: float) -> QueueStats | None:
        """In base, of which a quantity unit is `unit`; None before the first whole second."""
        if not self._weight:
            return None
        mean = self._sum / self._weight
        variance = max(self._squares / self._weight - mean * mean, 0.0)
        return QueueStats(
            outflow=mean * unit,
            outflow_sd=sqrt(variance) * unit,
            traded=self._traded_sum / self._weight * unit,
            seconds=self._weight,
            refill_s=self.refill.seconds,
        )


class _Refill:
    """How long it takes until a queue that was emptied stands there again, in seconds; None where none was."""

    __slots__ = ("_since_ns", "_wanted", "_weight", "seconds")

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._weight = 0.0
        self._wanted: tuple[int, int] | None = None  # price x sign, and size
        self._since_ns = 0

    def book(
        self, price: int, size: int, kept: int, level: tuple[int, int] | None, sign: int, now_ns: int
    ) -> None:
        if self._wanted is not None:
            waited = now_ns - self._since_ns
            at = None if level is None else level[0] * sign
            there = at is not None and (
                at > self._wanted[0]
                or (level is not None and at == self._wanted[0] and level[1] >= REFILLED * self._wanted[1])
            )
            if there or waited >= REFILL_NS_MAX:
                self._note(min(waited, REFILL_NS_MAX) / SECOND)
        elif kept < size * DEPLETED:
            self._wanted, self._since_ns = (price, size), now_ns

    def _note(self, seconds: float) -> None:
        self._wanted = None
        self._weight = min(self._weight + 1, TRADES_HALF_LIFE)
        before = self.seconds if self.seconds is not None else seconds
        self.seconds = before + (seconds - before) / self._weight


class AfterTrades:
    """How far the mid goes in a trade's direction, in bps of it: what whoever was taken from has lost by then."""

    __slots__ = ("_after_ns", "_pending", "_sum", "_weight")

    def __init__(self, after_ns: int) -> None:
        self._after_ns = after_ns
        self._pending: deque[tuple[int, int, int]] = deque(maxlen=TRADES_PENDING_MAX)
        self._sum = self._weight = 0.0

    def trade(self, sign: int, mid_half: int, now_ns: int) -> None:
        self._pending.append((now_ns, sign, mid_half))

    def second(self, mid_half: int | None, now_ns: int) -> None:
        past: float = 0.5 ** (1 / TRADES_HALF_LIFE)
        pending, last_ns, total, weight = self._pending, now_ns - self._after_ns, self._sum, self._weight
        while pending and pending[0][0] <= last_ns:
            _, sign, before = pending.popleft()
            if mid_half is not None:
                total = past * total + 1e4 * sign * (mid_half - before) / before
                weight = past * weight + 1
        self._sum, self._weight = total, weight

    @property
    def bps(self) -> float | None:
        return self._sum / self._weight if self._weight else None

    @property
    def trades(self) -> float:
        """How many the average rests on."""
        return self._weight


class Flow:
    """All of that for one venue's listing."""

    __slots__ = ("_hidden", "_mid_half", "_traded", "asks", "bids", "far", "near")

    def __init__(self) -> None:
        self.bids, self.asks = Queue(1), Queue(-1)
        self.near, self.far = AfterTrades(NEAR_NS), AfterTrades(FAR_NS)
        self._mid_half: int | None = None
        self._hidden = self._traded = 0.0

    def book(self, levels: Columns, mid_half: int | None, now_ns: int) -> None:
        """The venue's new book."""
        bid = (levels.bid_px[0], levels.bid_qty[0]) if levels.bid_px else None
        ask = (levels.ask_px[0], levels.ask_qty[0]) if levels.ask_px else None
        self._hidden += self.bids.book(bid, now_ns) + self.asks.book(ask, now_ns)
        self._mid_half = mid_half

    def forget(self) -> None:
        """The venue's book is not known any more: what left it while nobody looked is not known either."""
        for queue in (self.bids, self.asks):
            queue.forget()
        self._mid_half = None

    def trade(self, price: int, qty: int, aggressor: int, now_ns: int) -> None:
        """A public trade, in the instrument's units. `aggressor` 0: whichever side of the mid it stands on."""
        mid_half = self._mid_half
        if mid_half is None:
            return
        sign = aggressor or (2 * price > mid_half) - (2 * price < mid_half)
        self._traded += qty
        if not sign:
            self._hidden += qty  # at the mid nothing was displayed
            return
        (self.asks if sign > 0 else self.bids).trade(qty)
        self.near.trade(sign, mid_half, now_ns)
        self.far.trade(sign, mid_half, now_ns)

    def second(self, now_ns: int) -> None:
        for queue in (self.bids, self.asks):
            queue.second(now_ns)
        for after in (self.near, self.far):
            after.second(self._mid_half, now_ns)
        past = decay(SECOND, FLOW_HALF_LIFE_NS)
        self._hidden *= past
        self._traded *= past

    @property
    def hidden_share(self) -> float | None:
        """Of what was traded, the part that had not been displayed; None where nothing was."""
        return min(self._hidden / self._traded, 1.0) if self._traded else None
