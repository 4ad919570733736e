"""The budget of a venue, over random schedules of several processes on one clock."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from bestex.budget_queue import CEILINGS, FAIR, NEVER_NS, Ask, Kind, Queue, Rate, RateBudget, Row
from bestex.clock import MS, SECOND

ADDRESS = RateBudget(scope="address", weight=20, window_ns=SECOND)
ORDERS = RateBudget(scope="orders", weight=10, window_ns=SECOND // 2)
BUDGETS = (ADDRESS, ORDERS)
CHARGES = {
    Kind.CANCEL: {"address": 1.0},
    Kind.QUERY: {"address": 2.0},
    Kind.NEW: {"address": 1.0, "orders": 1.0},
}


@dataclass(frozen=True)
class Arrival:
    at_ns: int
    process: int
    kind: Kind
    patience_ns: int


def schedule(seed: int, count: int, cancels: float) -> list[Arrival]:
    """More than the budget lets pass, in bursts; `cancels` is the share of those who may take all of it."""
    chance = random.Random(seed)
    bursts = [chance.randrange(3_000) * MS for _ in range(8)]
    return [
        Arrival(
            at_ns=chance.choice([*bursts, chance.randrange(3_000) * MS]) + chance.randrange(3) * MS,
            process=chance.randrange(4),
            kind=Kind.CANCEL if chance.random() < cancels else chance.choice([Kind.QUERY, Kind.NEW]),
            patience_ns=chance.choice([0, 50 * MS, SECOND, NEVER_NS, NEVER_NS]),
        )
        for _ in range(count)
    ]


ARRIVALS = st.builds(schedule, st.integers(0, 1 << 32), st.integers(1, 200), st.sampled_from([0.1, 0.5, 0.9]))


class World:
    """Processes with a queue each, and one set of counts."""

    def __init__(self, processes: int = 4) -> None:
        self.rates = [Rate(budget, 1.0, Row()) for budget in BUDGETS]
        self.queues = [Queue() for _ in range(processes)]
        self.granted: list[tuple[int, Ask]] = []
        self.refused: list[tuple[int, Ask]] = []

    def run(self, arrivals: list[Arrival], shut: tuple[int, int] | None = None) -> None:
        events: list[tuple[int, int, int, Arrival | None]] = []
        for number, one in enumerate(arrivals):
            heapq.heappush(events, (one.at_ns, number, one.process, one))
        count = len(arrivals)
        while events:
            now_ns, _, process, arrival = heapq.heappop(events)
            if shut and now_ns >= shut[0]:
                self.rates[0].row.closed_until_ns = shut[1]
            queue = self.queues[process]
            if arrival is not None:
                deadline_ns = min(now_ns + arrival.patience_ns, NEVER_NS)
                assert queue.offer(Ask(arrival.kind, CHARGES[arrival.kind], deadline_ns))
            turn = queue.turn(self.rates, now_ns)
            self.granted += [(now_ns, ask) for ask in turn.granted]
            self.refused += [(now_ns, ask) for ask, _ in turn.refused]
            if turn.wake_ns and turn.wake_ns < NEVER_NS:
                count += 1
                assert turn.wake_ns > now_ns, "it would spin"
                heapq.heappush(events, (turn.wake_ns, count, process, None))


@settings(max_examples=200, deadline=None)
@given(ARRIVALS)
def test_no_window_ever_holds_more_than_the_budget(arrivals: list[Arrival]) -> None:
    world = World()
    world.run(arrivals)
    for budget in BUDGETS:
        spent = [(at, ask.charges[budget.scope]) for at, ask in world.granted if budget.scope in ask.charges]
        for start_ns, _ in spent:
            window_ns = budget.window_ns * 21 // 20  # what was sent may travel with different speed
            assert sum(w for at, w in spent if start_ns <= at < start_ns + window_ns) <= budget.weight


@settings(max_examples=200, deadline=None)
@given(ARRIVALS)
def test_whoever_has_time_is_served_and_nobody_after_his_time(arrivals: list[Arrival]) -> None:
    world = World()
    world.run(arrivals)
    assert all(at <= ask.deadline_ns for at, ask in world.granted)
    assert all(ask.deadline_ns < NEVER_NS for _, ask in world.refused)
    assert len(world.granted) + len(world.refused) == len(arrivals)


@settings(max_examples=100, deadline=None)
@given(ARRIVALS)
def test_what_is_left_for_others_is_left(arrivals: list[Arrival]) -> None:
    """New orders and questions of all processes leave a cancel its share."""
    world = World()
    world.run([one for one in arrivals if one.kind is not Kind.CANCEL])
    spent = [(at, ask.charges["address"]) for at, ask in world.granted]
    for start_ns, _ in spent:
        used = sum(w for at, w in spent if start_ns <= at < start_ns + ADDRESS.window_ns)
        assert used <= ADDRESS.weight * CEILINGS[Kind.QUERY]


@settings(max_examples=100, deadline=None)
@given(ARRIVALS, st.integers(0, 2_000), st.integers(1, 2_000))
def test_nothing_passes_while_the_venue_has_shut(arrivals: list[Arrival], at_ms: int, for_ms: int) -> None:
    begin_ns, end_ns = at_ms * MS, (at_ms + for_ms) * MS
    world = World()
    world.run(arrivals, (begin_ns, end_ns))
    assert not [at for at, _ in world.granted if begin_ns <= at < end_ns]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(Kind), min_size=1, max_size=60))
def test_a_cancel_goes_before_all_and_a_question_before_new_orders(kinds: list[Kind]) -> None:
    """All came while the venue was shut; when it opens, they go in their order."""
    queue, rates = Queue(), [Rate(RateBudget(scope="all", weight=1_000, window_ns=SECOND), 1.0)]
    for kind in kinds:
        queue.offer(Ask(kind, {"all": 1.0}, NEVER_NS))
    went = [ask.kind for ask in queue.turn(rates, SECOND).granted]
    assert sorted(went) == sorted(kinds)
    cancels = kinds.count(Kind.CANCEL)
    assert went[:cancels] == [Kind.CANCEL] * cancels
    rest, questions = went[cancels:], 0
    for place, kind in enumerate(rest):
        if kind is Kind.QUERY:
            questions += 1
        elif Kind.QUERY in rest[place:]:
            assert questions >= FAIR, "a new order went before a question"
            questions = 0


def test_new_orders_are_not_starved_by_questions_without_end() -> None:
    queue, rates = Queue(), [Rate(RateBudget(scope="all", weight=10, window_ns=SECOND), 1.0)]
    new = Ask(Kind.NEW, {"all": 1.0}, NEVER_NS)
    queue.offer(new)
    now_ns = SECOND
    for _ in range(10_000):
        while len(queue.waiting[Kind.QUERY]) < 50:
            queue.offer(Ask(Kind.QUERY, {"all": 1.0}, NEVER_NS))
        turn = queue.turn(rates, now_ns)
        if new in turn.granted:
            assert now_ns < 10 * SECOND
            return
        now_ns = turn.wake_ns
    raise AssertionError("it never went")


def test_who_waits_is_not_overtaken_by_smaller_ones_that_want_the_same() -> None:
    queue, rate = Queue(), Rate(RateBudget(scope="all", weight=10, window_ns=SECOND), 1.0)
    for number in range(8):
        rate.spend(1.0, SECOND + number * 50 * MS)
    large = Ask(Kind.CANCEL, {"all": 5.0}, NEVER_NS)
    small = Ask(Kind.QUERY, {"all": 1.0}, NEVER_NS)
    queue.offer(small)
    queue.offer(large)
    went, now_ns = [], SECOND + 500 * MS
    while len(queue):
        turn = queue.turn([rate], now_ns)
        went += turn.granted
        now_ns = turn.wake_ns
    assert went == [large, small]
