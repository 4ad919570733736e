"""What users of other execution engines suffer from, and what happens here instead: each a test of its own.

Those of the scheduler stand here. Beside them: an unknown outcome is never called rejected, and fills missed
at a disconnect are pulled (`tests/property/test_gateway_life.py`); cancels pass before a rate limit
(`tests/unit/gateway/controls/test_rate.py`); a stale or crossed book is not traded on
(`tests/unit/router/test_visible.py`); simulated fills never use the same liquidity twice
(`tests/property/test_matching.py`); nothing that was accepted is dropped by an outage or a restart (`tests/faults/`).
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import Code
from tests.unit.scheduler.play import Moment, Play, all_of_it, size

TWAP: dict[str, Any] = {"duration": "100s", "interval": "10s", "randomize": 0}


def test_the_default_twap_sends_all_of_its_slices_and_not_all_but_one() -> None:
    play = Play()
    play.order("twap", duration="100s", interval="10s")
    play.to_end()
    assert len(play.sizes) == 10
    assert sum(play.sizes) == 100_000


def test_a_slice_below_the_minimum_does_not_send_the_whole_order_at_once() -> None:
    play = Play()
    play.order("twap", qty="0.0005", **{**TWAP, "interval": "1s"})
    play.until(15 * SECOND)
    assert play.sizes == [10]
    play.to_end()
    assert play.sizes == [10] * 5


def test_a_rejected_slice_does_not_erase_the_others() -> None:
    play = Play(fill=lambda sliced, moment: 0 if sliced.slice_no == 3 else all_of_it(sliced, moment))
    play.order("twap", **TWAP)
    play.to_end()
    assert play.done is not None
    assert play.done.reason is Code.FILLED
    assert sum(size(sliced) for sliced in play.of(m.ParentSliced) if sliced.slice_no != 3) == 100_000


def test_an_algorithm_does_not_die_with_its_process_and_no_restart_sends_a_slice_twice() -> None:
    lived = Play()
    lived.order("twap", duration="100s", interval="10s")
    lived.to_end()
    play = Play()
    play.order("twap", duration="100s", interval="10s")
    while play.done is None:
        play = play.until(play.at_ns + 3 * SECOND).killed()
    assert play.sizes == lived.sizes
    assert [event.at for event in play.of(m.ParentSliced)] == [e.at for e in lived.of(m.ParentSliced)]


def test_a_long_outage_ends_without_a_burst() -> None:
    out = Play(fill=lambda sliced, moment: 0 if sliced.slice_no <= 7 else all_of_it(sliced, moment))
    out.order("twap", **TWAP)
    out.to_end()
    assert max(out.sizes) == 20_000


def test_what_a_cancelled_slice_did_not_fill_is_not_lost() -> None:
    play = Play(fill=lambda *_: None)
    play.order("limit", limit_price="59000", duration="100s")
    (resting,) = play.of(m.ParentSliced)
    play.request("modify", limit_price="59500")
    play.settled.add(resting.slice_no)
    play.settle(resting, 30_000, Code.REPLACED)
    assert play.sizes == [100_000, 70_000]


def test_randomised_sizes_do_not_drift_away_from_the_schedule() -> None:
    """Others multiply one after the other, a random walk; here every point varies around the line by itself."""
    for seed in range(20):
        play = Play()
        play.bench.seq = seed
        play.algo = "twap"
        body = {"side": "buy", "qty": "1", "parent_id": f"r{seed}"}
        play.bench.order({**body, "params": {"duration": "100s", "interval": "1s", "randomize": 0.9}})
        for second in range(1, 100):
            play.bench.advance(play.bench.now_ns + SECOND)
            for sliced in play.of(m.ParentSliced):
                if sliced.slice_no not in play.settled:
                    play.settled.add(sliced.slice_no)
                    filled = m.RouteDone(
                        symbol=sliced.symbol, parent_id=sliced.parent_id, slice_no=sliced.slice_no, at=sliced.at,
                        qty=sliced.qty, filled_qty=sliced.qty, notional=Decimal(0), fees=Decimal(0),
                        reason=Code.FILLED,
                    )  # fmt: skip
                    play.bench.feed(filled)
            assert abs(sum(play.sizes) - second * 1_000) <= 2_000


def test_every_quantity_is_on_the_grid_and_sums_exactly_without_floats() -> None:
    draw = random.Random(1)
    for _ in range(20):
        qty = Decimal(draw.randrange(10, 300_000)).scaleb(-5)
        play = Play()
        play.order("twap", qty=str(qty), duration="100s", interval="7s", randomize=0.5)
        play.to_end()
        assert play.done is not None
        assert play.done.cum_qty == qty == sum(sliced.qty for sliced in play.of(m.ParentSliced))


def test_dust_ends_an_order_with_a_reason_and_no_endless_loop() -> None:
    play = Play(fill=lambda sliced, _: size(sliced) - 5)
    play.order("twap", qty="0.0003", **TWAP)
    play.to_end(1_000)
    assert play.done is not None
    assert play.done.reason is not Code.FILLED
    assert len(play.sizes) < 30


def test_a_market_that_is_gone_makes_no_storm_of_orders() -> None:
    play = Play(lambda _: Moment(bid=None, ask=None))
    play.order("twap", duration="1h", interval="1s")
    play.until(60 * SECOND)
    assert play.sizes == []


def test_the_partial_fills_of_a_refreshed_order_are_counted() -> None:
    """Elsewhere what a part had filled when it was replaced goes uncounted, and is bought twice."""
    play = Play(fill=lambda *_: None)
    play.order("iceberg", display="0.1", native=False, limit_price="59000", duration="100s")
    bought = 0
    for filled in (4_000, 0, 9_000, 10_000):
        sliced = play.of(m.ParentSliced)[-1]
        play.settled.add(sliced.slice_no)
        play.settle(sliced, min(filled, size(sliced)), Code.DISPLAYED)
        bought += min(filled, size(sliced))
        play.until(play.at_ns + 3 * SECOND)
        last = play.of(m.ParentSettled)[-1]
        assert (last.cum_qty, last.leaves_qty) == (
            Decimal(bought).scaleb(-5),
            Decimal(100_000 - bought).scaleb(-5),
        )
    assert max(play.sizes) <= 10_000


def test_vwap_follows_the_markets_volume_and_does_not_wait_for_a_price_below_its_average() -> None:
    def falls_and_rises(at_ns: int) -> Moment:
        away = abs(at_ns // SECOND - 50) * 100
        return Moment(bid=60_000_00 + away, ask=60_002_00 + away, traded=10**6 * at_ns // SECOND)

    play = Play(falls_and_rises)
    play.order("vwap", duration="100s", interval="10s", randomize=0)
    play.to_end()
    assert play.sizes == [10_000] * 10


def test_one_rejection_of_a_venue_is_not_the_end_of_an_order() -> None:
    play = Play(fill=lambda sliced, moment: 0 if sliced.slice_no % 2 else all_of_it(sliced, moment))
    for algo in ("twap", "is"):
        play = Play(fill=play.fill)
        play.order(algo, duration="100s", interval="5s", force_completion=True)
        play.to_end()
        assert play.done is not None
        assert play.done.cum_qty >= Decimal("0.9")


def test_two_linked_orders_cannot_both_fill() -> None:
    """Elsewhere one cancels the other by a message, and both fill before it comes; here it is one order."""
    play = Play(
        lambda at_ns: Moment(bid=60_999_00, ask=61_001_00) if at_ns >= 5 * SECOND else Moment(),
        delay_ns=10**15,  # what comes back is told by hand
    )
    play.algo = "limit"
    other = {"algo": "market", "trigger": {"price": "60900"}}
    body = {"side": "buy", "qty": "1", "parent_id": "p1", "limit_price": "59000", "otherwise": other}
    play.bench.order({**body, "params": {"duration": "100s"}}, algo="limit")
    play.until(6 * SECOND)
    (resting,) = play.of(m.ParentSliced)
    assert play.of(m.ParentSwitched), "the other way is chosen"
    assert len(play.sizes) == 1, "but nothing more is sent before what rested has come back"
    play.settled.add(resting.slice_no)
    play.settle(resting, 100_000, Code.FILLED)  # it had filled meanwhile
    assert play.sizes == [100_000]
    assert play.done is not None
    assert play.done.cum_qty == 1
