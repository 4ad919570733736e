"""What our takers took comes back by itself, as makers fill a book up again: exponentially, with a half-life.

A replayed feed knows nothing of us, so that what we took stays gone until it shows another size there. In a real
book others come: with resilience (Obizhaeva and Wang 2013, "Optimal trading strategy and supply/demand dynamics",
where the book recovers at the rate rho = ln 2 / half-life), a part of it is there again after a while. `bestex impact
calibrate` measures the half-life; recorded bitcoin books show 1.2 and 1.5 s. New size stands at the back: no order of
ours moves.

In steps of a fixed grid of time, so that it does not matter when somebody looks; whole units, rounded up to what is
there again.
"""

from __future__ import annotations

from collections.abc import Sequence

from bestex.clock import FOREVER_NS, MS
from bestex.matching.ladder import Ladder

STEP_NS = 50 * MS  # a fifth of the shortest half-life that is allowed


class Refill:
    """Of one market. `due_ns`: when `advance` has something to do."""

    def __init__(self, half_life_ns: int, ladders: Sequence[Ladder]) -> None:
        self._stays = 0.5 ** (STEP_NS / half_life_ns)
        self._ladders = tuple(ladders)
        self.due_ns = FOREVER_NS

    def begin(self, now_ns: int) -> None:
        """Something was taken."""
        self.due_ns = min(self.due_ns, now_ns - now_ns % STEP_NS + STEP_NS)

    def advance(self, now_ns: int) -> bool:
        """Let the time pass; whether the book has changed."""
        changed = False
        while self.due_ns <= now_ns:
            taken = [
                (ladder, key)
                for ladder in self._ladders
                for key, level in ladder.marked.items()
                if level.consumed
            ]
            for ladder, key in taken:
                ladder.marked[key].consumed = int(ladder.marked[key].consumed * self._stays)
                ladder.settle(key)
            changed = changed or bool(taken)
            self.due_ns = self.due_ns + STEP_NS if taken else FOREVER_NS
        return changed
