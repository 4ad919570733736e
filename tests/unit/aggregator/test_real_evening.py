"""Spot and two perpetuals of one real evening, through the importer: crossed all the time at raw prices,
comparable once the basis is taken out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from bestex.clock import SECOND
from bestex.config import MarketDataConfig
from bestex.core import Emit
from bestex.instruments import Instrument, Instruments, Listing
from bestex.messages import BookStatus, ConsolidatedBook, MarketTrade, VenueBook
from bestex.recording import open_recording
from services.aggregator.core import AggregatorCore

SECONDS = 60  # some hundreds of spot books and thousands of the perpetuals'
LEVELS = 20

SPOT = Listing(venue="binance_spot", symbol="BTC/USDT")
USD_M = Listing(venue="binance_perp", symbol="BTC/USDT:USDT", kind="perp")
COIN_M = Listing(venue="binance_perp", symbol="BTC/USD:BTC", kind="perp", contract_size=100, inverse=True)
PERPS = {"usdm_btcusdt": USD_M, "cm_btcusd_perp": COIN_M}

Messages = list[VenueBook | MarketTrade]


@pytest.fixture(scope="module", params=list(PERPS))
def perp_and_evening(request: pytest.FixtureRequest, data_dir: Path) -> tuple[Listing, Messages]:
    """A perpetual's listing, and the messages of it and of spot until both were there for SECONDS."""
    folder = data_dir / "binance"
    recording = open_recording(folder / "spot_btcusdt_20240808.gz", folder / f"{request.param}_20240808.gz")
    messages: Messages = []
    heard: dict[str, int] = {}
    for message in recording.books(LEVELS):
        if isinstance(message, VenueBook) and message.bid_px:
            heard.setdefault(message.venue, message.recv_ns)
        if len(heard) == 2 and message.recv_ns > max(heard.values()) + SECONDS * SECOND:
            break
        messages.append(message)
    return PERPS[request.param], messages


def consolidated(perp: Listing, evening: Messages, *, basis: bool) -> Iterator[ConsolidatedBook]:
    """Every consolidated book in which both venues are live."""
    instrument = Instrument(symbol="BTC/USDT", price_scale=2, qty_scale=5, listings=(SPOT, perp))
    core = AggregatorCore(Instruments((instrument,)), MarketDataConfig(basis=basis))
    for message in evening:
        for effect in core.decide(message, message.recv_ns):
            if isinstance(effect, Emit):
                book = effect.message
                assert isinstance(book, ConsolidatedBook)
                if all(column.status is BookStatus.LIVE for column in book.venues):
                    yield book


def crossed_share(books: list[ConsolidatedBook]) -> float:
    return sum(book.crossed for book in books) / len(books)


def test_with_basis_the_book_is_crossed_far_less_than_without(
    perp_and_evening: tuple[Listing, Messages],
) -> None:
    raw = list(consolidated(*perp_and_evening, basis=False))
    adjusted = list(consolidated(*perp_and_evening, basis=True))
    assert len(raw) > 1_000
    assert len(adjusted) > 1_000
    assert crossed_share(raw) > 0.95
    assert crossed_share(adjusted) < 0.05


def test_the_basis_is_about_that_of_the_whole_recording(
    perp_and_evening: tuple[Listing, Messages],
) -> None:
    perp, _ = perp_and_evening
    usd = median(book.venues[1].basis for book in consolidated(*perp_and_evening, basis=True)) / 100
    whole_day = {USD_M: -23.3, COIN_M: -15.5}[perp]
    assert usd == pytest.approx(whole_day, abs=8.0)


def test_every_real_book_is_taken_and_an_inverse_contract_is_published_in_base(
    perp_and_evening: tuple[Listing, Messages],
) -> None:
    perp, evening = perp_and_evening
    sources = {(book.venue, book.symbol): book for book in evening if isinstance(book, VenueBook)}
    last = list(consolidated(perp, evening, basis=True))[-1]
    column, book = last.venues[1], sources[perp.venue, perp.symbol]
    price = column.bid_px[0]
    contracts = book.bid_qty[0]
    in_base = contracts * 100 * 10**7 // price if perp.inverse else contracts * 10 ** (5 - book.qty_scale)
    assert column.bid_qty[0] == in_base
    assert len(column.bid_px) == len(column.ask_px) == LEVELS
