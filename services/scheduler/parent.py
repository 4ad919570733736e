"""One parent order at work: its sums, its open slices, what was asked of it. Changed by events only."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from bestex import ids
from bestex import messages as m
from bestex.errors import Code
from bestex.instruments import Instrument
from bestex.units import total
from services.scheduler.algos.base import Params, Slice, Task

AVG_DIGITS = 6  # digits of an average price beyond the instrument's own


_NONE: set[int] = set()  # shared and never changed: most parents have nothing to recall


class Parent:
    """Quantities in the instrument's units. `open` maps the number of an unsettled slice to its quantity."""

    __slots__ = (
        "algo",
        "canceling",
        "cum",
        "end_ns",
        "fees",
        "instrument",
        "last_reason",
        "notional",
        "open",
        "order",
        "params",
        "paused",
        "recalled",
        "requests",
        "seed",
        "settled_ns",
        "slices",
        "stale",
        "start_ns",
        "wanted",
    )

    def __init__(self, event: m.ParentAccepted, instrument: Instrument, params: Params) -> None:
        self.instrument = instrument
        self.order = event.order
        self.params = params
        self.algo = event.order.algo
        self.wanted = instrument.qty_units(event.order.qty)
        self.start_ns: int = event.start_at
        self.end_ns: int = event.end_at or event.start_at + params.duration
        self.seed = ids.seed(event.symbol, event.parent_id)
        self.requests: tuple[int, ...] = (event.order_seq,)
        self.cum = 0
        self.notional = Decimal(0)
        self.fees = Decimal(0)
        self.slices = 0
        self.open: dict[int, int] = {}
        self.recalled: set[int] = _NONE
        self.stale: set[int] = _NONE
        self.paused = False
        self.canceling = False
        self.settled_ns = 0
        self.last_reason: Code | None = None

    @property
    def open_qty(self) -> int:
        return sum(self.open.values())

    @property
    def qty(self) -> int:
        """What may at most be filled: what is wanted, or what went out before less was wanted."""
        return max(self.wanted, self.cum + self.open_qty)

    @property
    def avg_px(self) -> Decimal | None:
        return average(self.notional, self.cum, self.instrument)

    def task(self) -> Task:
        """The parent as its algorithm sees it."""
        return Task(
            qty=self.wanted,
            cum=self.cum,
            open=self.open_qty,
            slices=self.slices,
            lot=self.instrument.lot,
            min_qty=self.instrument.min_qty,
            start_ns=self.start_ns,
            end_ns=self.end_ns,
            seed=self.seed,
            settled_ns=self.settled_ns,
            last_reason=self.last_reason,
        )

    def to_recall(self) -> int:
        """The next open slice that must come back and was not asked for yet; 0 where there is none."""
        wanted = self.open.keys() if self.canceling or self.paused else self.stale
        return min(wanted - self.recalled, default=0)

    def answered(self, order_seq: int) -> None:
        """The user's message of this number has been taken."""
        self.requests = (*self.requests, order_seq)

    # -- events ----------------------------------------------------------------------------------------------

    def sliced(self, event: m.ParentSliced) -> None:
        self.open[event.slice_no] = self.instrument.qty_units(event.qty)
        self.slices = event.slice_no
        assert self.cum + self.open_qty <= self.wanted, "filled and open must never exceed the order"

    def recall(self, event: m.ParentRecalled) -> None:
        self.recalled = self.recalled | {event.slice_no}

    def settled(self, event: m.ParentSettled) -> None:
        self.open.pop(event.slice_no)
        self.recalled = self.recalled - {event.slice_no} or _NONE
        self.stale = self.stale - {event.slice_no} or _NONE
        self.cum += self.instrument.qty_units(event.filled_qty)
        self.notional = total(self.notional, event.notional)
        self.fees = total(self.fees, event.fees)
        self.settled_ns = event.at
        self.last_reason = event.reason

    def modified(self, event: m.ParentModified, params: Params) -> None:
        self.order = event.order
        self.params = params
        self.wanted = self.instrument.qty_units(event.order.qty)
        if event.end_at is not None:
            self.end_ns = event.end_at
        self.answered(event.order_seq)
        self.stale = set(self.open) or _NONE  # they were made for the order as it was


def average(notional: Decimal, cum: int, instrument: Instrument) -> Decimal | None:
    """The average price to AVG_DIGITS more digits than the instrument's; None where nothing is filled."""
    if not cum:
        return None
    exact = notional / instrument.qty(cum)
    rounded = exact.quantize(Decimal(1).scaleb(-instrument.price_scale - AVG_DIGITS))
    return rounded.quantize(Decimal(1)) if rounded == rounded.to_integral() else rounded.normalize()


def fingerprint(order: m.ParentOrder) -> int:
    """64 bits that tell whether a second order under a known id is the same one, sent again."""
    return ids.digest(msgspec.json.encode(msgspec.to_builtins(order, enc_hook=str), order="sorted")) & (
        (1 << 64) - 1
    )


def routing_of(order: m.ParentOrder, wanted: Slice, default: str) -> dict[str, Any]:
    """The strategy and its parameters of one slice: the algorithm's word for it over the order's."""
    chosen = order.strategy or default
    own = order.strategy_params if wanted.strategy in ("", chosen) else {}
    return {"strategy": wanted.strategy or chosen, "strategy_params": {**own, **wanted.strategy_params}}
