"""The gate: waiting, refusing, closing; and the file that processes share."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import struct
import time
from pathlib import Path
from typing import IO

import pytest

from bestex.budget import Gate, Kind, RateBudget
from bestex.budget_file import _HEAD, _SIZE, ROWS, BudgetFile
from bestex.budget_queue import KEPT, NEVER_NS
from bestex.clock import MS, SECOND
from bestex.errors import ConfigError
from tests.waiting import until

TEN = RateBudget(scope="account", weight=10, window_ns=SECOND)
HOUR = RateBudget(scope="account", weight=10, window_ns=3_600 * SECOND)


def gate(path: Path, *rates: RateBudget, **more: object) -> Gate:
    return Gate(BudgetFile(path / "venue.budget"), rates or (TEN,), owner="me", **more)  # type: ignore[arg-type]


def soon(ns: int = 5 * SECOND) -> int:
    return time.time_ns() + ns


async def drain(one: Gate, kind: Kind = Kind.CANCEL) -> int:
    """How many pass at once."""
    count = 0
    while not await one.take(kind, 1, soon()):
        count += 1
    return count


async def test_each_kind_leaves_a_share_for_those_before_it(tmp_path: Path) -> None:
    one = gate(tmp_path, HOUR)
    assert await drain(one, Kind.NEW) == 8
    assert await drain(one, Kind.QUERY) == 1
    assert await drain(one, Kind.CANCEL) == 1
    assert await drain(one, Kind.CANCEL) == 0


async def test_a_cancel_behind_a_hundred_queued_orders_leaves_at_once(tmp_path: Path) -> None:
    one = gate(tmp_path)
    orders = [asyncio.create_task(one.take(Kind.NEW, 1, soon(20 * SECOND))) for _ in range(100)]
    await asyncio.sleep(0)
    with pytest.raises(StopIteration) as passed:  # it does not wait even once
        one.take(Kind.CANCEL, 1, soon()).send(None)
    assert passed.value.value == ""
    assert sum(order.done() for order in orders) <= 8
    for order in orders:
        order.cancel()
    await asyncio.gather(*orders, return_exceptions=True)
    assert not one._answers
    assert not len(one._queue), "who is cancelled waits no more"


async def test_who_could_only_go_after_its_time_is_told_so_at_once(tmp_path: Path) -> None:
    one = gate(tmp_path, HOUR)
    await drain(one, Kind.NEW)
    why = await one.take(Kind.NEW, 1, soon(60 * SECOND))
    assert "after its time" in why
    assert await one.take(Kind.NEW, 1, time.time_ns() - 1) == "its time has passed"
    assert "never" in await one.take(Kind.NEW, 9, soon(60 * SECOND))


async def test_a_venue_that_shuts_is_left_alone_by_all_processes_until_it_opens(tmp_path: Path) -> None:
    one, other = gate(tmp_path), gate(tmp_path)
    one.shut(["account"], SECOND)
    assert "after its time" in await other.take(Kind.CANCEL, 1, soon(250 * MS))
    begin_ns = time.monotonic_ns()
    assert not await other.take(Kind.CANCEL, 1, soon())
    assert time.monotonic_ns() - begin_ns > SECOND // 4
    one.shut(["account"], NEVER_NS)
    assert other.shut_for_ns() > 3_600 * SECOND
    waiting = asyncio.create_task(other.take(Kind.NEW, 1, soon(4 * 86_400 * SECOND)))
    await asyncio.sleep(0)
    other.reopen()
    assert await waiting == ""


async def test_only_what_the_venue_shut_is_shut(tmp_path: Path) -> None:
    rates = (TEN, RateBudget(scope="orders", weight=10, window_ns=SECOND))
    one = gate(tmp_path, *rates)
    one.shut(["orders"], 3_600 * SECOND)
    assert await one.take(Kind.NEW, {"account": 1, "orders": 1}, soon())
    assert not await one.take(Kind.CANCEL, {"account": 1}, soon())


async def test_accounts_share_what_is_counted_by_address_and_nothing_else(tmp_path: Path) -> None:
    rates = (HOUR, RateBudget(scope="address", weight=15, window_ns=3_600 * SECOND))
    file = tmp_path / "venue.budget"
    mine, yours = (Gate(BudgetFile(file), rates, owner=name) for name in ("me", "you"))
    assert await drain(mine) == 10
    assert await drain(yours) == 5


async def test_a_share_of_the_limits_is_all_that_a_machine_takes(tmp_path: Path) -> None:
    assert await drain(gate(tmp_path, HOUR, share=0.5)) == 5
    with pytest.raises(ConfigError, match="lets nothing pass"):
        gate(tmp_path, HOUR, share=0.1)


async def test_an_unknown_scope_is_a_mistake_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="orders"):
        await gate(tmp_path).take(Kind.NEW, {"orders": 1}, soon())


# -- the file ----------------------------------------------------------------------------------------------------


async def test_a_row_that_was_half_written_counts_as_spent(tmp_path: Path) -> None:
    assert not await gate(tmp_path, HOUR).take(Kind.NEW, 1, soon())
    with (tmp_path / "venue.budget").open("r+b") as file:
        file.seek(_HEAD.size + 60)
        file.write(b"\xff\xff\xff")
    assert await drain(gate(tmp_path, HOUR)) == 0


async def test_a_file_of_something_else_closes_for_a_while(tmp_path: Path) -> None:
    (tmp_path / "venue.budget").write_bytes(b"no such file" * 10)
    one = gate(tmp_path)
    assert await one.take(Kind.CANCEL, 1, soon())
    assert 50 * SECOND < one.shut_for_ns() <= 60 * SECOND


async def test_what_was_spent_before_a_restart_of_the_machine_is_spent_now(tmp_path: Path) -> None:
    file = tmp_path / "venue.budget"
    before = Gate(BudgetFile(file, "first"), (HOUR,), monotonic_ns=lambda: 10**18)
    for _ in range(7):
        assert not await before.take(Kind.NEW, 1, soon())
    after = Gate(BudgetFile(file, "second"), (HOUR,), monotonic_ns=lambda: SECOND)
    assert await drain(after) == 3


async def test_more_accounts_than_there_is_place_for_are_refused_until_one_is_over(tmp_path: Path) -> None:
    now_ns = 1_000 * SECOND
    file = BudgetFile(tmp_path / "venue.budget")
    for number in range(ROWS):
        one = Gate(file, (TEN,), owner=str(number), monotonic_ns=lambda: now_ns)
        assert not await one.take(Kind.NEW, 1, soon())
    last = Gate(file, (TEN,), owner="last", monotonic_ns=lambda: now_ns)
    assert await last.take(Kind.NEW, 1, soon())
    now_ns += 10 * SECOND
    assert not await last.take(Kind.NEW, 1, soon())
    assert (tmp_path / "venue.budget").stat().st_size == _HEAD.size + ROWS * _SIZE
    assert struct.calcsize(f"{KEPT}d") < _SIZE


async def test_one_that_holds_the_lock_and_stands_still_holds_up_no_cancel(tmp_path: Path) -> None:
    one, holder = gate(tmp_path, HOUR), BudgetFile(tmp_path / "venue.budget")
    assert holder.lock()
    new = asyncio.create_task(one.take(Kind.NEW, 1, soon(200 * MS)))
    assert not await one.take(Kind.CANCEL, 1, soon())
    assert "another process" in await new
    holder.unlock()
    await until(lambda: not one._uncounted)
    assert await drain(one) == 9, "what passed uncounted is counted later"


# -- real processes ----------------------------------------------------------------------------------------------

WINDOW_NS = 200 * MS
SHARED = RateBudget(scope="account", weight=20, window_ns=WINDOW_NS)


def _worker(path: str, count: int, out: str) -> None:
    async def run(file: IO[bytes]) -> None:
        one = Gate(BudgetFile(Path(path)), (SHARED,), owner="me")
        for number in range(count):
            kind = Kind(number % 3)
            if not await one.take(kind, 1, time.time_ns() + 30 * SECOND):
                file.write(struct.pack("<q", time.monotonic_ns()))

    with Path(out).open("wb", buffering=0) as file:
        asyncio.run(run(file))


def test_processes_together_stay_within_the_budget_though_some_are_killed(tmp_path: Path) -> None:
    path = str(tmp_path / "venue.budget")
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_worker, args=(path, 60 if place < 3 else 100_000, str(tmp_path / f"{place}")))
        for place in range(5)
    ]
    for worker in workers:
        worker.start()
    deadline_s = time.monotonic() + 30
    while any(not (tmp_path / str(place)).exists() for place in range(5)):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    time.sleep(2 * WINDOW_NS / SECOND)  # all of them at work
    for worker in workers[3:]:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
    for worker in workers:
        worker.join(60)
        assert not worker.is_alive()
    taken: list[int] = []
    for place in range(5):
        data = (tmp_path / str(place)).read_bytes()
        mine = [at for (at,) in struct.iter_unpack("<q", data[: len(data) // 8 * 8])]
        taken += mine
        if place < 3:
            assert len(mine) == 60, "who is not killed is served"
    taken.sort()
    most = max(sum(1 for at in taken if start <= at < start + WINDOW_NS * 9 // 10) for start in taken)
    assert most <= SHARED.weight  # a tenth for the time between the grant and its note
    rate = len(taken) / ((taken[-1] - taken[0]) / SECOND)
    print(f"{rate:.0f} a second of the 100 that are allowed, {most} at most in a window of {SHARED.weight:g}")
