"""A day of the market model as a recording: what a venue's feed would have told of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import msgspec

from bestex.background import BID, BackgroundEvent, BackgroundTrade, LevelSet
from bestex.errors import UsageError
from bestex.feed import DepthUpdate, FeedEvent, FeedStream
from bestex.instruments import Instrument, Listing
from bestex.messages import MarketTrade
from bestex.units import MAX_SCALE, UnitError, to_units


def made_up_instrument(symbol: str, venues: Sequence[str], tick: Decimal, lot: Decimal) -> Instrument:
    """One that trades on the same terms everywhere. Prices have a digit more than the tick, for what hidden orders
    trade at between two ticks. UsageError for a tick or a lot that is none."""
    price_scale, qty_scale = _digits(tick, "tick") + 1, _digits(lot, "lot")
    try:
        tick_units, lot_units = to_units(tick, price_scale), to_units(lot, qty_scale)
    except UnitError as error:
        raise UsageError(str(error)) from None
    listings = tuple(
        Listing(venue=venue, symbol=symbol, tick=tick_units, lot=lot_units, min_qty=lot_units)
        for venue in venues
    )
    return Instrument(symbol=symbol, price_scale=price_scale, qty_scale=qty_scale, listings=listings)


def _digits(value: Decimal, name: str) -> int:
    exponent = value.normalize().as_tuple().exponent
    if not isinstance(exponent, int) or value <= 0 or -exponent >= MAX_SCALE:
        raise UsageError(f"a {name} of {value} is none")
    return max(-exponent, 0)


def streams_of(instrument: Instrument) -> tuple[FeedStream, ...]:
    """A stream a lit listing, with its tick and lot."""
    return tuple(
        FeedStream(
            venue=listing.venue,
            symbol=instrument.symbol,
            price_scale=instrument.price_scale,
            qty_scale=instrument.qty_scale,
            kind=listing.kind,
            tick=listing.tick,
            lot=listing.lot,
        )
        for listing in instrument.listings
        if listing.kind != "dark"
    )


class _Update(msgspec.Struct):
    at_ns: int
    venue: str
    bids: dict[int, int]
    asks: dict[int, int]


def feed_of(instrument: Instrument, events: Iterable[BackgroundEvent]) -> Iterator[FeedEvent]:
    """The model's events as feeds tell them, received the moment they happen.

    Changes of a venue at one instant are one update, as of `market_stats.of_events`; a venue's first is a snapshot.
    """
    seqs: dict[str, int] = {}
    open_update: _Update | None = None
    for event in events:
        if open_update is not None and (
            isinstance(event, BackgroundTrade)
            or (event.at_ns, event.venue) != (open_update.at_ns, open_update.venue)
        ):
            yield _told(instrument, open_update, seqs)
            open_update = None
        if isinstance(event, LevelSet):
            open_update = open_update or _Update(event.at_ns, event.venue, {}, {})
            (open_update.bids if event.side == BID else open_update.asks)[event.price] = event.qty
            continue
        yield MarketTrade(
            event.venue,
            instrument.symbol,
            event.trade_id,
            event.at_ns,
            event.at_ns,
            instrument.price_scale,
            instrument.qty_scale,
            event.price,
            event.qty,
            event.aggressor,
        )
    if open_update is not None:
        yield _told(instrument, open_update, seqs)


def _told(instrument: Instrument, update: _Update, seqs: dict[str, int]) -> DepthUpdate:
    seqs[update.venue] = seq = seqs.get(update.venue, 0) + 1
    is_first = seq == 1
    sides = [
        [(price, qty) for price, qty in levels.items() if qty or not is_first]
        for levels in (update.bids, update.asks)
    ]
    return DepthUpdate(
        update.venue,
        instrument.symbol,
        seq,
        update.at_ns,
        update.at_ns,
        instrument.price_scale,
        instrument.qty_scale,
        is_first,
        *sides,
    )
