"""Made-up days: what the model does is what a reader of the recording sees, exactly and with chosen figures."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal
from pathlib import Path

import pytest

from bestex.background import BackgroundTrade
from bestex.clock import SECOND
from bestex.errors import UsageError
from bestex.feed import DepthUpdate
from bestex.market import simulate
from bestex.market.presets import CRYPTO, EQUITY, changed
from bestex.market_recording import feed_of, made_up_instrument, streams_of
from bestex.market_stats import MarketStats, of_events
from bestex.messages import MarketTrade
from bestex.recording import open_recording, write_recording

START_NS = 1_760_000_000 * SECOND
VENUES = ("sim_a", "sim_b", "sim_c")
STOCK = made_up_instrument("ABC/EUR", VENUES, Decimal("0.01"), Decimal(1))
PRICE = STOCK.price_units(Decimal(34))


def write(path: Path, seed: int = 1, seconds: float = 600) -> Path:
    events = simulate(STOCK, "equity", seed, seconds, PRICE, START_NS)
    write_recording(path, "a made-up day", streams_of(STOCK), feed_of(STOCK, events), created_ns=0)
    return path


def test_a_recorded_day_has_the_figures_of_the_model_s_own(tmp_path: Path) -> None:
    recording = open_recording(write(tmp_path / "a.rec", seconds=1800))
    (instrument,) = recording.instruments
    assert instrument == STOCK, "scales, ticks and lots are the recording's too"
    stats = MarketStats(instrument)
    for message in recording.books(20):
        stats.message(message)
    events = simulate(STOCK, "equity", 1, 1800, PRICE, START_NS)
    assert stats.table() == of_events(STOCK, events).table()


def test_every_trade_is_told_as_it_happened(tmp_path: Path) -> None:
    model = [
        (event.trade_id, event.at_ns, event.price, event.qty, event.aggressor)
        for event in simulate(STOCK, "equity", 1, 600, PRICE, START_NS)
        if isinstance(event, BackgroundTrade)
    ]
    told = [
        (event.trade_id, event.recv_ns, event.price, event.qty, event.aggressor)
        for event in open_recording(write(tmp_path / "a.rec"))
        if isinstance(event, MarketTrade)
    ]
    assert told == model
    assert len(told) > 50


def test_each_venue_begins_with_a_snapshot_and_no_other(tmp_path: Path) -> None:
    updates = [e for e in open_recording(write(tmp_path / "a.rec")) if isinstance(e, DepthUpdate)]
    assert [update.venue for update in updates if update.snapshot] == list(VENUES)
    assert [update.snapshot for update in updates[:3]] == [True] * 3


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    first, again, other = (write(tmp_path / name, seed, 60) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_a_day_is_written_as_it_is_made_and_never_held_whole(tmp_path: Path) -> None:
    tracemalloc.start()
    path = write(tmp_path / "a.rec", seconds=1800)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    day = list(open_recording(path))
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(day) > 5_000
    assert peak < held / 5


def test_a_chosen_figure_changes_the_market_and_what_is_random_stays() -> None:
    busier = changed(EQUITY, {"sim_b.noise": 60.0}, VENUES)
    assert [profile.noise for profile in busier.venues] == [
        EQUITY.venues[0].noise,
        60.0,
        EQUITY.venues[2].noise,
    ]
    usual, other = (
        of_events(STOCK, simulate(STOCK, "equity", 1, 1200, PRICE, START_NS, market)).table()
        for market in (EQUITY, busier)
    )
    assert other.venues[1].trades_per_min > 3 * usual.venues[1].trades_per_min
    first, second = (
        next(iter(simulate(STOCK, "equity", 1, 1, PRICE, START_NS, market))) for market in (EQUITY, busier)
    )
    assert first == second


def test_profiles_go_to_more_venues_in_turn() -> None:
    many = changed(CRYPTO, {"e.noise": 1.0}, list("abcdef"))
    assert len(many.venues) == 6
    assert many.venues[5] == CRYPTO.venues[1]
    assert (many.venues[4].noise, many.venues[0].noise) == (1.0, CRYPTO.venues[0].noise)


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("nose", 1, "nose: there is no such figure; there are news, news_bps"),
        ("sim_b.news", 1, "sim_b.news: there is no such figure"),
        ("sim_z.noise", 1, 'no venue "sim_z"; there are sim_a, sim_b, sim_c'),
        ("venues", 1, "there is no such figure"),
        ("news", -1, "news: -1 is not from 0"),
        ("news_bps", 0, "news_bps: 0 is not from above 0"),
        ("sim_a.near", 1.5, "sim_a.near: 1.5 is not from 0 to 1"),
        ("excitation", 1, "excitation: 1 is not from 0 to 0.95"),
        ("levels", 2.5, "levels: 2.5 is not"),
        ("sim_a.size", float("nan"), "sim_a.size: nan is not"),
    ],
)
def test_a_figure_that_no_market_has_is_refused(name: str, value: float, wrong: str) -> None:
    with pytest.raises(UsageError, match=wrong):
        changed(EQUITY, {name: value}, VENUES)


@pytest.mark.parametrize("tick", ["0", "-1", "NaN", "1e-30"])
def test_a_tick_that_is_none_is_refused(tick: str) -> None:
    with pytest.raises(UsageError):
        made_up_instrument("ABC", VENUES, Decimal(tick), Decimal(1))
