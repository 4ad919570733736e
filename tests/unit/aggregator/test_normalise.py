from __future__ import annotations

import pytest

from bestex.defects import Defect
from bestex.instruments import Instrument, Listing
from bestex.messages import MarketTrade, VenueBook
from services.aggregator.normalise import Columns, Normaliser

Side = dict[int, int]


def normaliser(
    *, contract_size: int = 1, inverse: bool = False, price_scale: int = 2, qty_scale: int = 5
) -> Normaliser:
    listing = Listing(venue="v", symbol="S", contract_size=contract_size, inverse=inverse)
    instrument = Instrument(symbol="S", price_scale=price_scale, qty_scale=qty_scale, listings=(listing,))
    return Normaliser(instrument, listing, levels_max=20)


def book(bids: Side, asks: Side, scales: tuple[int, int] = (2, 5)) -> VenueBook:
    return VenueBook(
        "v", "S", 1, 0, 0, *scales, list(bids), list(bids.values()), list(asks), list(asks.values())
    )


def trade(price: int, qty: int, scales: tuple[int, int] = (2, 5)) -> MarketTrade:
    return MarketTrade("v", "S", "1", 0, 0, *scales, price, qty, 1)


@pytest.mark.parametrize(
    ("bids", "asks", "reason"),
    [
        ({}, {}, Defect.EMPTY),
        ({100: 1}, {100: 1}, Defect.CROSSED),
        ({101: 1}, {100: 1}, Defect.CROSSED),
        ({99: 1, 100: 1}, {101: 1}, Defect.UNSORTED),
        ({100: 1}, {102: 1, 101: 1}, Defect.UNSORTED),
        ({100: 0}, {101: 1}, Defect.NOT_POSITIVE),
        ({100: 1}, {101: 1, 102: -1}, Defect.NOT_POSITIVE),
        ({100: 1, 0: 1}, {101: 1}, Defect.NOT_POSITIVE),
        ({}, {-1: 1}, Defect.NOT_POSITIVE),
    ],
)
def test_a_book_that_cannot_be_true_is_refused_with_its_reason(
    bids: Side, asks: Side, reason: Defect
) -> None:
    assert normaliser().book(book(bids, asks)) is reason


def test_a_price_that_stands_twice_is_unsorted() -> None:
    twice = VenueBook("v", "S", 1, 0, 0, 2, 5, [100, 100], [1, 1], [101], [1])
    assert normaliser().book(twice) is Defect.UNSORTED


@pytest.mark.parametrize("sizes", [([1], [1, 1]), ([1, 1], [1])])
def test_columns_of_two_lengths_are_ragged(sizes: tuple[list[int], list[int]]) -> None:
    ragged = VenueBook("v", "S", 1, 0, 0, 2, 5, [100], sizes[0], [101], sizes[1])
    assert normaliser().book(ragged) is Defect.RAGGED


def test_a_one_sided_book_is_a_book() -> None:
    assert normaliser().book(book({100: 1}, {})) == Columns([100], [1], [], [])


def test_equal_scales_share_the_messages_lists() -> None:
    message = book({100: 1}, {101: 1})
    columns = normaliser().book(message)
    assert isinstance(columns, Columns)
    assert columns.bid_px is message.bid_px


def test_coarser_scales_multiply_and_finer_ones_divide_where_nothing_is_lost() -> None:
    one = normaliser()
    assert one.book(book({10: 2}, {11: 3}, (0, 0))) == Columns([1_000], [200_000], [1_100], [300_000])
    assert one.book(book({1_000: 20}, {1_100: 30}, (3, 6))) == Columns([100], [2], [110], [3])


@pytest.mark.parametrize("scales", [(3, 5), (2, 6)])
def test_digits_finer_than_the_instruments_are_refused_never_rounded(scales: tuple[int, int]) -> None:
    assert normaliser().book(book({1_001: 11}, {1_101: 11}, scales)) is Defect.OFF_SCALE


def test_numbers_that_no_reader_could_hold_are_refused() -> None:
    assert normaliser().book(book({10: 2**62}, {11: 1}, (2, 0))) is Defect.TOO_LARGE


def test_a_linear_contract_counts_its_size() -> None:
    hundredth = normaliser(contract_size=1_000)  # 0.01 of base at five decimals
    assert hundredth.book(book({100: 7}, {101: 3}, (2, 0))) == Columns([100], [7_000], [101], [3_000])
    assert hundredth.book(book({100: 75}, {101: 5}, (2, 1))) == Columns([100], [7_500], [101], [500])


def test_an_inverse_contract_is_worth_its_size_over_the_price_rounded_down_at_each_level() -> None:
    columns = normaliser(contract_size=100, inverse=True).book(
        book({60_000_0: 7, 50_000_0: 7}, {60_000_1: 1}, (1, 0))
    )
    assert columns == Columns([6_000_000, 5_000_000], [1_166, 1_400], [6_000_010], [166])


def test_an_inverse_level_worth_less_than_one_unit_offers_nothing() -> None:
    tiny = normaliser(contract_size=1, inverse=True, qty_scale=4)
    assert tiny.book(book({60_000_00: 5, 59_000_00: 60}, {61_000_00: 5}, (2, 0))) == Columns(
        [59_000_00], [10], [], []
    )
    assert tiny.book(book({60_000_00: 5}, {}, (2, 0))) is Defect.EMPTY


def test_a_trades_quantity_is_converted_like_a_levels() -> None:
    assert normaliser().trade(trade(100, 3, (2, 3)))[1] == 300
    assert normaliser(contract_size=1_000).trade(trade(100, 7, (2, 0)))[1] == 7_000
    assert normaliser(contract_size=100, inverse=True).trade(trade(6_000_000, 7, (2, 0)))[1] == 1_166
    assert normaliser().trade(trade(100, 11, (2, 6))) is Defect.OFF_SCALE
    assert normaliser().trade(trade(100, 0)) is Defect.NOT_POSITIVE


def test_scales_may_change_from_message_to_message() -> None:
    one = normaliser()
    assert one.book(book({10: 2}, {11: 3}, (1, 5))) == Columns([100], [2], [110], [3])
    assert one.book(book({100: 2}, {110: 3}, (2, 5))) == Columns([100], [2], [110], [3])
