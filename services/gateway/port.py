"""The venue port: what the gateway's core asks of a venue, and what a venue may say.

Requests leave the core as `Call`s; whatever a venue says comes back as an input of the core. An adapter
translates and judges nothing: it quantises nothing (the core has checked the grid), retries nothing, and above
all never calls an outcome certain that is not.

    VenueNotSent    proof that nothing left this process
    VenueRejected   the venue itself said no, for certain
    VenueUnknown    everything else that is not an answer: a time-out, a reset, a 5xx, half an answer

Prices and quantities are integers in the units of the *instrument* (`Submit.symbol` is its symbol); an adapter
converts them to the venue's own symbol and contracts by the `Listing`. Times are nanoseconds. Fees are exact
decimals of quote, negative for a rebate; a fee taken in another currency is converted at the fill's price, and
`fee_currency` names the currency it was taken in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from bestex.budget import RateBudget as RateBudget
from bestex.errors import Code
from bestex.instruments import Listing
from bestex.messages import Side, Tif
from services.gateway.capabilities import Capabilities as Capabilities

# -- what the core asks for ----------------------------------------------------------------------------------


class Request(msgspec.Struct, frozen=True, kw_only=True):
    venue: str


class Submit(Request, frozen=True, kw_only=True):
    """Send once, before `deadline_ns` or never; not before `send_at_ns`, so that it arrives with others. From
    `closes_ns` on, when the venue's session ends, nothing is sent; 0 where it has no end. The venue is to show
    `display_qty` of it at a time, 0 for all; nothing below `min_qty` is to be traded at once. A `conditional` one is
    not to trade before it is firmed up."""

    symbol: str
    child_id: str
    side: Side
    qty: int
    price: int
    tif: Tif
    post_only: bool
    deadline_ns: int
    good_till_ns: int
    send_at_ns: int = 0
    display_qty: int = 0
    min_qty: int = 0
    conditional: bool = False
    closes_ns: int = 0


class Cancel(Request, frozen=True, kw_only=True):
    """`venue_order_id` is empty where the venue has not told it; then the client id must do."""

    symbol: str
    child_id: str
    venue_order_id: str = ""


class Replace(Request, frozen=True, kw_only=True):
    """`qty` is the new total, fills included. Send before `deadline_ns` or never."""

    symbol: str
    child_id: str
    venue_order_id: str
    side: Side
    qty: int
    price: int
    deadline_ns: int
    closes_ns: int = 0


class Firm(Request, frozen=True, kw_only=True):
    """The answer to an invitation. Send once, before `deadline_ns` or never."""

    symbol: str
    child_id: str
    venue_order_id: str
    invitation: str
    deadline_ns: int
    closes_ns: int = 0


class Endpoint(StrEnum):
    """Two independent places to look for an order; only together do they prove that it is not there."""

    ORDER = "order"  # the query for one order
    LISTS = "lists"  # the open orders and the account's trades


class QueryOrder(Request, frozen=True, kw_only=True):
    """Look for one order. LISTS reports the order's trades since `since_ns` before it says anything else.

    Its terms, and when it was submitted, are for a venue that takes no client ids: there an order without a
    `venue_order_id` can only be known by what it is. `claimed` are the venue's ids of orders that may look like it
    and are known to be other children's: none of them is the one that is looked for. Of several that may be it, it is
    the oldest: of those that are left, a child that was sent later can only have a later one. None is it that came
    later than the child can have arrived. `cum_qty` and `notional` (price units x quantity units) are what has been
    counted of its fills, for a venue that tells of sums alone.
    """

    symbol: str
    child_id: str
    venue_order_id: str = ""
    endpoint: Endpoint = Endpoint.ORDER
    since_ns: int = 0
    side: Side | None = None
    qty: int = 0
    price: int = 0
    tif: Tif | None = None
    submitted_ns: int = 0
    claimed: tuple[str, ...] = ()
    cum_qty: int = 0
    notional: int = 0


class PullFills(Request, frozen=True, kw_only=True):
    """All own trades since `since_ns`; ends with VenuePulled."""

    since_ns: int


class MassStatus(Request, frozen=True, kw_only=True):
    """Trades since `since_ns`, then every order asked for; ends with SessionState(RECONCILED)."""

    since_ns: int
    orders: tuple[QueryOrder, ...] = ()


class AskHoldings(Request, frozen=True, kw_only=True):
    """Balances and positions as the venue has them; ends with VenueHoldings, or without an answer in nothing."""


class Arm(Request, frozen=True, kw_only=True):
    """The dead-man switch: the venue cancels everything unless asked again within `timeout_ns`."""

    timeout_ns: int


# -- what a venue says ---------------------------------------------------------------------------------------


class Session(StrEnum):
    DOWN = "down"
    UP = "up"  # connected; what happened meanwhile is not known yet
    RECONCILED = "reconciled"


class SessionState(msgspec.Struct, frozen=True):
    venue: str
    state: Session
    text: str = ""


class KeysRefused(msgspec.Struct, frozen=True):
    """The venue says of the keys what nobody may trade with. Ends the process: only a person can change it."""

    venue: str
    code: Code
    text: str


class VenueSaid(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything that is said of one child. `asked_ns`: when that was asked whose answer it is; 0 for what
    was said out of turn, which may be old news.

    Where the venue takes no client ids, what is said of an order names it by its `venue_order_id`: two children may
    have the same terms. Such an id means one order for longer than a day; where the venue counts anew each day, the
    adapter puts the date in front.
    """

    child_id: str
    asked_ns: int = 0


