"""What a runtime tells its core, and when."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import structlog

from bestex import config
from bestex.clock import AffineClock
from bestex.core import BusBack, BusLost, Effect, Fact
from bestex.runtime import Runtime
from bestex.service import Service
from tests.unit.test_marks import NoFiles


class Listening:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def decide(self, message: Any, _now_ns: int) -> Sequence[Fact | Effect]:
        self.heard.append(message)
        return []

    def apply(self, event: Any) -> Sequence[Effect]:
        raise AssertionError(f"nothing is stored here, {event} neither")


async def test_until_its_journal_is_applied_and_its_actor_started_a_core_hears_nothing_of_the_bus() -> None:
    """A gateway that heard of a lost bus sooner would ask an actor to cancel that cannot answer yet."""
    core = Listening()
    client: Any = SimpleNamespace(is_connected=False)
    runtime = Runtime(
        Service("router", (), core),
        client,
        config.load(None, {}),
        AffineClock(),
        structlog.get_logger(),
        None,
        NoFiles(),
    )
    runtime._footing._lost()
    assert core.heard == []
    runtime._recovered = True
    runtime._footing._lost()
    runtime._footing._back()
    assert core.heard == [BusLost(), BusBack()]
