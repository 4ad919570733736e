"""What an algorithm is: typed parameters, a planned curve, and one pure decision.

The scheduler's life cycle owns everything that algorithms share (accepting, pausing, modifying, cancelling, sums,
ends, sizes, the participation cap, the would price); an algorithm only says what is due. It keeps no state: whatever
it needs follows from its parameters, the parent's history and the market, which is how it resumes exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import msgspec
from msgspec import Meta

from bestex import codec
from bestex.clock import SECOND, Time
from bestex.errors import Code
from bestex.human import Duration, Ratio
from bestex.instruments import Listing
from bestex.messages import Side, Tif
from services.scheduler.curve import Curve, free
from services.scheduler.market import Market

COMPLETION_NS = 10 * SECOND  # how long the router may work on the rest that is taken at the end

Urgency = Literal["low", "medium", "high", "immediate"]


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all algorithms' parameters: what every algorithm takes."""

    name: ClassVar[str]
    needs_limit: ClassVar[bool] = False
    # Whether a decision depends on the book, and is to be made again when that changes or the statistics come.
    follows_book: ClassVar[bool] = False
    # Whether it depends on what the market trades.
    follows_volume: ClassVar[bool] = False
    # Whether it learns from what earlier orders found at venues.
    learns: ClassVar[bool] = False

    start_time: Annotated[Time | None, Meta(description="When to begin; at once where it is left out.")] = (
        None
    )
    end_time: Annotated[Time | None, Meta(description="When to end; overrides the duration.")] = None
    duration: Annotated[Duration, Meta(description="How long to work.")] = Duration.parse("5m")
    tif: Annotated[
        Literal["gtd", "day"],
        Meta(description="gtd works until its end, day until the session's close at the latest."),
    ] = "gtd"
    max_slippage: Annotated[
        Ratio | None, Meta(description="How far from the mid a slice may trade; the platform's default else.")
    ] = None
    would_price: Annotated[
        Decimal | None, Meta(description="All of the rest is taken as soon as it can be had at this price.")
    ] = None
    max_participation: Annotated[
        Ratio | None,
        Meta(description="The most of what the market trades, ours included; no limit where left out."),
    ] = None
    min_slice: Annotated[
        Decimal | None, Meta(description="The least that a slice may be, but for the last one.")
    ] = None
    max_slice: Annotated[Decimal | None, Meta(description="The most that a slice may be.")] = None
    randomize: Annotated[
        Ratio,
        Meta(
            description="By how much of a slice its size and time vary, symmetric around the schedule.",
            extra={"search": "0%:90%"},
        ),
    ] = Ratio(0.2)
    catch_up: Annotated[
        Ratio,
        Meta(
            description="How much more than its own size a slice may carry of what is behind.",
            extra={"search": "0%:400%"},
        ),
    ] = Ratio(1.0)
    out_of_limit: Annotated[
        Literal["catch_up", "pause"],
        Meta(
            description="What was missed while the market was beyond the limit is caught up, or left to the end."
        ),
    ] = "catch_up"
    force_completion: Annotated[
        bool, Meta(description="At the end, take what is left at once within the limits.")
    ] = False
    urgency: Annotated[
        Urgency | None, Meta(description="How dear waiting is, for strategies that weigh it.")
    ] = None
    slice_ttl: Annotated[Duration | None, Meta(description="How long the router may work on one slice.")] = (
        None
    )

    def stored(self) -> dict[str, Any]:
        """Every parameter, defaults too, as it goes into the history: read back, it is exactly this."""
        return {
            name: float(value) if isinstance(value, Ratio) else codec.to_builtins(value)
            for name, value in msgspec.structs.asdict(self).items()
        }

    def problem(self) -> str:
        """What is wrong with the values, as a sentence; empty where nothing is."""
        if self.end_time is not None and self.start_time is not None and self.end_time <= self.start_time:
            return "end_time must be after start_time"
        if self.end_time is None and self.duration <= 0:
            return "duration must be longer than nothing"
        if self.max_slippage is not None and not 0 < self.max_slippage < 1:
            return "max_slippage must be above 0% and below 100%"
        if self.slice_ttl is not None and self.slice_ttl <= 0:
            return "slice_ttl must be longer than nothing"
        if not 0 <= self.randomize <= 0.9:
            return "randomize must be from 0% to 90%"
        if self.catch_up < 0:
            return "catch_up must not be negative"
        if self.max_participation is not None and not 0 < self.max_participation <= 1:
            return "max_participation must be above 0% and at most 100%"
        for name in ("would_price", "min_slice", "max_slice"):
            value = getattr(self, name)
            if value is not None and not (value.is_finite() and value > 0):
                return f"{name} must be above zero"
        if self.min_slice is not None and self.max_slice is not None and self.min_slice > self.max_slice:
            return "min_slice must not be above max_slice"
        return ""

    @property
    def watches_book(self) -> bool:
        return self.follows_book or self.would_price is not None

    @property
    def watches_volume(self) -> bool:
        return self.follows_volume or self.max_participation is not None

    @classmethod
    def knows_enough(cls, market: Market) -> bool:
        """Whether as much is known of the market as it needs to do better than others; whoever chooses asks."""
        del market
        return True

    def begins_ns(self, market: Market, at_ns: int) -> int:
        """When it begins that is to begin at `at_ns`: later where its market is closed then, and that matters."""
        del market
        return at_ns

    def ends_ns(self, market: Market, start_ns: int, at_ns: int) -> int:
        """When it ends that begins at `start_ns` and is to end at `at_ns`: earlier where its market closes before,
        and that matters."""
        day = market.hours.after(start_ns) if self.tif == "day" else None
        return at_ns if day is None else min(at_ns, day.close_ns)

    def end_ns(self, market: Market, start_ns: int) -> int:
        """When it ends that begins at `start_ns`."""
        at_ns = int(self.end_time) if self.end_time is not None else start_ns + int(self.duration)
        return self.ends_ns(market, start_ns, at_ns)

    def choose(self, task: Task, algos: Mapping[str, type[Params]], name: str = "") -> tuple[Params, str]:
        """The parameters of the algorithm that works the order, and why that one: itself, unless choosing is what it
        is for. `algos`: all that there are. `name`: the one that was chosen before, which stands."""
        del task, algos, name
        return self, ""

    def curve(self, task: Task, now_ns: int) -> Curve:
        """The planned curve from now, or from the start, to the end. Made when an order is accepted, begins late or
        is modified; stored, and from then on the plan."""
        return free(max(now_ns, task.start_ns), task.end_ns, task.cum, task.qty)

    def decide(self, task: Task, now_ns: int) -> Decision:
        """What is due at `now_ns`. Pure; called again after every change of the parent."""
        raise TypeError(f"{type(self).__name__} has no decision, for {task} at {now_ns} or ever")

    def closing(
        self,
        task: Task,
        now_ns: int,
        text: str = "the schedule ended with a rest that the book did not hold",
    ) -> Decision:
        """After the end: what is left is taken at once where that was asked for, and given up where not. `text`: why
        there is a rest."""
        if task.open:
            return Wait(now_ns + SECOND)
        tried = task.slices > 0 and task.sliced_ns >= task.end_ns
        if self.force_completion and not tried:
            return Slice(task.unsent, expires_ns=now_ns + COMPLETION_NS, why="completion at the end")
        return Finish(Code.COMPLETED, text)


