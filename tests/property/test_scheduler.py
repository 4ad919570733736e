"""A scheduler that was killed at any event continues exactly as one that was not."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import Code
from tests.unit.scheduler.bench_core import START, Bench

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 20)),
        st.tuples(st.just("settle"), st.integers(0, 100)),
        st.tuples(st.just("pause"), st.just(0)),
        st.tuples(st.just("resume"), st.just(0)),
        st.tuples(st.just("cancel"), st.just(0)),
        st.tuples(st.just("modify"), st.integers(1, 200)),
    ),
    max_size=25,
)
BODY: dict[str, Any] = {"side": "buy", "qty": "1", "parent_id": "p1"}


def act(bench: Bench, action: tuple[str, int]) -> None:
    verb, amount = action
    if verb == "wait":
        bench.advance(bench.now_ns + amount * SECOND)
    elif verb == "settle":
        settled = {event.slice_no for event in bench.of(m.ParentSettled)}
        for sliced in [event for event in bench.of(m.ParentSliced) if event.slice_no not in settled][:1]:
            units = int(sliced.qty * 10**5) * amount // 100
            reason = Code.FILLED if amount == 100 else Code.NO_LIQUIDITY
            bench.settle(sliced, str(units / 10**5), reason)
    elif verb == "modify":
        bench.request("modify", "p1", qty=str(amount / 100))
    else:
        bench.request(verb, "p1")


@settings(max_examples=150, deadline=None)
@given(before=ACTIONS, after=ACTIONS, seed=st.integers(0, 99))
def test_a_restart_at_any_event_continues_the_same_schedule(
    before: list[tuple[str, int]], after: list[tuple[str, int]], seed: int
) -> None:
    bench = Bench()
    body = {**BODY, "parent_id": "p1", "note": str(seed), "params": {"duration": "100s", "interval": "7s"}}
    bench.order(body)
    for action in before:
        act(bench, action)
    other = bench.recovered()
    other.advance(other.now_ns)
    for action in after:
        act(bench, action)
        act(other, action)
    assert other.facts == bench.facts


@settings(max_examples=150, deadline=None)
@given(actions=ACTIONS)
def test_filled_and_working_never_exceed_the_order_and_sums_are_exact(actions: list[tuple[str, int]]) -> None:
    bench = Bench()
    bench.order({**BODY, "params": {"duration": "100s", "interval": "7s"}})
    for action in actions:
        act(bench, action)
    open_qty: dict[int, Any] = {}
    qty = bench.of(m.ParentAccepted)[0].order.qty
    cum = type(qty)(0)
    for event in bench.facts:
        if isinstance(event, m.ParentModified):
            qty = event.order.qty
        elif isinstance(event, m.ParentSliced):
            open_qty[event.slice_no] = event.qty
        elif isinstance(event, m.ParentSettled):
            del open_qty[event.slice_no]
            cum += event.filled_qty
        if isinstance(event, m.ParentRejected):
            continue
        committed = cum + sum(open_qty.values())
        if isinstance(event, m.ParentSliced):
            assert committed <= qty
        # What went out before less was wanted is still to be reckoned with, until it has come back.
        assert (event.cum_qty, event.leaves_qty) == (cum, max(qty, committed) - cum)
    assert bench.now_ns >= START
