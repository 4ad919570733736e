"""What is asked of every algorithm alike: its plan is kept, its sums are exact, and whatever happens, it ends.

`pytest -s tests/unit/scheduler/test_every_algorithm.py` prints the figures as a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest

from bestex import messages as m
from bestex import plugins
from bestex.clock import SECOND
from bestex.errors import Code
from tests.property.test_algos import exact
from tests.unit.scheduler.examples import EXAMPLES
from tests.unit.scheduler.play import Fill, Moment, Play, Script, all_of_it, size, steady

CASES = [(algo, i) for algo, examples in EXAMPLES.items() for i in range(len(examples))]
END_S = 100_000
each = pytest.mark.parametrize(("algo", "i"), CASES)


def played(
    algo: str,
    i: int,
    script: Script | None = None,
    fill: Fill = all_of_it,
    meanwhile: Callable[[Play], None] | None = None,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Play:
    """The example's whole life, with `more` over its terms. `meanwhile`: called before every second of it."""
    play = Play(script or steady(), fill)
    accepted, *_ = play.order(algo, **{**EXAMPLES[algo][i], **more})
    assert isinstance(accepted, m.ParentAccepted), accepted
    while play.done is None:
        assert play.at_ns < END_S * SECOND, "every order ends"
        if meanwhile is not None:
            meanwhile(play)
        play.until(play.at_ns + SECOND)
    exact(play)
    return play


def at_second(second: int, act: Callable[[Play], Any]) -> Callable[[Play], None]:
    def meanwhile(play: Play) -> None:
        if play.at_ns == second * SECOND:
            act(play)

    return meanwhile


def filled(play: Play) -> int:
    assert play.done is not None
    return int(play.done.cum_qty.scaleb(5))


@each
def test_what_is_sent_stays_within_the_bounds_of_its_plan(algo: str, i: int) -> None:
    play = played(algo, i)
    done = play.done
    assert done is not None
    print(
        f"\n{algo:10} {i}  {len(play.sizes):4} slices, largest {max(play.sizes, default=0) / 1000:6.2f} %, "
        f"filled {filled(play) / 1000:6.2f} %, beyond its plan {play.beyond_plan() / 1000:.3f} %, {done.reason}"
    )
    assert play.beyond_plan() <= 1
    assert filled(play) <= 100_000


@each
def test_every_plan_is_stored_with_its_bounds(algo: str, i: int) -> None:
    play = played(algo, i)
    accepted = play.of(m.ParentAccepted)[0]
    assert accepted.schedule
    for event in play.facts:
        for point in getattr(event, "schedule", []):
            assert point.low <= point.qty <= point.high
    last = accepted.schedule[-1]
    assert last.qty == 1


@each
def test_a_pause_sends_nothing_and_a_resume_brings_no_burst(algo: str, i: int) -> None:
    def meanwhile(play: Play) -> None:
        if play.at_ns == 30 * SECOND:
            play.request("pause")
        elif play.at_ns == 60 * SECOND:
            play.request("resume")

    whole = played(algo, i)
    play = played(algo, i, meanwhile=meanwhile)
    if not play.of(m.ParentPaused):
        assert play.done is not None
        assert play.done.at <= whole.of(m.ParentAccepted)[0].at + 31 * SECOND
        return
    paused, resumed = play.of(m.ParentPaused)[0], play.of(m.ParentResumed)[0]
    assert not [s for s in play.of(m.ParentSliced) if paused.at < s.at < resumed.at]


@each
@pytest.mark.parametrize("qty", ["0.5", "2"])
def test_a_modify_up_or_down_is_the_new_whole(algo: str, i: int, qty: str) -> None:
    def change(play: Play) -> None:
        play.request("modify", qty=qty)

    play = played(algo, i, meanwhile=at_second(20, change))
    if not play.of(m.ParentModified):
        return  # it had ended, or more was filled than is wanted now: refused with a code
    assert play.done is not None
    assert play.done.cum_qty <= Decimal(qty)


