"""The venue's clock against ours, and how far a feed is behind. Pure: times are arguments.

Two things are known of a clock that is not ours. It was asked for its time: then it is ahead by what it said less the
middle of question and answer, give or take half of the time between them. And no message arrives before it was sent:
so it is ahead by at least as much as the quickest message of late seems to come from the future.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

CLOCK_BLOCK = 256  # messages that a maximum is taken over
CLOCK_BLOCKS = 32  # maxima that count: a clock that is set is followed within 8,192 messages
NEVER_NS = -(2**63)


class VenueClock:
    """`ahead_ns`: by how much the venue's clock is ahead of ours, negative where it is behind. `error_ns`: how wrong
    that may be, None where the venue was not asked. `late_ns`: how long the last message was under way at the least:
    beyond the quickest one of late, and, where the venue was asked, beyond doubt."""

    def __init__(self) -> None:
        self._maxima: deque[int] = deque(maxlen=CLOCK_BLOCKS)
        self._block, self._left = NEVER_NS, CLOCK_BLOCK
        self._quickest = NEVER_NS  # venue's time less ours
        self._asked_ns: int | None = None
        self.error_ns: int | None = None
        self.ahead_ns = 0
        self.late_ns = 0

    def asked(self, answers: Iterable[tuple[int, int, int]]) -> None:
        """Of each: when it was asked, what it said, when the answer was there. The quickest answer counts."""
        began, said, ended = min(answers, key=lambda answer: answer[2] - answer[0])
        self._asked_ns, self.error_ns = said - (began + ended) // 2, (ended - began) // 2
        self._settle()

    def _settle(self) -> None:
        self.ahead_ns = max(0 if self._asked_ns is None else self._asked_ns, self._quickest)

    def ours(self, venue_ns: int, recv_ns: int) -> int:
        """The venue's time in ours, never after `recv_ns`. 0 stays 0: the venue sends no time."""
        if not venue_ns:
            self.late_ns = 0
            return 0
        ahead = venue_ns - recv_ns
        if ahead > self._block:
            self._block = ahead
            if ahead > self._quickest:
                self._quickest = ahead
                self._settle()
        self._left -= 1
        if not self._left:
            self._maxima.append(self._block)
            self._block, self._left = NEVER_NS, CLOCK_BLOCK
            self._quickest = max(self._maxima)
            self._settle()
        late = self._quickest - ahead
        if self.error_ns is not None:
            late = max(late, self.ahead_ns - ahead - self.error_ns)
        self.late_ns = late
        return venue_ns - self.ahead_ns
