"""Nothing that decides sees the future; what does is found."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bestex import messages as m
from bestex.cli.main import run
from bestex.clock import SECOND
from bestex.config import Config
from bestex.core import Wake, Wakeup
from bestex.depth import DepthBook
from bestex.errors import UsageError
from bestex.feed import DepthUpdate
from bestex.messages import MarketTrade
from bestex.recording import open_recording
from bestex.service import Service
from services.backtester import session as sessions
from services.backtester.lab.lookahead import LookedAhead, check, other_future
from services.backtester.session import VirtualSession
from tests.unit.backtester import recorded

MOMENT_NS = recorded.START_NS + 9 * SECOND + 1


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded.write(tmp_path_factory.mktemp("lookahead") / "made.rec", 20)


def make(paths: Sequence[Path]) -> VirtualSession:
    session = VirtualSession.on_recordings(paths, paths[0].parent, seed=1)
    params = {"duration": "12s", "interval": "2s"}
    order = m.ParentOrder(symbol="BTC/USDT", side=m.Side.BUY, qty=Decimal(2), algo="twap", params=params)
    session.submit(order, session.now_ns + 3 * SECOND)
    return session


def test_the_live_cores_decide_the_same_whatever_the_future_is(recording: Path, tmp_path: Path) -> None:
    moments = [MOMENT_NS, MOMENT_NS + 4 * SECOND]
    found = check([recording], make, moments, tmp_path)
    assert found.ok, found
    assert all(one.messages > 300 for one in found.checks)
    assert not list(tmp_path.iterdir()), "the other futures are gone"


class Peeking:
    """A scheduler's core with a hand on something that it must not see: it waits while less will be offered."""

    def __init__(self, core: Any, shrinks: Callable[[int], bool]) -> None:
        self._core, self._shrinks = core, shrinks

    def decide(self, message: Any, now_ns: int) -> Any:
        if isinstance(message, Wakeup) and self._shrinks(now_ns):
            return [Wake(message.key, now_ns + SECOND // 2)]
        return self._core.decide(message, now_ns)

    def apply(self, event: Any) -> Any:
        return self._core.apply(event)


def planted(monkeypatch: pytest.MonkeyPatch, shrinks: Callable[[Config], Callable[[int], bool]]) -> None:
    honest = sessions.BUILDERS["scheduler"]

    def build(config: Config, names: tuple[str, ...]) -> Service:
        service = honest(config, names)
        return replace(service, core=Peeking(service.core, shrinks(config)))

    monkeypatch.setitem(sessions.BUILDERS, "scheduler", build)


def offered(config: Config) -> list[tuple[int, int]]:
    """The whole recording's, read from its file: what nobody can know yet."""
    files = {path for paths in config.exchange.recordings.values() for path in paths}
    book, found = DepthBook(), []
    for event in open_recording(*files):
        if isinstance(event, DepthUpdate) and event.venue == "binance_spot":
            (book.replace if event.snapshot else book.apply)(event.bids, event.asks)
            assert book.best_ask is not None
            found.append((event.recv_ns, book.best_ask[1]))
    return found


def small(known: list[tuple[int, int]], now_ns: int) -> bool:
    """Whether less will be offered within five seconds than now: in the other future it is."""
    return min(size for at_ns, size in known if at_ns > now_ns) < recorded.SIZE


def test_a_core_that_opens_the_recording_is_caught_in_the_act(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, lambda config: lambda now_ns: small(offered(config), now_ns))
    with pytest.raises(LookedAhead, match=r"Peeking has opened .* while it decided"):
        check([recording], make, [MOMENT_NS], tmp_path)


def test_a_core_that_knew_the_future_before_it_began_decides_otherwise(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shrinks(config: Config) -> Callable[[int], bool]:
        known = offered(config)  # read when it is built, where nobody watches
        return lambda now_ns: small(known, now_ns)

    planted(monkeypatch, shrinks)
    [found] = check([recording], make, [MOMENT_NS], tmp_path).checks
    assert "with another future" in found.difference


def test_the_other_future_is_the_same_past_and_a_market_turned_over(recording: Path, tmp_path: Path) -> None:
    altered = other_future(recording, tmp_path / "other.rec", MOMENT_NS)
    one, other = list(open_recording(recording)), list(open_recording(altered))
    before = [event for event in one if event.recv_ns < MOMENT_NS]
    assert other[: len(before)] == before
    assert other[len(before) :] != one[len(before) :]
    books: dict[str, DepthBook] = {}
    for event in other:
        if isinstance(event, DepthUpdate):
            book = books.setdefault(event.venue, DepthBook())
            (book.replace if event.snapshot else book.apply)(event.bids, event.asks)
            assert not book.is_crossed
    after = [event for event in other[len(before) :] if isinstance(event, MarketTrade)]
    assert {event.aggressor for event in after} == {-1}, "in the first future all buy"
    best = books["binance_spot"].best_ask
    assert best == (recorded.MIDS[recorded.SPOT] + 50, recorded.SIZE * 7 // 10)


def test_the_other_future_of_a_real_evening_is_a_market(data_dir: Path, tmp_path: Path) -> None:
    from bestex.recording import convert

    path = tmp_path / "real.rec"
    convert([data_dir / "binance" / "spot_btcusdt_20240808.gz"], path)
    start_ns = open_recording(path).start_ns
    altered = other_future(path, tmp_path / "other.rec", start_ns + 60 * SECOND)
    book, moved = DepthBook(), set()
    for event in open_recording(altered):
        if isinstance(event, DepthUpdate):
            (book.replace if event.snapshot else book.apply)(event.bids, event.asks)
            assert not book.is_crossed
            moved.add(book.best_ask)
    assert len(moved) > 100


def test_a_time_outside_of_the_recording_is_a_mistake(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the future cannot begin"):
        check([recording], make, [recorded.START_NS], tmp_path)


def test_the_command_says_what_it_compared(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESTEX__DATA_DIR", str(tmp_path))
    orders = tmp_path / "orders.json"
    order = {"symbol": "BTC/USDT", "side": "buy", "qty": "1", "algo": "market"}
    orders.write_text(json.dumps([{"after": "3s", "order": order}]))
    arguments = ["lab", "lookahead", str(orders), str(recording), "--times", "1"]
    assert run([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"]
    assert (told["seed"], list(told["data"])) == (1, [recording.name])
    assert told["checks"][0]["messages"] > 100
    assert run([*arguments, "--times", "0"]) == 2
    assert run(["lab", "lookahead", str(orders)]) == 2
    assert run(["lab", "lookahead", "nowhere.json", str(recording)]) == 2
    orders.write_text("[]")
    assert run(arguments) == 2
