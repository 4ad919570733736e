"""Spot and USD-M of one real evening: crossed all the time as they are, comparable once the basis is taken out."""

from __future__ import annotations

import gzip
import heapq
import os
from collections.abc import Iterator
from decimal import Decimal
from itertools import takewhile
from pathlib import Path

import msgspec
import pytest

from bestex.clock import SECOND
from bestex.config import MarketDataConfig
from bestex.core import Emit
from bestex.instruments import Instrument, Instruments, Listing
from bestex.messages import BookStatus, ConsolidatedBook, VenueBook
from bestex.units import to_units
from services.aggregator.core import AggregatorCore

DATA = Path(os.environ.get("BESTEX_DATA") or Path(__file__).parents[4] / "shared" / "data") / "binance"
SECONDS = 90  # enough for some tens of thousands of quotes, and still quick

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings in {DATA}")

FILES = {"spot": "spot_btcusdt_20240808.gz", "perp": "usdm_btcusdt_20240808.gz"}
INSTRUMENT = Instrument(
    symbol="BTC/USDT",
    price_scale=2,
    qty_scale=5,
    listings=(
        Listing(venue="binance_spot", symbol="BTC/USDT"),
        Listing(venue="binance_perp", symbol="BTC/USDT:USDT", kind="perp"),
    ),
)


class Ticker(msgspec.Struct):
    b: Decimal
    B: Decimal
    a: Decimal
    A: Decimal


class Frame(msgspec.Struct):
    data: Ticker


def quotes(kind: str) -> Iterator[VenueBook]:
    """The best bid and ask of every `bookTicker` frame, as books of one level."""
    listing = INSTRUMENT.listings[kind == "perp"]
    decode = msgspec.json.Decoder(Frame).decode
    seq = 0
    with gzip.open(DATA / FILES[kind], "rb") as lines:
        for line in lines:
            if b"@bookTicker" not in line:
                continue
            recv, _, frame = line.partition(b" ")
            t = decode(frame).data
            seq += 1
            columns = [[to_units(t.b, 2)], [to_units(t.B, 5)], [to_units(t.a, 2)], [to_units(t.A, 5)]]
            yield VenueBook(listing.venue, listing.symbol, seq, 0, int(recv), 2, 5, *columns)


@pytest.fixture(scope="module")
def evening() -> list[VenueBook]:
    """Both venues in the order of receipt, from when both are there."""
    streams = [quotes(kind) for kind in FILES]
    firsts = [next(stream) for stream in streams]
    start_ns = max(first.recv_ns for first in firsts)
    merged = heapq.merge(*streams, key=lambda book: book.recv_ns)
    until = takewhile(lambda book: book.recv_ns < start_ns + SECONDS * SECOND, merged)
    return [book for book in until if book.recv_ns >= start_ns]


def consolidated(evening: list[VenueBook], *, basis: bool) -> list[ConsolidatedBook]:
    """Every consolidated book in which both venues are live."""
    core = AggregatorCore(Instruments((INSTRUMENT,)), MarketDataConfig(basis=basis))
    made = []
    for book in evening:
        for effect in core.decide(book, book.recv_ns):
            if isinstance(effect, Emit):
                assert isinstance(effect.message, ConsolidatedBook)
                made.append(effect.message)
    return [book for book in made if all(column.status is BookStatus.LIVE for column in book.venues)]


def crossed_share(books: list[ConsolidatedBook]) -> float:
    return sum(book.crossed for book in books) / len(books)


def test_with_basis_the_book_is_crossed_far_less_than_without(evening: list[VenueBook]) -> None:
    raw = consolidated(evening, basis=False)
    adjusted = consolidated(evening, basis=True)
    assert len(raw) > 5_000
    assert len(adjusted) > 5_000
    assert crossed_share(raw) > 0.99
    assert crossed_share(adjusted) < 0.05


def test_the_basis_is_the_known_one_of_that_evening(evening: list[VenueBook]) -> None:
    values = sorted(book.venues[1].basis for book in consolidated(evening, basis=True))
    median = values[len(values) // 2] / 100
    assert -35 < median < -12  # -23.3 USD over the whole recording
