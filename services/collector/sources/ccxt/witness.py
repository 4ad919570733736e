"""A venue's own best prices against the top of the book that we keep of it. Pure: times are arguments.

Two streams say the same thing, each a little later than the other: as long as the best prices that come are those
that the other one had at any moment of the last second, both are right. A book that is wrong or stands still is not.
Sizes are not compared: venues count hidden and retail orders in one stream and not in the other.

The ticker alone accuses. A top of ours that moves away from what it said last proves nothing: it may say nothing
between two trades, or be the one that stands still.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from bestex.clock import SECOND
from bestex.depth import DepthBook

DISAGREE_NS = (
    5 * SECOND
)  # depth comes every 100 ms at the slowest; what lasts this long is no difference of streams
APART_NS = SECOND  # by how much one stream may be behind the other
REMEMBERED = 512  # prices of each stream: a busy second has some hundred
AGAIN_NS = 60 * SECOND  # a fresh snapshot weighs as much as fifty requests: not more often
TRIES_MAX = 3  # fresh books that disagreed as well: the two streams do not mean the same

Prices = tuple[int, int]  # bid and ask in units, 0 for an empty side
Levels = Iterable[tuple[int, int]]


class _Stream:
    """Prices of one of the two: those of now, and which ones there were until when."""

    def __init__(self) -> None:
        self.now: Prices = (0, 0)
        self.since_ns = 0
        self._were: deque[tuple[int, Prices]] = deque(maxlen=REMEMBERED)

    def set(self, prices: Prices, at_ns: int) -> bool:
        """Whether they are others than before."""
        if prices == self.now:
            return False
        self._were.append((at_ns, self.now))
        self.now, self.since_ns = prices, at_ns
        return True

    def had(self, prices: Prices, since_ns: int) -> bool:
        if prices == self.now:
            return True
        for ended_ns, were in reversed(self._were):
            if ended_ns < since_ns:
                return False
            if were == prices:
                return True
        return False


class Witness:
    """Of one symbol. `gave_up`: fresh books disagreed as well, so that nothing is said until the two agree again.

    `says_each`: the ticker tells each change of the best prices, so that what it said last is what they are. One that
    speaks with each trade alone may have said last what was a moment before."""

    def __init__(self, disagree_ns: int = DISAGREE_NS, *, says_each: bool = True) -> None:
        self._disagree_ns, self.says_each = disagree_ns, says_each
        self._book = DepthBook()
        self._top, self._ticker = _Stream(), _Stream()
        self._is_known = False
        self._said_ns = 0  # when the ticker spoke last, whatever it said
        self._disagree_since_ns = 0
        self._tries, self._not_before_ns = 0, 0

    @property
    def gave_up(self) -> bool:
        return self._tries >= TRIES_MAX

    # -- our book ----------------------------------------------------------------------------------------------

    def whole(self, bids: Levels, asks: Levels, recv_ns: int) -> None:
        self._book.replace(bids, asks)
        self._is_known = True
        self._moved(recv_ns)

    def change(self, bids: Levels, asks: Levels, recv_ns: int) -> None:
        self._book.apply(bids, asks)
        self._moved(recv_ns)

    def unknown(self) -> None:
        self._book.clear()
        self._top = _Stream()
        self._is_known = False
        self._disagree_since_ns = 0

    def _moved(self, recv_ns: int) -> None:
        bid, ask = self._book.best_bid, self._book.best_ask
        top = (bid[0] if bid else 0), (ask[0] if ask else 0)
        if not self._top.set(top, recv_ns):
            return
        if top == self._ticker.now:
            self._agree()
        elif self._disagree_since_ns and self._ticker.had(top, recv_ns - APART_NS):
            self._agreed(recv_ns)

    # -- the ticker --------------------------------------------------------------------------------------------

    def said(self, bid: int, ask: int, recv_ns: int) -> None:
        self._ticker.set((bid, ask), recv_ns)
        self._said_ns = recv_ns
        if not self._is_known:
            return
        if (bid, ask) == self._top.now:
            self._agree()
        elif self._top.had((bid, ask), recv_ns - APART_NS):
            self._agreed(recv_ns)
        elif not self._disagree_since_ns:
            self._disagree_since_ns = recv_ns

    def _agree(self) -> None:
        self._disagree_since_ns = 0
        self._tries = 0

    def _agreed(self, recv_ns: int) -> None:
        """A moment ago; now they differ."""
        self._disagree_since_ns = recv_ns if self.says_each else 0
        self._tries = 0

    def wrong(self, now_ns: int) -> str:
        """Why the book cannot be right; empty where it may be. Said once, and then not before `AGAIN_NS`."""
        since_ns = self._disagree_since_ns
        if not since_ns or now_ns - since_ns < self._disagree_ns or now_ns < self._not_before_ns:
            return ""
        if self.gave_up or self._said_ns < self._top.since_ns - APART_NS:
            return ""
        self._tries += 1
        self._not_before_ns = now_ns + AGAIN_NS
        self._disagree_since_ns = 0
        seconds = (now_ns - since_ns) / SECOND
        ours, theirs = self._top.now, self._ticker.now
        return (
            f"for {seconds:.1f} s the best prices were not the venue's: {ours} here, {theirs} there, in units"
        )
