"""What any background yields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from bestex.background import BackgroundEvent


class Happening(NamedTuple):
    """`event` in the market that its venue calls `symbol`."""

    symbol: str
    event: BackgroundEvent


class Background(Protocol):
    def step_until(self, now_ns: int) -> Iterable[Happening]:
        """What has happened since the last call, up to and including `now_ns`, in time order.

        To be consumed whole before the next call.
        """
