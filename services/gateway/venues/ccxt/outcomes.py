"""What a failed request of ccxt proves, which is mostly nothing. Pure.

Not sent is proven by a connection that was never made. Refused is proven by a code of the venue's own that is in the
quirk's list. A time-out, a reset (which ccxt calls "not available"), a 5xx, half an answer (a plain ExchangeError):
all of them may have been accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import aiohttp
import ccxt

from bestex.errors import Code
from services.gateway.venues.ccxt.line import NotConnected

TEXT_MAX = 300  # of what a venue says; some answer with a page of HTML

# Of exchanges without a list of their own: what ccxt has recognised, and cannot be said of an accepted order.
BY_CLASS: Mapping[type[Exception], Code] = {
    ccxt.InsufficientFunds: Code.INSUFFICIENT_FUNDS,
    ccxt.BadSymbol: Code.UNKNOWN_SYMBOL,
    ccxt.AuthenticationError: Code.VENUE_REJECTED,
    ccxt.OrderImmediatelyFillable: Code.POST_ONLY_WOULD_TAKE,
}


# Refusals of a request for when it came, and not for what it asks: the same may be taken a moment later.
PASSING = frozenset({Code.RATE_LIMITED, Code.EXPIRED})


def never_left(error: BaseException) -> bool:
    """Whether no byte of the request can have left this process."""
    if isinstance(error, NotConnected | ccxt.ExchangeClosedByUser):  # the latter before it opens a connection
        return True
    return isinstance(error.__cause__, aiohttp.ClientConnectorError)


def text_of(error: BaseException, hidden: Callable[[str], str] = str) -> str:
    """For people and for the journal: not more than a line of it. `hidden` takes the secrets out, before the line is
    cut: of half a key nobody would know that it is one."""
    said = hidden(f"{type(error).__name__}: {error}").replace("\n", " ")
    return said if len(said) <= TEXT_MAX else said[:TEXT_MAX] + "..."


def refusal(error: BaseException, code: str, codes: Mapping[str, Code]) -> Code | None:
    """Why the venue refused for certain, by its own `code`; None where that is not certain."""
    if code in codes:
        return codes[code]
    if codes:
        return None
    return next((known for kind, known in BY_CLASS.items() if isinstance(error, kind)), None)
