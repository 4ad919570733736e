"""NAME: what it does, in a sentence. Where the idea comes from.

Copy this file, name the class, and add one line to ALGOS in `bestex.plugins`. Then `bestex algos` shows it,
`bestex submit ... --algo name --set share=20%` uses it, and pausing, modifying, cancelling, restarting and
all sums work, because they are the life cycle's and not the algorithm's.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from bestex.errors import Code
from bestex.human import Ratio
from bestex.units import floor_to
from services.scheduler.algos.base import Decision, Finish, Params, Slice, Task, Wait


class Template(Params, frozen=True, kw_only=True, omit_defaults=True):
    """Sends a fixed share of what is left whenever the slice before it has come back."""

    name: ClassVar[str] = "template"

    share: Annotated[Ratio, Meta(description="How much of the rest each slice takes.")] = Ratio(0.25)

    def problem(self) -> str:
        return super().problem() if 0 < self.share <= 1 else "share must be above 0% and at most 100%"

    def decide(self, task: Task, now_ns: int) -> Decision:
        if now_ns >= task.end_ns and not task.open:
            return Finish(Code.COMPLETED, "the end of the order's time")
        if task.open:
            return Wait(task.end_ns)
        qty = max(floor_to(int(task.unsent * self.share), task.lot), min(task.min_qty, task.unsent))
        return Slice(qty, expires_ns=task.end_ns)
