"""The whole pipeline on virtual time: repeatable to the last byte, sums exact, promises kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bestex import config as configuration
from bestex import messages as m
from bestex.clock import MS, SECOND, Time
from bestex.errors import Code, ConfigError, UsageError
from services.backtester.session import VirtualSession
from tests.unit.backtester import recorded

ROOT = Path(__file__).resolve().parents[3]
BTC = "BTC/USDT"


def order(qty: str, algo: str = "twap", side: str = "buy", **more: Any) -> m.ParentOrder:
    params = {"duration": "20s", "interval": "4s"} if algo == "twap" else {}
    return m.ParentOrder(
        symbol=BTC,
        side=m.Side(side),
        qty=Decimal(qty),
        algo=algo,
        **{"params": params, **more},
    )


def on_model(seed: int = 1) -> VirtualSession:
    return VirtualSession(configuration.load(None, {}), seed=seed)


def on_recording(path: Path, seed: int = 1) -> VirtualSession:
    return VirtualSession.on_recordings([path], path.parent, seed=seed)


def worked(session: VirtualSession) -> VirtualSession:
    """A few parents from the third second on, all ended."""
    start_ns = session.now_ns + 3 * SECOND
    session.submit(order("2"), start_ns)
    session.submit(order("0.7", "market", "sell"), start_ns + SECOND)
    last = session.submit(order("1", side="sell"), start_ns)
    session.cancel(last, start_ns + 6 * SECOND)
    assert session.finish(start_ns + 40 * SECOND)
    return session


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded.write(tmp_path_factory.mktemp("recording") / "made.rec")


def check(session: VirtualSession) -> None:
    """Every parent's fills sum to what it says of itself, and the audit finds nothing."""
    for stored in session.events("parent.*.*.done"):
        done = stored.message
        fills = [fill for fill in session.fills() if fill.parent_id == done.parent_id]
        assert sum((fill.qty for fill in fills), Decimal(0)) == done.cum_qty
        assert sum((fill.qty * fill.price for fill in fills), Decimal(0)) == done.notional
        assert sum((fill.fee for fill in fills), Decimal(0)) == done.fees
    report = session.audit(complete=True)
    assert report.ok, report.text()


def test_parents_on_the_market_model_end_with_exact_sums_and_no_anomaly() -> None:
    session = worked(on_model())
    reasons = [stored.message.reason for stored in session.events("parent.*.*.done")]
    assert {Code.FILLED, Code.CANCELED} <= set(reasons)
    assert len({fill.venue for fill in session.fills()}) > 1
    check(session)


def test_parents_on_a_recording_trade_on_spot_and_perp_across_their_basis(recording: Path) -> None:
    session = on_recording(recording)
    session.submit(order("7", "market"), session.now_ns + 2 * SECOND)
    worked(session)
    assert {fill.venue for fill in session.fills()} == {"binance_spot", "binance_perp"}
    check(session)


@pytest.mark.parametrize("where", ["model", "recording"])
def test_the_same_parents_and_seed_give_the_same_messages_in_any_process(where: str, recording: Path) -> None:
    def make(seed: int) -> VirtualSession:
        return on_model(seed) if where == "model" else on_recording(recording, seed)

    session = worked(make(1))
    assert worked(make(1)).digest() == session.digest()
    assert worked(make(2)).digest() != session.digest()
    program = (
        "from pathlib import Path; from tests.unit.backtester import test_session as t; "
        f"s = t.on_model(1) if {where!r} == 'model' else t.on_recording(Path({str(recording)!r}), 1); "
        "print(t.worked(s).digest())"
    )
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "4711",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}",
    }
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == session.digest(), run.stderr


def test_what_our_orders_took_does_not_come_back_until_the_feed_shows_it(recording: Path) -> None:
    session = on_recording(recording)
    offered: list[tuple[int, int]] = []

    def hear(_: str, message: object) -> None:
        if isinstance(message, m.VenueBook) and message.venue == "binance_spot":
            offered.append((session.now_ns, message.ask_qty[0] if message.ask_px[0] == 60_000_50 else 0))

    session.world.listeners.append(hear)
    start_ns = session.now_ns
    session.submit(order("0.4", "market", venues=["binance_spot"]), start_ns + 3 * SECOND)
    session.run(start_ns + 20 * SECOND)
    assert {qty for at_ns, qty in offered if at_ns < start_ns + 3 * SECOND} == {recorded.SIZE}
    after = {qty for at_ns, qty in offered if at_ns > start_ns + 4 * SECOND}
    assert after == {recorded.SIZE - 40_000}, "the feed says nothing new of this level"


