"""Iceberg: how much is shown, when the next part comes, and where it rests."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import MINUTE, SECOND
from bestex.errors import Code
from tests.unit.scheduler.play import Moment, Play, size, units

DISPLAY = 10_000
ICEBERG: dict[str, Any] = {"duration": "10m", "display": "0.1"}


def part_of_it(sliced: m.ParentSliced, moment: Moment) -> int | None:
    """What is shown is traded as soon as the other side comes to it, and the slice is given back."""
    if sliced.tif is m.Tif.IOC:
        return size(sliced)
    price = moment.ask if sliced.side is m.Side.BUY else moment.bid
    assert sliced.limit_price is not None
    if price is None or (price - units(sliced.limit_price)) * sliced.side.sign > 0:
        return None
    return shown(sliced)


def shown(sliced: m.ParentSliced) -> int:
    return int((sliced.display_qty or sliced.qty).scaleb(5))


def rising(per_s: int) -> Any:
    """The best prices rise so many cents a second."""

    def script(at_ns: int) -> Moment:
        up = per_s * (at_ns // SECOND)
        return Moment(bid=59_999_00 + up, ask=60_001_00 + up)

    return script


@pytest.mark.parametrize("native", [True, False])
def test_no_more_is_ever_shown_than_was_allowed_and_the_parts_sum_to_the_order(native: bool) -> None:
    play = Play(fill=part_of_it)
    play.order("iceberg", **ICEBERG, limit_price="60001", native=native)
    play.to_end()
    assert play.done is not None
    assert (play.done.reason, play.done.cum_qty) == (Code.FILLED, Decimal(1))
    parts = [shown(sliced) for sliced in play.of(m.ParentSliced)]
    assert sum(parts) == 10**5
    assert all(0.8 * DISPLAY <= part <= DISPLAY for part in parts[:-1])
    assert len(set(parts)) > len(parts) // 2, "sizes vary"


def test_where_the_venue_may_refresh_all_of_it_is_handed_over_with_what_is_shown() -> None:
    play = Play(fill=lambda *_: None)
    play.order("iceberg", **ICEBERG, limit_price="60001", randomize=0)
    play.until(SECOND)
    (sliced,) = play.of(m.ParentSliced)
    assert (sliced.qty, sliced.display_qty, sliced.tif) == (Decimal(1), Decimal("0.1"), m.Tif.GTC)
    play = Play(fill=lambda *_: None)
    play.order("iceberg", **ICEBERG, limit_price="60001", randomize=0, native=False)
    play.until(SECOND)
    (sliced,) = play.of(m.ParentSliced)
    assert (sliced.qty, sliced.display_qty) == (Decimal("0.1"), None)


def test_the_pause_before_the_next_part_varies_around_refresh() -> None:
    play = Play(fill=part_of_it)
    play.order("iceberg", **ICEBERG, limit_price="60001", refresh="10s", randomize=0.5)
    play.to_end()
    pauses = [
        sliced.at - settled.at
        for settled, sliced in zip(play.of(m.ParentSettled), play.of(m.ParentSliced)[1:], strict=False)
    ]
    assert all(5 * SECOND <= pause <= 15 * SECOND for pause in pauses)
    assert len(set(pauses)) == len(pauses) > 5


def test_of_a_share_of_the_order_each_part_is_that_share() -> None:
    play = Play(fill=part_of_it)
    play.order("iceberg", limit_price="60001", display_share="25%", randomize=0, duration="10m")
    play.to_end()
    assert [shown(sliced) for sliced in play.of(m.ParentSliced)] == [25_000] * 4


def test_a_slice_has_no_more_parts_than_venues_allow() -> None:
    play = Play(fill=lambda *_: None)
    play.order("iceberg", limit_price="60001", display="0.001", randomize=0)
    play.until(SECOND)
    (sliced,) = play.of(m.ParentSliced)
    assert (sliced.qty, sliced.display_qty) == (Decimal("0.1"), Decimal("0.001"))


def test_nothing_is_left_that_no_venue_takes() -> None:
    for native in (True, False):
        play = Play(fill=part_of_it)
        play.order("iceberg", "0.20005", **ICEBERG, limit_price="60001", randomize=0, native=native)
        play.to_end()
        assert play.done is not None
        assert play.done.reason is Code.FILLED
        assert [shown(sliced) for sliced in play.of(m.ParentSliced)] == [10_000, 9_995, 10]


def test_a_part_below_what_any_venue_takes_is_raised_to_that() -> None:
    play = Play(fill=lambda *_: None)
    play.order("iceberg", limit_price="60001", display="0.00002")
    play.until(SECOND)
    assert [shown(sliced) for sliced in play.of(m.ParentSliced)] == [10]


def test_a_rest_that_no_venue_takes_ends_the_order_and_says_so() -> None:
    play = Play(fill=lambda sliced, _: size(sliced) - 5)
    play.order("iceberg", "0.1", duration="10m", limit_price="60001", display_share="100%", randomize=0)
    play.to_end()
    assert play.done is not None
    assert (play.done.reason, play.done.leaves_qty) == (Code.DUST, Decimal("0.00005"))


def test_with_a_limit_it_rests_there_whatever_the_market_does() -> None:
    play = Play(rising(100), fill=lambda *_: None)
    play.order("iceberg", **ICEBERG, limit_price="59000")
    play.until(5 * MINUTE)
    (sliced,) = play.of(m.ParentSliced)
    assert (sliced.limit_price, sliced.post_only) == (Decimal(59_000), False)
    assert not play.of(m.ParentRecalled)


@pytest.mark.parametrize(("side", "best"), [("buy", 59_999), ("sell", 60_001)])
def test_without_a_limit_it_rests_at_its_own_sides_best_price_and_takes_nothing(side: str, best: int) -> None:
    play = Play(fill=lambda *_: None)
    play.order("iceberg", **ICEBERG, side=side)
    play.until(SECOND)
    (sliced,) = play.of(m.ParentSliced)
    assert (sliced.limit_price, sliced.post_only, sliced.tif) == (Decimal(best), True, m.Tif.GTC)


@pytest.mark.parametrize(("limit", "price"), [("60100", "59999"), ("59000", "59000")])
def test_a_post_only_order_with_a_limit_rests_where_it_takes_nothing(limit: str, price: str) -> None:
    play = Play(fill=lambda *_: None)
    play.order("iceberg", **ICEBERG, limit_price=limit, post_only=True)
    play.until(SECOND)
    (sliced,) = play.of(m.ParentSliced)
    assert (sliced.limit_price, sliced.post_only) == (Decimal(price), True)


def test_what_has_rested_long_behind_the_best_price_follows_it_up_to_the_chase() -> None:
    play = Play(rising(100), fill=lambda *_: None)
    play.order("iceberg", **ICEBERG, repost_after="20s", max_chase="0.1%")
    play.until(5 * MINUTE)
    limits = [sliced.limit_price for sliced in play.of(m.ParentSliced)]
    assert limits == [Decimal(price) for price in (59_999, 60_019, 60_039, 60_059, 60_060)]
    assert len(play.of(m.ParentRecalled)) == len(limits) - 1
    assert {recalled.text for recalled in play.of(m.ParentRecalled)} == {
        "it rests behind its side's best price"
    }


def test_what_leads_the_market_stays_and_so_does_what_is_never_to_follow() -> None:
    play = Play(rising(-100), fill=lambda *_: None)
    play.order("iceberg", **ICEBERG)
    play.until(5 * MINUTE)
    assert len(play.of(m.ParentSliced)) == 1
    play = Play(rising(100), fill=lambda *_: None)
    play.order("iceberg", **ICEBERG, repost_after="0s")
    play.until(5 * MINUTE)
    assert len(play.of(m.ParentSliced)) == 1


def test_what_was_traded_while_a_part_was_called_back_is_counted() -> None:
    play = Play(rising(100))
    recalled: set[int] = set()

    def late(sliced: m.ParentSliced, _: Moment) -> int | None:
        recalled.update(event.slice_no for event in play.of(m.ParentRecalled))
        return 3_000 if sliced.slice_no in recalled else None

    play.fill = late
    play.order("iceberg", **ICEBERG, repost_after="20s", randomize=0, native=False)
    play.until(50 * SECOND)
    assert [settled.filled_qty for settled in play.of(m.ParentSettled)] == [Decimal("0.03")] * 2
    last = play.of(m.ParentSliced)[-1]
    assert (last.slice_no, last.qty, last.cum_qty, last.leaves_qty) == (
        3,
        Decimal("0.1"),
        Decimal("0.06"),
        Decimal("0.94"),
    )


def test_without_a_best_price_it_waits_for_one() -> None:
    def script(at_ns: int) -> Moment:
        return Moment(bid=None) if at_ns < 30 * SECOND else Moment()

    play = Play(script, fill=lambda *_: None)
    play.order("iceberg", **ICEBERG)
    play.until(29 * SECOND)
    assert not play.of(m.ParentSliced)
    play.until(31 * SECOND)
    assert [sliced.limit_price for sliced in play.of(m.ParentSliced)] == [Decimal(59_999)]


def test_an_outage_brings_slices_back_and_no_storm() -> None:
    play = Play(fill=lambda *_: 0)
    play.order("iceberg", **ICEBERG, refresh="10ms")
    play.until(MINUTE)
    assert 20 <= len(play.of(m.ParentSliced)) <= 60


def test_an_order_that_came_before_any_book_is_bounded_from_where_it_first_rested() -> None:
    def script(at_ns: int) -> Moment:
        up = 100 * (at_ns // SECOND)
        return Moment(None, None) if at_ns < SECOND else Moment(59_999_00 + up, 60_001_00 + up)

    play = Play(script, fill=lambda *_: None)
    play.order("iceberg", **ICEBERG, repost_after="20s", max_chase="0.1%")
    play.until(5 * MINUTE)
    assert play.of(m.ParentAccepted)[0].arrival_px is None
    assert play.of(m.ParentSliced)[0].limit_price == Decimal(60_000)
    assert play.of(m.ParentSliced)[-1].limit_price == Decimal(60_060)


@pytest.mark.parametrize("late_s", [0, 1])
def test_the_rest_is_taken_at_the_end_where_that_is_asked_for(late_s: int) -> None:
    """Also where what rested comes back after the end only."""

    def fill(sliced: m.ParentSliced, _: Moment) -> int | None:
        return size(sliced) if sliced.tif is m.Tif.IOC else None

    play = Play(fill=fill, delay_ns=(60 + late_s) * SECOND)
    play.order("iceberg", **{**ICEBERG, "duration": "60s"}, force_completion=True)
    play.to_end()
    assert play.done is not None
    assert play.done.reason is Code.FILLED
    assert play.of(m.ParentSliced)[-1].why == "completion at the end"
    play = Play(fill=fill)
    play.order("iceberg", **{**ICEBERG, "duration": "60s"})
    play.to_end()
    assert play.done is not None
    assert (play.done.reason, play.done.cum_qty) == (Code.COMPLETED, Decimal(0))


def test_pause_calls_the_part_back_and_resume_shows_another() -> None:
    play = Play(fill=lambda *_: None)
    play.order("iceberg", **ICEBERG, limit_price="60000")
    play.until(10 * SECOND)
    play.request("pause")
    play.until(20 * SECOND)
    assert [recalled.slice_no for recalled in play.of(m.ParentRecalled)] == [1]
    assert len(play.of(m.ParentSettled)) == 1
    play.request("resume")
    play.until(30 * SECOND)
    assert len(play.of(m.ParentSliced)) == 2
    play.request("modify", params={"display": "0.05"})
    play.until(40 * SECOND)
    assert shown(play.of(m.ParentSliced)[-1]) <= 5_000
    play.request("cancel")
    play.to_end()
    assert play.done is not None
    assert play.done.reason is Code.CANCELED


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"display": "0"}, "display must be above zero"),
        ({"display": "NaN"}, "display must be above zero"),
        ({"display_share": "0%"}, "display_share must be above 0% and at most 100%"),
        ({"display": "0.1", "min_slice": "0.2"}, "min_slice must not be above display"),
        ({"max_chase": "100%"}, "max_chase must be from 0% to below 100%"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_with_a_sentence(params: dict[str, Any], text: str) -> None:
    (rejected,) = Play().order("iceberg", **params)
    assert isinstance(rejected, m.ParentRejected)
    assert rejected.text == text
