"""Recordings as the background of the simulated exchange."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import pytest

from bestex.background import ASK, BID, BackgroundTrade, HiddenOrder, LevelSet, LevelsSet
from bestex.depth import DepthBook
from bestex.errors import ConfigError
from bestex.feed import DepthUpdate, FeedEvent
from bestex.instruments import Instrument, Instruments, Listing
from bestex.matching import SimExchange
from bestex.messages import MarketTrade
from bestex.recording import open_recording
from services.exchange.recordings import Converter, RecordingBackground

VENUE, SYMBOL = "binance_spot", "BTC/USDT"
REAL_EVENTS = 20_000  # some minutes of a busy day


def instrument(price_scale: int = 2, qty_scale: int = 3, **terms: object) -> Instrument:
    listing = Listing(venue=VENUE, symbol=SYMBOL, **terms)  # type: ignore[arg-type]
    return Instrument(symbol=SYMBOL, price_scale=price_scale, qty_scale=qty_scale, listings=(listing,))


def played(events: list[FeedEvent], now_ns: int = 1_000, **terms: object) -> list[LevelSet | BackgroundTrade]:
    made = instrument(**terms)  # type: ignore[arg-type]
    background = RecordingBackground(VENUE, events, {SYMBOL: Converter(made, made.listings[0])})
    exchange = SimExchange(Instruments((made,)), [VENUE])
    market = exchange.market(VENUE, SYMBOL)
    found: list[LevelSet | BackgroundTrade] = []
    for _, event in background.step_until(now_ns):
        assert not isinstance(event, HiddenOrder), "a feed shows what it says"
        if isinstance(event, LevelsSet):
            found += (market.changes(event) if event.whole else event).one_by_one()
        else:
            found.append(event)
        exchange.background(SYMBOL, event)
    return found


def depth(
    at_ns: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]], *, snapshot: bool = False
) -> DepthUpdate:
    return DepthUpdate(VENUE, SYMBOL, at_ns, at_ns, at_ns, 2, 3, snapshot, bids, asks)


def levels(events: list[LevelSet | BackgroundTrade]) -> list[tuple[int, int, int]]:
    return [(e.side, e.price, e.qty) for e in events if isinstance(e, LevelSet)]


def test_an_update_removes_before_it_adds() -> None:
    events = played([depth(1, [(99, 5)], [(101, 5)]), depth(2, [(101, 3)], [(101, 0), (103, 2)])])
    assert levels(events)[2:] == [(ASK, 101, 0), (BID, 101, 3), (ASK, 103, 2)]


def test_a_snapshot_removes_what_it_does_not_show_and_repeats_nothing() -> None:
    first = depth(1, [(99, 5), (98, 5)], [(101, 5)])
    again = depth(2, [(99, 5), (97, 1)], [(101, 5)], snapshot=True)
    assert levels(played([first, again]))[3:] == [(BID, 98, 0), (BID, 97, 1)]


def test_a_break_in_the_recording_empties_the_book() -> None:
    events = played([depth(1, [(99, 5)], [(101, 5)]), depth(2, [], [], snapshot=True)])
    assert levels(events)[2:] == [(BID, 99, 0), (ASK, 101, 0)]


def test_nothing_comes_before_its_time_and_other_markets_are_passed_over() -> None:
    other = DepthUpdate("binance_perp", SYMBOL, 1, 1, 1, 2, 3, False, [(1, 1)], [])
    events: list[FeedEvent] = [other, depth(5, [(99, 5)], []), depth(9, [(98, 5)], [])]
    assert levels(played(events, now_ns=8)) == [(BID, 99, 5)]


def test_trades_keep_their_id_and_aggressor() -> None:
    trade = MarketTrade(VENUE, SYMBOL, "t7", 3, 4, 2, 3, 100, 6, -1)
    assert played([trade]) == [BackgroundTrade(4, VENUE, 100, 6, -1, "t7")]


def test_numbers_are_converted_exactly_or_refused() -> None:
    assert levels(played([depth(1, [(99, 5)], [])], price_scale=4, qty_scale=5)) == [(BID, 9_900, 500)]
    for coarse in ({"price_scale": 1}, {"qty_scale": 2}):
        with pytest.raises(ConfigError, match="has a finer one"):
            played([depth(1, [(99, 5)], [])], **coarse)


def test_contracts_become_base_quantities() -> None:
    linear = played([depth(1, [(5_000, 2_000)], [])], contract_size=10)
    assert levels(linear) == [(BID, 5_000, 20)]
    inverse = played([depth(1, [(5_000, 2_000)], [])], contract_size=100, inverse=True)
    assert levels(inverse) == [(BID, 5_000, 4_000)]  # 2 contracts of 100 at 50.00 are 4.000


def test_a_real_recording_gives_the_books_that_it_holds(data_dir: Path) -> None:
    recording = open_recording(data_dir / "binance" / "spot_btcusdt_20240808.gz")
    [stream] = recording.streams
    made = Instrument(
        symbol=SYMBOL,
        price_scale=stream.price_scale,
        qty_scale=stream.qty_scale,
        listings=(Listing(venue=VENUE, symbol=SYMBOL),),
    )
    exchange, expected = SimExchange(Instruments((made,)), [VENUE]), DepthBook()
    events = list(islice(recording, REAL_EVENTS))
    background = RecordingBackground(VENUE, events, {SYMBOL: Converter(made, made.listings[0])})
    compared = 0
    for event, following in pairwise(events):
        if isinstance(event, MarketTrade):
            continue
        (expected.replace if event.snapshot else expected.apply)(event.bids, event.asks)
        if following.recv_ns == event.recv_ns:
            continue
        for symbol, happening in background.step_until(event.recv_ns):
            exchange.background(symbol, happening)
        assert exchange.market(VENUE, SYMBOL).book(20) == tuple(expected.top(20))
        compared += 1
    assert compared > 100
