"""The exceptions and the codes.

    BestexError             everything that bestex itself raises
    ├── ConfigError         a setting is wrong; names its path and what to write
    ├── UsageError          the caller asked for something that does not exist; says what to type instead
    ├── OrderRejected       an order was refused; `code` and `text` say why, `parent_id` which
    ├── BusError            the bus did not do what it must
    │   ├── StreamMismatch  a stream or consumer is not configured as it must be; run `bestex streams apply`
    │   ├── Forbidden       the role may not do this; names the role, the subject and who may
    │   ├── Fenced          another writer holds this history; this process must stop and reload
    │   ├── StreamDamaged   a stream has lost or changed what was in it; a person must decide, see its text
    │   └── OutcomeUnknown  a write timed out and could not be read back in time
    ├── RecordingError      a recording is damaged or of another format
    └── VenueError          a venue adapter was misused (an outcome at the venue is a value, not an exception)

Outcomes that a user or an operator sees carry a `Code`; its value is what travels on the wire.
"""

from __future__ import annotations

from enum import StrEnum


class BestexError(Exception):
    """Base of all; `str()` is a sentence for a person."""


class ConfigError(BestexError):
    pass


class UsageError(BestexError):
    pass


class OrderRejected(BestexError):
    """What the scheduler answered, as an exception for those who wait for an execution."""

    def __init__(self, code: Code, text: str, parent_id: str) -> None:
        super().__init__(f"{parent_id} was rejected: {text} ({code})")
        self.code = code
        self.text = text
        self.parent_id = parent_id


class BusError(BestexError):
    pass


class StreamMismatch(BusError):
    pass


class Forbidden(BusError):
    pass


class Fenced(BusError):
    pass


class StreamDamaged(BusError):
    pass


class OutcomeUnknown(BusError):
    pass


class RecordingError(BestexError):
    pass


class VenueError(BestexError):
    pass


class Code(StrEnum):
    """Why something was refused or ended."""

    # user input
    MALFORMED = "malformed"  # not JSON, too deep, duplicate or missing parts
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    NOT_FINITE = "not_finite"
    INVALID_ID = "invalid_id"
    DUPLICATE_ID = "duplicate_id"
    UNKNOWN_ALGO = "unknown_algo"
    UNKNOWN_SYMBOL = "unknown_symbol"
    UNKNOWN_VENUE = "unknown_venue"
    UNKNOWN_STRATEGY = "unknown_strategy"
    UNKNOWN_ORDER = "unknown_order"
    SUBJECT_MISMATCH = "subject_mismatch"  # the body says another algo, symbol or id than the subject
    INVALID_QTY = "invalid_qty"  # zero or negative
    OFF_LOT = "off_lot"
    BELOW_MINIMUM = "below_minimum"
    INVALID_PRICE = "invalid_price"
    OFF_TICK = "off_tick"
    INVALID_PARAMETER = "invalid_parameter"
    MISSING_PARAMETER = "missing_parameter"
    EXPIRED = "expired"
    LIMIT_EXCEEDED = "limit_exceeded"
    INVALID_STATE = "invalid_state"  # pause of a paused order, resume of a working one
    TOO_LATE = "too_late"  # the order has ended
    ALGO_FAILED = "algo_failed"  # a bug in the algorithm; its text says which and where
    # routing
    NO_BOOK = "no_book"
    STALE_BOOK = "stale_book"
    CROSSED_BOOK = "crossed_book"
    BAD_BOOK = "bad_book"  # no venue has such levels: out of order, of nothing, off its tick
    NO_LIQUIDITY = "no_liquidity"
    OUT_OF_LIMIT = "out_of_limit"
    NOT_SELECTED = "not_selected"
    VENUE_DOWN = "venue_down"
    MARKET_CLOSED = "market_closed"  # outside the venue's sessions
    VENUE_CAP = "venue_cap"
    BREAKER_OPEN = "breaker_open"  # the venue failed again and again, and is left alone for a while
    STRATEGY_FAILED = "strategy_failed"  # a bug in the routing strategy; its text says which and where
    DUST = "dust"
    RETRIES_EXHAUSTED = "retries_exhausted"
    # gateway and venue
    NOT_SENT = "not_sent"
    TIMEOUT = "timeout"
    VENUE_REJECTED = "venue_rejected"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    RATE_LIMITED = "rate_limited"
    POST_ONLY_WOULD_TAKE = "post_only_would_take"
    FOK_UNFILLED = "fok_unfilled"
    DUPLICATE_ORDER = "duplicate_order"
    HALTED = "halted"
    NOT_READY = "not_ready"
    BUS_LOST = "bus_lost"  # the bus stayed away, so what rested was cancelled at the venue
    MIXED_FLEET = "mixed_fleet"  # scheduler, router and gateway are of different builds
    RESTRICTED = "restricted"  # an instrument, or a side of it, that is not to be traded
    NO_REFERENCE = "no_reference"  # no fresh price to compare the order's with
    PRICE_COLLAR = "price_collar"  # too far beyond that price
    PARENT_CAP = "parent_cap"  # with it, more might fill than the parent is for
    POSITION_LIMIT = "position_limit"
    OPEN_VALUE_LIMIT = "open_value_limit"
    NOT_HELD = "not_held"  # the account does not hold what it would use, by our own count
    HOLDINGS_DIFFER = "holdings_differ"  # an account holds what no fill explains, or not what fills say
    SELF_TRADE = "self_trade"  # it would meet an order of ours
    DUPLICATE_TERMS = "duplicate_terms"  # the same again while the first one's outcome is open
    REPEATED_ORDER = "repeated_order"  # the same too often: a person must look
    REJECTED_REPEATEDLY = "rejected_repeatedly"  # too many refusals in a row: a person must look
    # real venues
    LIVE_MIXED = "live_mixed"  # one instrument would be traded for real at one venue, and not at another
    LIVE_WITHOUT_KEYS = "live_without_keys"  # no file of keys, or one that others may read
    LIVE_WITHOUT_LIMITS = "live_without_limits"
    LIVE_AFTER_PAPER = "live_after_paper"  # the bus holds the history of the venue in the other mode
    KEY_MAY_WITHDRAW = "key_may_withdraw"
    KEY_MAY_NOT_TRADE = "key_may_not_trade"
    # endings
    FILLED = "filled"
    CANCELED = "canceled"
    COMPLETED = "completed"  # the schedule ended with something unfilled and no completion was asked for
    REPLACED = "replaced"
    REROUTED = "rerouted"  # a child that rested is cancelled, and its rest routed again
    DISPLAYED = (
        "displayed"  # of a slice that is shown in parts, one part has been traded; the rest is free again
    )
