"""What an answer of KIS proves. Pure.

Refused is proven by a code of the broker's own that is in this list. Everything else that is not a yes (other codes,
a 5xx, half an answer, none) may have been accepted, and is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

from bestex.errors import Code
from bestex.kis.client import STALE_TOKEN, TOO_MANY

# Of the door: nothing was passed on to the order system.
_DOOR: Mapping[str, Code] = {
    TOO_MANY: Code.RATE_LIMITED,
    "EGW00103": Code.VENUE_REJECTED,  # no such appkey
    "EGW00105": Code.VENUE_REJECTED,  # another secret
    **dict.fromkeys(STALE_TOKEN, Code.VENUE_REJECTED),
    "OPSQ2000": Code.VENUE_REJECTED,  # no such account
}
# Of the order system: it has looked at the order, and did not take it.
_ORDERS: Mapping[str, Code] = {
    "APBK0400": Code.INSUFFICIENT_FUNDS,  # more than is there to be sold
    "APBK0506": Code.OFF_TICK,
    "APBK0656": Code.UNKNOWN_SYMBOL,
    "APBK0918": Code.VENUE_DOWN,  # it is closed, and so the next two
    "APBK0919": Code.VENUE_DOWN,
    "APBK1664": Code.VENUE_DOWN,
    "APBK0952": Code.INSUFFICIENT_FUNDS,
    # the virtual host's
    "40030000": Code.OFF_TICK,
    "40100000": Code.VENUE_DOWN,
    "40250000": Code.INSUFFICIENT_FUNDS,
    "40570000": Code.VENUE_DOWN,
    "40580000": Code.VENUE_DOWN,
}
REFUSED: Mapping[str, Code] = {**_DOOR, **_ORDERS}


def refusal(code: str) -> Code | None:
    """Why it was refused for certain; None where that is not certain."""
    return REFUSED.get(code)


def is_passed_on(code: str) -> bool:
    """Whether a refusal of a cancel or an amendment is the order system's, which knows the order: then it is worth
    a look. The door's (EGW..., OPSQ...) are no word about the order."""
    return not code.startswith(("EGW", "OPSQ", "IGW"))
