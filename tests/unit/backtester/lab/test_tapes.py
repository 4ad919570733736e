"""What a service decided, decided again by the lab's runtime from its tape."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from bestex import codec, tape
from bestex import config as configuration
from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import UsageError
from services.backtester.lab.tapes import TapeWriter, relive
from services.backtester.session import BUILDERS, VirtualSession

LENGTH_BYTES = 4


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of every service, over two parents and a cancel."""
    folder = tmp_path_factory.mktemp("tapes")
    session = VirtualSession(configuration.load(None, {}), seed=3)
    writers = [
        TapeWriter(folder / f"{name}.tape", session.service(name), session.config, session.world)
        for name in BUILDERS
    ]
    start_ns = session.now_ns + 3 * SECOND
    for side in m.Side:
        params = {"duration": "6s", "interval": "2s"}
        order = m.ParentOrder(symbol="BTC/USDT", side=side, qty=Decimal(1), algo="twap", params=params)
        last = session.submit(order, start_ns)
    session.cancel(last, start_ns + 3 * SECOND)
    assert session.finish(start_ns + 30 * SECOND)
    for writer in writers:
        writer.close()
    return folder


@pytest.mark.parametrize("name", BUILDERS)
def test_the_lab_decides_what_the_tape_says_one_by_one(tapes: Path, name: str) -> None:
    relived = relive(tapes / f"{name}.tape")
    assert relived.identical, relived.difference
    assert relived.events > 3
    assert (relived.stored > 3) is (name in ("scheduler", "router", "gateway"))
    retraced = tape.retrace_tape(tapes / f"{name}.tape")
    assert retraced.identical, retraced.difference
    assert retraced.facts + retraced.emitted == relived.events


def test_an_input_less_is_a_difference(tapes: Path, tmp_path: Path) -> None:
    data = (tapes / "scheduler.tape").read_bytes()
    records, at = [], 0
    while at < len(data):
        end = at + LENGTH_BYTES + int.from_bytes(data[at : at + LENGTH_BYTES], "big")
        records.append(data[at:end])
        at = end
    found = [codec.from_msgpack(record[LENGTH_BYTES:], tape.Record) for record in records]
    decided = next(number for number, record in enumerate(found) if record.kind is tape.Kind.FACT)
    assert found[decided - 1].name.endswith(":RawOrder")
    shorter = tmp_path / "shorter.tape"
    shorter.write_bytes(b"".join(record for n, record in enumerate(records) if n != decided - 1))
    assert "the tape has" in relive(shorter).difference


def test_a_service_that_no_backtest_runs_is_refused(tapes: Path, tmp_path: Path) -> None:
    header, _ = tape.read(tapes / "router.tape")
    path = tmp_path / "recorder.tape"
    tape.Tape(path, msgspec.structs.replace(header, service="recorder")).close()
    with pytest.raises(UsageError, match="no part of a backtest"):
        relive(path)
