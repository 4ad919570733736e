"""The exchange around its pure core: the journal is ahead of every answer, or the process ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from bestex import sim_wire as w
from bestex.clock import HOUR, AffineClock
from bestex.config import Config, parse
from bestex.errors import ConfigError
from bestex.messages import Side
from bestex.sim_journal import journal_path, read_journal
from services.exchange.shell import Exchange

BTC = "BTC/USDT"
ORDER = w.Submit(venue="sim_a", symbol=BTC, client_id="c1", side=Side.BUY, qty=10, price=100)


def config(folder: Path) -> Config:
    return parse(
        f"""
        data_dir = "{folder}"
        [venues.sim_a]
        [instruments."BTC/USDT"]
        price_scale = 2
        qty_scale = 5
        venues.sim_a = {{ tick = "0.01", lot = "0.00001" }}
        [exchange]
        latency = "0s"
        """
    )


def make(folder: Path, clock: AffineClock | None = None) -> Exchange:
    """Without a market: only what is requested happens."""
    logger: Any = structlog.get_logger()
    return Exchange(config(folder), clock or AffineClock(), logger, make_backgrounds=lambda *_: [])


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    made = make(tmp_path)
    made.start()
    yield made
    for journal in made._journals.values():
        journal.close()


def test_a_request_is_in_the_journal_when_it_is_answered(exchange: Exchange, tmp_path: Path) -> None:
    answer = exchange.handle(ORDER)
    *_, last = read_journal(journal_path(tmp_path, "sim_a"))
    assert isinstance(last, w.JournalEntry)
    assert last.request == ORDER
    assert last.orders == answer.orders


def test_after_a_write_that_failed_nothing_is_answered_any_more(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Any) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(exchange._journals["sim_a"], "append", full)
        with pytest.raises(OSError, match="no space"):
            exchange.handle(ORDER)
    with pytest.raises(RuntimeError, match="has failed"):
        exchange.handle(ORDER)
    with pytest.raises(RuntimeError, match="failed midway"):
        exchange.tick()


async def test_a_journal_from_the_future_of_the_clock_is_refused(tmp_path: Path) -> None:
    ahead = make(tmp_path, AffineClock(origin_ns=HOUR, wall_origin_ns=0))
    ahead.start()
    ahead.handle(ORDER)
    await ahead.stop()
    with pytest.raises(ConfigError, match="future"):
        make(tmp_path).start()
