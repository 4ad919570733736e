"""The timers of a core on the wall clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bestex.clock import SECOND, US, AffineClock
from bestex.core import Wake
from bestex.timers import Timers


@pytest.mark.parametrize("ahead_ns", [1, 999, US, SECOND])
async def test_a_timer_is_never_set_so_near_that_it_rings_too_early(
    ahead_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, delays = AffineClock(), list[float]()
    monkeypatch.setattr(AffineClock, "now_ns", lambda _: SECOND)

    def call_later(delay_s: float, _: Callable[[], None]) -> Any:
        delays.append(delay_s)

    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
    timers = Timers(clock, lambda _: None, lambda _: None)
    timers.start()
    timers.take(Wake("soon", SECOND + ahead_ns))
    assert delays == [pytest.approx(max(ahead_ns, US) / SECOND)]
