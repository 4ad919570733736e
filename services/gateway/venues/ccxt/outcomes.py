"""What a failed request of ccxt proves, which is mostly nothing. Pure.

Not sent is proven by a connection that was never made. Refused is proven by a code of the venue's own that is in the
quirk's list. A time-out, a reset (which ccxt calls "not available"), a 5xx, half an answer (a plain ExchangeError):
all of them may have been accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import aiohttp
import ccxt

from bestex.errors import Code

TEXT_MAX = 300  # of what a venue says; some answer with a page of HTML

# Of exchanges without a list of their own: what ccxt has recognised, and cannot be said of an accepted order.
BY_CLASS: Mapping[type[Exception], Code] = {
    ccxt.InsufficientFunds: Code.INSUFFICIENT_FUNDS,
    ccxt.BadSymbol: Code.UNKNOWN_SYMBOL,
    ccxt.AuthenticationError: Code.VENUE_REJECTED,
    ccxt.OrderImmediatelyFillable: Code.POST_ONLY_WOULD_TAKE,
}


class Refusal(NamedTuple):
    code: Code
    text: str


def never_left(error: BaseException) -> bool:
    """Whether no byte of the request can have left this process."""
    cause = error.__cause__
    return isinstance(cause, aiohttp.ClientConnectorError) or isinstance(error, ccxt.ExchangeClosedByUser)


def text_of(error: BaseException) -> str:
    """For people and for the journal: not more than a line of it."""
    said = f"{type(error).__name__}: {error}".replace("\n", " ")
    return said if len(said) <= TEXT_MAX else said[:TEXT_MAX] + "..."


def refusal(error: BaseException, code: str, codes: Mapping[str, Code]) -> Code | None:
    """Why the venue refused for certain, by its own `code`; None where that is not certain."""
    if code in codes:
        return codes[code]
    if codes:
        return None
    return next((known for kind, known in BY_CLASS.items() if isinstance(error, kind)), None)
