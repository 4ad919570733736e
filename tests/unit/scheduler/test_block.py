"""Block: the dark first, divided by what was found there, then the lit venues."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from bestex import codec
from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import Code
from tests.unit.scheduler.play import Moment, Play, all_of_it, size

BLOCK: dict[str, Any] = {"duration": "100s", "rest": "5s", "randomize": 0, "interval": "10s"}
DARK = ("dark_a", "dark_b")


class Pools(Play):
    """A play whose dark slices find what `there` says (in units, by venue), and rest until their end."""

    def __init__(self, there: Any, **more: Any) -> None:
        self.there = there
        self.found: dict[int, int] = {}
        super().__init__(fill=self.meet, **more)

    def meet(self, sliced: m.ParentSliced, moment: Moment) -> int | None:
        if not is_dark(sliced):
            return all_of_it(sliced, moment)
        assert sliced.venues is not None
        if sliced.slice_no not in self.found:
            self.found[sliced.slice_no] = min(self.there(sliced.venues[0]), size(sliced))
        found = self.found[sliced.slice_no]
        return found if found == size(sliced) or self.bench.now_ns >= sliced.expires_at else None

    def settle(self, sliced: m.ParentSliced, filled: int, reason: Code) -> None:
        recalled = reason is Code.REPLACED
        if is_dark(sliced) and filled < size(sliced) and not recalled:
            reason = Code.EXPIRED
        super().settle(sliced, filled, reason)

    def sliced(self, *, dark: bool) -> list[m.ParentSliced]:
        return [one for one in self.of(m.ParentSliced) if is_dark(one) == dark]


def is_dark(sliced: m.ParentSliced) -> bool:
    return bool(sliced.venues) and all(venue.startswith("dark") for venue in sliced.venues or ())


def nothing(_: str) -> int:
    return 0


def test_it_is_in_the_dark_for_its_share_of_the_time_and_then_on_the_lit_venues_till_the_end() -> None:
    play = Pools(nothing)
    play.order("block", **BLOCK, dark_share="30%")
    play.to_end()
    start = play.of(m.ParentAccepted)[0].at
    [turn] = play.of(m.ParentReplanned)
    assert 30 * SECOND <= turn.at - start < 31 * SECOND
    assert turn.text == "0 was met in the dark; the rest is for the lit venues"
    assert all(one.expires_at <= start + 30 * SECOND for one in play.sliced(dark=True))
    lit = play.sliced(dark=False)
    assert {size(one) // 10 for one in lit} == {1_666}  # six equal ones
    assert sum(size(one) for one in lit) == 10**5
    assert play.done is not None
    assert (play.done.reason, play.done.cum_qty) == (Code.FILLED, Decimal(1))
    assert play.beyond_plan() <= 1


def test_a_dark_slice_names_one_venue_rests_at_a_limit_with_the_minimum_and_each_venue_has_one() -> None:
    play = Pools(nothing)
    play.order("block", **BLOCK, min_fill="0.2")
    first, second = play.of(m.ParentSliced)
    assert {first.venues[0], second.venues[0]} == set(DARK)
    assert {(one.tif, one.qty, one.min_fill_qty) for one in (first, second)} == {
        (m.Tif.GTC, Decimal("0.5"), Decimal("0.2"))
    }
    assert first.limit_price == Decimal(
        "60300"
    )  # the mid and the slippage limit: the venue trades at the mid
    play.until(4 * SECOND)
    assert len(play.of(m.ParentSliced)) == 2
    play.until(6 * SECOND)
    assert len(play.of(m.ParentSliced)) == 4


def test_what_is_conditional_is_divided_all_the_same_and_only_in_the_dark() -> None:
    play = Pools(nothing)
    play.order("block", **BLOCK, conditional=True)
    first, second = play.of(m.ParentSliced)
    assert (first.qty + second.qty, first.conditional, second.conditional) == (1, True, True)
    play.to_end()
    assert all(one.conditional for one in play.sliced(dark=True))
    assert not any(one.conditional for one in play.sliced(dark=False))


def test_the_orders_own_limit_holds_in_the_dark() -> None:
    play = Pools(nothing)
    play.order("block", **BLOCK, limit_price="60010")
    assert {one.limit_price for one in play.of(m.ParentSliced)} == {Decimal(60010)}


@pytest.mark.parametrize("learning", ["censored", "gradient"])
def test_it_learns_within_an_order_where_the_liquidity_is(learning: str) -> None:
    """`dark_b` has 1,000 units whenever it is asked, `dark_a` nothing."""
    play = Pools(lambda venue: 1_000 if venue == "dark_b" else 0)
    play.order("block", **{**BLOCK, "duration": "400s"}, dark_share="90%", learning=learning, forget=0)
    play.until(350 * SECOND)
    first, last = play.sliced(dark=True)[:2], play.sliced(dark=True)[-2:]
    assert {size(one) for one in first} == {50_000}
    parts = {one.venues[0]: size(one) for one in last if one.venues}
    # A unit more at `dark_b` is known to find nothing: what is left over is for whoever may have it.
    assert parts["dark_b"] >= 1_000
    assert play.of(m.ParentSettled)[-1].cum_qty >= Decimal("0.3")


def test_what_one_order_found_is_the_next_ones_prior_and_is_stored_with_it() -> None:
    play = Pools(lambda venue: 0 if venue == "dark_a" else 10**6)
    play.order("block", qty="4", **BLOCK)
    play.to_end()
    bench = play.bench
    body = {"side": "buy", "qty": "1", "parent_id": "p2", "params": BLOCK}
    facts = bench.order(body, algo="block")
    accepted = next(event for event in facts if isinstance(event, m.ParentAccepted))
    assert Counter(trial.venue for trial in accepted.prior)["dark_a"] > 0
    assert accepted.reason.endswith(f"with {len(accepted.prior)} earlier findings")
    first = [event for event in facts if isinstance(event, m.ParentSliced)]
    parts = {one.venues[0]: one.qty for one in first if one.venues}
    assert parts == {"dark_b": 1}  # nothing at first where nothing was found
    stored = codec.from_json(codec.to_json(accepted), m.ParentAccepted)
    assert stored.prior == accepted.prior


def test_other_algorithms_store_no_prior() -> None:
    play = Pools(nothing)
    play.order("block", **BLOCK)
    play.until(20 * SECOND)
    facts = play.bench.order({"side": "buy", "qty": "1", "parent_id": "p2"}, algo="twap")
    assert facts[0].prior == []


def test_after_a_restart_the_orders_at_work_go_on_with_what_they_had_been_told() -> None:
    play = Pools(lambda venue: 700 if venue == "dark_a" else 2_300)
    play.order("block", qty="4", **{**BLOCK, "duration": "200s"})
    play.until(42 * SECOND)
    twin = play.killed()
    twin.fill = twin.meet
    twin.found = dict(play.found)
    play.until(90 * SECOND)
    twin.until(90 * SECOND)
    assert list(map(codec.to_json, twin.facts)) == list(map(codec.to_json, play.facts))


def test_a_slice_that_was_called_back_or_refused_teaches_nothing() -> None:
    play = Pools(nothing)
    play.order("block", **BLOCK)
    play.until(2 * SECOND)
    play.request("modify", qty="0.8")
    play.until(3 * SECOND)
    third = play.of(m.ParentSliced)[2]
    assert (third.qty, third.why) == (Decimal("0.3"), "in the dark, of 0 findings")
    play.settle(third, 0, Code.REPLACED)
    play.settled.add(third.slice_no)
    assert play.of(m.ParentSliced)[-1].why == "in the dark, of 0 findings"


def test_a_refusal_brings_no_tight_circle() -> None:
    play = Pools(nothing)
    play.order("block", **BLOCK)
    for _ in range(20):
        for sliced in play.of(m.ParentSliced):
            if sliced.slice_no not in play.settled:
                play.settled.add(sliced.slice_no)
                Play.settle(play, sliced, 0, Code.RETRIES_EXHAUSTED)
        play.until(play.at_ns + SECOND // 10)
    assert len(play.of(m.ParentSliced)) <= 8


def test_without_a_dark_venue_it_goes_to_the_lit_ones_at_once_and_says_so() -> None:
    play = Play()
    play.order("block", **BLOCK, venues=["sim_a", "sim_b"])
    assert (
        play.of(m.ParentAccepted)[0].reason == "no dark venue may take it, so it goes to the lit ones at once"
    )
    assert play.of(m.ParentSliced)[0].tif is m.Tif.IOC
    play.to_end()
    assert len(play.of(m.ParentSliced)) == 10
    assert play.of(m.ParentReplanned) == []


@pytest.mark.parametrize("order", [{"qty": "0.005"}, {"qty": "1", "min_fill": "1.5"}])
def test_an_order_too_small_for_the_dark_goes_to_the_lit_venues_at_once(order: dict[str, Any]) -> None:
    play = Play()
    play.order("block", **BLOCK, **order)
    assert play.of(m.ParentSliced)[0].tif is m.Tif.IOC


def test_an_order_for_dark_venues_alone_stays_there_to_its_end() -> None:
    play = Pools(nothing)
    play.order("block", **BLOCK, venues=["dark_a"])
    play.to_end()
    assert play.sliced(dark=False) == []
    assert play.done is not None
    assert (play.done.reason, play.done.cum_qty) == (Code.COMPLETED, Decimal(0))


def test_what_is_left_can_be_taken_at_once() -> None:
    play = Pools(lambda venue: 5_000 if venue == "dark_a" else 0)
    play.order("block", **BLOCK, then="at_once", dark_time="12s")
    play.to_end()
    [lit] = play.sliced(dark=False)
    start = play.of(m.ParentAccepted)[0].at
    assert 12 * SECOND <= lit.at - start < 13 * SECOND
    assert lit.qty == 1 - play.of(m.ParentReplanned)[0].cum_qty
    assert play.done is not None
    assert play.done.reason is Code.FILLED


def test_slices_are_whole_lots_of_their_venue_within_the_orders_bounds() -> None:
    play = Pools(lambda _: 3_330)
    play.order("block", qty="1.23457", **BLOCK, max_slice="0.30003")
    play.until(45 * SECOND)
    assert all(size(one) % 10 == 0 and size(one) <= 30_003 for one in play.sliced(dark=True))
    assert len(play.sliced(dark=True)) > 10


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"dark_share": 1.2}, "dark_share must be from 0% to 100%"),
        ({"rest": "100ms"}, "rest must be 1s or longer"),
        ({"min_fill": "0"}, "min_fill must be above zero"),
        ({"forget": 1}, "forget must be from 0% to below 100%"),
        ({"dark_time": "-1s"}, ""),
    ],
)
def test_wrong_parameters_are_refused_with_a_sentence(wrong: dict[str, Any], said: str) -> None:
    play = Play()
    [refused] = play.order("block", **{**BLOCK, **wrong})
    assert refused.code is Code.INVALID_PARAMETER
    assert said in refused.text
