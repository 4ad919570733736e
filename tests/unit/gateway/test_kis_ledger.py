"""Whose an order of KIS is, and what its sums say was traded."""

from __future__ import annotations

from typing import Any

import pytest

from bestex.clock import SECOND
from bestex.messages import Side, Tif
from services.gateway import port as p
from services.gateway.venues.kis.dialect import Row
from services.gateway.venues.kis.ledger import ARRIVES_NS, DOUBT_KEPT_NS, SKEW_NS, Ledger, Note, Order
from tests.unit.gateway.kis_rows import MARKET, OPEN_NS, TIMEOUT_NS, ledger, lost, name, query, row, submit

NOW_NS = OPEN_NS + 8 * SECOND


def found(book: Ledger, child_id: str, *rows: Row, now_ns: int = NOW_NS, **more: Any) -> str | None:
    """The number that is the child's; empty where it surely has none, None where that is not certain."""
    asked = query(child_id, **more)
    book.adopt(asked, MARKET, now_ns)
    match, is_certain = book.match(asked, rows, now_ns)
    if match is not None:
        assert is_certain
        book.accepted(child_id, MARKET, Side.BUY, match.id)
        return match.id
    return "" if is_certain else None


# -- whose is it -----------------------------------------------------------------------------------------------


def test_an_order_without_an_answer_is_found_by_its_terms_and_its_time() -> None:
    book = ledger()
    lost(book, "c1")
    assert found(book, "c1", row(1)) == name(1)


@pytest.mark.parametrize(
    "other",
    [
        row(1, side=Side.SELL),
        row(1, qty=11),
        row(1, price=70_100),
        row(1, kind="11"),
        row(1, after_s=-7),
        row(1, after_s=16),
        row(1, is_cancel=True),
        row(1, of=9),
    ],
    ids=["side", "quantity", "price", "kind", "before", "after", "a cancel", "an amendment"],
)
def test_what_differs_is_another_order(other: Row) -> None:
    book = ledger()
    lost(book, "c1")
    assert found(book, "c1", other) == ""


def test_what_another_child_has_or_had_is_not_found_again() -> None:
    book = ledger()
    book.accepted("c0", MARKET, Side.BUY, name(1))
    lost(book, "c1")
    assert found(book, "c1", row(1), row(2), claimed=(name(2),)) == ""
    assert found(book, "c1", row(1), row(2), row(3), claimed=(name(2),)) == name(3)


def test_two_children_of_the_same_terms_never_have_one_order() -> None:
    book = ledger()
    lost(book, "c1")
    lost(book, "c2", OPEN_NS + SECOND)
    assert found(book, "c1", row(1)) is None
    assert found(book, "c2", row(1), submitted_ns=OPEN_NS + SECOND) is None
    settled_ns = OPEN_NS + SECOND + TIMEOUT_NS + ARRIVES_NS + SKEW_NS + SECOND
    assert found(book, "c2", row(1), submitted_ns=OPEN_NS + SECOND, now_ns=settled_ns) == "", (
        "no other one can come any more: the first one that was sent has it"
    )
    assert found(book, "c1", row(1), now_ns=settled_ns) == name(1)
    assert found(book, "c2", row(1), submitted_ns=OPEN_NS + SECOND, now_ns=settled_ns) == ""


def test_as_many_orders_as_children_are_theirs_as_they_were_sent() -> None:
    book = ledger()
    lost(book, "c2", OPEN_NS + SECOND)
    lost(book, "c1")
    rows = row(2, after_s=1), row(1)
    assert found(book, "c2", *rows, submitted_ns=OPEN_NS + SECOND) == name(2)
    assert found(book, "c1", *rows) == name(1)


def test_more_orders_than_children_prove_nothing() -> None:
    book = ledger()
    lost(book, "c1")
    for now_ns in (NOW_NS, NOW_NS + 3_600 * SECOND):
        assert found(book, "c1", row(1), row(2, after_s=1), now_ns=now_ns) is None


