"""A tape is read as it was written, and a core that decides otherwise than its tape is found out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bestex import codec, subjects
from bestex import config as configuration
from bestex import messages as m
from bestex.clock import MS, SECOND, Time
from bestex.core import Fact, RawOrder, Recovered, Wakeup
from bestex.errors import Code, RecordingError
from bestex.messages import BookStatus
from bestex.tape import Header, Kind, Tape, decode_bus, read, retrace, retrace_tape, tape_path
from services.scheduler.algos.market import Market
from services.scheduler.core import SchedulerCore
from services.scheduler.service import build

NOW = 1_750_000_000 * SECOND
BTC = "BTC/USDT"
ORDER = b'{"side": "buy", "qty": "1", "parent_id": "p1"}'


def book() -> m.ConsolidatedBook:
    column = m.VenueColumn(
        "sim_a", BookStatus.LIVE, 0, NOW, NOW, [60_000_00], [100_000], [60_001_00], [100_000]
    )
    return m.ConsolidatedBook(BTC, 1, NOW, 2, 5, False, False, [column])


def write(path: Path) -> list[Fact]:
    """A scheduler's tape: a journal applied, a book, an order, its first slice. The facts decided."""
    config = configuration.load(None, {})
    core = build(config, ()).core
    header = Header(service="scheduler", names=(), config=codec.to_json(config).decode(), version="1")
    tape = Tape(path, header)
    facts: list[Fact] = []

    def decide(message: Any, now_ns: int) -> None:
        for out in core.decide(message, now_ns):
            if isinstance(out, Fact):
                core.apply(out.event)
                tape.decided(out, now_ns)
                facts.append(out)

    before = m.ParentRejected(
        symbol=BTC,
        parent_id="p0",
        at=Time(NOW),
        cum_qty=Decimal(0),
        leaves_qty=Decimal(0),
        avg_px=None,
        code=Code.MALFORMED,
        text="no",
        order_seq=1,
    )
    subject = subjects.parent(BTC, "p0", "rejected")
    tape.applied(subject, codec.to_json(before))
    core.apply(before)
    tape.local(Recovered(), NOW)
    decide(Recovered(), NOW)
    tape.heard(subjects.book(BTC), codec.to_msgpack(book()), 0, NOW + MS)
    decide(book(), NOW + MS)
    order = subjects.order("new", "market", BTC)
    tape.heard(order, ORDER, 2, NOW + 2 * MS)
    decide(RawOrder(order, ORDER, 2), NOW + 2 * MS)
    tape.local(Wakeup("p1"), NOW + 3 * MS)
    decide(Wakeup("p1"), NOW + 3 * MS)
    tape.close()
    return facts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scheduler-all.1.tape"


def test_a_tape_is_read_as_it_was_written(path: Path) -> None:
    facts = write(path)
    header, records = read(path)
    found = list(records)
    assert (header.service, header.names) == ("scheduler", ())
    assert codec.from_json(header.config.encode(), configuration.Config) == configuration.load(None, {})
    expected = [Kind.APPLY, Kind.LOCAL, Kind.BUS, Kind.BUS, Kind.FACT, Kind.LOCAL, Kind.FACT]
    assert [record.kind for record in found] == expected
    assert [record.now_ns - NOW for record in found] == [-NOW, 0, MS, 2 * MS, 2 * MS, 3 * MS, 3 * MS]
    assert (found[3].name, found[3].data, found[3].seq) == (subjects.order("new", "market", BTC), ORDER, 2)
    assert [(record.name, record.data) for record in found if record.kind is Kind.FACT] == [
        (fact.subject, codec.to_json(fact.event)) for fact in facts
    ]


def test_the_same_core_decides_the_same(path: Path) -> None:
    write(path)
    [outcome] = retrace(path.parent)
    assert outcome.identical, outcome.difference
    assert (outcome.tape, outcome.service) == (path.name, "scheduler")
    assert (outcome.inputs, outcome.facts) == (4, 2)
    assert str(outcome).endswith("identical")


def test_two_tapes_of_the_same_inputs_have_the_same_digest(path: Path, tmp_path: Path) -> None:
    write(path)
    write(other := tmp_path / "other.tape")
    assert retrace_tape(path).digest == retrace_tape(other).digest != ""


def test_a_core_that_decides_something_else_is_a_difference(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path)
    decide = Market.decide

    def more_cautious(self: Market, task: Any, now_ns: int) -> Any:
        return dataclasses.replace(decide(self, task, now_ns), qty=task.unsent // 2)

    monkeypatch.setattr(Market, "decide", more_cautious)
    outcome = retrace_tape(path)
    assert not outcome.identical
    assert "fact 2 after input 4" in outcome.difference
    assert '"qty":"1"' in outcome.difference
    assert '"qty":"0.5"' in outcome.difference
    assert "DIFFERS" in str(outcome)


def test_a_core_that_decides_less_is_a_difference(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path)
    monkeypatch.setattr("services.scheduler.working.Working.look", lambda *_: [])
    assert "retracing gives nothing" in retrace_tape(path).difference


def test_a_core_that_decides_more_is_a_difference(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path)
    order = SchedulerCore._order
    monkeypatch.setattr(SchedulerCore, "_order", lambda self, raw, now_ns: 2 * order(self, raw, now_ns))
    monkeypatch.setattr(SchedulerCore, "apply", lambda *_: [])
    assert "retracing also gives" in retrace_tape(path).difference


def whole_records(path: Path) -> Iterator[int]:
    """Where each record of the tape ends."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        at += 4 + int.from_bytes(data[at : at + 4], "big")
        yield at


def test_a_tape_cut_anywhere_is_read_up_to_its_last_whole_record(path: Path) -> None:
    write(path)
    data, ends = path.read_bytes(), list(whole_records(path))
    assert ends[-1] == len(data)
    for length in range(ends[0], len(data)):
        path.write_bytes(data[:length])
        whole = sum(end <= length for end in ends)
        assert len(list(read(path)[1])) == whole - 1, "the header is one of them"
        assert retrace_tape(path).identical, "what was decided last may be missing"


@pytest.mark.parametrize("data", [b"", b"no tape at all", b"\x00\x00\x00\x02\xc1\xc1"])
def test_what_is_no_tape_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(RecordingError):
        retrace_tape(path)


def test_a_tape_of_another_format_is_refused(path: Path) -> None:
    Tape(path, Header(service="scheduler", names=(), config="{}", version="1", format="old")).close()
    with pytest.raises(RecordingError, match="format old"):
        read(path)


def test_a_record_that_cannot_be_decoded_is_damage_and_not_an_end(path: Path) -> None:
    write(path)
    data, ends = bytearray(path.read_bytes()), list(whole_records(path))
    data[ends[1] + 4] = 0xC1  # no MessagePack type begins so
    path.write_bytes(data)
    with pytest.raises(RecordingError, match="damaged"):
        retrace_tape(path)


def test_a_halt_that_cannot_be_read_halts_its_scope_and_breaks_nobody() -> None:
    for data in (b"halt!", b'{"scope":"global"}', b"[" * 100_000):
        halt = decode_bus("bestex.v1.control.halt.global", data, 1)
        assert (halt.scope, halt.halted, halt.at) == ("global", True, 0)


def test_each_process_has_a_tape_of_its_own(tmp_path: Path) -> None:
    service = build(configuration.load(None, {}), ())
    first, second = tape_path(str(tmp_path), service, 1), tape_path(str(tmp_path), service, 2)
    assert first != second
    assert first.name.startswith("scheduler-all.1.")
