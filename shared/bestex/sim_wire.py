"""The wire of the simulated exchange: requests, answers, streams, and the lines of its journal.

The protocol is described in `services/exchange/api.py`. Prices and quantities are integers in the
instrument's units (`MarketInfo` gives the scales); notionals and fees are exact decimals of quote, because
they outgrow 64 bits. Times are nanoseconds since 1970 of the exchange's clock. `symbol` is the venue's own
(`Listing.symbol`).
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bestex.errors import Code
from bestex.instruments import Listing
from bestex.messages import Side, Tif

MAX_UNITS = 2**62  # leaves room to add two of them in 64 bits, which MessagePack carries

Units = Annotated[int, Meta(ge=-MAX_UNITS, le=MAX_UNITS)]
Nanoseconds = Annotated[int, Meta(ge=0, le=MAX_UNITS)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]


# -- requests ------------------------------------------------------------------------------------------------


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="op"):
    """`id` is the client's and comes back in the answer; nothing else depends on it."""

    id: Nanoseconds = 0
    venue: Name
    account: Name = "default"


class Submit(Request, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="submit"):
    """A new order. `client_id` is unique for ever per venue and account, also if the order is rejected.

    A market order has price 0 and never rests. A GTD order rests until `good_till_ns`, a DAY order until the
    end of the UTC day. Arriving after `deadline_ns` (0: none) the order is rejected with `expired`. With a
    `display_qty` (0: none) the book never shows more of it; each new part joins the end of the queue.

    On a dark venue: the order trades at the mid of the lit venues, within `price`; nothing below `min_qty` is traded
    at once; a `conditional` order binds nobody until it is firmed up (`Firm`).
    """

    symbol: Name
    client_id: Name
    side: Side
    kind: Literal["limit", "market"] = "limit"
    qty: Units
    price: Units = 0
    tif: Tif = Tif.GTC
    post_only: bool = False
    good_till_ns: Nanoseconds = 0
    deadline_ns: Nanoseconds = 0
    display_qty: Units = 0
    min_qty: Annotated[int, Meta(ge=0, le=MAX_UNITS)] = 0
    conditional: bool = False


class Cancel(Request, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="cancel"):
    """`unknown_order` where there is none, `too_late` (with the order) where it has ended."""

    client_id: Name


class Replace(Request, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="replace"):
    """`qty` is the new total, fills included; ids stay.

    Less quantity at the same price keeps the place in the queue; anything else loses it, and may trade. A
    `qty` of what has filled, or less, ends the order as canceled with code `replaced`. A display quantity stays.
    """

    client_id: Name
    qty: Units
    price: Units
    deadline_ns: Nanoseconds = 0


class Firm(Request, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="firm"):
    """The answer to an invitation: the conditional order binds from now on, and trades with what is there then."""

    client_id: Name
    deadline_ns: Nanoseconds = 0


class CancelAll(Request, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="cancel_all"):
    """Every open order of the account; of one symbol, if given."""

    symbol: str = ""


class CancelAllAfter(Request, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="cancel_all_after"):
    """The dead-man switch: cancel everything of the account in `timeout_ns` unless asked again; 0 disarms."""

    timeout_ns: Nanoseconds


AnyRequest = Submit | Cancel | Replace | Firm | CancelAll | CancelAllAfter


# -- answers, user events, queries ---------------------------------------------------------------------------


class State(StrEnum):
    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"  # the rest of an IOC, an unfillable FOK, the end of a GTD
    REJECTED = "rejected"


