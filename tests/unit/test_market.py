from __future__ import annotations

from itertools import pairwise

import pytest

from bestex.background import ASK, BID, BackgroundEvent, BackgroundTrade, LevelSet
from bestex.clock import MINUTE, MS, SECOND, US
from bestex.errors import UsageError
from bestex.instruments import Instrument, Listing
from bestex.market import PRESETS, MarketModel, simulate
from bestex.market.quotes import Quotes
from bestex.market_stats import of_events

START_NS = 1_760_000_000 * SECOND
BTC_PRICE = 6_000_000
FIVE = 5 * 10**7  # a minimum notional of 5 USDT in price units x quantity units


def btc_listing(venue: str, tick: int = 1, lot: int = 1, **terms: object) -> Listing:
    return Listing(venue=venue, symbol="BTC/USDT", tick=tick, lot=lot, min_notional=FIVE, **terms)  # type: ignore[arg-type]


BTC = Instrument(
    symbol="BTC/USDT",
    price_scale=2,
    qty_scale=5,
    listings=(
        btc_listing("sim_a"),
        btc_listing("sim_b"),
        btc_listing("sim_c", tick=10, lot=10, min_qty=30),
        btc_listing("sim_d", tick=10, lot=100),
    ),
)
STOCK = Instrument(
    symbol="ABC/EUR",
    price_scale=4,
    qty_scale=0,
    listings=tuple(Listing(venue=venue, symbol="ABC", tick=100) for venue in "PQRS"),
)
MARKETS = {"crypto": (BTC, BTC_PRICE, 60), "equity": (STOCK, 340_000, 1200)}


def day(preset: str, seed: int = 1, seconds: float | None = None) -> list[BackgroundEvent]:
    instrument, price, usual = MARKETS[preset]
    return list(simulate(instrument, preset, seed, seconds or usual, price, START_NS))


class Books:
    """Every venue's book as a listener would keep it."""

    def __init__(self, instrument: Instrument) -> None:
        self.listings = {listing.venue: listing for listing in instrument.listings}
        self.sides = {
            (venue, side): Quotes(side, listing)
            for venue, listing in self.listings.items()
            for side in (BID, ASK)
        }

    def hear(self, event: BackgroundEvent) -> None:
        if isinstance(event, LevelSet):
            self.sides[event.venue, event.side].put(event.price, event.qty)

    def best(self, venue: str, side: int) -> int | None:
        return self.sides[venue, side].best


def test_a_seed_determines_every_event() -> None:
    assert day("crypto", seed=7, seconds=20) == day("crypto", seed=7, seconds=20)
    assert day("crypto", seed=7, seconds=20) != day("crypto", seed=8, seconds=20)


def test_two_symbols_of_one_seed_do_not_move_together() -> None:
    eth = Instrument(symbol="ETH/USDT", price_scale=2, qty_scale=5, listings=BTC.listings)
    one = [event.at_ns for event in simulate(BTC, "crypto", 1, 5, BTC_PRICE)]
    other = [event.at_ns for event in simulate(eth, "crypto", 1, 5, BTC_PRICE)]
    assert one != other


def test_the_opening_books_come_at_the_start() -> None:
    model = MarketModel(BTC, "crypto", 1, BTC_PRICE, START_NS)
    opening = model.step_until(START_NS)
    assert {event.venue for event in opening} == {"sim_a", "sim_b", "sim_c", "sim_d"}
    assert {event.at_ns for event in opening} == {START_NS}
    assert model.step_until(START_NS) == []


def test_a_step_tells_what_happened_since_the_last_one_and_nothing_of_the_future() -> None:
    model = MarketModel(BTC, "crypto", 1, BTC_PRICE, START_NS)
    before_ns = START_NS - 1
    for now_ns in range(START_NS, START_NS + 10 * SECOND, 10 * MS):
        assert all(before_ns < event.at_ns <= now_ns for event in model.step_until(now_ns))
        before_ns = now_ns