@pytest.mark.parametrize("name", ["router", "scheduler", "gateway", "aggregator", "collector"])
@pytest.mark.parametrize("moment_ms", [3_000, 7_004])
def test_a_service_that_crashes_amid_the_orders_costs_no_promise(name: str, moment_ms: int) -> None:
    session = on_model(seed=moment_ms)
    start_ns = session.now_ns + 3 * SECOND
    for number in range(8):
        session.submit(order("0.5", side="sell" if number % 2 else "buy"), start_ns)
    session.crash(name, start_ns - 3 * SECOND + moment_ms * MS + 2 * MS)
    assert session.finish(start_ns + 120 * SECOND)
    check(session)
    assert session.fills()


def test_pause_resume_modify_and_halt_reach_the_services() -> None:
    session = on_model()
    start_ns = session.now_ns + 3 * SECOND
    session.submit(order("1"), start_ns)
    session.pause("p1", start_ns + 5 * SECOND)
    session.resume("p1", start_ns + 8 * SECOND)
    session.modify("p1", m.ModifyOrder(qty=Decimal("1.5")), start_ns + 9 * SECOND)
    halt = m.Halt(scope="global", halted=True, reason="test", by="me", at=Time(start_ns + 15 * SECOND))
    session.halt(halt, start_ns + 15 * SECOND)
    assert session.finish(start_ns + 60 * SECOND)
    verbs = [stored.subject.rpartition(".")[2] for stored in session.events("parent.*.p1.*")]
    assert {"paused", "resumed", "modified", "done"} <= set(verbs)
    assert not [fill for fill in session.fills() if fill.at > start_ns + 16 * SECOND]
    (done,) = session.events("parent.*.p1.done")
    assert (done.message.reason, "global" in done.message.text) == (Code.HALTED, True)
    check(session)


@pytest.mark.parametrize("scope", ["global", "algo-twap", "account-default", "parent-p1"])
def test_a_halted_parent_sends_nothing_and_goes_on_when_it_may(scope: str) -> None:
    session = on_model()
    start_ns = session.now_ns + 3 * SECOND
    session.submit(order("1"), start_ns)
    halted_ns, may_ns = start_ns + 5 * SECOND, start_ns + 12 * SECOND
    for at_ns, halted in ((halted_ns, True), (may_ns, False)):
        session.halt(m.Halt(scope=scope, halted=halted, reason="test", by="me", at=Time(at_ns)), at_ns)
    assert session.finish(start_ns + 60 * SECOND)
    # What was on its way when the halt was heard comes back; after that nobody even tries.
    written = [s.subject for s in session.world.stored if halted_ns + SECOND < s.at_ns < may_ns]
    assert written == []
    assert [fill for fill in session.fills() if fill.at > may_ns]
    check(session)


def test_a_halted_venue_is_left_out_and_used_again() -> None:
    session = on_model()
    start_ns = session.now_ns + 3 * SECOND
    session.submit(order("1"), start_ns)
    may_ns = start_ns + 12 * SECOND
    for venue in ("sim_a", "sim_b", "sim_c"):
        for at_ns, halted in ((start_ns, True), (may_ns, False)):
            halt = m.Halt(scope=f"venue-{venue}", halted=halted, reason="", by="me", at=Time(at_ns))
            session.halt(halt, at_ns)
    assert session.finish(start_ns + 60 * SECOND)
    early = {fill.venue for fill in session.fills() if fill.at < may_ns}
    assert early == {"sim_d"}
    assert {fill.venue for fill in session.fills()} > early
    check(session)


@pytest.mark.parametrize(
    ("algo", "more"),
    [("market", {}), ("limit", {"limit_price": Decimal("60500"), "params": {"tif": "ioc"}})],
)
def test_an_order_that_is_enlarged_while_it_works_is_worked_to_its_new_size(
    algo: str, more: dict[str, Any]
) -> None:
    session = on_model()
    start_ns = session.now_ns + 3 * SECOND
    session.submit(order("0.01", algo, **more), start_ns)
    session.modify("p1", m.ModifyOrder(qty=Decimal("0.02")), start_ns + MS)
    assert session.finish(start_ns + 60 * SECOND)
    [done] = [stored.message for stored in session.events("parent.*.p1.done")]
    assert (done.reason, done.cum_qty) == (Code.FILLED, Decimal("0.02"))
    check(session)


def test_an_order_that_rests_is_taken_back_at_its_end() -> None:
    session = on_model()
    start_ns = session.now_ns + 3 * SECOND
    resting = order("0.3", "limit", limit_price=Decimal("59000"), params={"duration": "10s"})
    session.submit(resting, start_ns)
    assert session.finish(start_ns + 60 * SECOND)
    [done] = [stored.message for stored in session.events("parent.*.p1.done")]
    assert done.cum_qty == 0
    assert session.events("exec.*.*.*.canceled")
    check(session)


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda: on_model().cancel("nobody"), UsageError),
        (
            lambda: VirtualSession(configuration.load(None, {}), recordings={"nasdaq": ["a.rec"]}),
            ConfigError,
        ),
    ],
)
def test_a_mistake_is_named(act: Callable[[], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        act()
