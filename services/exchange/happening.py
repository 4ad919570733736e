"""What any background yields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from bestex.background import BackgroundEvent, HiddenOrder, LevelsSet
from bestex.sim_wire import Trade


class Happening(NamedTuple):
    """`event` in the market that its venue calls `symbol`."""

    symbol: str
    event: BackgroundEvent | LevelsSet | HiddenOrder


class Background(Protocol):
    @property
    def due_ns(self) -> int:
        """Before this time nothing happens, unless it hears of something; 0 where that is not known."""

    def step_until(self, now_ns: int) -> Iterable[Happening]:
        """What has happened since the last call, up to and including `now_ns`, in time order.

        To be consumed whole before the next call.
        """

    def hear(self, trades: Iterable[Trade]) -> None:
        """What our orders traded, on any venue, as soon as it has happened."""
