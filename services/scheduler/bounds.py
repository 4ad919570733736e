"""What every order may ask of its slices, whatever its algorithm: their size, their share of the market's volume, and
the price at which all of the rest goes."""

from __future__ import annotations

from dataclasses import replace

from bestex.clock import SECOND
from bestex.errors import Code
from bestex.messages import Tif
from bestex.units import floor_to
from services.scheduler.algos.base import Decision, Params, Recall, Slice, Task, Wait

AGAIN_NS = SECOND  # how soon a slice that may not go out now is looked at again; `stats` come once a second


def bounded(params: Params, task: Task, would_price: int | None, now_ns: int) -> Decision:
    """The algorithm's decision within the order's bounds. `would_price` in the instrument's units."""
    if would_price is not None and (would := _would(task, would_price, now_ns)) is not None:
        return would
    decision = params.decide(task, now_ns)
    if not isinstance(decision, Slice) or now_ns >= task.end_ns:
        return decision  # what completes an order at its end is bounded by its price alone
    return _within(task, decision, now_ns)


def _would(task: Task, price: int, now_ns: int) -> Slice | Recall | None:
    """All of the rest, where the market offers anything at that price; what rests is called back for it."""
    called_back = task.last_reason is Code.REPLACED
    again_ns = task.settled_ns + AGAIN_NS if task.slices and not called_back else 0
    if task.market.is_beyond(task.side, price) or now_ns < again_ns or now_ns >= task.end_ns:
        return None
    if task.unsent:
        return Slice(task.unsent, expires_ns=task.end_ns, limit=price, collar=False, why="at the would price")
    for one in task.working:
        if one.rests and not one.recalled and now_ns >= one.sliced_ns + AGAIN_NS:
            return Recall(one.no, "the rest is to be had at the would price")
    return None


def _within(task: Task, wanted: Slice, now_ns: int) -> Decision:
    qty = floor_to(min(wanted.qty, task.most), task.lot)
    rest = task.unsent - qty
    if 0 < rest < task.min_qty and wanted.tif is Tif.IOC:
        # Never leave behind what no venue takes: take it along, or leave as much of the rest as one does take.
        qty = task.unsent if task.unsent <= task.most else floor_to(task.unsent - task.min_qty, task.lot)
    if qty < min(task.min_qty, task.unsent) or qty <= 0:
        return Wait(min(now_ns + AGAIN_NS, task.end_ns))
    return wanted if qty == wanted.qty else replace(wanted, qty=qty)
