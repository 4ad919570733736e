"""An algorithm that fails at any of its decisions, killed at any event: the twin goes on exactly, and nobody is asked
more often than its user says."""

from __future__ import annotations

import random
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from bestex import codec, plugins
from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import Code
from tests.property.test_algos import exact
from tests.unit.scheduler.faulty import FAULTY, WRONG
from tests.unit.scheduler.play import Play, all_of_it, size

SECONDS = 70
ALGOS = {**plugins.ALGOS, FAULTY: "tests.unit.scheduler.faulty:Faulty"}


def played(seed: int, fails_at: int, wrong: str, kill_after: int | None) -> Play:
    """A user who now and then lets it go on, as it is or with the bug elsewhere; a router that fills a part."""
    draw = random.Random(seed)
    asks = {
        draw.randrange(1, SECONDS): draw.choice(("resume", "resume", "modify", "pause")) for _ in range(8)
    }

    def fill(sliced: m.ParentSliced, moment: Any) -> int | None:
        share = random.Random(seed * 1_000 + sliced.slice_no).choice((None, 0, 0.5, 1))
        whole = all_of_it(sliced, moment)
        return None if share is None or whole is None else int(size(sliced) * share) // 10 * 10

    play = Play(fill=fill, delay_ns=seed % 3 * SECOND // 2)
    play.bench.expects = True
    play.order(FAULTY, "1", duration="60s", fails_at=fails_at, wrong=wrong)
    for second in range(1, SECONDS):
        play.until(second * SECOND)
        if second in asks:
            body = {"params": {"fails_at": fails_at + second % 3}} if asks[second] == "modify" else {}
            play.request(asks[second], **body)
        if kill_after is not None and len(play.facts) > kill_after:
            play, kill_after = play.killed(), None
            play.bench.expects = True
    return play


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    fails_at=st.integers(1, 12),
    wrong=st.sampled_from(["", "", "", *WRONG]),
    share=st.floats(0, 1),
)
def test_an_algorithm_that_fails_at_any_decision_is_resumed_exactly(
    seed: int, fails_at: int, wrong: str, share: float
) -> None:
    with mock.patch.dict(plugins.ALGOS, ALGOS):
        lived = played(seed, fails_at, wrong, None)
        twin = played(seed, fails_at, wrong, int(share * len(lived.facts)))
    assert list(map(codec.to_json, twin.facts)) == list(map(codec.to_json, lived.facts))
    exact(lived)
    failures = [event for event in lived.of(m.ParentPaused) if event.code is Code.ALGO_FAILED]
    assert len(lived.bench.alarms) == len(failures) <= 1 + len(lived.of(m.ParentResumed))
