"""What holds for every algorithm: it goes on exactly after being killed at any event, and its sums are exact.

A market that wanders, thins out, empties and trades in bursts; a router that fills a part, or nothing; users who
pause, resume and change their minds. The twin is killed at a random event, and reads the journal: from then on it
decides the very same events as the one that lived.
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bestex import codec, plugins
from bestex import messages as m
from bestex.clock import MS, SECOND
from tests.unit.scheduler.bench_core import START
from tests.unit.scheduler.examples import EXAMPLES
from tests.unit.scheduler.play import Moment, Play, all_of_it, size, usually
from tests.unit.scheduler.volume_days import before, smile, until

CASES = [(algo, i) for algo, examples in EXAMPLES.items() for i in range(len(examples))]
SECONDS = 130  # beyond the end of every example
# Three days of a market about as busy as the one below, and the last one until now.
VOLUMES = (*before(START, 3, lambda place: 8 * smile(place)), until(START, 12.0))


def test_every_algorithm_stands_here() -> None:
    assert EXAMPLES.keys() == plugins.ALGOS.keys()


def wandering(seed: int) -> list[Moment]:
    """One moment for each quarter of a second."""
    draw, usual = random.Random(seed), random.Random(seed + 3)
    bid, traded, found = 59_999_00, 0, []
    for _ in range(4 * (SECONDS + 10)):
        bid += draw.choice((-500, -100, 0, 0, 0, 100, 500))
        traded += draw.choice((0, 0, 500, 2_000, 20_000))
        empty = draw.random() < 0.02
        found.append(
            Moment(
                bid=bid,
                ask=None if empty else bid + _spread(usual.random(), draw.choice((1_00, 2_00, 10_00))),
                bid_qty=draw.choice((1_000, 50_000, 10**7)),
                ask_qty=draw.choice((1_000, 50_000, 10**7)),
                traded=traded,
                volatility_bps=draw.choice((None, 0.0, 0.5, 3.0, 300.0)),
                extra=usually(
                    spread_bps=usual.choice((None, 0.2, 1.0)),
                    depth=usual.choice((None, "0.05", "30")),
                    hidden_share=usual.choice((None, 0.4)),
                ),
            )
        )
    return found


def _spread(chance: float, common: int) -> int:
    """Now and then venues' books lock or cross each other, before the aggregator's next word or for longer."""
    return -3_00 if chance < 0.03 else 0 if chance < 0.06 else common


def filling(seed: int) -> Any:
    """By the slice's number alone, so that both twins are filled alike."""

    def fill(sliced: m.ParentSliced, moment: Moment) -> int | None:
        share = random.Random(seed * 1_000 + sliced.slice_no).choice((0, 0.3, 1, 1))
        whole = all_of_it(sliced, moment)
        return whole if not whole else int(size(sliced) * share) // 10 * 10

    return fill


def asks(seed: int) -> dict[int, tuple[str, dict[str, Any]]]:
    """What the user asks, by the second."""
    draw = random.Random(seed + 7)
    found: dict[int, tuple[str, dict[str, Any]]] = {}
    if draw.random() < 0.4:
        begin = draw.randrange(5, 60)
        found[begin], found[begin + draw.randrange(1, 30)] = ("pause", {}), ("resume", {})
    if draw.random() < 0.4:
        found[draw.randrange(5, 95)] = ("modify", {"qty": draw.choice(("0.7", "1.5"))})
    if draw.random() < 0.2:
        found[draw.randrange(60, 95)] = ("cancel", {})
    return found


def played(algo: str, example: dict[str, Any], seed: int, kill_after: int | None) -> Play:
    moments = wandering(seed)
    step_ns = 250 * MS
    play = Play(lambda at_ns: moments[at_ns // step_ns], filling(seed), step_ns=step_ns, volumes=VOLUMES)
    side = "buy" if seed % 2 else "sell"
    play.order(algo, side=side, **example)
    wishes = asks(seed)
    for second in range(1, SECONDS):
        play.until(second * SECOND)
        if second in wishes:
            verb, body = wishes[second]
            play.request(verb, **body)
        if kill_after is not None and len(play.facts) > kill_after:
            play, kill_after = play.killed(), None
    return play


@pytest.mark.parametrize(("algo", "i"), CASES)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
def test_it_goes_on_exactly_after_being_killed_at_any_event(
    algo: str, i: int, seed: int, share: float
) -> None:
    example = EXAMPLES[algo][i]
    lived = played(algo, example, seed, None)
    twin = played(algo, example, seed, int(share * len(lived.facts)))
    assert list(map(codec.to_json, twin.facts)) == list(map(codec.to_json, lived.facts))
    exact(lived)


def exact(play: Play) -> None:
    """Every sum is that of the events before it; nothing is sent that is not left; all of it ends with a reason."""
    wanted = filled = Decimal(0)
    slices = 0
    open_: dict[int, Decimal] = {}
    for event in play.facts:
        match event:
            case m.ParentAccepted() | m.ParentModified():
                wanted = event.order.qty
            case m.ParentSliced():
                slices += 1
                assert event.slice_no == slices
                open_[event.slice_no] = event.qty
                assert filled + sum(open_.values()) <= wanted
            case m.ParentSettled():
                del open_[event.slice_no]
                filled += event.filled_qty
        if not isinstance(event, m.ParentRejected):
            assert event.cum_qty == filled
            assert event.leaves_qty == max(wanted, filled + sum(open_.values())) - filled
    assert play.done is None or (not open_ and play.done.reason)
