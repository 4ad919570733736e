"""What orders found in the dark is kept by symbol, the newest of it, and published until the bus has it."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path

from bestex import codec, subjects
from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import Code
from services.recorder import pools
from services.recorder.core import RecorderCore
from services.recorder.pools import KEPT, Pools
from services.recorder.rows import Upsert
from services.recorder.store import Store

START = 1_700_000_000 * SECOND
BTC = "BTC/USDT"


def done(number: int, *found: m.VenueTrial, symbol: str = BTC, at_s: int | None = None) -> m.ParentDone:
    return m.ParentDone(
        symbol=symbol, parent_id=f"p{number}", at=Time(START + (number if at_s is None else at_s) * SECOND),
        cum_qty=D(0), leaves_qty=D(1), avg_px=None, reason=Code.COMPLETED, notional=D(0), fees=D(0),
        found=list(found),
    )  # fmt: skip


def trial(number: int, venue: str = "dark_a") -> m.VenueTrial:
    return m.VenueTrial(venue, D(number), D(0))


def kept(rows: list[Upsert]) -> m.PoolFindings:
    (row,) = rows
    return codec.from_json(str(row.values["findings"]).encode(), m.PoolFindings)


def test_the_findings_of_orders_follow_each_other_by_symbol() -> None:
    known = Pools()
    assert kept(known.take(done(1, trial(1), trial(2)))).trials == [trial(1), trial(2)]
    assert known.take(done(2)) == []
    assert kept(known.take(done(3, trial(9), symbol="ETH/USDT"))).trials == [trial(9)]
    assert kept(known.take(done(4, trial(3)))).trials == [trial(1), trial(2), trial(3)]


def test_only_the_newest_are_kept() -> None:
    known = Pools()
    for number in range(KEPT + 20):
        rows = known.take(done(number, trial(number)))
    assert [one.qty for one in kept(rows).trials] == list(range(20, KEPT + 20))


def test_an_order_that_is_told_of_late_does_not_set_the_time_back() -> None:
    known = Pools()
    known.take(done(1, trial(1), at_s=50))
    assert kept(known.take(done(2, trial(2), at_s=40))).at == START + 50 * SECOND


def test_they_outlive_the_recorder_and_go_on(tmp_path: Path) -> None:
    store = Store(tmp_path / "bestex.db")
    with store:
        store.write(RecorderCore().take(done(1, trial(1))), START)
    store.close()
    again = Store(tmp_path / "bestex.db")
    core = RecorderCore(*again.sums(), Pools(again.pools()))
    with again:
        again.write(core.take(done(2, trial(2))), START)
    assert [one.trials for one in again.pools()] == [[trial(1), trial(2)]]


def test_what_is_published_is_not_published_again_before_it_is_about_to_be_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path / "bestex.db")
    first = m.PoolFindings(symbol=BTC, at=Time(START), trials=[trial(1)])
    with store:
        store.write([pools.row(first)], START)
    assert store.pools(START) == [first]
    with store:
        store.mark_pools(first, START)
    assert (store.pools(START), store.pools(START + 1)) == ([], [first])
    newer = m.PoolFindings(symbol=BTC, at=Time(START), trials=[trial(2)])
    with store:
        store.write([pools.row(newer)], START)
        store.mark_pools(first, START)
    assert store.pools(START) == [newer]


def test_a_database_of_before_gets_its_table(tmp_path: Path) -> None:
    store = Store(tmp_path / "bestex.db")
    with store:
        store._db.execute("DROP TABLE pools")
    store.close()
    assert Store(tmp_path / "bestex.db").pools() == []


def test_they_have_a_subject_of_their_own() -> None:
    findings = m.PoolFindings(symbol=BTC, at=Time(START), trials=[])
    assert pools.subject(findings) == "bestex.v1.metrics.pools.BTC-USDT"
    assert subjects.kind_of(pools.subject(findings)).message is m.PoolFindings
