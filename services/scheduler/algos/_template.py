"""NAME: what it does, in a sentence. Where the idea comes from.

Copy this file, rename the class and its `name`, and add one line to ALGOS in `bestex.plugins`. Then `bestex algos`
shows it, `bestex submit ... --algo name --set share=20%` uses it, `bestex.execute_name` and its tickets are there,
and pausing, modifying, cancelling, restarting, sizes, caps and all sums work, because they are the life cycle's.

An algorithm keeps no state: what it needs is in the `task`, which follows from the order's stored events. With a
`curve` of its own it is followed against that plan (see `scheduled.py`); `follows_book` and `follows_volume` have it
asked again when the market moves.
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
