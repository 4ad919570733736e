from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from bestex import config
from bestex.errors import ConfigError, RecordingError
from bestex.instruments import Instrument, Listing
from bestex.market import simulate
from bestex.market_recording import feed_of, made_up_instrument, streams_of
from bestex.recording import write_recording
from bestex.replay_config import config_text, derive, routing_symbol, with_recordings
from tests.unit.importers.tables import T0, table

SPOT = Instrument(
    symbol="BTC/USDT",
    price_scale=2,
    qty_scale=5,
    listings=(
        Listing(venue="binance_spot", symbol="BTC/USDT", tick=1, lot=10, min_qty=10, min_notional=5 * 10**7),
    ),
)
PERP = Instrument(
    symbol="BTC/USDT:USDT",
    price_scale=1,
    qty_scale=3,
    listings=(Listing(venue="binance_perp", symbol="BTC/USDT:USDT", kind="perp"),),
)
INVERSE = Instrument(
    symbol="BTC/USD:BTC",
    price_scale=1,
    qty_scale=8,
    listings=(
        Listing(venue="binance_coin", symbol="BTC/USD:BTC", kind="perp", contract_size=100, inverse=True),
    ),
)
FILES = {"binance_spot": ["a.rec"], "binance_perp": ["b.rec"]}


def test_spot_and_perpetual_become_one_instrument_with_two_listings() -> None:
    loaded = config.parse(config_text([SPOT, PERP], FILES))
    instrument = loaded.make_instruments().by_symbol["BTC/USDT"]
    assert {one.venue: (one.symbol, one.kind) for one in instrument.listings} == {
        "binance_spot": ("BTC/USDT", "spot"),
        "binance_perp": ("BTC/USDT:USDT", "perp"),
    }
    assert loaded.exchange.recordings == FILES


def test_the_scales_cover_both_and_the_terms_keep_their_decimals() -> None:
    instrument = config.parse(config_text([SPOT, PERP], FILES)).make_instruments().by_symbol["BTC/USDT"]
    assert (instrument.price_scale, instrument.qty_scale) == (2, 5)
    spot, perp = instrument.listing("binance_spot"), instrument.listing("binance_perp")
    assert spot is not None
    assert perp is not None
    assert (instrument.price(spot.tick), instrument.qty(spot.lot)) == (Decimal("0.01"), Decimal("0.0001"))
    assert (instrument.price(perp.tick), instrument.qty(perp.lot)) == (Decimal("0.1"), Decimal("0.001"))
    assert instrument.cash(spot.min_notional) == 5


def test_an_inverse_contract_keeps_its_size() -> None:
    text = config_text([INVERSE], {"binance_coin": ["c.rec"]})
    listing = config.parse(text).make_instruments().by_symbol["BTC/USD"].listings[0]
    assert (listing.inverse, listing.contract_size) == (True, 100)


def test_two_recordings_that_route_as_one_listing_are_refused() -> None:
    with pytest.raises(ConfigError, match="replay one of them"):
        config_text([SPOT, SPOT], FILES)


def test_the_routing_symbol_drops_the_settlement() -> None:
    assert routing_symbol("BTC/USDT:USDT") == routing_symbol("BTC/USDT") == "BTC/USDT"


def test_recordings_are_added_to_a_configuration_that_knows_their_venues() -> None:
    text = config_text([SPOT], {"binance_spot": []}).partition("[exchange.recordings]")[0]
    loaded = config.parse(with_recordings(text, {"binance_spot": ["a.rec"]}))
    assert loaded.exchange.recordings == {"binance_spot": ["a.rec"]}
    with pytest.raises(ConfigError, match="no such venue"):
        with_recordings(text, {"kraken_spot": ["a.rec"]})
    with pytest.raises(ConfigError, match="leave out --replay"):
        with_recordings(config_text([SPOT], FILES), FILES)


def test_raw_frames_are_converted_once_and_their_start_is_the_origin(data_dir: Path, tmp_path: Path) -> None:
    raw = data_dir / "binance" / "spot_btcusdt_20240808.gz"
    text, origin_ns = derive([raw], "", tmp_path / "cache")
    (made,) = (tmp_path / "cache").iterdir()
    changed_ns = made.stat().st_mtime_ns
    assert config.parse(text).exchange.recordings == {"binance_spot": [str(made)]}
    assert derive([raw], "", tmp_path / "cache") == (text, origin_ns)
    assert made.stat().st_mtime_ns == changed_ns
    with pytest.raises(RecordingError, match="no such file"):
        derive([tmp_path / "none.rec"], "", tmp_path)


def test_tables_and_made_up_days_are_traded_on_as_they_are(tmp_path: Path) -> None:
    text, origin_ns = derive([table(tmp_path)], "", tmp_path / "cache")
    loaded = config.parse(text)
    (instrument,) = loaded.make_instruments().all
    assert [(listing.venue, listing.tick) for listing in instrument.listings] == [
        ("publisher_2", 1),
        ("publisher_39", 1),
    ]
    assert (instrument.symbol, instrument.price_scale, origin_ns) == ("AAPL", 2, T0)
    made_up = made_up_instrument("ABC/EUR", ["sim_a"], Decimal("0.05"), Decimal(10))
    events = feed_of(made_up, simulate(made_up, "equity", 1, 5, made_up.price_units(Decimal(34)), T0))
    write_recording(tmp_path / "day.rec", "a made-up day", streams_of(made_up), events)
    text, _ = derive([tmp_path / "day.rec"], "", tmp_path / "cache")
    (listing,) = config.parse(text).make_instruments().all[0].listings
    assert (listing.tick, listing.lot) == (50, 10), "in thousandths: a venue's terms are the recording's"