@pytest.mark.parametrize("preset", PRESETS)
def test_events_come_in_time_order_and_at_whole_microseconds(preset: str) -> None:
    times = [event.at_ns for event in day(preset)]
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert all(at_ns % US == 0 for at_ns in times)


@pytest.mark.parametrize("preset", PRESETS)
def test_no_book_is_ever_crossed_or_locked_in_itself(preset: str) -> None:
    books = Books(MARKETS[preset][0])
    for event in day(preset):
        books.hear(event)
        bid, ask = books.best(event.venue, BID), books.best(event.venue, ASK)
        assert bid is None or ask is None or bid < ask


@pytest.mark.parametrize("preset", PRESETS)
def test_venues_may_lock_but_never_cross_each_other(preset: str) -> None:
    books = Books(MARKETS[preset][0])
    for event in day(preset):
        books.hear(event)
        bids = [best for venue in books.listings if (best := books.best(venue, BID)) is not None]
        asks = [best for venue in books.listings if (best := books.best(venue, ASK)) is not None]
        assert not bids or not asks or max(bids) <= min(asks)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_price_is_on_its_venues_tick_and_every_quantity_on_its_lot(preset: str) -> None:
    books = Books(MARKETS[preset][0])
    for event in day(preset):
        listing = books.listings[event.venue]
        assert event.qty % listing.lot == 0
        if isinstance(event, LevelSet):
            assert event.price % listing.tick == 0
        if event.qty:
            assert event.qty >= listing.min_qty
            assert event.qty * event.price >= listing.min_notional


def test_no_size_and_no_trade_is_below_a_large_minimum() -> None:
    least = 40_000 * 10**7  # of the order of the usual sizes, so that it binds
    listing = Listing(venue="sim_a", symbol="BTC/USDT", lot=7, min_qty=50_000, min_notional=least)
    instrument = Instrument(symbol="BTC/USDT", price_scale=2, qty_scale=5, listings=(listing,))
    for event in simulate(instrument, "crypto", 1, 60, BTC_PRICE):
        assert event.qty % 7 == 0
        assert event.qty == 0 or (event.qty >= 50_000 and event.qty * event.price >= least)


@pytest.mark.parametrize(("preset", "levels"), [("crypto", 20), ("equity", 10)])
def test_every_book_stays_populated(preset: str, levels: int) -> None:
    books = Books(MARKETS[preset][0])
    events = day(preset)
    for event, after in pairwise(events):
        books.hear(event)
        if after.at_ns != event.at_ns:
            depths = [len(quotes.prices) for quotes in books.sides.values()]
            assert levels <= min(depths)
            assert max(depths) <= 2 * levels


@pytest.mark.parametrize("preset", PRESETS)
def test_a_trade_takes_what_the_venue_showed_at_its_best_and_the_level_shrinks_by_it(preset: str) -> None:
    books = Books(MARKETS[preset][0])
    taken = 0
    for event, after in pairwise(day(preset)):
        if isinstance(event, BackgroundTrade) and event.aggressor:
            quotes = books.sides[event.venue, -event.aggressor]
            assert event.price == quotes.prices[0]
            left = quotes.sizes[0] - event.qty
            assert after == LevelSet(event.at_ns, event.venue, quotes.side, event.price, left)
            taken += 1
        books.hear(event)
    assert taken > 20


@pytest.mark.parametrize("tick", [1, 100])
def test_a_trade_of_hidden_orders_is_at_the_mid_of_all_venues_where_that_is_a_price(tick: int) -> None:
    listings = tuple(Listing(venue=venue, symbol="ABC", tick=tick) for venue in "PQRS")
    stock = Instrument(symbol="ABC/EUR", price_scale=2, qty_scale=0, listings=listings)
    books = Books(stock)
    hidden = 0
    for event in simulate(stock, "equity", 1, 7200, 3400 * tick):
        books.hear(event)
        if isinstance(event, BackgroundTrade) and not event.aggressor:
            bids = [best for venue in books.listings if (best := books.best(venue, BID)) is not None]
            asks = [best for venue in books.listings if (best := books.best(venue, ASK)) is not None]
            assert 2 * event.price == max(bids) + min(asks)
            hidden += 1
    assert hidden > 50


