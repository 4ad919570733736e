"""Every message that travels on the bus. Read top to bottom, it is the life of an order.

Durable messages are JSON: prices and quantities are decimal strings, times RFC 3339. Live messages are
MessagePack with integers in units. Messages are frozen facts; fields only ever get added, with defaults.
User input forbids unknown fields; everything that a service wrote tolerates new ones.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from bestex.clock import Time
from bestex.errors import Code


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class Tif(StrEnum):
    IOC = "ioc"
    FOK = "fok"
    GTC = "gtc"
    GTD = "gtd"
    DAY = "day"


# -- orders: what users write (ORDERS) ---------------------------------------------------------------------


class Trigger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A price that is waited for: a buy's is reached at `price` or above, a sell's at `price` or below, unless `when`
    says otherwise. `trail` (in price) or `trail_percent`: the stop follows the market at that distance and never goes
    back; `price` is then where it begins, if anywhere. `by`: the price that is looked at, of all venues together.
    `until`: how long it is waited for; a day where it is left out."""

    price: Decimal | None = None
    trail: Decimal | None = None
    trail_percent: Decimal | None = None
    when: Literal["", "above", "below"] = ""
    by: Literal["mid", "bid", "ask"] = "mid"
    until: Time | None = None


class Alternative(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One cancels the other: when `trigger` is reached, all that works is called back, and what has not been filled
    is worked by `algo` with its own parameters and limit. It is one order, so it can never be filled twice."""

    trigger: Trigger
    algo: str
    params: dict[str, Any] = {}
    limit_price: Decimal | None = None


class ParentOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """order.new.<algo>.<symbol>. What is left out of the body and stands in the subject is taken from there. With a
    `trigger` it begins when that is reached, and its duration counts from there."""

    symbol: str = ""
    side: Side
    qty: Decimal
    algo: str = ""
    parent_id: str = ""
    limit_price: Decimal | None = None
    params: dict[str, Any] = {}
    strategy: str = ""
    strategy_params: dict[str, Any] = {}
    venues: list[str] | None = None
    account: str = "default"
    expires_at: Time | None = None
    trigger: Trigger | None = None
    otherwise: Alternative | None = None
    note: str = ""


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """order.cancel.<algo>.<symbol>.<parent_id>"""

    reason: str = ""
    expires_at: Time | None = None


class ModifyOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """order.modify.<algo>.<symbol>.<parent_id>. Only what is given changes; `qty` is the new total.

    The slices after it are routed with the new `strategy_params`; those at work are called back.
    """

    qty: Decimal | None = None
    limit_price: Decimal | None = None
    params: dict[str, Any] = {}
    strategy_params: dict[str, Any] = {}
    expires_at: Time | None = None


class PauseOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """order.pause.<algo>.<symbol>.<parent_id>"""

    reason: str = ""
    expires_at: Time | None = None


class ResumeOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """order.resume.<algo>.<symbol>.<parent_id>"""

    reason: str = ""
    expires_at: Time | None = None


# -- parents: the scheduler's history (SCHED) --------------------------------------------------------------


class ParentEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """parent.<symbol>.<parent_id>.<event>. Every event says where the parent stands after it."""

    ends: ClassVar[bool] = False

    symbol: str
    parent_id: str
    at: Time
    cum_qty: Decimal
    leaves_qty: Decimal
    avg_px: Decimal | None


class SchedulePoint(msgspec.Struct, frozen=True, array_like=True):
    """By `at`, `qty` in total should have been sent, from `low` to `high` where the market fills what is sent.
    Between two points the planned curve is straight. A bound that is left out is nothing, or the whole."""

    at: Time
    qty: Decimal
    low: Decimal | None = None
    high: Decimal | None = None


class Traded(msgspec.Struct, frozen=True, array_like=True):
    """What the market had traded since a parent began, `qty`, and where the count stood by which that is known:
    `Stats.traded` and `Stats.counting_since`."""

    qty: Decimal
    total: Decimal
    since: Time


class VenueTrial(msgspec.Struct, frozen=True, array_like=True):
    """`qty` rested at one venue until its slice ended, and `filled` of it was filled."""

    venue: str
    qty: Decimal
    filled: Decimal


class ParentAccepted(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="accepted"):
    """`params` are all of the algorithm's parameters in force: a restart under other defaults changes nothing.
    `works_as`: the algorithm that works the order where it is another than the order names; `reason` says why.
    `otherwise_params`: those of its alternative. `prior`: what earlier orders found at venues, oldest first, where
    the algorithm learns from it. `unvalued`: its value is limited and there was no price to reckon it at, so it
    starts, or ends, when there is one."""

    order: ParentOrder
    params: dict[str, Any] = {}
    order_seq: int
    start_at: Time
    end_at: Time | None = None
    arrival_px: Decimal | None = None
    reason: str = ""
    works_as: str = ""
    otherwise_params: dict[str, Any] = {}
    schedule: list[SchedulePoint] = []
    traded: Traded | None = None
    prior: list[VenueTrial] = []
    unvalued: bool = False


class ParentStarted(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="started"):
    """An order that was to wait begins: from here on its arrival price and its schedule are these."""

    arrival_px: Decimal | None = None
    end_at: Time | None = None
    schedule: list[SchedulePoint] = []
    traded: Traded | None = None
    text: str = ""


class ParentTrailed(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="trailed"):
    """The stop that the order waits for, or its alternative, has followed the market to this price."""

    stop_price: Decimal


class ParentSwitched(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="switched"):
    """The alternative's trigger was reached: from here on `order` is worked by `works_as`, once what was at work has
    come back. `text` says at which price."""

    order: ParentOrder
    works_as: str
    params: dict[str, Any] = {}
    end_at: Time
    schedule: list[SchedulePoint] = []
    traded: Traded | None = None
    text: str = ""


class ParentRejected(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="rejected"):
    """A request was refused. It ends the parent only where nothing had been accepted under this id.

    An aside: it changes nothing in the history, so it is appended wherever that ends.
    """

    aside: ClassVar[bool] = True

    code: Code
    text: str
    request: str = "new"
    order_seq: int = 0


class ParentSliced(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="sliced"):
    """A slice, and thereby the router's command.

    `parent_qty` is the order's whole quantity as it is wanted now, `build` the scheduler's (`bestex.fleet`), `why`
    the algorithm's reason where the schedule alone is none. With `post_only` nothing of it is taken, all of it rests.
    With a `display_qty` no book ever shows more of it.
    `min_fill_qty`: on dark venues nothing below it is to be traded at once. `conditional`: there it is to bind only
    when somebody has been found to meet.
    """

    slice_no: int
    side: Side
    qty: Decimal
    due_at: Time
    expires_at: Time
    limit_price: Decimal | None = None
    tif: Tif = Tif.IOC
    strategy: str = ""
    strategy_params: dict[str, Any] = {}
    venues: list[str] | None = None
    account: str = "default"
    algo: str = ""
    parent_qty: Decimal = Decimal(0)
    build: str = ""
    why: str = ""
    post_only: bool = False
    traded: Traded | None = None
    display_qty: Decimal | None = None
    min_fill_qty: Decimal | None = None
    conditional: bool = False


class ParentRecalled(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="recalled"):
    """The router must end this slice now: cancel what works, route nothing more."""

    slice_no: int
    reason: Code
    text: str = ""


class ParentSettled(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="settled"):
    """A slice ended; what it did not fill is the parent's again. `missed_qty` of that is not to be caught up."""

    slice_no: int
    filled_qty: Decimal
    notional: Decimal
    fees: Decimal
    reason: Code
    missed_qty: Decimal = Decimal(0)


class ParentPaused(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="paused"):
    """Where nobody asked for it, `order_seq` is 0 and `code` why: its algorithm or its strategy has failed."""

    order_seq: int
    text: str = ""
    code: Code | None = None
    traded: Traded | None = None


class ParentResumed(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="resumed"):
    order_seq: int
    text: str = ""
    traded: Traded | None = None


class ParentModified(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="modified"):
    """The order as it stands now, whole, with every parameter of its algorithm in force. `text`: why the schedule is
    as it is, where that is worth a word."""

    order_seq: int
    order: ParentOrder
    params: dict[str, Any] = {}
    works_as: str = ""
    end_at: Time | None = None
    schedule: list[SchedulePoint] = []
    traded: Traded | None = None
    text: str = ""


class ParentReplanned(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="replanned"):
    """The algorithm changed its own schedule, and says why. What is at work stays. `counts_anew`: what the market
    traded before says nothing of what it will from here on."""

    schedule: list[SchedulePoint]
    text: str = ""
    traded: Traded | None = None
    counts_anew: bool = False


class ParentCanceling(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="canceling"):
    """A cancel was taken; the parent ends when its open slices have come back."""

    order_seq: int
    text: str = ""


class ParentDone(ParentEvent, frozen=True, kw_only=True, omit_defaults=True, tag="done"):
    """`found`: what its slices found at dark venues, oldest first."""

    ends = True

    reason: Code
    notional: Decimal
    fees: Decimal
    text: str = ""
    found: list[VenueTrial] = []


# -- routes: the router's history and its commands (ROUTE) -------------------------------------------------


class Leg(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`display_qty`: how much of it the venue itself is to show at a time."""

    child_id: str
    venue: str
    qty: Decimal
    price: Decimal
    tif: Tif = Tif.IOC
    post_only: bool = False
    reason: str = ""
    send_at: Time | None = None
    display_qty: Decimal | None = None
    min_fill_qty: Decimal | None = None
    conditional: bool = False


class LeftOut(msgspec.Struct, frozen=True):
    venue: str
    reason: str


class RouteEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """route.<symbol>.<parent_id>.<slice_no>.<event>"""

    ends: ClassVar[bool] = False

    symbol: str
    parent_id: str
    slice_no: int
    at: Time


class RouteDecided(RouteEvent, frozen=True, kw_only=True, omit_defaults=True, tag="decided"):
    """The first route of a slice, whole: the children follow from it. `build` is the router's. `review_at`: when what
    rests is looked at again, `why` what the strategy decided, `gap_bps` how much cheaper a route might have been that
    was not found, `text` why not all of it is routed, where it is not; `failed`: how the strategy failed, after which
    nothing more is routed."""

    decision_no: int
    side: Side
    qty: Decimal
    strategy: str
    legs: list[Leg]
    left_out: list[LeftOut] = []
    text: str = ""
    expires_at: Time
    good_till: Time
    account: str = "default"
    algo: str = ""
    expected_px: Decimal | None = None
    mid_px: Decimal | None = None
    book_at: Time | None = None
    slice: ParentSliced | None = None
    build: str = ""
    review_at: Time | None = None
    why: str = ""
    gap_bps: float = 0.0
    failed: str = ""


class RouteRerouted(RouteDecided, frozen=True, kw_only=True, omit_defaults=True, tag="rerouted"):
    """What the last children did not fill, routed again on the newest book."""


class Repriced(msgspec.Struct, frozen=True):
    """A child that rests, and what it is to be: `qty` is its whole quantity, fills included."""

    child_id: str
    qty: Decimal
    price: Decimal


class RouteRepriced(RouteEvent, frozen=True, kw_only=True, omit_defaults=True, tag="repriced"):
    """What rests follows its venue's best price. The commands follow from it, and are not sent after `expires_at`."""

    children: list[Repriced]
    expires_at: Time
    review_at: Time


class RouteWithdrawn(RouteEvent, frozen=True, kw_only=True, omit_defaults=True, tag="withdrawn"):
    """What rests is being cancelled, to be routed again: at another price, or taken. `failed`: how the strategy that
    was asked about it failed; then it is not routed again."""

    children: list[str]
    failed: str = ""


class RouteRecalled(RouteEvent, frozen=True, kw_only=True, omit_defaults=True, tag="recalled"):
    """No more routing; the working children are being cancelled."""

    reason: Code
    children: list[str] = []


class ShadowCost(msgspec.Struct, frozen=True):
    """What a strategy cost, or would have, for the whole slice against the mid at its decision, fees included."""

    strategy: str
    cost_bps: float


class RouteDone(RouteEvent, frozen=True, kw_only=True, omit_defaults=True, tag="done"):
    """`shadows`, for a sample of slices: the costs by strategy, the real one's first."""

    ends = True

    qty: Decimal
    filled_qty: Decimal
    notional: Decimal
    fees: Decimal
    reason: Code
    text: str = ""
    children: int = 0
    shadows: list[ShadowCost] = []


class ChildNew(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """child.<venue>.<symbol>.<child_id>.new. Not to be sent after `expires_at`; not to rest beyond `good_till`.

    `parent_qty` is what the whole parent may fill, as its slice said it. `build` is the router's, `slice_build`
    the scheduler's: a gateway sends only what its own build decided. It is held until `send_at`, so that all parts of
    a decision arrive together. Nothing below `min_fill_qty` is to be traded at once. A `conditional` one binds when
    it has been invited to firm up, and is; its quantity is reserved from the beginning all the same.
    """

    child_id: str
    parent_id: str
    slice_no: int
    venue: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    tif: Tif
    post_only: bool = False
    expires_at: Time
    good_till: Time
    account: str = "default"
    algo: str = ""
    parent_qty: Decimal = Decimal(0)
    build: str = ""
    slice_build: str = ""
    send_at: Time | None = None
    display_qty: Decimal | None = None
    min_fill_qty: Decimal | None = None
    conditional: bool = False


class ChildCancel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """child.<venue>.<symbol>.<child_id>.cancel. Never expires: a cancel is always wanted."""

    child_id: str
    parent_id: str
    venue: str
    symbol: str
    reason: Code


class ChildReplace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """child.<venue>.<symbol>.<child_id>.replace. `qty` is the new total, fills included."""

    child_id: str
    parent_id: str
    venue: str
    symbol: str
    qty: Decimal
    price: Decimal
    expires_at: Time


# -- execution: the gateway's history (EXEC_<venue>) -------------------------------------------------------


class ExecEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """exec.<venue>.<symbol>.<child_id>.<event>. An event that ends the child carries its final sums."""

    ends: ClassVar[bool] = False

    venue: str
    symbol: str
    child_id: str
    parent_id: str
    slice_no: int
    at: Time


class ExecSubmitting(ExecEvent, frozen=True, kw_only=True, omit_defaults=True, tag="submitting"):
    """Written before the send. Without a result after it, the child is UNKNOWN and never sent again. `send_at`: as
    ordered, and where it is left out, at once. `paper`: it goes to a simulation of the venue (`Fill.paper`)."""

    token: str
    deadline: Time
    side: Side
    qty: Decimal
    price: Decimal
    tif: Tif
    post_only: bool = False
    good_till: Time
    account: str = "default"
    algo: str = ""
    parent_qty: Decimal = Decimal(0)
    send_at: Time | None = None
    display_qty: Decimal | None = None
    min_fill_qty: Decimal | None = None
    conditional: bool = False
    paper: bool = False


class ExecAccepted(ExecEvent, frozen=True, kw_only=True, omit_defaults=True, tag="accepted"):
    venue_order_id: str


class ExecUnknown(ExecEvent, frozen=True, kw_only=True, omit_defaults=True, tag="unknown"):
    """Nobody knows whether the venue has it. Not a rejection: the quantity stays reserved."""

    code: Code
    text: str


class ExecCanceling(ExecEvent, frozen=True, kw_only=True, omit_defaults=True, tag="canceling"):
    """A cancel is being sent (FIX PendingCancel)."""

    reason: Code


class ExecCancelRejected(ExecEvent, frozen=True, kw_only=True, omit_defaults=True, tag="cancel_rejected"):
    code: Code
    text: str


class ExecReplacing(ExecEvent, frozen=True, kw_only=True, omit_defaults=True, tag="replacing"):
    """A replace is being sent (FIX PendingReplace). Until its outcome is known the larger quantity counts."""

    qty: Decimal
    price: Decimal
    deadline: Time


class ExecReplaced(ExecEvent, frozen=True, kw_only=True, omit_defaults=True, tag="replaced"):
    qty: Decimal
    price: Decimal
    venue_order_id: str


class ExecReplaceRejected(ExecEvent, frozen=True, kw_only=True, omit_defaults=True, tag="replace_rejected"):
    code: Code
    text: str


class ExecInvited(ExecEvent, frozen=True, kw_only=True, omit_defaults=True, tag="invited"):
    """The venue has found somebody for a conditional order, and waits until `until` for it to firm up.

    Without a `code` that is being asked for, by one request that may leave until `deadline`: written before it is
    sent, and never sent again. With one it is not, and the venue drops the order. `invitation` is the venue's.
    """

    invitation: str
    until: Time
    deadline: Time | None = None
    code: Code | None = None
    text: str = ""


class ExecFirmed(ExecEvent, frozen=True, kw_only=True, omit_defaults=True, tag="firmed"):
    """It binds from now on, and trades with what is there. One that is filled whole by that has just its end."""


class ExecFirmRejected(ExecEvent, frozen=True, kw_only=True, omit_defaults=True, tag="firm_rejected"):
    code: Code
    text: str


class ExecEnded(ExecEvent, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the events that end a child.

    `evidence` is how the end is known where the venue has not simply told it: nothing left this process, the
    venue refused it, or two of its endpoints agreed that it is absent. `venue_order_id`: where the end told it.
    """

    ends = True

    cum_qty: Decimal = Decimal(0)
    notional: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    evidence: Literal["", "not_sent", "refused", "absent"] = ""
    venue_order_id: str = ""


class ExecRejected(ExecEnded, frozen=True, kw_only=True, omit_defaults=True, tag="rejected"):
    """Never at work at the venue: refused by the gateway's own checks, or by the venue for certain."""

    code: Code
    text: str


class ExecFilled(ExecEnded, frozen=True, kw_only=True, omit_defaults=True, tag="filled"):
    pass


class ExecCanceled(ExecEnded, frozen=True, kw_only=True, omit_defaults=True, tag="canceled"):
    code: Code
    text: str = ""


class ExecExpired(ExecEnded, frozen=True, kw_only=True, omit_defaults=True, tag="expired"):
    """The venue let it lapse: the rest of an IOC, or the end of its time."""

    code: Code = Code.EXPIRED


class Fill(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """fill.<venue>.<symbol>.<fill_id>: one trade of the venue that one child took part in.

    A `flag` marks what must not happen but did: a fill after the child's end, or beyond its quantity. `fee` is in
    quote; `fee_amount` is what was taken, where that was another currency. `paper`: nothing was traded; a simulation
    of the venue, against its real market, says so.
    """

    fill_id: str
    trade_id: str
    venue: str
    symbol: str
    child_id: str
    parent_id: str
    slice_no: int
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str = ""
    liquidity: Literal["maker", "taker", "unknown"] = "unknown"
    venue_order_id: str = ""
    venue_at: Time
    at: Time
    flag: Literal["", "late", "overfill"] = ""
    account: str = "default"
    fee_amount: Decimal | None = None
    paper: bool = False


class HoldingsEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """holdings.<venue>.<account>.<event>: the venue's word on what an account holds, in `amounts`: its `balances` by
    currency, or its `positions` in that venue's perpetuals by symbol, in base. The trades of each venue up to
    `until`, by its clock, are in it; what is held later is this and all fills since."""

    venue: str
    account: str
    at: Time
    what: Literal["balances", "positions"]
    amounts: dict[str, Decimal]
    until: dict[str, Time] = {}


class HoldingsOpened(HoldingsEvent, frozen=True, kw_only=True, omit_defaults=True, tag="opened"):
    """The first word, and the same again once a day, so that it does not grow older than its stream keeps."""


class HoldingsAdjusted(HoldingsEvent, frozen=True, kw_only=True, omit_defaults=True, tag="adjusted"):
    """The venue's word stayed another than ours, by `differences` (its less ours), and is taken over. With a `code`
    nothing explains it: a deposit or a withdrawal, a trade by hand, or a fill that was missed."""

    differences: dict[str, Decimal]
    code: Code | None = None
    text: str = ""


# -- metrics and control -----------------------------------------------------------------------------------


class TcaReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """metrics.tca.<parent_id>. Positive basis points are cost, on both sides.

    In quote currency, `shortfall` = `delay_cost` + `trading_cost` + `opportunity_cost` + `fees`, exactly: what
    the order cost against doing it all at once, for nothing, at the arrival price (Perold 1988). `release_px`
    is the mid when the first child was decided, `end_px` the mid when the parent ended.
    """

    parent_id: str
    symbol: str
    algo: str
    side: Side
    at: Time
    qty: Decimal
    cum_qty: Decimal
    avg_px: Decimal | None
    arrival_px: Decimal | None
    arrival_source: str = "mid of the consolidated book at acceptance"
    arrival_slippage_bps: float | None = None
    fees: Decimal = Decimal(0)
    fee_bps: float | None = None
    fill_rate: float = 0.0
    maker_share: float = 0.0
    children: int = 0
    fills: int = 0
    duration_s: float = 0.0
    reason: Code = Code.FILLED
    release_px: Decimal | None = None
    end_px: Decimal | None = None
    delay_cost: Decimal | None = None
    trading_cost: Decimal | None = None
    opportunity_cost: Decimal | None = None
    shortfall: Decimal | None = None
    shortfall_bps: float | None = None


class VenueMetrics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """metrics.venue.<venue>: sums since the recorder's database began. `reliability` and `ioc_fill_ratio`, from 0 to
    1, are over the last children: what it took and answered, and what it filled of the size that it displayed.
    `breaker`: why the router leaves it alone, empty where it does not."""

    venue: str
    at: Time
    children: int = 0
    rejected: int = 0
    unknown: int = 0
    fills: int = 0
    notional: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    fill_ratio: float = 0.0
    ack_ms_p50: float | None = None
    reliability: float | None = None
    ioc_fill_ratio: float | None = None
    breaker: str = ""


class AlgoMetrics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """metrics.algo.<algo>: sums since the recorder's database began."""

    algo: str
    at: Time
    parents: int = 0
    done: int = 0
    filled: int = 0
    fill_rate: float = 0.0
    arrival_slippage_bps: float | None = None


class VolumeDay(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """metrics.volume.<symbol>.<date>, and control.volume.<symbol>.<date> where an operator brings it: what a market
    traded in each minute of one session, in base. A minute in which nobody listened is null, and not zero; so are
    those that have not come yet. `date` is the market's own, `minutes` those of trading from `opens_at` on, a break
    left out."""

    symbol: str
    date: Annotated[str, Meta(pattern=r"\A\d{4}-\d\d-\d\d\Z")]
    opens_at: Time
    minutes: Annotated[list[Decimal | None], Meta(min_length=1, max_length=1440)]
    at: Time
    by: str = ""


class PoolFindings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """metrics.pools.<symbol>: what the orders that have ended found at dark venues, oldest first; the newest alone.
    `at`: when the last of them ended."""

    symbol: str
    at: Time
    trials: list[VenueTrial]


class Halt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """control.halt.<scope>; the scope is global, venue-<v>, account-<a>, algo-<a> or parent-<id>."""

    scope: str
    halted: bool
    reason: str
    by: str
    at: Time


class StreamAccepted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """control.accept.<stream>: a person takes a damaged stream as it is now, with so many `holes`."""

    stream: str
    created: str
    last_seq: int
    holes: int
    reason: str
    by: str
    at: Time


class Epoch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """epoch.<service>.<name>: from here on `writer` alone does the works. The epoch is the message's sequence.

    `after` is the claim before this one under epoch.<service>.* of the stream, and what is compared and set.
    """

    service: str
    works: list[str]
    writer: str
    after: int
    at: Time


# -- live plane ----------------------------------------------------------------------------------------------


class VenueBook(msgspec.Struct, frozen=True, array_like=True):
    """md.book.<venue>.<symbol>: one venue's book, best level first, as four columns of integers.

    `seq` grows by one per message of this collector, so that a listener sees a loss. Prices are in
    10**-price_scale, quantities in 10**-qty_scale (contracts for an inverse contract). `venue_ns` is the
    venue's clock, 0 where it sends none; `recv_ns` is ours.
    """

    venue: str
    symbol: str
    seq: int
    venue_ns: int
    recv_ns: int
    price_scale: int
    qty_scale: int
    bid_px: list[int]
    bid_qty: list[int]
    ask_px: list[int]
    ask_qty: list[int]


class MarketTrade(msgspec.Struct, frozen=True, array_like=True):
    """md.trade.<venue>.<symbol>: a public trade. `aggressor` is +1 where the buyer took, -1 the seller, 0 unknown."""

    venue: str
    symbol: str
    trade_id: str
    venue_ns: int
    recv_ns: int
    price_scale: int
    qty_scale: int
    price: int
    qty: int
    aggressor: int


class MarkPrice(msgspec.Struct, frozen=True, array_like=True):
    """md.mark.<venue>.<symbol>: what a perpetual's venue values positions at, and what it costs to hold one.

    Prices are in 10**-price_scale, `index` is that of the underlying, 0 where it is not told. `funding_rate` is what
    longs pay shorts at `next_funding_ns`, as a share of the position's value; None and 0 where it is not told.
    """

    venue: str
    symbol: str
    venue_ns: int
    recv_ns: int
    price_scale: int
    mark: int
    index: int = 0
    funding_rate: float | None = None
    next_funding_ns: int = 0


class Bbo(msgspec.Struct, frozen=True, array_like=True):
    """md.bbo.<venue>.<symbol>: the best bid and ask as the venue's own ticker says them, beside its book.

    As in `VenueBook`; `seq` is the venue's own number of it, 0 where it has none. A price of 0: no such side.
    """

    venue: str
    symbol: str
    seq: int
    venue_ns: int
    recv_ns: int
    price_scale: int
    qty_scale: int
    bid_px: int
    bid_qty: int
    ask_px: int
    ask_qty: int


class BookStatus(StrEnum):
    LIVE = "live"
    STALE = "stale"
    DOWN = "down"


class VenueColumn(msgspec.Struct, frozen=True, array_like=True):
    """One venue in the consolidated book, in the instrument's units and at the venue's own prices.

    The price to compare with other venues is `price - basis`; the price to send is `price`.
    """

    venue: str
    status: BookStatus
    basis: int
    venue_ns: int
    recv_ns: int
    bid_px: list[int]
    bid_qty: list[int]
    ask_px: list[int]
    ask_qty: list[int]


class ConsolidatedBook(msgspec.Struct, frozen=True, array_like=True):
    """book.<symbol>: every venue's columns. Merge them with `bestex.ladder`.

    `locked` and `crossed` speak of the basis-adjusted best prices of live venues.
    """

    symbol: str
    seq: int
    at_ns: int
    price_scale: int
    qty_scale: int
    locked: bool
    crossed: bool
    venues: list[VenueColumn]


class QueueStats(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The queue at one venue's best bid or ask, in base per second over some `seconds`: what leaves it from the front
    (`outflow`, with the standard deviation of one second's), and what of that is traded. `refill_s`: how long a queue
    that was emptied takes until it stands there again."""

    outflow: float
    outflow_sd: float
    traded: float
    seconds: float
    refill_s: float | None = None


class VenueStats(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`lost` counts books that never arrived, `rejected` those that were refused, by reason. `adverse_bps_*`: how far
    the mid goes in a trade's direction until 1 s and 10 s after it, over some `trades`. `hidden_share`: of what was
    traded, the part that had not been displayed. `usual_*`: what the depths were of late, on average. `mark`: a
    perpetual's mark price, and the next funding, which longs pay shorts; None where it was not told of late."""

    venue: str
    status: BookStatus
    age_ms: float
    spread_bps: float | None = None
    bid_depth: Decimal = Decimal(0)
    ask_depth: Decimal = Decimal(0)
    basis_bps: float = 0.0
    volume: Decimal = Decimal(0)
    liquidity_score: float = 0.0
    updates_per_s: float = 0.0
    lost: int = 0
    rejected: dict[str, int] = {}
    bid_queue: QueueStats | None = None
    ask_queue: QueueStats | None = None
    adverse_bps_1s: float | None = None
    adverse_bps_10s: float | None = None
    trades: float = 0.0
    hidden_share: float | None = None
    usual_bid_depth: Decimal | None = None
    usual_ask_depth: Decimal | None = None
    mark: Decimal | None = None
    funding_rate: float | None = None
    next_funding: Time | None = None


class Stats(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """stats.<symbol>, JSON, about once a second.

    Depths are base quantity within 10 bps of the mid; `volume` is base traded in the last minute, `recent_volume` in
    the last five seconds; `volatility_bps` is the EWMA of one-second mid returns; the liquidity score runs from 0
    to 1. `traded` is all base traded since `counting_since`, when this count began: whoever misses a message misses
    nothing of it.
    `usual_spread_bps` is the EWMA of the spread; None before anything is usual.
    """

    symbol: str
    at: Time
    mid: Decimal | None = None
    spread_bps: float | None = None
    bid_depth: Decimal = Decimal(0)
    ask_depth: Decimal = Decimal(0)
    volatility_bps: float | None = None
    volume: Decimal = Decimal(0)
    recent_volume: Decimal = Decimal(0)
    traded: Decimal = Decimal(0)
    counting_since: Time | None = None
    liquidity_score: float = 0.0
    locked: bool = False
    crossed: bool = False
    venues: list[VenueStats] = []
    usual_spread_bps: float | None = None


# -- requests --------------------------------------------------------------------------------------------------


class PlanRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """plan: what would the router do with this now? `compare`: and what would every other strategy do?"""

    symbol: str
    side: Side
    qty: Decimal
    limit_price: Decimal | None = None
    strategy: str = ""
    strategy_params: dict[str, Any] = {}
    venues: list[str] | None = None
    compare: bool = False


class PlanLeg(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`posted`: it rests at that price, and its fee is a maker's."""

    venue: str
    qty: Decimal
    price: Decimal
    fee: Decimal
    posted: bool = False
    reason: str = ""


class PlanOther(msgspec.Struct, frozen=True, kw_only=True):
    """What another strategy would have cost."""

    strategy: str
    routed_qty: Decimal
    total_cost: Decimal
    avg_price: Decimal | None
    fees: Decimal
    posted_qty: Decimal


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The route as it would be. `error` is set, and the rest empty, where there is none.

    `total_cost` is what a buy pays or a sell receives, fees included, as if every leg filled. `gap_bps` is how much
    cheaper a route may exist that was not found. `expected_impact_bps` is how far it moves the mid, `impact_model`
    how that is known: `square_root` (the configured law) or `book` (the displayed levels that it takes).
    """

    symbol: str
    side: Side
    qty: Decimal
    strategy: str = ""
    routed_qty: Decimal = Decimal(0)
    total_cost: Decimal = Decimal(0)
    avg_price: Decimal | None = None
    expected_slippage_bps: float | None = None
    fees: Decimal = Decimal(0)
    legs: list[PlanLeg] = []
    left_out: list[LeftOut] = []
    gap_bps: float = 0.0
    why: str = ""
    others: list[PlanOther] = []
    error: Code | None = None
    text: str = ""
    expected_impact_bps: float | None = None
    impact_model: str = ""


class VenuesQuestion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """venues: how are the venues? Every gateway and the router answer for themselves."""


class VenueHealth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One venue as one process sees it. Of a gateway: `session` with its last word since `since`, `open_orders`, and
    how far the venue's clock is ahead of ours, nothing where that is not known. Of the router: why it sends nothing
    there (`breaker`), nothing where it may."""

    venue: str
    kind: Literal["", "simulated", "paper", "live", "data"] = ""
    session: Literal["", "down", "up", "reconciled"] = ""
    text: str = ""
    since: Time | None = None
    open_orders: int = 0
    clock_ahead_ms: float | None = None
    breaker: str = ""


class VenuesAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`process` is host:pid."""

    service: str
    process: str
    venues: list[VenueHealth]


class HaltQuestion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """halts: what do you know of this scope? Every gateway answers for itself."""

    scope: str


class HaltAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What this gateway obeys. `at` is that of the newest word it has heard on the scope, nothing where it has
    heard none; `sending` how many orders have left and await the venue's answer. `process` is host:pid, because
    in containers every process has the same id."""

    venues: list[str]
    process: str
    scope: str
    halted: bool = False
    at: Time | None = None
    sending: int = 0


class HoldingsQuestion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """positions: what do the accounts hold? Every gateway answers for its own."""


class AccountHoldings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`reserved` is what open orders, unknown ones included, may still use of `balances`; `positions` are by venue
    and symbol, in base. `in_doubt`: currencies of which the venue said something else a moment ago. `differed_at`:
    when its word was last taken over without a reason that is known. Not `known`: nothing new is sent there."""

    account: str
    venues: list[str]
    known: bool = False
    balances: dict[str, Decimal] = {}
    reserved: dict[str, Decimal] = {}
    positions: dict[str, Decimal] = {}
    in_doubt: list[str] = []
    differed_at: Time | None = None


class HoldingsAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`process` is host:pid; `venues` are all that it serves."""

    process: str
    venues: list[str]
    accounts: list[AccountHoldings]
