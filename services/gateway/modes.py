"""Paper and live are never mixed in one history, and nobody trades with keys that their venue would let do more.

What was done on paper would count as a real position, as a real open order, in every cap; and real ones as none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from bestex.errors import Code, ConfigError
from bestex.messages import ExecSubmitting
from services.gateway.port import KeysRefused


class Modes:
    """`paper`: the venues whose orders are sent to a simulation of them."""

    def __init__(self, paper: Iterable[str]) -> None:
        self.paper = frozenset(paper)
        self._others: set[str] = set()

    def see(self, event: ExecSubmitting) -> None:
        """An order of the journal."""
        if event.paper != (event.venue in self.paper):
            self._others.add(event.venue)

    def check(self) -> None:
        """ConfigError where the journal tells of orders in the other mode."""
        for venue in sorted(self._others):
            was, now_is = ("live", "on paper") if venue in self.paper else ("on paper", "live")
            raise ConfigError(
                f"venues.{venue}.mode: this bus has its history {was}, and it is {now_is} now; "
                f"take a bus and a data_dir of its own, or the mode of before ({Code.LIVE_AFTER_PAPER})"
            )


def refuse_keys(said: KeysRefused, _now_ns: int) -> NoReturn:
    raise ConfigError(f"venues.{said.venue}.keys: {said.text} ({said.code})")
