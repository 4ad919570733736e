"""Liquidity: its slices follow the depth of the book."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import MS, SECOND
from bestex.errors import Code
from services.scheduler.algos.liquidity import PAUSE_NS
from tests.unit.scheduler.play import Moment, Play

LIQUIDITY: dict[str, Any] = {"duration": "100s", "interval": "10s", "randomize": 0}


def at_s(play: Play) -> list[float]:
    begun = int(play.facts[0].at)
    return [(int(one.at) - begun) / SECOND for one in play.of(m.ParentSliced)]


def test_every_slice_is_its_share_of_the_thinner_side_at_its_interval() -> None:
    def script(at_ns: int) -> Moment:
        return (
            Moment(bid_qty=10**5, ask_qty=3 * 10**5)
            if at_ns < 25 * SECOND
            else Moment(bid_qty=4 * 10**5, ask_qty=2 * 10**5)
        )

    play = Play(script)
    play.order("liquidity", qty="5", **LIQUIDITY)
    play.until(45 * SECOND)
    assert play.sizes == [10_000, 10_000, 10_000, 20_000, 20_000]
    assert at_s(play) == [0, 10, 20, 30, 40]
    assert play.of(m.ParentSliced)[0].why == "10.0% of 1 within 10 bps"


def test_only_the_side_in_front_counts_where_that_is_asked_for() -> None:
    for side, size in (("buy", 30_000), ("sell", 10_000)):
        play = Play(lambda _: Moment(bid_qty=10**5, ask_qty=3 * 10**5))
        play.order("liquidity", qty="5", side=side, **LIQUIDITY, depth_of="front")
        play.until(SECOND)
        assert play.sizes == [size]


def test_what_stands_too_far_away_is_neither_counted_nor_paid() -> None:
    play = Play(lambda _: Moment(bid=59_900_00, ask=60_100_00))  # 16.7 bps from the mid either way
    play.order("liquidity", **LIQUIDITY)
    play.to_end()
    assert play.sizes == []
    play = Play(lambda _: Moment(bid=59_900_00, ask=60_100_00))
    play.order("liquidity", **LIQUIDITY, depth_bps=20)
    play.until(SECOND)
    (sliced,) = play.of(m.ParentSliced)
    assert sliced.limit_price == Decimal(60_120)


def test_a_thin_book_is_waited_for_and_taken_as_soon_as_it_holds_enough() -> None:
    def script(at_ns: int) -> Moment:
        thin = 12 * SECOND < at_ns < 16 * SECOND or at_ns < 3 * SECOND
        return Moment(bid_qty=50 if thin else 10**5, ask_qty=50 if thin else 10**5)

    play = Play(script)
    play.order("liquidity", **LIQUIDITY)
    play.until(30 * SECOND)
    assert at_s(play) == [3, 16, 26]


def test_without_an_interval_it_takes_as_fast_as_slices_come_back_until_it_is_done() -> None:
    play = Play(lambda _: Moment(bid_qty=10**5, ask_qty=10**5))
    play.order("liquidity", **{**LIQUIDITY, "interval": "0s"})
    play.to_end()
    assert play.sizes == [10_000] * 10
    assert play.done is not None
    assert play.done.reason is Code.FILLED
    assert max(at_s(play)) < 6


def test_after_a_slice_the_book_has_the_time_to_show_what_was_taken() -> None:
    play = Play(lambda _: Moment(bid_qty=10**5, ask_qty=10**5), delay_ns=5 * MS, step_ns=10 * MS)
    play.order("liquidity", **{**LIQUIDITY, "interval": "0s"})
    play.until(2 * SECOND)
    back = [int(one.at) for one in play.of(m.ParentSettled)]
    sent = [int(one.at) for one in play.of(m.ParentSliced)]
    assert len(sent) == 10
    assert all(after - before >= PAUSE_NS for before, after in zip(back, sent[1:], strict=False))


def test_sizes_and_times_vary_around_their_share_and_interval() -> None:
    play = Play(lambda _: Moment(bid_qty=10**5, ask_qty=10**5))
    play.order("liquidity", qty="20", **{**LIQUIDITY, "duration": "1000s", "randomize": 0.4})
    play.to_end()
    gaps = [after - before for before, after in pairwise(at_s(play))]
    assert len(set(play.sizes)) > 10
    assert all(8_000 <= size <= 12_000 for size in play.sizes)
    assert all(8 <= gap <= 12.25 for gap in gaps)
    assert sum(gaps) / len(gaps) == pytest.approx(10, rel=0.05)


def test_its_slices_keep_within_the_limit_and_the_bounds_that_all_orders_may_ask_for() -> None:
    play = Play()
    play.order("liquidity", **LIQUIDITY, limit_price="60000")
    play.to_end()
    assert play.sizes == []
    play = Play()
    play.order("liquidity", **LIQUIDITY, max_slice="0.07")
    play.to_end()
    assert set(play.sizes) == {7_000}
    play = Play(lambda _: Moment(bid_qty=10**5, ask_qty=10**5))
    play.order("liquidity", **LIQUIDITY, min_slice="0.2", force_completion=True)
    play.to_end()
    assert play.sizes == [10**5]  # a tenth of one is less than the least; at the end all goes
    assert at_s(play) == [100]


@pytest.mark.parametrize("share", [0, 1.01, -1])
def test_a_share_that_makes_no_sense_is_refused_with_a_sentence(share: float) -> None:
    (rejected,) = Play().order("liquidity", share=share)
    assert isinstance(rejected, m.ParentRejected)
    assert rejected.text == "share must be above 0% and at most 100%"
