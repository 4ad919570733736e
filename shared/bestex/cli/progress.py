"""The progress of one parent: what is filled against what the plan says should be by now."""

from __future__ import annotations

import asyncio
from bisect import bisect_right

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bestex import messages as m
from bestex.clock import AffineClock
from bestex.parent import Parent

REDRAW_S = 0.2


def planned_share(schedule: list[m.SchedulePoint], qty: float, now_ns: int) -> float:
    """The share of the quantity that the plan wants to have sent by now; 1 where there is no plan."""
    if not schedule or not qty:
        return 1.0
    due = bisect_right(schedule, now_ns, key=lambda point: int(point.at))
    if not due or due == len(schedule):
        return float(schedule[due - 1].qty) / qty if due else 0.0
    before, after = schedule[due - 1], schedule[due]
    gone = (now_ns - before.at) / (after.at - before.at)
    return (float(before.qty) + gone * float(after.qty - before.qty)) / qty


async def follow(parent: Parent, clock: AffineClock) -> None:
    """Draw until the parent has ended."""
    schedule: list[m.SchedulePoint] = []
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with progress:
        planned = progress.add_task("planned", total=1.0, note="")
        filled = progress.add_task("filled ", total=1.0, note="")

        def draw() -> None:
            status = parent.status
            qty = float(status.qty)
            sent = float(sum((fill.qty for fill in parent.fills), start=status.cum_qty * 0))
            price = "" if status.avg_px is None else f"at {status.avg_px:f}"
            progress.update(planned, completed=planned_share(schedule, qty, clock.now_ns()))
            progress.update(
                filled,
                completed=sent / qty if qty else 0.0,
                note=f"{sent:g} of {qty:g} {price}  {len(parent.fills)} fills  {status.state}",
            )

        async def redraw() -> None:
            while True:
                draw()
                await asyncio.sleep(REDRAW_S)

        drawing = asyncio.create_task(redraw())
        try:
            async for event in parent:
                if isinstance(
                    event, m.ParentAccepted | m.ParentStarted | m.ParentModified | m.ParentReplanned
                ):
                    schedule = event.schedule
        finally:
            drawing.cancel()
            draw()
