"""What a scheduler knows of dark venues: what it found itself, and what the recorder kept of all that ended."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

from bestex import codec
from bestex import messages as m
from bestex.clock import SECOND, Time
from services.scheduler.memory import TRIED_MAX, Memory
from tests.unit.scheduler.bench_core import START, Bench
from tests.unit.scheduler.test_block import BLOCK, Pools, nothing

BTC = "BTC/USDT"


def trial(number: int, venue: str = "dark_a") -> m.VenueTrial:
    return m.VenueTrial(venue, D(number), D(0))


def kept(at_s: int, *numbers: int) -> m.PoolFindings:
    return m.PoolFindings(symbol=BTC, at=Time(START + at_s * SECOND), trials=[*map(trial, numbers)])


def known(memory: Memory) -> list[int]:
    return [int(one.qty) for one in memory.tried(BTC)]


def ended(memory: Memory, parent_id: str, at_s: int) -> None:
    memory.ended(parent_id, (), BTC, START + at_s * SECOND)


def test_what_the_recorder_kept_replaces_what_had_ended_by_then_and_nothing_else() -> None:
    memory = Memory()
    for number, parent_id in enumerate(("ended", "ended since", "at work", "ended"), 1):
        memory.learn(BTC, parent_id, trial(number))
    ended(memory, "ended", 10)
    ended(memory, "ended since", 20)
    memory.hear(kept(10, 91, 1, 4))  # another scheduler's too
    assert known(memory) == [91, 1, 4, 2, 3]
    memory.hear(kept(20, 91, 1, 4, 2))
    assert known(memory) == [91, 1, 4, 2, 3]  # told twice, known once


def test_no_more_is_remembered_than_is_kept() -> None:
    memory = Memory()
    memory.learn(BTC, "at work", trial(5_000))
    memory.hear(kept(10, *range(TRIED_MAX)))
    assert known(memory) == [*range(1, TRIED_MAX), 5_000]


def fresh() -> Bench:
    """A scheduler that starts: no order at work carries anything."""
    return Bench()


def accepted(bench: Bench, parent_id: str, algo: str = "block", **params: Any) -> m.ParentAccepted:
    body = {"side": "buy", "qty": "1", "parent_id": parent_id, "params": {**BLOCK, **params}}
    facts = bench.order(body, algo=algo)
    return next(event for event in facts if isinstance(event, m.ParentAccepted))


def test_an_orders_end_says_what_its_own_slices_found_and_the_next_scheduler_learns_from_it() -> None:
    play = Pools(lambda venue: 0 if venue == "dark_a" else 10**6)
    play.order("block", qty="4", **BLOCK)
    play.to_end()
    assert play.done is not None
    dark = {one.slice_no: one for one in play.sliced(dark=True)}
    told = [
        m.VenueTrial((dark[one.slice_no].venues or [""])[0], dark[one.slice_no].qty, one.filled_qty)
        for one in play.of(m.ParentSettled)
        if one.slice_no in dark
    ]
    assert codec.from_json(codec.to_json(play.done), m.ParentDone).found == told
    assert len(told) > 1
    bench = fresh()
    assert accepted(bench, "p0").prior == []
    other = fresh()
    other.feed(m.PoolFindings(symbol=BTC, at=play.done.at, trials=told))
    assert accepted(other, "p1").prior == told
    first = [event for event in other.of(m.ParentSliced) if event.venues]
    assert {event.venues[0] for event in first} == {"dark_b"}  # nothing at first where nothing was found


def test_an_order_at_work_goes_on_by_its_own_history_whatever_is_heard() -> None:
    one, other = Pools(nothing), Pools(nothing)
    for play in (one, other):
        play.order("block", **BLOCK)
    one.until(20 * SECOND)
    other.until(10 * SECOND)
    other.bench.feed(kept(10, *range(40)))
    other.until(20 * SECOND)
    assert one.bench.facts == other.bench.facts


def test_an_order_that_was_never_in_the_dark_says_nothing_of_it() -> None:
    play = Pools(nothing)
    play.order("block", **BLOCK, venues=["sim_a"])
    play.to_end()
    assert play.done is not None
    assert play.done.found == []