def test_time_alone_can_decide() -> None:
    book = ledger()
    lost(book, "c1")
    lost(book, "c2", OPEN_NS + 30 * SECOND)
    assert found(book, "c1", row(1)) == name(1), "the other one was sent later than that"
    assert found(book, "c2", row(2, after_s=31), submitted_ns=OPEN_NS + 30 * SECOND) == name(2)


def test_nothing_is_found_while_an_answer_may_still_say_whose_it_is() -> None:
    book = ledger()
    lost(book, "c1")
    book.sending(submit("c2"), MARKET, OPEN_NS + SECOND)
    assert found(book, "c1", row(1), row(2)) is None
    book.accepted("c2", MARKET, Side.BUY, name(1))
    assert found(book, "c1", row(1), row(2)) == name(2)


def test_a_refused_one_and_one_that_nobody_asks_for_are_no_rivals() -> None:
    book = ledger()
    lost(book, "gone", NOW_NS - DOUBT_KEPT_NS - SECOND)
    book.sending(submit("c2"), MARKET, OPEN_NS)
    book.refused("c2")
    lost(book, "c1")
    assert found(book, "c1", row(1)) == name(1)


def test_after_a_restart_the_questions_tell_of_all_that_are_in_doubt() -> None:
    book = ledger()
    for child_id in ("c1", "c2"):
        book.adopt(query(child_id), MARKET, NOW_NS)
    assert found(book, "c1", row(1)) is None


# -- what was traded -------------------------------------------------------------------------------------------


def order(book: Ledger) -> Order:
    return book.accepted("c1", MARKET, Side.BUY, name(1))


def say(book: Ledger, *rows: Row, now_ns: int = NOW_NS) -> list[Any]:
    known = book.order("c1")
    assert known is not None
    return list(book.say(known, book.chain(known, rows), rows, now_ns))


def trades(said: list[Any]) -> list[tuple[str, int, int]]:
    return [(one.trade_id, one.qty, one.price) for one in said if isinstance(one, p.VenueFill)]


def test_a_trade_is_what_the_sum_grew_by_under_the_number_and_the_sum() -> None:
    book = ledger()
    order(book)
    first = say(book, row(1, filled=3, amount=3 * 69_900))
    assert trades(first) == [(f"{name(1)}-3", 3, 69_900)]
    assert (first[-1].cum_qty, first[-1].qty) == (3, 10)
    assert trades(say(book, row(1, filled=3, amount=3 * 69_900))) == []
    last = say(book, row(1, filled=10, amount=3 * 69_900 + 7 * 70_000))
    assert trades(last) == [(f"{name(1)}-10", 7, 70_000)]
    assert (last[-1].how, last[-1].cum_qty) == ("filled", 10)


def test_an_amount_between_two_prices_is_split_exactly() -> None:
    book = ledger()
    order(book)
    said = say(book, row(1, filled=3, amount=2 * 70_000 + 69_900))
    assert trades(said) == [(f"{name(1)}-1", 1, 69_966), (f"{name(1)}-3", 2, 69_967)]
    assert sum(qty * price for _, qty, price in trades(said)) == 2 * 70_000 + 69_900


def test_notices_give_the_single_prices() -> None:
    book = ledger()
    order(book)
    for qty, price in ((1, 69_900), (2, 70_000)):
        assert book.noted(name(1), Note(qty, price, NOW_NS)) == "c1"
    said = say(book, row(1, filled=3, amount=69_900 + 140_000))
    assert trades(said) == [(f"{name(1)}-1", 1, 69_900), (f"{name(1)}-3", 2, 70_000)]


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ([(1, 69_900), (1, 69_900), (2, 70_000)], [(1, 69_900), (2, 70_000)]),
        ([(2, 70_000)], [(1, 69_966), (2, 69_967)]),
        ([(1, 69_900), (2, 71_000)], [(1, 69_966), (2, 69_967)]),
    ],
    ids=["one came twice", "one is missing", "one is wrong"],
)
def test_notices_are_believed_where_the_sums_agree(notes: list[Any], expected: list[Any]) -> None:
    book = ledger()
    order(book)
    for qty, price in notes:
        book.noted(name(1), Note(qty, price, NOW_NS))
    said = say(book, row(1, filled=3, amount=69_900 + 140_000))
    assert [(qty, price) for _, qty, price in trades(said)] == expected