class Tried(NamedTuple):
    """`qty` rested at one venue until its slice ended, and `filled` of it was filled; in units."""

    venue: str
    qty: int
    filled: int


class Working(msgspec.Struct, frozen=True):
    """A slice that the router has: quantity and limit in units, 0 where it has no limit. `shown`: the most of it that
    a book shows. `venue`: the one that it is for, if that is one alone."""

    no: int
    qty: int
    limit: int
    sliced_ns: int
    rests: bool
    recalled: bool
    shown: int
    venue: str = ""


class Unbroken(msgspec.Struct, frozen=True):
    """From `at_ns` on the market's volume has been counted without a break, and the order been at work: `qty` of it
    was to have been sent by then, and `traded` the market had traded."""

    at_ns: int
    qty: int
    traded: int


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A parent as its algorithm sees it. Quantities and prices in the instrument's units.

    `min_qty` and `most`: the least and the most that a slice may be now; `max_qty`: the most it may ever be, 0 for
    any. `missed`: what is not to be caught up. `planned_ns`: when the plan was made. `traded`: what the market has
    traded since the order began, while it was at work; `unbroken`: since when that can be compared with what was
    expected, None where nothing is counted; `sliced_traded`: what it was when the last slice went out; `from_traded`
    and `from_cum`: what it and `cum` were when the parameters were last changed. `sliced_ns` and `settled_ns`: when
    the last slice went out and when the last one came back, 0 for never; `last_qty` and `last_reason`: what that one
    filled and why it ended. `arrival_half`: twice the mid when it began; where there was none, twice the limit of its
    first slice, and before that None. `venues`: those that the order may use, None for all. `tried`: what slices that
    rested at one venue alone found there, oldest first, those of earlier orders before its own where the algorithm
    learns from them.
    """

    side: Side
    qty: int
    cum: int
    open: int
    slices: int
    lot: int
    min_qty: int
    max_qty: int
    most: int
    start_ns: int
    end_ns: int
    seed: int
    limit: int | None
    plan: Curve
    market: Market
    traded: int
    unbroken: Unbroken | None
    planned_ns: int
    sliced_traded: int
    from_traded: int
    from_cum: int
    missed: int
    sliced_ns: int
    settled_ns: int
    last_reason: Code | None
    last_qty: int
    arrival_half: int | None
    working: tuple[Working, ...]
    venues: frozenset[str] | None = None
    tried: tuple[Tried, ...] = ()

    @property
    def listings(self) -> list[Listing]:
        """Where it may be traded."""
        allowed, listings = self.venues, self.market.instrument.listings
        return list(listings) if allowed is None else [one for one in listings if one.venue in allowed]

    @property
    def unsent(self) -> int:
        """What is neither filled nor with the router; nothing where less is wanted now than went out before."""
        return max(self.qty - self.cum - self.open, 0)

    @property
    def was_changed(self) -> bool:
        """Whether the last slice ended for the user's sake, by a bug, or filled whole: then what is unsent was not
        tried yet, however often others were."""
        return self.last_reason in (Code.FILLED, Code.REPLACED, Code.STRATEGY_FAILED)


@dataclass(frozen=True, slots=True)
class Slice:
    """Send this now. The router may work on it until `expires_ns`; `tif` GTC rests what does not cross, at `limit` or
    the order's own limit, whichever is closer, and with `post_only` all of it rests. Without a `collar` the distance
    from the mid is not looked at. With a `display` no book ever shows more of it, and it may come back as soon as so
    much of it has been traded. An algorithm may name a routing strategy for this slice alone, parameters over the
    order's, and venues among the order's: dark ones alone, with GTC, and nothing below `min_fill` traded at once;
    a `conditional` one binds only when somebody has been found there. `why` is for people."""

    qty: int
    expires_ns: int
    tif: Tif = Tif.IOC
    limit: int | None = None
    post_only: bool = False
    display: int = 0
    collar: bool = True
    strategy: str = ""
    strategy_params: Mapping[str, Any] = field(default_factory=dict)
    venues: tuple[str, ...] | None = None
    why: str = ""
    min_fill: int = 0
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing now. Ask again at `until_ns`, or earlier when something changes."""

    until_ns: int


@dataclass(frozen=True, slots=True)
class Recall:
    """The router is to give this slice back."""

    slice_no: int
    why: str


@dataclass(frozen=True, slots=True)
class Replan:
    """From now on this is the planned curve. `counts_anew`: and `Task.unbroken` begins here."""

    curve: Curve
    why: str
    counts_anew: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """The algorithm is through with what could be done."""

    reason: Code
    text: str = ""


Decision = Slice | Wait | Recall | Replan | Finish
