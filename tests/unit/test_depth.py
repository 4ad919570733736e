from __future__ import annotations

import pytest

from bestex import depth
from bestex.depth import BookSide, DepthBook, LevelReader, TextUnits, units_of_text
from bestex.units import UnitError


def test_the_top_is_best_first_on_both_sides() -> None:
    book = DepthBook()
    book.apply([(99, 1), (100, 2), (98, 3)], [(103, 4), (101, 5), (102, 6)])
    assert book.top(2) == ([100, 99], [2, 1], [101, 102], [5, 6])
    assert (book.best_bid, book.best_ask) == ((100, 2), (101, 5))


def test_an_empty_book_has_no_best() -> None:
    book = DepthBook()
    assert book.top(5) == ([], [], [], [])
    assert book.best_bid is None
    assert not book.is_crossed


def test_a_removed_level_uncovers_the_next_and_comes_back_with_its_new_size() -> None:
    book = DepthBook()
    book.apply([(100, 2), (99, 1)], [])
    book.apply([(100, 0)], [])
    assert book.best_bid == (99, 1)
    book.apply([(100, 7)], [])
    assert book.best_bid == (100, 7)


def test_a_level_that_was_never_there_can_be_removed() -> None:
    book = DepthBook()
    book.apply([(100, 0)], [])
    assert book.best_bid is None


def test_a_snapshot_forgets_what_it_does_not_name() -> None:
    book = DepthBook()
    book.apply([(100, 2)], [(101, 1)])
    book.replace([(90, 1)], [])
    assert book.top(5) == ([90], [1], [], [])


def test_equal_best_prices_count_as_crossed() -> None:
    book = DepthBook()
    book.apply([(100, 1)], [(101, 1)])
    assert not book.is_crossed
    book.apply([(101, 1)], [])
    assert book.is_crossed


def test_levels_far_from_the_touch_come_up_when_the_near_ones_are_gone() -> None:
    side = BookSide(-1)
    side.update([(price, price) for price in range(1, 3001)])
    side.update([(price, 0) for price in range(1, 2990)])
    assert side.top(20) == (list(range(2990, 3001)), list(range(2990, 3001)))


def test_levels_at_the_border_of_the_near_ones_are_not_lost() -> None:
    side = BookSide(1)
    side.update([(price, price) for price in range(1, 2 * depth.NEAR_LEVELS + 2)])  # one too many: cut
    best = 3 * depth.NEAR_LEVELS
    side.update([(price, price) for price in range(best, best - 100, -1)])
    prices, _ = side.top(depth.NEAR_LEVELS + 50)
    assert prices[:100] == list(range(best, best - 100, -1))
    lower = 2 * depth.NEAR_LEVELS + 1
    assert prices[100:] == list(range(lower, lower - depth.NEAR_LEVELS + 50, -1))
    assert side.top(depth.NEAR_LEVELS + 100)[0] == [*prices, *range(prices[-1] - 1, prices[-1] - 51, -1)]


def test_a_side_beyond_its_limit_keeps_its_best_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "MAX_LEVELS", 100)
    monkeypatch.setattr(depth, "KEPT_LEVELS", 50)
    side = BookSide(1)
    side.update([(price, 1) for price in range(1, 102)])
    assert len(side) == 50
    assert side.best() == (101, 1)
    assert min(price for price, _ in side) == 52


@pytest.mark.parametrize(
    ("text", "scale", "units"),
    [
        ("61737.63000000", 2, 6173763),
        ("61737.63", 2, 6173763),
        ("61737.6", 2, 6173760),
        ("61737", 2, 6173700),
        ("0.00000000", 5, 0),
        ("1001", 0, 1001),
        ("5.", 1, 50),
    ],
)
def test_text_becomes_exact_units(text: str, scale: int, units: int) -> None:
    assert units_of_text(text, scale) == units


@pytest.mark.parametrize("text", ["", ".", "-1", "1e5", "nan", "1_000", " 1", "1.2.3", "\u0661", "1" * 39])
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        units_of_text(text, 8)


def test_a_finer_number_is_refused_and_never_rounded() -> None:
    with pytest.raises(UnitError, match="finer"):
        units_of_text("61737.635", 2)


def test_the_memory_of_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "MAX_TEXTS", 4)
    units = TextUnits(0)
    assert [units[str(n)] for n in range(10)] == list(range(10))
    assert len(units) <= 4


def test_pairs_of_text_become_pairs_of_units() -> None:
    reader = LevelReader(1, 3)
    assert reader.read([("61800.20", "2.507"), ("61800.30", "0.000")]) == [(618002, 2507), (618003, 0)]
