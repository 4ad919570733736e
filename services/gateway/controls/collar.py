"""The price collar: no child pays much more, or gets much less, than a fresh reference.

The reference is the mid of the venue's own book where that is fresh, else the consolidated mid, moved by the
venue's basis. Without a fresh one nothing is sent. Only the harmful side is looked at: an order that is too far
away to trade does no harm, and people do place them.
"""

from __future__ import annotations

from bestex.errors import Code
from bestex.instruments import FEE_ONE
from bestex.ladder import Ladder
from bestex.limits import CollarLimits
from bestex.messages import BookStatus, ConsolidatedBook, Side
from services.gateway.controls.wanted import Refusal, Wanted


class Collar:
    """Keeps the newest book of each symbol; what it has not heard for long is as good as nothing."""

    def __init__(self, limits: CollarLimits) -> None:
        self._limits = limits
        self._books: dict[str, ConsolidatedBook] = {}

    def hear(self, book: ConsolidatedBook) -> None:
        self._books[book.symbol] = book

    def check(self, wanted: Wanted, now_ns: int) -> Refusal | None:
        if not self._limits.enabled:
            return None
        doubled = self._reference(wanted.symbol, wanted.venue, now_ns)
        if doubled is None:
            text = f"no book of {wanted.symbol} younger than {self._limits.max_age} to compare the price with"
            return Refusal(Code.NO_REFERENCE, text)
        share = wanted.side.sign * round(self._limits.max_distance * FEE_ONE)
        # The price against reference x (1 + share), in halves of 1e-8 price units: exact.
        beyond = 2 * wanted.price * FEE_ONE - doubled * (FEE_ONE + share)
        if (beyond if wanted.side is Side.BUY else -beyond) <= 0:
            return None
        price, reference = wanted.instrument.price(wanted.price), wanted.instrument.price(doubled) / 2
        text = f"{price} is more than {self._limits.max_distance} beyond the reference {reference}"
        return Refusal(Code.PRICE_COLLAR, text)

    def _reference(self, symbol: str, venue: str, now_ns: int) -> int | None:
        """Twice the reference price at this venue, in price units; None where there is no fresh one."""
        book = self._books.get(symbol)
        if book is None:
            return None
        own = next((column for column in book.venues if column.venue == venue), None)
        basis = 0
        if own is not None:
            basis = own.basis
            fresh = own.status is BookStatus.LIVE and now_ns - own.recv_ns <= self._limits.max_age
            if fresh and own.bid_px and own.ask_px:
                return own.bid_px[0] + own.ask_px[0]
        mid = Ladder(book, now_ns=now_ns, max_age_ns=int(self._limits.max_age)).mid_half_units
        return None if mid is None else mid + 2 * basis
