"""Limit: one slice at the limit price; what crosses is taken, the rest is posted until the end."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from bestex.errors import Code
from bestex.human import Duration
from bestex.messages import Tif
from services.scheduler.algos.base import Decision, Finish, Params, Slice, Task, Wait


class Limit(Params, frozen=True, kw_only=True, omit_defaults=True):
    """One slice at the limit price: what crosses is taken, the rest rests on the best venue until the end."""

    name: ClassVar[str] = "limit"
    needs_limit: ClassVar[bool] = True

    duration: Duration = Duration.parse("1d")
    tif: Annotated[
        Literal["gtc", "gtd", "day", "ioc"],
        Meta(
            description="gtc and gtd post the rest until the end, day until the session's close, ioc drops it."
        ),
    ] = "gtc"  # type: ignore[assignment]

    def decide(self, task: Task, now_ns: int) -> Decision:
        if now_ns >= task.end_ns:
            return (
                Wait(now_ns + RESTART_PAUSE_NS)
                if task.open
                else Finish(Code.EXPIRED, "the end of the order's time")
            )
        if not task.unsent:
            return Wait(task.end_ns)
        if self.tif == "ioc" and (task.open or (task.slices and not task.was_changed)):
            return Finish(task.last_reason or Code.COMPLETED)
        if task.slices and task.last_reason not in (None, Code.CANCELED, Code.REPLACED):
            # The venue gave a resting order back: post again, but not in a tight circle.
            again_ns = task.settled_ns + RESTART_PAUSE_NS
            if now_ns < again_ns:
                return Wait(min(again_ns, task.end_ns))
        tif = Tif.IOC if self.tif == "ioc" else Tif.GTC
        return Slice(task.unsent, expires_ns=task.end_ns, tif=tif, collar=False)


RESTART_PAUSE_NS = 1_000_000_000
