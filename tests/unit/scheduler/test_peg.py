"""Peg: where it rests, when it follows, how far, and that it never follows itself."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import DAY, MINUTE, MS, SECOND
from bestex.errors import Code
from services.scheduler.algos import resting
from services.scheduler.algos.base import Working
from services.scheduler.market import Market
from tests.unit.scheduler.play import Moment, Play, size

PEG: dict[str, Any] = {"duration": "10m"}


def rests(_sliced: m.ParentSliced, _moment: Moment) -> int | None:
    return None


def moving(cents: int, every_s: int = 1) -> Any:
    """Both best prices move by so many cents every so many seconds."""

    def script(at_ns: int) -> Moment:
        by = cents * (at_ns // (every_s * SECOND))
        return Moment(bid=59_999_00 + by, ask=60_001_00 + by)

    return script


def limits(play: Play) -> list[Decimal]:
    return [sliced.limit_price for sliced in play.of(m.ParentSliced)]


@pytest.mark.parametrize(
    ("side", "params", "price"),
    [
        ("buy", {}, "59999"),
        ("sell", {}, "60001"),
        ("buy", {"offset": 5}, "59998.95"),
        ("sell", {"offset": 5}, "60001.05"),
        ("buy", {"offset": -5}, "59999.05"),
        ("sell", {"offset": -5}, "60000.95"),
        ("buy", {"reference": "mid"}, "60000"),
        ("sell", {"reference": "mid", "offset": 1, "unit": "bps"}, "60006"),
        ("buy", {"reference": "market"}, "60001"),
        ("sell", {"reference": "market", "offset": "0.5", "unit": "bps"}, "60002"),
        ("buy", {"reference": "market", "offset": "0.5", "unit": "bps"}, "59997.99"),
    ],
)
def test_a_positive_offset_is_passive_on_both_sides(side: str, params: dict[str, Any], price: str) -> None:
    play = Play(fill=rests)
    play.order("peg", **PEG, side=side, **params)
    play.until(SECOND)
    (sliced,) = play.of(m.ParentSliced)
    assert (sliced.limit_price, sliced.qty, sliced.tif) == (Decimal(price), Decimal(1), m.Tif.GTC)
    assert sliced.post_only == (params.get("reference", "primary") == "primary")


@pytest.mark.parametrize(("side", "price"), [("buy", "60000"), ("sell", "60000.01")])
def test_half_a_unit_of_the_mid_is_rounded_to_the_passive_side(side: str, price: str) -> None:
    play = Play(lambda _: Moment(bid=59_999_00, ask=60_001_01), fill=rests)
    play.order("peg", **PEG, side=side, reference="mid")
    play.until(SECOND)
    assert limits(play) == [Decimal(price)]


def test_a_primary_peg_takes_nothing_however_aggressive_its_offset() -> None:
    for side, price in (("buy", "60000.99"), ("sell", "59999.01")):
        play = Play(fill=rests)
        play.order("peg", **PEG, side=side, offset=-500)
        play.until(SECOND)
        assert limits(play) == [Decimal(price)]


@pytest.mark.parametrize("cents", [100, -100])
def test_it_follows_its_reference_both_ways_and_says_why(cents: int) -> None:
    play = Play(moving(cents, every_s=10), fill=rests)
    play.order("peg", **PEG)
    play.until(35 * SECOND)
    step = Decimal(cents) / 100
    assert limits(play) == [Decimal(59_999) + i * step for i in range(4)]
    assert play.of(m.ParentRecalled)[0].text == f"the primary peg moved from 59999 to {59_999 + int(step)}"
    assert {recalled.reason for recalled in play.of(m.ParentRecalled)} == {Code.REPLACED}


def test_it_stays_while_the_reference_moved_by_less_than_the_tolerance() -> None:
    play = Play(moving(1, every_s=10), fill=rests)
    play.order("peg", **PEG, tolerance=3)
    play.until(65 * SECOND)
    assert limits(play) == [Decimal("59999"), Decimal("59999.03"), Decimal("59999.06")]
    play = Play(moving(100, every_s=10), fill=rests)
    play.order("peg", **PEG, tolerance="0.4", unit="bps")  # 2.40
    play.until(65 * SECOND)
    assert limits(play) == [Decimal(59_999), Decimal(60_002), Decimal(60_005)]


def test_it_follows_no_more_often_than_the_interval() -> None:
    play = Play(moving(1), fill=rests)
    play.order("peg", **PEG, interval="7s")
    play.until(5 * MINUTE)
    times = [int(sliced.at) for sliced in play.of(m.ParentSliced)]
    assert len(times) > 35
    assert min(after - before for before, after in pairwise(times)) >= 7 * SECOND


@pytest.mark.parametrize("traded", [False, True])
def test_after_so_many_slices_the_others_are_spread_over_the_orders_time(
    traded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resting, "SLICES_FREE", 10)
    play = Play(moving(1), fill=lambda sliced, _: size(sliced) if traded else None)
    play.order("peg", "10", duration="1d", max_slice="0.01")
    play.until(10 * MINUTE)
    times = [int(sliced.at) for sliced in play.of(m.ParentSliced)]
    assert times[9] - times[0] <= 10 * SECOND
    assert len(times) > 70
    for number, at in enumerate(times[12:], 12):
        assert at - times[0] == pytest.approx((number - 10) * DAY // 10_000, abs=1.5 * SECOND)
    # None is called back before another may follow it.
    waits = [
        after.at - before.at
        for before, after in zip(play.of(m.ParentRecalled), play.of(m.ParentSliced)[1:], strict=False)
    ]
    assert max(waits, default=0) <= SECOND


@pytest.mark.parametrize(
    ("side", "params", "last"),
    [
        ("buy", {"max_chase": "1bps"}, "60006"),
        ("sell", {"max_chase": "1bps"}, "59994"),
        ("buy", {"limit_price": "60003.50"}, "60003.5"),
        ("buy", {"limit_price": "60003.50", "max_chase": "1bps"}, "60003.5"),
        ("buy", {"limit_price": "60010", "max_chase": "1bps"}, "60006"),
        ("buy", {}, "60600"),
    ],
)
def test_it_is_never_led_beyond_the_chase_or_the_limit_and_waits_there(
    side: str, params: dict[str, Any], last: str
) -> None:
    sign = 1 if side == "buy" else -1
    play = Play(moving(sign * (500 if not params else 100)), fill=rests)
    play.order("peg", **PEG, side=side, **params)
    play.until(5 * MINUTE)
    assert limits(play)[-1] == Decimal(last)
    assert all((price - Decimal(last)) * sign <= 0 for price in limits(play))
    assert play.of(m.ParentSliced)[-1].at < play.of(m.ParentAccepted)[0].at + 150 * SECOND, "it stands still"


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_it_never_follows_itself(side: str) -> None:
    """It leads the market alone, one tick ahead of the others, who are not there to be seen behind it."""
    play = Play(fill=rests)

    def script(_at_ns: int) -> Moment:
        sliced = play.of(m.ParentSliced)
        if not sliced:
            return Moment()
        own = int(sliced[-1].limit_price.scaleb(2))
        return (
            Moment(bid=own, bid_qty=size(sliced[-1]))
            if side == "buy"
            else Moment(ask=own, ask_qty=size(sliced[-1]))
        )

    play.script = script
    play.order("peg", **PEG, side=side, offset=-1)
    play.until(MINUTE)
    assert len(play.of(m.ParentSliced)) == 1


def book_of_two(bids: list[tuple[list[int], list[int]]]) -> m.ConsolidatedBook:
    columns = [
        m.VenueColumn(venue, m.BookStatus.LIVE, basis, 1, 1, prices, sizes, [60_001_00], [10**5])
        for (venue, basis), (prices, sizes) in zip((("sim_a", 0), ("sim_c", 10)), bids, strict=True)
    ]
    return m.ConsolidatedBook("BTC/USDT", 1, 1, 2, 5, False, False, columns)


@pytest.mark.parametrize(
    ("limit", "bids", "best"),
    [
        # Nobody else is there: the next price counts.
        (59_999_00, [([59_999_00, 59_998_00], [500, 900]), ([], [])], 59_998_00),
        # More is shown than ours: others are there too.
        (59_999_00, [([59_999_00, 59_998_00], [501, 900]), ([], [])], 59_999_00),
        # At two venues together, compared without the second one's basis.
        (59_999_00, [([59_999_00], [500]), ([59_999_10], [1])], 59_999_00),
        # Its limit is not on the second venue's tick: there it rests at 59,999.00, which is 59,998.90 here.
        (59_999_05, [([59_998_00], [900]), ([59_999_00], [400])], 59_998_00),
        # Others are ahead of it.
        (59_997_00, [([59_999_00, 59_997_00], [100, 500]), ([], [])], 59_999_00),
        (59_999_00, [([59_999_00], [500]), ([], [])], None),
    ],
)
def test_the_best_price_of_others_is_where_more_is_shown_than_ours(
    limit: int, bids: list[tuple[list[int], list[int]]], best: int | None
) -> None:
    market = Market(Play().instrument, book_of_two(bids))
    own = Working(no=1, qty=900, limit=limit, sliced_ns=0, rests=True, recalled=False, shown=500)
    assert market.best_of_others(m.Side.BUY, [own]) == best
    assert market.best_of_others(m.Side.BUY, []) == market.best(m.Side.BUY)


@pytest.mark.parametrize("reference", ["primary", "mid", "market"])
def test_while_the_book_is_empty_it_stays_where_it_is(reference: str) -> None:
    def script(at_ns: int) -> Moment:
        return Moment(None, None) if 10 * SECOND <= at_ns < 40 * SECOND else Moment()

    play = Play(script, fill=rests)
    play.order("peg", **PEG, reference=reference)
    play.until(MINUTE)
    assert len(play.of(m.ParentSliced)) == 1


def test_without_a_reference_it_waits_for_one() -> None:
    play = Play(lambda at_ns: Moment(bid=None) if at_ns < 10 * SECOND else Moment(), fill=rests)
    play.order("peg", **PEG)
    play.until(MINUTE)
    (sliced,) = play.of(m.ParentSliced)
    assert sliced.at == play.of(m.ParentAccepted)[0].at + 10 * SECOND


def test_what_was_traded_while_it_was_called_back_is_counted_and_the_rest_goes_on() -> None:
    play = Play(moving(100, every_s=10), delay_ns=700 * MS)
    recalled: set[int] = set()

    def late(sliced: m.ParentSliced, _: Moment) -> int | None:
        recalled.update(event.slice_no for event in play.of(m.ParentRecalled))
        return 30_000 if sliced.slice_no in recalled else None

    play.fill = late
    play.order("peg", **PEG)
    play.until(35 * SECOND)
    assert play.sizes == [100_000, 70_000, 40_000, 10_000]
    assert [sliced.leaves_qty for sliced in play.of(m.ParentSliced)] == [
        Decimal(1),
        Decimal("0.7"),
        Decimal("0.4"),
        Decimal("0.1"),
    ]


def test_while_a_slice_is_being_called_back_no_other_goes_out() -> None:
    play = Play(moving(100))
    play.fill = lambda sliced, _: None if play.at_ns < int(sliced.at) + 8 * SECOND - 1 else 0
    play.delay_ns = 8 * SECOND
    play.order("peg", **PEG)
    play.until(MINUTE)
    open_ = 0
    for event in play.facts:
        open_ += isinstance(event, m.ParentSliced) - isinstance(event, m.ParentSettled)
        assert open_ <= 1
    numbers = [event.slice_no for event in play.of(m.ParentRecalled)]
    assert len(numbers) == len(set(numbers)) > 3


def test_an_outage_brings_slices_back_and_no_storm() -> None:
    play = Play(fill=lambda *_: 0)
    play.order("peg", **PEG, interval="100ms")
    play.until(MINUTE)
    assert 20 <= len(play.of(m.ParentSliced)) <= 60


def test_a_slice_whose_time_is_over_is_followed_by_another_where_the_market_is_then() -> None:
    play = Play(moving(100, every_s=30), fill=rests)
    play.order("peg", **PEG, slice_ttl="10s", interval="10m")
    play.until(80 * SECOND)
    assert play.of(m.ParentSettled)[0].reason is Code.EXPIRED
    assert limits(play)[0] == Decimal(59_999)
    assert limits(play)[-1] == Decimal(60_001)
    assert len(limits(play)) <= 8


def test_parts_of_max_slice_follow_each_other_as_they_fill() -> None:
    play = Play(fill=lambda sliced, _: size(sliced))
    play.order("peg", **PEG, max_slice="0.3")
    play.to_end()
    assert play.done is not None
    assert play.done.reason is Code.FILLED
    assert play.sizes == [30_000, 30_000, 30_000, 10_000]


@pytest.mark.parametrize("forced", [True, False])
def test_at_the_end_the_rest_is_taken_or_given_up(forced: bool) -> None:
    def fill(sliced: m.ParentSliced, _: Moment) -> int | None:
        return size(sliced) if sliced.tif is m.Tif.IOC else None

    play = Play(fill=fill)
    play.order("peg", duration="60s", force_completion=forced)
    play.to_end()
    assert play.done is not None
    assert play.done.reason is (Code.FILLED if forced else Code.COMPLETED)
    assert play.done.at <= play.of(m.ParentAccepted)[0].at + 62 * SECOND


def test_pause_resume_modify_and_cancel_are_the_life_cycles() -> None:
    play = Play(fill=rests)
    play.order("peg", **PEG)
    play.until(10 * SECOND)
    play.request("pause")
    play.until(20 * SECOND)
    assert len(play.of(m.ParentSettled)) == len(play.of(m.ParentSliced)) == 1
    play.request("resume")
    play.until(30 * SECOND)
    play.request("modify", params={"offset": 100}, qty="0.6")
    play.until(40 * SECOND)
    assert limits(play) == [Decimal(59_999), Decimal(59_999), Decimal(59_998)]
    assert play.sizes == [100_000, 100_000, 60_000]
    play.request("cancel")
    play.to_end()
    assert play.done is not None
    assert play.done.reason is Code.CANCELED


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"offset": "1001"}, "offset must be from -1000 to 1000"),
        ({"offset": "NaN"}, "offset must be from -1000 to 1000"),
        ({"tolerance": -1}, "tolerance must be from 0 to 1000"),
        ({"interval": "99ms"}, "interval must be 100ms or longer"),
        ({"max_chase": -1}, "max_chase must be from 0% to below 100%"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_with_a_sentence(params: dict[str, Any], text: str) -> None:
    (rejected,) = Play().order("peg", **params)
    assert isinstance(rejected, m.ParentRejected)
    assert rejected.text == text