@each
def test_a_cancel_ends_it_when_what_is_out_has_come_back_late_fills_and_all(algo: str, i: int) -> None:
    play = Play(steady(), lambda *_: None)
    play.order(algo, **EXAMPLES[algo][i])
    play.until(25 * SECOND)
    if play.done is None:
        play.request("cancel")
        open_ = [s for s in play.of(m.ParentSliced) if s.slice_no not in play.settled]
        for sliced in open_:
            play.settled.add(sliced.slice_no)
            play.settle(sliced, size(sliced) // 2, Code.CANCELED)
        assert play.done is not None
        assert play.done.reason is Code.CANCELED
        late = sum(size(sliced) // 2 for sliced in open_)
        assert filled(play) >= late
    exact(play)


@each
def test_a_rejected_slice_gives_back_its_own_quantity_and_the_rest_of_the_plan_stands(
    algo: str, i: int
) -> None:
    def first_is_rejected(sliced: m.ParentSliced, moment: Moment) -> int | None:
        return 0 if sliced.slice_no == 1 else all_of_it(sliced, moment)

    play = played(algo, i, fill=first_is_rejected)
    if play.sizes:
        (settled, *_) = play.of(m.ParentSettled)
        assert (settled.slice_no, settled.filled_qty) == (1, 0)
        assert settled.leaves_qty == 1
    assert len(play.sizes) > 1 or (play.done is not None and play.done.reason)


@each
def test_an_outage_of_the_venues_is_survived(algo: str, i: int) -> None:
    def out(sliced: m.ParentSliced, moment: Moment) -> int | None:
        away = 20 <= (int(sliced.at) // SECOND) % 1_000 <= 50
        return 0 if away else all_of_it(sliced, moment)

    play = played(algo, i, fill=out)
    rate = len(play.sizes) / max((play.at_ns / SECOND), 1)
    assert rate < 25, "no storm of slices while nothing fills"


@each
def test_an_empty_book_is_waited_out(algo: str, i: int) -> None:
    def script(at_ns: int) -> Moment:
        empty = 10 * SECOND <= at_ns < 40 * SECOND
        moment = Moment(traded=10**6 * at_ns // SECOND)
        return Moment(bid=None, ask=None, traded=moment.traded) if empty else moment

    assert played(algo, i, script).done is not None
    assert played(algo, i, lambda _: Moment(bid=None, ask=None)).done is not None


@each
def test_a_limit_out_of_the_market_pays_no_more_and_ends_with_a_reason(algo: str, i: int) -> None:
    would = {"would_price": "49000"} if "would_price" in EXAMPLES[algo][i] else {}
    play = played(algo, i, more={"limit_price": "50000", **would})
    assert filled(play) == 0
    for sliced in play.of(m.ParentSliced):
        assert sliced.limit_price is not None
        assert sliced.limit_price <= 50_000


@each
@pytest.mark.parametrize("qty", ["0.0003", "0.0001"])
def test_few_lots_are_sent_whole_and_never_below_the_minimum(algo: str, i: int, qty: str) -> None:
    bounded = ("min_slice", "max_slice", "display", "min_fill", "venues")  # so little is not for every venue
    sizes: dict[str, None] = {name: None for name in bounded if name in EXAMPLES[algo][i]}
    play = played(algo, i, more={"qty": qty, **sizes})
    assert all(one >= 10 for one in play.sizes), "no venue takes less than 0.0001"
    assert filled(play) <= int(Decimal(qty).scaleb(5))


@pytest.mark.parametrize("algo", plugins.ALGOS)
def test_an_end_in_the_past_is_refused(algo: str) -> None:
    play = Play()
    example = {name: value for name, value in EXAMPLES[algo][0].items() if name != "duration"}
    (rejected,) = play.order(algo, **example, end_time="2020-01-01T00:00:00Z")
    assert isinstance(rejected, m.ParentRejected)
    assert rejected.code is Code.EXPIRED
