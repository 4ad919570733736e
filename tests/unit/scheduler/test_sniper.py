"""Sniper: it waits, and takes when there is more to take than usual."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import MS, SECOND
from bestex.errors import Code
from services.scheduler.core import REACTION_NS
from tests.unit.scheduler.bench_core import START
from tests.unit.scheduler.play import Moment, Play, Script, book_of, usually

USUAL = usually(0.34, "1")
CALM = Moment(bid_qty=10**5, ask_qty=10**5, extra=USUAL)  # as usual: 1 BTC, two dollars
EVENT = Moment(bid_qty=4 * 10**5, ask_qty=4 * 10**5, extra=USUAL)  # four times as much
SNIPER: dict[str, Any] = {"duration": "100s", "randomize": 0}


def events(*at_s: float, seconds: float = 1, event: Moment = EVENT, calm: Moment = CALM) -> Script:
    """Events that last so long, and a calm market between them."""

    def script(at_ns: int) -> Moment:
        return event if any(0 <= at_ns / SECOND - at < seconds for at in at_s) else calm

    return script


def test_it_does_nothing_while_the_market_is_as_usual_and_ends_with_the_rest() -> None:
    play = Play(events())
    play.order("sniper", **SNIPER)
    play.to_end()
    assert play.sizes == []
    assert play.done is not None
    assert (play.done.reason, play.done.cum_qty) == (Code.COMPLETED, Decimal(0))


def test_it_takes_its_share_of_an_event_as_soon_as_that_is_seen_and_says_what_it_saw() -> None:
    play = Play(events(20.25, 50))
    play.order("sniper", qty="10", **SNIPER, take="25%")
    play.to_end()
    first, second = play.of(m.ParentSliced)
    assert [int(one.at) - play.facts[0].at for one in (first, second)] == [20_250 * MS, 50 * SECOND]
    assert play.sizes == [10**5, 10**5]  # a quarter of 4 BTC
    assert (first.tif, first.limit_price) == (m.Tif.IOC, Decimal(60_001))
    assert first.why == ("liquidity event 0.70: size 0.80, concentration 1.00, spread 0.50, hidden 0.00")


def test_in_a_long_event_it_rests_between_two_slices_and_stops_where_the_order_is_done() -> None:
    play = Play(events(10, seconds=60))
    play.order("sniper", qty="1", **SNIPER, take="10%", cooldown="5s")
    play.to_end()
    at = [int(one.at) for one in play.of(m.ParentSliced)]
    assert play.sizes == [40_000, 40_000, 20_000]
    assert all(5 * SECOND <= after - before <= 6 * SECOND for before, after in pairwise(at))
    assert play.done is not None
    assert play.done.reason is Code.FILLED


def test_nothing_is_taken_beyond_the_limit_or_the_slippage() -> None:
    for bounds in ({"limit_price": "60000"}, {"max_slippage": "0.1bps"}):
        play = Play(events(10, 20))
        play.order("sniper", **SNIPER, **bounds)
        play.to_end()
        assert play.sizes == []


def test_an_event_on_a_venue_that_the_order_may_not_use_is_none() -> None:
    play = Play(events(10, 20))
    play.order("sniper", **SNIPER, venues=["sim_b"])
    play.to_end()
    assert play.sizes == []


@pytest.mark.parametrize(("force", "reason", "sizes"), [(False, Code.COMPLETED, 1), (True, Code.FILLED, 2)])
def test_after_so_many_events_it_is_over_or_completes_at_the_end(
    force: bool, reason: Code, sizes: int
) -> None:
    play = Play(events(10, 20, 30))
    play.order("sniper", **SNIPER, take="5%", max_events=1, force_completion=force)
    play.to_end()
    assert play.done is not None
    assert play.done.reason is reason
    assert len(play.sizes) == sizes
    assert play.sizes[0] == 20_000
    if force:
        assert play.sizes[1] == 80_000
        assert int(play.of(m.ParentSliced)[1].at) - play.facts[0].at == 100 * SECOND


def test_a_lower_threshold_never_takes_later() -> None:
    def first_s(threshold: str) -> float:
        def script(at_ns: int) -> Moment:
            qty = 10**5 + at_ns // SECOND * 10**4  # it grows by a tenth of the usual each second
            return Moment(bid_qty=qty, ask_qty=qty, extra=USUAL)

        play = Play(script)
        play.order("sniper", **SNIPER, threshold=threshold)
        play.to_end()
        return (int(play.of(m.ParentSliced)[0].at) - int(play.facts[0].at)) / SECOND

    found = [first_s(threshold) for threshold in ("50%", "60%", "65%", "68%", "71%")]
    assert found[0] == 0
    assert found == sorted(found)
    assert len(set(found)) == len(found)


def test_a_book_that_changes_just_after_the_order_was_looked_at_is_not_missed() -> None:
    play = Play(events())
    play.order("sniper", **SNIPER)
    play.until(10 * SECOND)
    play.bench.advance(START + 10 * SECOND + 5 * MS)
    play.bench.feed(book_of(EVENT, play.bench.now_ns))
    assert play.sizes == []
    play.bench.advance(START + 11 * SECOND)  # and no other book comes
    (sliced,) = play.of(m.ParentSliced)
    assert int(sliced.at) - START == 10 * SECOND + REACTION_NS


def test_statistics_that_make_of_the_same_book_an_event_are_heard_at_once() -> None:
    play = Play(lambda at_ns: EVENT if at_ns >= 10 * SECOND else Moment(bid_qty=4 * 10**5, ask_qty=4 * 10**5))
    play.order("sniper", **SNIPER)
    play.until(10 * SECOND)
    (sliced,) = play.of(m.ParentSliced)
    assert int(sliced.at) - START == 10 * SECOND


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"threshold": 1.5}, "threshold must be from 0% to 100%"),
        ({"take": 0}, "take must be above 0% and at most 100%"),
        ({"near": 1}, "near must be from 0% to below 100%"),
        ({"cooldown": "10ms"}, "cooldown must be at least 100ms"),
        ({"duration": "0s"}, "duration must be longer than nothing"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_with_a_sentence(params: dict[str, Any], text: str) -> None:
    (rejected,) = Play().order("sniper", **params)
    assert isinstance(rejected, m.ParentRejected)
    assert rejected.text == text