def test_a_notice_before_the_answer_is_kept_for_its_order() -> None:
    book = ledger()
    assert book.noted(name(1), Note(3, 69_900, NOW_NS)) == ""
    assert order(book).notes == [Note(3, 69_900, NOW_NS)]


def test_after_a_restart_it_goes_on_from_what_was_counted() -> None:
    book = ledger()
    book.adopt(query("c1", venue_order_id=name(1), cum_qty=3, notional=209_700), MARKET, NOW_NS)
    assert trades(say(book, row(1, filled=5, amount=209_700 + 140_000))) == [(f"{name(1)}-5", 2, 70_000)]


def test_an_older_list_takes_nothing_back() -> None:
    book = ledger()
    order(book)
    say(book, row(1, filled=3, amount=210_000))
    [said] = say(book, row(1))
    assert isinstance(said, p.VenueUnanswered)


def test_what_the_exchange_refused_is_refused() -> None:
    book = ledger()
    order(book)
    [said] = say(book, row(1, refused=10, left=0))
    assert isinstance(said, p.VenueRejected)
    assert (said.found, said.venue_order_id) == (True, name(1))


# -- chains ----------------------------------------------------------------------------------------------------

AMENDED = row(1, filled=3, amount=210_000, left=0)


def test_an_amended_order_is_the_chain_of_its_rows() -> None:
    book = ledger()
    known = order(book)
    book.amended(known, name(2))
    said = say(book, AMENDED, row(2, of=1, qty=7, price=70_100, filled=2, amount=140_200))
    assert trades(said) == [(f"{name(1)}-5", 5, 70_040)]
    stands = said[-1]
    assert (stands.venue_order_id, stands.cum_qty, stands.qty, stands.price) == (name(2), 5, 10, 70_100)


def test_an_amendment_whose_answer_is_lost_is_found_by_the_number_that_it_names() -> None:
    book = ledger()
    order(book)
    said = say(book, AMENDED, row(2, of=1, qty=7, price=70_100))
    assert (said[-1].venue_order_id, said[-1].price) == (name(2), 70_100)
    assert book.owner(name(2)) == "c1"


def test_while_an_amendment_may_be_under_way_nothing_is_called_ended() -> None:
    book = ledger()
    known = order(book)
    known.amend_until_ns = NOW_NS + SECOND
    assert isinstance(say(book, AMENDED)[-1], p.VenueUnanswered)
    cancel = row(3, of=1, qty=7, left=0, is_cancel=True)
    assert say(book, AMENDED, cancel)[-1].how == "canceled"
    assert say(book, AMENDED, now_ns=NOW_NS + 2 * SECOND)[-1].how == "canceled"


def test_after_a_restart_trades_are_called_by_the_first_number() -> None:
    book = ledger()
    rows = AMENDED, row(2, of=1, qty=7, price=70_100, filled=2, amount=140_200)
    book.adopt(query("c1", venue_order_id=name(2), cum_qty=3, notional=210_000), MARKET, NOW_NS)
    assert isinstance(say(book, rows[1])[0], p.VenueUnanswered), "the first one's row is not there"
    assert trades(say(book, *rows)) == [(f"{name(1)}-5", 2, 70_100)]


def test_a_row_alone_is_conclusive_where_nothing_can_follow_on_it() -> None:
    book = ledger()
    known = order(book)
    for one, expected in ((row(1), True), (AMENDED, False), (row(1, filled=10, amount=1), True)):
        assert book.is_conclusive(known, [one]) is expected


def test_orders_that_end_at_once_are_looked_for_as_such() -> None:
    book = ledger()
    lost(book, "c1", tif=Tif.IOC)
    assert found(book, "c1", row(1), tif=Tif.IOC) == ""
    assert found(book, "c1", row(2, kind="11", left=0), tif=Tif.IOC) == name(2)
    assert TIMEOUT_NS < NOW_NS
