"""Market: everything at once, swept over the venues within the slippage limit."""

from __future__ import annotations

from typing import ClassVar

from bestex.errors import Code
from bestex.human import Duration
from services.scheduler.algos.base import Decision, Finish, Params, Slice, Task


class Market(Params, frozen=True, kw_only=True, omit_defaults=True):
    """One slice now, taken from the book; what the book does not hold within the limit stays unfilled."""

    name: ClassVar[str] = "market"

    duration: Duration = Duration.parse("10s")

    def decide(self, task: Task, now_ns: int) -> Decision:
        if task.open or (task.slices and not task.was_changed):
            return Finish(task.last_reason or Code.COMPLETED)
        return Slice(task.unsent, expires_ns=max(task.end_ns, now_ns))
