"""From events to rows, once each; and the analysis that follows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from bestex import codec, subjects
from bestex import messages as m
from bestex.audit import audit_database
from bestex.clock import HOUR, SECOND, Time
from bestex.errors import BestexError
from services.recorder import tca
from services.recorder.core import Record, RecorderCore, best_of
from services.recorder.rows import Row, Upsert
from services.recorder.store import BOOKS_KEPT_NS, BookSample, Store
from tests.unit.history import PARENT, SYMBOL, T0, at, events, records

NOW = T0 + HOUR


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "bestex.db")
    yield opened
    opened.close()


def record(store: Store, core: RecorderCore, items: list[Record]) -> int:
    """What the service does with a batch; how many were new."""
    with store:
        fresh = store.add_events(items)
        for item in fresh:
            if item.stream != subjects.ORDERS:
                message = codec.from_json(item.data, subjects.kind_of(item.subject).message)
                store.write(core.take(message), NOW)
        store.write(core.drain_sums(), NOW)
    return len(fresh)


def history() -> list[Record]:
    return [Record(*item[:5]) for item in records(events())]


TABLES = ("events", "parents", "slices", "children", "fills", "tca_due", "totals")


def contents(store: Store) -> dict[str, list[tuple[object, ...]]]:
    return {table: store.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in TABLES}


def test_every_event_and_its_rows_are_there(store: Store) -> None:
    record(store, RecorderCore(), history())
    parent = store.rows("SELECT state, cum_qty, leaves_qty, reason, qty, arrival_px FROM parents")
    assert parent == [("done", "2", "0.5", "canceled", "2.5", "100")]
    slices = store.rows("SELECT slice_no, qty, filled_qty, reason, decisions FROM slices")
    assert slices == [(1, "2", "2.0", "filled", 1), (2, "0.5", "0", "canceled", 0)]
    states = store.rows("SELECT venue, state, cum_qty FROM children ORDER BY submitting_at")
    assert states == [
        ("sim_a", "filled", "1.0"),
        ("sim_b", "expired", "0.4"),
        ("sim_a", "filled", "0.6"),
        ("sim_a", "canceled", "0"),
    ]
    assert store.rows("SELECT count(*) FROM fills") == [(4,)]
    assert store.rows("SELECT count(*) FROM events") == [(len(history()),)]


def test_a_redelivery_changes_nothing(store: Store) -> None:
    core = RecorderCore()
    assert record(store, core, history()) == len(history())
    before = contents(store)
    assert record(store, core, history()) == 0
    assert contents(store) == before


def test_the_order_among_streams_does_not_matter(store: Store, tmp_path: Path) -> None:
    record(store, RecorderCore(), history())
    other = Store(tmp_path / "other.db")
    core = RecorderCore()
    for stream in ("EXEC_sim_b", "ROUTE", "EXEC_sim_a", "SCHED", "ORDERS"):
        record(other, core, [item for item in history() if item.stream == stream])
    with other:
        # The end is due whenever a fill comes after it: here, at the latest, by the parent's own end.
        assert other.due() == store.due()
    assert contents(other) == contents(store)
    other.close()


class RefusingCore(RecorderCore):
    def drain_sums(self) -> list[Row]:
        return [Upsert("no_such_table", {"key": 1}, {})]


def test_a_batch_that_fails_leaves_nothing(store: Store) -> None:
    before = contents(store)
    with pytest.raises(sqlite3.OperationalError):
        record(store, RefusingCore(), history())
    assert contents(store) == before


def test_sums_survive_a_restart(store: Store) -> None:
    record(store, RecorderCore(), history()[:30])
    core = RecorderCore(*store.sums())
    record(store, core, history()[30:])
    whole = RecorderCore()
    for item in history():
        if item.stream != subjects.ORDERS:
            whole.take(codec.from_json(item.data, subjects.kind_of(item.subject).message))
    assert core.venues == whole.venues
    assert core.algos == whole.algos
    metrics = core.venue_metrics("sim_a", at(0))
    assert (metrics.children, metrics.fills, metrics.rejected) == (3, 3, 0)
    assert metrics.notional == D("0.6") * D("100.1") + D("0.4") * D("100.3") + D("0.6") * D("100.9")


def test_a_venue_answers_as_fast_as_its_median() -> None:
    core = RecorderCore()
    for _, _, message in events():
        core.take(message)
    # sim_a answered after 5, 5 and 5 ms; sim_b's child was unknown until it was accepted after 14.
    assert core.venue_metrics("sim_a", at(0)).ack_ms_p50 == pytest.approx(5.0)
    assert core.venue_metrics("sim_b", at(0)).ack_ms_p50 == pytest.approx(14.0)


def analysed(store: Store) -> m.TcaReport:
    ((parent_id, symbol, _),) = store.due()
    found = store.execution(parent_id, symbol)
    assert found is not None
    return tca.analyse(found[0], Time(NOW))


def test_a_parent_that_ended_is_due_and_its_analysis_counts_every_fill(store: Store) -> None:
    record(store, RecorderCore(), history())
    report = analysed(store)
    assert (report.parent_id, report.cum_qty, report.children, report.fills) == (PARENT, D(2), 4, 4)
    assert report.arrival_px == report.release_px == 100
    assert report.arrival_source == tca.MID_AT_ACCEPTANCE


def test_a_late_fill_makes_the_analysis_due_again(store: Store) -> None:
    core = RecorderCore()
    late = next(item for item in history() if ".fill.sim_b" in item.subject)
    record(store, core, [item for item in history() if item != late])
    first = analysed(store)
    with store:
        store.put_report(first)
        store.settle_due(PARENT, SYMBOL)
    assert store.unpublished() == [first]
    with store:
        store.mark_published(first)
    assert not store.unpublished()
    assert not store.due()
    record(store, core, [late])
    second = analysed(store)
    assert (first.cum_qty, second.cum_qty) == (D("1.6"), D("2.0"))


def test_sums_of_an_algorithm_follow_the_newest_analysis() -> None:
    core = RecorderCore()
    report = m.TcaReport(
        parent_id="p",
        symbol=SYMBOL,
        algo="twap",
        side=m.Side.BUY,
        at=at(0),
        qty=D(2),
        cum_qty=D(1),
        avg_px=D(100),
        arrival_px=D(100),
        arrival_slippage_bps=4.0,
        fill_rate=0.5,
    )
    core.analysed(report, None)
    again = m.TcaReport(
        **{f: getattr(report, f) for f in report.__struct_fields__}
        | {"cum_qty": D(2), "fill_rate": 1.0, "arrival_slippage_bps": 2.0}
    )
    core.analysed(again, report)
    metrics = core.algo_metrics("twap", at(0))
    assert (metrics.done, metrics.filled, metrics.fill_rate) == (1, 1, 1.0)
    assert metrics.arrival_slippage_bps == pytest.approx(2.0)


def test_the_arrival_is_looked_up_where_the_parent_has_none(store: Store) -> None:
    def forgetful(item: Record) -> Record:
        return item._replace(data=item.data.replace(b',"arrival_px":"100"', b""))

    record(store, RecorderCore(), [forgetful(item) for item in history()])
    stale = BookSample(SYMBOL, at(5) - 60 * SECOND, D(1), D(1), D(3), D(1))
    fresh = BookSample(SYMBOL, at(5) - SECOND, D(99), D(1), D(102), D(1))
    with store:
        store.add_books([stale])
    assert analysed(store).arrival_px is None
    with store:
        store.add_books([fresh])
    report = analysed(store)
    assert (report.arrival_px, report.arrival_source) == (D("100.5"), tca.MID_RECORDED)


def test_books_are_kept_for_a_while_only(store: Store) -> None:
    old = BookSample(SYMBOL, NOW - BOOKS_KEPT_NS - 1, D(1), D(1), None, None)
    new = BookSample(SYMBOL, NOW, D(1), D(1), D(2), D(1))
    with store:
        store.add_books([old, new, new])
        assert store.forget_books(NOW) == 1
    assert store.rows("SELECT at_ns, mid FROM books") == [(NOW, 1.5)]


def test_the_best_of_a_book_is_basis_adjusted_and_live() -> None:
    def column(venue: str, status: m.BookStatus, basis: int, bid: int, ask: int) -> m.VenueColumn:
        return m.VenueColumn(venue, status, basis, 0, 0, [bid], [5], [ask], [7])

    book = m.ConsolidatedBook(
        SYMBOL,
        1,
        0,
        2,
        5,
        False,
        False,
        [
            column("spot", m.BookStatus.LIVE, 0, 100, 103),
            column("perp", m.BookStatus.LIVE, 10, 111, 112),
            column("gone", m.BookStatus.STALE, 0, 150, 151),
        ],
    )
    assert best_of(book) == ((101, 5), (102, 7))
    empty = m.ConsolidatedBook(SYMBOL, 1, 0, 2, 5, False, False, [])
    assert best_of(empty) == (None, None)


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(BestexError, match="version 99"):
        Store(path)


def test_the_audit_reads_the_database(store: Store, tmp_path: Path) -> None:
    core = RecorderCore()
    record(store, core, history())
    report = audit_database(tmp_path / "bestex.db", complete=True)
    assert report.ok, report.text()
    assert report.checked["messages"] == len(history())


def test_events_of_users_are_kept_as_they_were_written(store: Store) -> None:
    raw: Any = b"{not json"
    item = Record("ORDERS", 1, "bestex.v1.order.new.twap.BTC-USDT", T0, raw)
    record(store, RecorderCore(), [item])
    assert store.rows("SELECT data FROM events") == [(raw,)]
    assert store.last_seqs() == {"ORDERS": 1}
