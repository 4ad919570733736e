"""The steps of a curve: which are due is found without asking for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.algos.scheduled import Steps
from services.scheduler.curve import Curve, free


@dataclass
class Wanted:
    """As much of a task as its steps look at."""

    plan: Curve
    end_ns: int
    qty: int
    lot: int
    seed: int


@given(
    count=st.integers(1, 40),
    span_ns=st.integers(40, 10_000),
    randomize=st.sampled_from([0.0, 0.2, 0.9]),
    seed=st.integers(0, 2**64 - 1),
    at=st.floats(-0.5, 1.5),
)
def test_the_window_is_that_of_counting_all_steps(
    count: int, span_ns: int, randomize: float, seed: int, at: float
) -> None:
    start_ns = 10**9
    task = Wanted(free(start_ns, start_ns + span_ns, 0, 100), start_ns + span_ns, 100, 1, seed)
    steps = Steps(task, count, randomize)  # type: ignore[arg-type]
    now_ns = start_ns + int(at * span_ns)
    times = [steps.at_ns(i) for i in range(count)]
    assert times == sorted(times)
    due = sum(one <= now_ns for one in times)
    since_ns = times[due - 1] if due else 0
    assert steps.window(now_ns) == (due, since_ns, [*times, task.end_ns][due])
