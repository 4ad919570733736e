"""What is cut out of a recording is what was there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bestex import config as configuration
from bestex import messages as m
from bestex.clock import MS, SECOND
from bestex.errors import ConfigError, RecordingError, UsageError
from bestex.recording import RecordingWriter, open_recording
from services.backtester.lab import windows as w
from services.backtester.session import VirtualSession
from tests.unit.backtester.lab import moving

Heard = dict[tuple[str, str], list[tuple[int, list[list[int]]]]]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("moving") / "moving.rec"
    return moving.write(path, markets=(moving.SPOT, moving.PERP))


def span(begin_s: float, end_s: float) -> w.Span:
    return w.Span(moving.START_NS + int(begin_s * SECOND), moving.START_NS + int(end_s * SECOND))


def heard(
    dataset: w.Dataset, files: dict[str, list[str]], begin_ns: int, from_ns: int, until_ns: int
) -> Heard:
    """Each venue's books and trades from a time on, as its exchange showed them."""
    found: Heard = {}
    session = VirtualSession(configuration.parse(dataset.config_text), start_ns=begin_ns, recordings=files)

    def hear(_: str, message: Any) -> None:
        if isinstance(message, m.VenueBook | m.MarketTrade) and session.now_ns >= from_ns:
            if isinstance(message, m.VenueBook):
                told = [message.bid_px, message.bid_qty, message.ask_px, message.ask_qty]
            else:
                told = [[message.price, message.qty, message.aggressor]]
            found.setdefault((message.venue, message.symbol), []).append((session.now_ns, told))

    session.world.listeners.append(hear)
    session.run(until_ns)
    return found


def test_a_session_on_a_window_sees_what_one_on_the_whole_recording_sees(
    recording: Path, tmp_path: Path
) -> None:
    dataset = w.prepare([recording], tmp_path)
    whole = {venue: [str(recording)] for venue, _ in (moving.SPOT, moving.PERP)}
    wanted = span(20.05, 40)
    [window] = w.windows(dataset, [wanted])
    assert window.files.keys() == whole.keys()
    # A book is repeated where nothing happens, at times that depend on the start: two steps later all is alike.
    from_ns = wanted.begin_ns + 200 * MS
    cut = heard(dataset, window.files, wanted.begin_ns, from_ns, wanted.end_ns)
    full = heard(
        dataset, whole, wanted.begin_ns - wanted.begin_ns % SECOND - 20 * SECOND, from_ns, wanted.end_ns
    )
    assert cut.keys() == full.keys() == {moving.SPOT, moving.PERP}
    for market, told in full.items():
        assert len(told) > 200
        assert [what for _, what in cut[market]] == [what for _, what in told]


def test_a_window_holds_nothing_from_before_or_after_it(recording: Path, tmp_path: Path) -> None:
    dataset = w.prepare([recording], tmp_path)
    wanted = span(10, 12)
    [window] = w.windows(dataset, [wanted])
    for files in window.files.values():
        events = list(open_recording(*files))
        assert {event.recv_ns >= wanted.begin_ns for event in events} == {True}
        assert events[0].recv_ns == wanted.begin_ns
        assert events[-1].recv_ns <= wanted.end_ns


def test_windows_are_cut_once_and_found_again(recording: Path, tmp_path: Path) -> None:
    dataset = w.prepare([recording], tmp_path)
    first = w.windows(dataset, [span(5, 10), span(5, 20), span(30, 40)])
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.rec")}
    assert len(made) == 6, "three windows of two venues"
    again = w.windows(w.prepare([recording], tmp_path), [span(30, 40), span(5, 10), span(5, 20)])
    assert again == [first[2], first[0], first[1]]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.rec")} == made
    assert not list(tmp_path.rglob("*.part"))


def test_windows_that_nobody_used_for_long_are_removed(recording: Path, tmp_path: Path) -> None:
    dataset = w.prepare([recording], tmp_path)
    [old], [used] = w.windows(dataset, [span(5, 10)]), w.windows(dataset, [span(30, 40)])
    for window in (old, used):
        for path in window.files[moving.SPOT[0]]:
            os.utime(Path(path).parent, (0, 0))
    assert w.windows(dataset, [span(30, 40)]) == [used]
    assert [path.name for path in tmp_path.glob("windows/*/*")] == [f"{used.begin_ns}-{used.end_ns}"]
    assert w.windows(dataset, [span(5, 10)]) == [old], "and cut again"


def test_more_windows_than_may_be_open_at_once_are_cut_in_several_passes(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = w.prepare([recording], tmp_path)
    spans = [span(5 + second, 15 + second) for second in range(5)]
    together = w.windows(dataset, spans)
    apart = replace(dataset, cache_dir=str(tmp_path / "other"))
    monkeypatch.setattr(w, "OPEN_MAX", 2)
    for one, other in zip(together, w.windows(apart, spans), strict=True):
        for venue, files in one.files.items():
            assert list(open_recording(*files)) == list(open_recording(*other.files[venue]))


def test_files_of_two_scales_continue_each_other_at_the_finer_one(recording: Path, tmp_path: Path) -> None:
    """A venue that got a finer tick overnight."""
    finer = tmp_path / "finer.rec"
    with RecordingWriter(finer, "made up") as out:
        for event in open_recording(recording):
            if event.venue == moving.SPOT[0]:
                stream = w.streams_by(open_recording(recording).streams)[moving.SPOT]
                as_finer = replace(stream, price_scale=3, qty_scale=6)
                shifted = w._at(event, as_finer)
                out.write(replace(shifted, recv_ns=event.recv_ns + 60 * SECOND))
    dataset = w.prepare([recording, finer], tmp_path / "cache")
    [window] = w.windows(dataset, [span(30, 90)])
    events = [event for event in open_recording(*window.files[moving.SPOT[0]]) if hasattr(event, "bids")]
    assert {(event.price_scale, event.qty_scale) for event in events} == {(3, 6)}
    best = {
        max(price for price, qty in event.bids if qty) // 1000
        for event in events
        if any(q for _, q in event.bids)
    }
    assert all(59_000 < price < 61_000 for price in best)
    assert configuration.parse(dataset.config_text).instruments["BTC/USDT"].price_scale == 3


@pytest.mark.parametrize("wrong", [(-1.0, 5.0), (5.0, 5.0), (50.0, 61.0)])
def test_a_window_outside_of_the_recording_is_refused(
    wrong: tuple[float, float], recording: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="not within what was recorded"):
        w.windows(w.prepare([recording], tmp_path), [span(*wrong)])


def test_the_data_are_named_by_what_is_in_them(recording: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "moving.rec"
    copy.parent.mkdir()
    copy.write_bytes(recording.read_bytes())
    one, other = w.prepare([recording], tmp_path), w.prepare([copy], tmp_path)
    assert (one.key, one.sha256) == (other.key, other.sha256)
    moving.write(tmp_path / "other.rec", seed=2)
    assert w.prepare([tmp_path / "other.rec"], tmp_path).key != one.key


def test_a_file_that_is_no_recording_or_a_configuration_that_is_none_is_named(
    recording: Path, tmp_path: Path
) -> None:
    (tmp_path / "no.rec").write_text("nothing")
    with pytest.raises(RecordingError):
        w.prepare([tmp_path / "no.rec"], tmp_path)
    with pytest.raises(RecordingError, match=r"absent\.rec"):
        w.prepare([tmp_path / "absent.rec"], tmp_path)
    with pytest.raises(RecordingError):
        w.prepare([], tmp_path)
    with pytest.raises(ConfigError):
        w.prepare([recording], tmp_path, "[venues.binance_spot]\nadapter = 3\n")
