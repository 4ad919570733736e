"""What of the consolidated book an order may use: which venues, how deep into each, and why no more.

Strategies see only what is left here, so none of them can forget what all orders may ask for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Mapping
from operator import neg

from msgspec.structs import replace

from bestex.config import Config
from bestex.contained import asked
from bestex.defects import Defect, defect_of
from bestex.errors import Code
from bestex.instruments import FEE_ONE, Instrument, Listing
from bestex.ladder import Ladder
from bestex.messages import BookStatus, ConsolidatedBook, Side, VenueColumn
from bestex.sessions import why_closed
from services.router.strategies.base import Strategy, taken_side

PERCENT_E8 = FEE_ONE // 100  # one percent, as a count of 1e-8


def usable(
    instrument: Instrument,
    config: Config,
    strategy: Strategy,
    book: ConsolidatedBook | None,
    now_ns: int,
    venues: Collection[str] | None,
    avoid: Mapping[str, str],
) -> tuple[dict[str, Listing], dict[str, str]]:
    """The listings that may be used now, by venue, and the reason for every other one.

    Also a reason for a name in `venues` that lists nothing here.
    """
    allowed: dict[str, Listing] = {}
    left_out: dict[str, str] = {}
    shown = [] if book is None else book.venues
    columns = {column.venue: column for column in shown}
    times = Counter(column.venue for column in shown)
    for listing in instrument.listings:
        venue = listing.venue
        if venues is not None and venue not in venues:
            left_out[venue] = f"{Code.NOT_SELECTED}: the order names other venues"
        elif venue in avoid:
            left_out[venue] = avoid[venue]
        elif closed := why_closed(config.venues[venue].hours, now_ns):
            left_out[venue] = f"{Code.MARKET_CLOSED}: {closed}"
        elif listing.inverse:
            left_out[venue] = f"{Code.NOT_SELECTED}: an inverse contract has no exact size in base"
        elif reason := asked(strategy, strategy.excludes, listing, gives=str) or _unfit(
            columns.get(venue), listing, config, now_ns
        ):
            left_out[venue] = reason
        elif times[venue] > 1:
            left_out[venue] = f"{Code.BAD_BOOK}: it stands in the book {times[venue]} times"
        else:
            allowed[venue] = listing
    for venue in venues or ():
        if instrument.listing(venue) is None:
            left_out[venue] = f"{Code.UNKNOWN_VENUE}: it does not trade {instrument.symbol}"
    return allowed, left_out


def _unfit(column: VenueColumn | None, listing: Listing, config: Config, now_ns: int) -> str:
    """Why this book is not to be traded on; empty where it is."""
    if column is None:
        return f"{Code.NO_BOOK}: no book heard"
    if column.status is not BookStatus.LIVE:
        code = Code.STALE_BOOK if column.status is BookStatus.STALE else Code.VENUE_DOWN
        return f"{code}: its book is {column.status}"
    if now_ns - column.recv_ns > config.limits.max_book_age:
        return f"{Code.STALE_BOOK}: older than {config.limits.max_book_age}"
    match defect_of(column.bid_px, column.bid_qty, column.ask_px, column.ask_qty):
        case None if not listing.are_on_grid([*column.bid_px, *column.ask_px]):
            return f"{Code.BAD_BOOK}: a price is off the venue's tick"
        case None:
            return ""
        case Defect.EMPTY:
            return f"{Code.NO_LIQUIDITY}: its book is empty"
        case Defect.CROSSED:
            return f"{Code.CROSSED_BOOK}: its own bid reaches its own ask"
        case defect:
            return f"{Code.BAD_BOOK}: its levels are {defect.replace('_', ' ')}"


def narrowed(ladder: Ladder, side: Side, strategy: Strategy) -> tuple[ConsolidatedBook, dict[str, str]]:
    """The book with only those levels of the side to be taken that the order's parameters allow.

    And a reason for each venue of the ladder that has levels, but none of these. The other side is as it was.
    """
    best = ladder.best_ask if side is Side.BUY else ladder.best_bid
    limits = strategy.max_slippage_percent, strategy.max_price_impact_percent
    if best is None or (limits == (None, None) and not strategy.price_levels):
        return ladder.book, {}
    columns = list(ladder.book.venues)
    emptied: dict[str, str] = {}
    for index, column in ladder.columns:
        kept = columns[index] = _cut(column, side, best, strategy)
        if taken_side(column, side)[0] and not taken_side(kept, side)[0]:
            emptied[column.venue] = f"{Code.OUT_OF_LIMIT}: its best price is beyond max_slippage_percent"
    return replace(ladder.book, venues=columns), emptied


def _cut(column: VenueColumn, side: Side, best: int, strategy: Strategy) -> VenueColumn:
    """The column with as many levels of one side as may be taken. `best` is basis-adjusted, in price units."""
    prices, sizes = taken_side(column, side)
    count = strategy.price_levels or len(prices)
    if strategy.max_slippage_percent is not None:
        worst = beyond(best, strategy.max_slippage_percent, side) + column.basis
        count = min(count, _count_within(prices, worst, side))
    if strategy.max_price_impact_percent is not None and prices:
        worst = beyond(prices[0], strategy.max_price_impact_percent, side)
        count = min(count, _count_within(prices, worst, side))
    if side is Side.BUY:
        return replace(column, ask_px=prices[:count], ask_qty=sizes[:count])
    return replace(column, bid_px=prices[:count], bid_qty=sizes[:count])


def beyond(price: int, percent: float, side: Side) -> int:
    """The worst price that is at most `percent` beyond `price` for a taker of that side, in price units."""
    scaled: int = price * (FEE_ONE + side.sign * round(percent * PERCENT_E8))
    return scaled // FEE_ONE if side is Side.BUY else -(-scaled // FEE_ONE)


def _count_within(prices: list[int], worst: int, side: Side) -> int:
    """How many of the prices, best first, are not beyond `worst`."""
    if side is Side.BUY:
        return bisect_right(prices, worst)
    return bisect_right(prices, -worst, key=neg)
