"""Level-1 files of other market data: of simulated days and of recordings."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from bestex.background import ASK, BID, BackgroundEvent, LevelSet
from bestex.depth import DepthBook
from bestex.messages import MarketTrade, VenueBook

COLUMNS = ("ts_event", "publisher_id", "ask_px_00", "ask_sz_00", "bid_px_00", "bid_sz_00")

Best = tuple[tuple[int, int], tuple[int, int]]  # ask and bid, each price and size; 0, 0 for none
Row = tuple[int, int, Best]  # time in ns, publisher, its best quotes


def of_events(events: Iterable[BackgroundEvent], venues: Sequence[str]) -> Iterator[Row]:
    """A row whenever a venue's best quotes have changed, once a time; publishers count from 1 in the order given."""
    books = {venue: DepthBook() for venue in venues}
    number = {venue: place for place, venue in enumerate(venues, 1)}

    def rows() -> Iterator[Row]:
        for event in events:
            if isinstance(event, LevelSet) and event.venue in books:
                level = [(event.price, event.qty)]
                book = books[event.venue]
                book.apply(level if event.side == BID else [], level if event.side == ASK else [])
                yield event.at_ns, number[event.venue], _best(*book.top(1))

    return _changes(rows())


def of_books(
    messages: Iterable[VenueBook | MarketTrade], venues: Sequence[str], qty_scale: int
) -> Iterator[Row]:
    """The same of a recording's books; sizes are cut to `qty_scale` decimals."""
    number = {venue: place for place, venue in enumerate(venues, 1)}

    def rows() -> Iterator[Row]:
        for message in messages:
            if isinstance(message, VenueBook) and message.venue in number:
                cut = 10 ** (message.qty_scale - qty_scale)
                asks, bids = message.ask_qty[:1], message.bid_qty[:1]
                best = _best(
                    message.bid_px[:1],
                    [qty // cut for qty in bids],
                    message.ask_px[:1],
                    [qty // cut for qty in asks],
                )
                yield message.recv_ns, number[message.venue], best

    return _changes(rows())


def write(path: Path, rows: Iterable[Row], price_scale: int, qty_scale: int) -> int:
    """A level-1 file of these rows; how many."""
    count = 0
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(COLUMNS)
        for at_ns, publisher, quotes in rows:
            cells: list[object] = [at_ns, publisher]
            for price, size in quotes:
                cells += [Decimal(price).scaleb(-price_scale), Decimal(size).scaleb(-qty_scale)]
            out.writerow(cells)
            count += 1
    return count


def _best(
    bid_px: Sequence[int], bid_qty: Sequence[int], ask_px: Sequence[int], ask_qty: Sequence[int]
) -> Best:
    ask = (ask_px[0], ask_qty[0]) if ask_px else (0, 0)
    bid = (bid_px[0], bid_qty[0]) if bid_px else (0, 0)
    return ask, bid


def _changes(rows: Iterable[Row]) -> Iterator[Row]:
    """Of one venue at one time the last row alone, and that only where it shows something new."""
    shown: dict[int, Best] = {}
    waiting: dict[int, Row] = {}
    now_ns = 0
    for row in rows:
        if row[0] != now_ns:
            yield from _new(waiting, shown)
            now_ns = row[0]
        waiting[row[1]] = row
    yield from _new(waiting, shown)


def _new(waiting: dict[int, Row], shown: dict[int, Best]) -> Iterator[Row]:
    for publisher, row in waiting.items():
        if shown.get(publisher) != row[2]:
            shown[publisher] = row[2]
            yield row
    waiting.clear()