def test_trade_ids_are_unique_across_venues_and_starts() -> None:
    ids = [event.trade_id for event in day("crypto") if isinstance(event, BackgroundTrade)]
    later = simulate(BTC, "crypto", 1, 60, BTC_PRICE, START_NS + MINUTE)
    ids += [event.trade_id for event in later if isinstance(event, BackgroundTrade)]
    assert len(set(ids)) == len(ids) > 50


@pytest.mark.parametrize("count", [1, 2, 8])
def test_any_number_of_venues_trades(count: int) -> None:
    venues = tuple(btc_listing(f"venue_{number}") for number in range(count))
    instrument = Instrument(symbol="BTC/USDT", price_scale=2, qty_scale=5, listings=venues)
    events = list(simulate(instrument, "crypto", 1, 120, BTC_PRICE))
    trading = {event.venue for event in events if isinstance(event, BackgroundTrade)}
    assert trading == {listing.venue for listing in venues}


def test_a_dark_venue_shows_nothing() -> None:
    dark = btc_listing("dark_a", kind="dark")
    instrument = Instrument(
        symbol="BTC/USDT", price_scale=2, qty_scale=5, listings=(btc_listing("sim_a"), dark)
    )
    assert {event.venue for event in simulate(instrument, "crypto", 1, 10, BTC_PRICE)} == {"sim_a"}


def test_the_notional_at_the_best_price_does_not_depend_on_the_symbol() -> None:
    eth = Instrument(
        symbol="ETH/USDT", price_scale=2, qty_scale=4, listings=(Listing(venue="sim_a", symbol="ETH/USDT"),)
    )
    btc = Instrument(symbol="BTC/USDT", price_scale=2, qty_scale=5, listings=(btc_listing("sim_a"),))
    shown = [
        (of_events(instrument, simulate(instrument, "crypto", 1, 300, price)).table().best_size_qty or 0)
        * usd
        for instrument, price, usd in ((btc, BTC_PRICE, 60_000), (eth, 300_000, 3_000))
    ]
    assert shown[0] == pytest.approx(60_000, rel=0.15)
    assert shown[1] == pytest.approx(60_000, rel=0.15)


def test_the_crypto_preset_has_the_pace_of_crypto() -> None:
    table = of_events(BTC, simulate(BTC, "crypto", 1, 600, BTC_PRICE)).table()
    for venue in table.venues:
        assert 10 < venue.updates_per_s < 50
        assert 0.5 < (venue.spread_bps or 0) < 3
        assert venue.trades_per_min > 10
    assert 0.7 < (table.volatility_bps_per_s or 0) < 1.3
    assert table.crossed == 0


@pytest.mark.parametrize(
    ("listings", "preset", "price"),
    [
        ((btc_listing("sim_a"),), "bonds", BTC_PRICE),
        ((), "crypto", BTC_PRICE),
        ((btc_listing("dark_a", kind="dark"),), "crypto", BTC_PRICE),
        ((btc_listing("perp_a", kind="perp", inverse=True),), "crypto", BTC_PRICE),
        ((btc_listing("sim_a", tick=1000),), "crypto", 5000),
    ],
)
def test_what_cannot_be_modelled_is_refused(listings: tuple[Listing, ...], preset: str, price: int) -> None:
    instrument = Instrument(symbol="BTC/USDT", price_scale=2, qty_scale=5, listings=listings)
    with pytest.raises(UsageError):
        MarketModel(instrument, preset, 1, price, START_NS)
