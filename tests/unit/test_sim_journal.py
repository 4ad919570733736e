"""A simulated venue's journal on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from bestex.errors import ConfigError, RecordingError
from bestex.sim_journal import JournalWriter, read_journal
from bestex.sim_wire import JournalEntry


def entry(seq: int) -> JournalEntry:
    return JournalEntry(seq=seq, at_ns=seq, venue="sim_a")


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "exchange" / "sim_a.jsonl"
    for seq in (1, 3):
        with JournalWriter(path) as journal:
            journal.append([entry(seq), entry(seq + 1)])
    assert list(read_journal(path)) == [entry(seq) for seq in (1, 2, 3, 4)]


def test_a_torn_last_line_is_not_read_and_cut_off_by_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "sim_a.jsonl"
    with JournalWriter(path) as journal:
        journal.append([entry(1), entry(2)])
    path.write_bytes(path.read_bytes()[:-3])
    assert list(read_journal(path)) == [entry(1)]
    with JournalWriter(path) as journal:
        journal.append([entry(2)])
    assert list(read_journal(path)) == [entry(1), entry(2)]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sim_a.jsonl"
    path.write_text("{}\n")
    with pytest.raises(RecordingError, match="line 1"):
        list(read_journal(path))


def test_two_writers_cannot_have_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "sim_a.jsonl"
    with JournalWriter(path), pytest.raises(ConfigError, match="another exchange process"):
        JournalWriter(path)
