"""What every order may ask of its slices, whatever its algorithm: their size, their share of the market's volume, and
the price at which all of the rest goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bestex import codec
from bestex.clock import FOREVER_NS, SECOND
from bestex.contained import PluginFailed, asked
from bestex.errors import Code
from bestex.messages import Tif
from bestex.units import floor_to
from services.scheduler.algos.base import Decision, Finish, Params, Recall, Replan, Slice, Task, Wait
from services.scheduler.curve import Curve

AGAIN_NS = SECOND  # how soon a slice that may not go out now is looked at again; `stats` come once a second


def bounded(params: Params, task: Task, would_price: int | None, now_ns: int) -> Decision:
    """The algorithm's decision within the order's bounds. `would_price` in the instrument's units. Raises
    PluginFailed where the algorithm fails, or decides what cannot be."""
    if would_price is not None and (would := _would(task, would_price, now_ns)) is not None:
        return would
    decision = asked(params, params.decide, task, now_ns)
    if type(decision) is Wait and type(decision.until_ns) is int:
        return decision  # nearly all of them
    if wrong := _wrong(decision, task):
        raise PluginFailed(params, ValueError(wrong))
    if isinstance(decision, Slice) and decision.strategy_params:
        asked(params, codec.to_json, decision.strategy_params)  # they are stored
    if not isinstance(decision, Slice):
        return decision
    if now_ns < task.end_ns:
        return _within(task, decision, now_ns)
    # What completes an order at its end is bounded by its price alone.
    if not 0 < decision.qty <= task.unsent:
        raise PluginFailed(params, ValueError(f"a slice of {decision.qty}, and {task.unsent} is left"))
    return decision


def _wrong(decision: Any, task: Task) -> str:
    """Why this is no decision, as a sentence; empty where it is one."""
    match decision:
        case Wait(until_ns):
            return "" if isinstance(until_ns, int) else f"a wait until {until_ns!r}, which is no time"
        case Slice():
            return _wrong_slice(decision)
        case Recall(_, why) | Replan(_, why) | Finish(_, why) if not isinstance(why, str):
            return f"a decision with {why!r} for words"
        case Recall(slice_no):
            known = any(one.no == slice_no and not one.recalled for one in task.working)
            return "" if known else f"a recall of slice {slice_no!r}, which is not at work, or is recalled"
        case Replan(curve):
            return "" if isinstance(curve, Curve) else f"a plan that is a {type(curve).__name__}"
        case Finish(reason):
            # These the life cycle says itself, of what has happened.
            known = isinstance(reason, Code) and reason is not Code.CANCELED
            return "" if known else f"an end for {reason!r}"
    return f"no decision, but a {type(decision).__name__}"


def _wrong_slice(wanted: Slice) -> str:
    """Why it could not be stored and read back, as a sentence; empty where it can."""
    qty, expires_ns, limit, least = wanted.qty, wanted.expires_ns, wanted.limit, wanted.min_fill
    whole = isinstance(qty, int) and isinstance(expires_ns, int) and isinstance(limit, int | None)
    if not (whole and qty >= 0 and 0 <= expires_ns < FOREVER_NS):
        return f"a slice of {qty!r} at {limit!r} until {expires_ns!r}, which are no quantity, price and time"
    if not (isinstance(wanted.display, int) and isinstance(least, int)):
        return f"a slice that shows {wanted.display!r} and fills {least!r} at least, which are no quantities"
    if not (isinstance(wanted.tif, Tif) and isinstance(wanted.why, str) and isinstance(wanted.strategy, str)):
        return f"a slice for {wanted.tif!r} by {wanted.strategy!r} with {wanted.why!r} for words"
    if wanted.venues is not None and not all(isinstance(one, str) for one in wanted.venues):
        return f"a slice for {wanted.venues!r}, which are no venues"
    return ""


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
