"""The timers of one core on the wall clock: one heap, one asyncio timer, latest setting of a key wins."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from bestex.clock import US, AffineClock
from bestex.core import Effect, Wake


class Timers:
    """Calls `fire(key)` when a Wake comes due. Errors of `fire` go to `fail`: asyncio would only log them."""

    def __init__(
        self, clock: AffineClock, fire: Callable[[str], None], fail: Callable[[Exception], None]
    ) -> None:
        self._clock = clock
        self._fire = fire
        self._fail = fail
        self._wakes: dict[str, int] = {}
        self._due: list[tuple[int, str]] = []
        self._handle: asyncio.TimerHandle | None = None
        self._running = False

    def take(self, effect: Effect) -> bool:
        """Set or withdraw a timer; False where the effect is something else."""
        if not isinstance(effect, Wake):
            return False
        if effect.at_ns == 0:
            self._wakes.pop(effect.key, None)
            return True
        self._wakes[effect.key] = effect.at_ns
        heapq.heappush(self._due, (effect.at_ns, effect.key))
        if self._due[0] == (effect.at_ns, effect.key):
            self._arm()
        return True

    def start(self) -> None:
        """From now on timers fire; those set during recovery may be overdue."""
        self._running = True
        self._arm()

    def stop(self) -> None:
        self._running = False
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._due and self._running:
            delay_ns = self._due[0][0] - self._clock.now_ns()
            # A loop's clock is a float of seconds: what is less than a microsecond ahead is no later for it than now,
            # and would ring too early again and again.
            delay_s = self._clock.wall_seconds(max(delay_ns, US)) if delay_ns > 0 else 0.0
            self._handle = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def _ring(self) -> None:
        self._handle = None
        now_ns = self._clock.now_ns()
        try:
            # All that is due first, then the calls: a key that asks for the present again waits for the next
            # round, so that inputs get their turn.
            due = []
            while self._due and self._due[0][0] <= now_ns:
                at_ns, key = heapq.heappop(self._due)
                if self._wakes.get(key) == at_ns:
                    del self._wakes[key]
                    due.append(key)
            for key in due:
                self._fire(key)
        except Exception as error:  # noqa: BLE001 - asyncio would only log it; the process must end
            self._fail(error)
        self._arm()