class VenueAccepted(VenueSaid, frozen=True, kw_only=True):
    """It is at work. `cum_qty`, `qty` and `price` are as the venue sees them; 0 where it did not say. `conditional`:
    it does not bind yet."""

    venue_order_id: str
    cum_qty: int = 0
    qty: int = 0
    price: int = 0
    conditional: bool = False


class VenueRejected(VenueSaid, frozen=True, kw_only=True):
    """Refused for certain: an explicit answer with a code of the adapter's list of definitive ones. `found`: the
    venue's own record of the order says so (a query, its stream), and not the answer to a request: only that ends
    an order which the venue had accepted before."""

    code: Code
    text: str
    found: bool = False
    venue_order_id: str = ""


class VenueNotSent(VenueSaid, frozen=True, kw_only=True):
    code: Code
    text: str


class VenueUnknown(VenueSaid, frozen=True, kw_only=True):
    code: Code
    text: str


class VenueFill(VenueSaid, frozen=True, kw_only=True):
    """One trade. `trade_id` is the same wherever the venue tells of it, on the stream or in a query. `fee_amount` is
    what was taken in a `fee_currency` that is not the quote."""

    trade_id: str
    venue_order_id: str
    price: int
    qty: int
    fee: Decimal
    fee_currency: str = ""
    fee_amount: Decimal | None = None
    liquidity: Literal["maker", "taker", "unknown"] = "unknown"
    venue_ns: int


class VenueClosed(VenueSaid, frozen=True, kw_only=True):
    """It works no more. `cum_qty` is the venue's own sum of its fills."""

    how: Literal["filled", "canceled", "expired"]
    cum_qty: int
    code: Code | None = None
    text: str = ""
    venue_order_id: str = ""


class VenueAbsent(VenueSaid, frozen=True, kw_only=True):
    """Asked at `asked_ns`, the venue answered (it did not merely fail to) that it has no such order."""

    endpoint: Endpoint
    asked_ns: int


class VenueCancelRejected(VenueSaid, frozen=True, kw_only=True):
    code: Code
    text: str


class VenueReplaced(VenueSaid, frozen=True, kw_only=True):
    venue_order_id: str
    qty: int
    price: int


class VenueReplaceRejected(VenueSaid, frozen=True, kw_only=True):
    code: Code
    text: str


class VenueInvited(VenueSaid, frozen=True, kw_only=True):
    """A conditional order may be firmed up until `until_ns`, by the venue's clock. Said after the word that it is at
    work, and as often as the venue tells of it; `invitation` is the same each time, and another for each one."""

    invitation: str
    until_ns: int