class OrderState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where an order stands. `code` and `text` say why it ended other than by filling. `invited_ns`: since when a
    conditional order is invited to firm up, `firm_by_ns` how long the invitation stands; 0 where it is not."""

    venue: str
    symbol: str
    account: str
    client_id: str
    order_id: int
    side: Side
    kind: Literal["limit", "market"] = "limit"
    qty: int
    price: int
    tif: Tif
    post_only: bool = False
    good_till_ns: int = 0
    display_qty: int = 0
    state: State
    cum_qty: int = 0
    notional: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    code: Code | None = None
    text: str = ""
    created_ns: int
    updated_ns: int
    min_qty: int = 0
    conditional: bool = False
    invited_ns: int = 0
    firm_by_ns: int = 0

    @property
    def leaves_qty(self) -> int:
        return self.qty - self.cum_qty if self.state is State.OPEN else 0


class Trade(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One order's side of a trade. Where two accounted orders met, both carry one `trade_id`.

    Trade ids increase by time within a venue. A negative fee is a rebate. `told_as`: what the venue calls the trade,
    where that is not its number.
    """

    venue: str
    symbol: str
    trade_id: int
    account: str
    client_id: str
    order_id: int
    side: Side
    price: int
    qty: int
    fee: Decimal
    fee_currency: str
    liquidity: Literal["maker", "taker"]
    at_ns: int
    told_as: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`ok` says that the request was done. A submit's or replace's answer carries the order and the fills of
    that moment; a refused one its code and, where it exists, the order as it stands."""

    id: int
    ok: bool
    at_ns: int
    code: Code | None = None
    text: str = ""
    orders: list[OrderState] = []
    trades: list[Trade] = []

    @property
    def order(self) -> OrderState | None:
        return self.orders[0] if self.orders else None


class UserEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened to an account's orders in one step of the venue: their new states, and the trades.

    `seq` is the step's place in the venue's journal: it grows, with gaps where others were concerned.
    """

    venue: str
    seq: int
    at_ns: int
    orders: list[OrderState] = []
    trades: list[Trade] = []


class MarketInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable market. `listing` holds tick, lot, minimums and fees, in units."""

    venue: str
    symbol: str
    instrument: str
    price_scale: int
    qty_scale: int
    listing: Listing


class Fees(msgspec.Struct, frozen=True, kw_only=True):
    """Rates in 1e-8 of the notional."""

    venue: str
    symbol: str
    taker_fee_e8: int
    maker_fee_e8: int


class Balances(msgspec.Struct, frozen=True, kw_only=True):
    """Net change by currency since the journal began: accounts start at zero and have unlimited credit."""

    venue: str
    account: str
    balances: dict[str, Decimal]


class Pong(msgspec.Struct, frozen=True, kw_only=True):
    now_ns: int
    venues: list[str]


# -- market data ---------------------------------------------------------------------------------------------


class BookFrame(msgspec.Struct, frozen=True, array_like=True, tag="book"):
    """The top of one book, best level first. `seq` counts the market's frames, books and trades together."""

    venue: str
    symbol: str
    seq: int
    at_ns: int
    price_scale: int
    qty_scale: int
    bid_px: list[int]
    bid_qty: list[int]
    ask_px: list[int]
    ask_qty: list[int]


class TradeFrame(msgspec.Struct, frozen=True, array_like=True, tag="trade"):
    """A public trade. `aggressor` is +1 where the buyer took, -1 the seller, 0 unknown."""

    venue: str
    symbol: str
    seq: int
    at_ns: int
    price_scale: int
    qty_scale: int
    trade_id: str
    price: int
    qty: int
    aggressor: int


Frame = BookFrame | TradeFrame


# -- journal -------------------------------------------------------------------------------------------------


class JournalHeader(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="header"):
    """Written at every start: the markets as they are from here on. Scales never change within a journal."""

    at_ns: int
    venue: str
    markets: list[MarketInfo]


class JournalEntry(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="line", tag="entry"
):
    """One step of a venue, whole. Without `request` the market or the clock caused it.

    `orders` are the states after the step of every order that it changed, a rejected new one included.
    """

    seq: int
    at_ns: int
    venue: str
    request: AnyRequest | None = None
    ok: bool = True
    code: Code | None = None
    orders: list[OrderState] = []
    trades: list[Trade] = []


JournalLine = JournalHeader | JournalEntry