class VenueFirmRejected(VenueSaid, frozen=True, kw_only=True):
    code: Code
    text: str


class VenueUnanswered(VenueSaid, frozen=True, kw_only=True):
    """A query, a cancel, a replace or a firm-up brought no answer. Teaches nothing; the core asks again by itself."""

    code: Code
    text: str


class VenuePulled(msgspec.Struct, frozen=True):
    """Every trade up to `until_ns` has been said."""

    venue: str
    until_ns: int


class VenueHoldings(msgspec.Struct, frozen=True, kw_only=True):
    """What the account holds in all, what open orders lock included, and the positions of this venue's perpetuals by
    instrument symbol, in its units. True of some moment between `asked_ns` and `answered_ns`."""

    venue: str
    asked_ns: int
    answered_ns: int
    balances: dict[str, Decimal]
    positions: dict[str, int]


def answered(said: Any, asked_ns: int) -> Any:
    """The same, as the answer to what was asked at `asked_ns`, unless the adapter has said when that was."""
    if isinstance(said, VenueSaid) and not said.asked_ns:
        return msgspec.structs.replace(said, asked_ns=asked_ns)
    return said


Said = (
    VenueAccepted
    | VenueRejected
    | VenueNotSent
    | VenueUnknown
    | VenueFill
    | VenueClosed
    | VenueAbsent
    | VenueCancelRejected
    | VenueReplaced
    | VenueReplaceRejected
    | VenueInvited
    | VenueFirmRejected
    | VenueUnanswered
)


# -- the adapter ---------------------------------------------------------------------------------------------


class Say(Protocol):
    def __call__(self, said: Any) -> None: ...


class Venue(Protocol):
    """One venue of one account. Every method bounds its own time; none raises for what a venue does.

    What is learned out of turn (the user stream, a lost connection) goes to the `say` of `connect`.
    """

    capabilities: Capabilities

    async def connect(self, say: Say, now_ns: Callable[[], int]) -> None:
        """Begin to keep a session up, for ever, with backoff: says UP at each connection, DOWN at each
        loss. Returns at once."""

    async def disconnect(self) -> None: ...

    async def instruments(self) -> Sequence[Listing]:
        """The venue's terms as it states them now, for the listings of our configuration."""

    async def submit(self, order: Submit) -> Sequence[Said]:
        """One network send, with nothing awaited before it. Fills come before the end they lead to; an order
        that rests is accepted, one that ended at once is closed."""

    async def cancel(self, order: Cancel) -> Sequence[Said]: ...

    async def modify(self, order: Replace) -> Sequence[Said]: ...

    async def firm(self, order: Firm) -> Sequence[Said]:
        """Asked only where the venue is capable of conditional orders. Fills come first, then where it stands."""

    async def query_order(self, query: QueryOrder) -> Sequence[Said]: ...

    async def open_orders(self) -> Sequence[VenueAccepted] | None:
        """None where there was no answer."""

    async def fills_since(self, since_ns: int) -> Sequence[VenueFill] | None:
        """Oldest first; None where there was no complete answer."""

    async def mass_status(self, ask: MassStatus) -> Sequence[Said] | None:
        """None where any part went unanswered: the session is then not reconciled."""

    async def balances(self) -> dict[str, Decimal] | None:
        """In all, by currency: free, and locked by open orders."""

    async def positions(self) -> dict[str, int] | None:
        """Net quantity by instrument symbol; empty where the venue has none."""

    async def fees(self) -> dict[str, tuple[int, int]] | None:
        """(maker, taker) in 1e-8 of the notional by instrument symbol."""

    async def arm(self, timeout_ns: int) -> bool:
        """False where the switch could not be set. 0 disarms."""


@runtime_checkable
class Admits(Protocol):
    """A venue whose orders may have to wait for its limits."""

    async def admit(self, request: Submit | Replace) -> Sequence[Said]:
        """Returns when it may be sent, or why it will not be: proof that nothing was. Asked before the last look at
        the bus, the halts and the clock, so that nothing is awaited between that look and the send."""
