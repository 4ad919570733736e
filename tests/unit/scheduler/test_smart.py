"""Smart: what it chooses, what it hands on, and that what was chosen is what works."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from bestex import messages as m
from bestex import plugins
from bestex.clock import SECOND
from bestex.errors import Code
from bestex.human import Ratio
from services.scheduler.algos.base import Params, Task
from services.scheduler.algos.smart import Smart
from services.scheduler.algos.twap import Twap
from services.scheduler.market import Market
from tests.unit.scheduler.play import Moment, Play, steady, usually
from tests.unit.scheduler.test_choice import ALL

THIN: dict[str, Any] = {"bid_qty": 2 * 10**5, "ask_qty": 2 * 10**5}  # two BTC on either side


def accepted(play: Play, **order: Any) -> m.ParentAccepted:
    play.order("smart", **order)
    (event,) = play.of(m.ParentAccepted)
    assert isinstance(event, m.ParentAccepted)
    return event


def test_a_small_order_is_taken_at_once_and_the_reason_has_the_figures() -> None:
    play = Play(steady(extra={"volume": Decimal(600), **usually(0.4, None)}))
    event = accepted(play, qty="1")
    assert event.works_as == "market"
    assert (
        event.params["duration"] == "5m"
    )  # the order's, by which its end was set; alone it would be a market's 10 s
    assert event.reason == (
        "market, because it is small against the book, so that waiting has more to lose than to save: urgency "
        "medium, 1 in 5m, 0.1% of the book within 10 bps, 0.033% of the volume, spread 0.33 bps (usually 0.4), "
        "risk 10 bps"
    )
    play.to_end()
    assert play.done is not None
    assert (play.done.reason, len(play.sizes)) == (Code.FILLED, 1)
    assert play.of(m.ParentSliced)[0].algo == "smart"


@pytest.mark.parametrize(
    ("order", "moment", "works_as", "text"),
    [
        ({"urgency": "immediate", "qty": "50"}, THIN, "market", "wanted at once"),
        ({"qty": "1"}, {"ask": None}, "twap", "no book"),
        ({"qty": "1"}, THIN, "twap", "50% of the book within 10 bps, no volume"),
        ({"qty": "1", "limit_price": "59950"}, THIN, "limit", "the best price 8.5 bps beyond its limit"),
        ({"qty": "50", "side": "sell", "limit_price": "60100"}, THIN, "limit", "too large to be shown"),
        ({"qty": "50"}, THIN, "liquidity", "25.0 times the book"),
        ({"qty": "50", "urgency": "high"}, THIN, "liquidity", "urgency high"),
        ({"qty": "1"}, {"bid": 59_000_00, "ask": 61_000_00}, "liquidity", "nothing within 10 bps"),
        ({"qty": "1", "depth_bps": 200}, {"bid": 59_000_00, "ask": 61_000_00}, "market", "0.1% of the book"),
        (
            {"qty": "1", "urgency": "low"},
            {"bid": 59_970_00, "ask": 60_030_00, "extra": usually(2.0, "1000")},
            "sniper",
            "spread 10 bps (usually 2)",
        ),
    ],
)
def test_the_market_that_was_heard_decides(
    order: dict[str, Any], moment: dict[str, Any], works_as: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_these(monkeypatch)
    event = accepted(Play(steady(**moment)), **order)
    assert event.works_as == works_as
    assert event.reason.startswith(f"{works_as}, because ")
    assert text in event.reason


def only_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else there is, the choice is among these."""
    names = ("market", "limit", "twap", "sniper", "liquidity", "smart")
    monkeypatch.setattr(plugins, "ALGOS", {name: plugins.ALGOS[name] for name in names})


def test_of_a_market_that_nobody_has_heard_it_sends_nothing_until_there_is_a_price() -> None:
    def script(at_ns: int) -> Moment:
        return Moment(bid=None, ask=None, volatility_bps=None) if at_ns < 60 * SECOND else Moment()

    play = Play(script)
    event = accepted(play, qty="1", duration="120s")
    assert event.works_as == "twap"
    assert "nothing is known of the market's prices" in event.reason
    assert event.reason.endswith("urgency medium, 1 in 2m, no book, no volume, no volatility")
    play.to_end()
    assert all(int(one.at) - int(event.at) >= 60 * SECOND for one in play.of(m.ParentSliced))
    assert play.done is not None
    assert play.done.reason is Code.FILLED


def test_what_is_given_is_handed_on_and_what_is_not_follows_from_the_situation() -> None:
    play = Play(steady(**THIN))
    event = accepted(play, qty="1", duration="200s", max_slice="0.1", catch_up=0.5, would_price="59000")
    assert event.works_as == "twap"
    params = event.params
    assert (params["max_slice"], params["catch_up"], params["would_price"]) == ("0.1", 0.5, "59000")
    assert (params["duration"], params["slices"]) == ("3m20s", 20)
    assert event.end_at == event.at + 200 * SECOND


def test_the_larger_it_is_against_the_book_the_smaller_are_its_parts() -> None:
    def slices(qty: str) -> int:
        found = accepted(Play(steady(**THIN)), qty=qty, duration="60s").params["slices"]
        assert isinstance(found, int)
        return found

    assert [slices(qty) for qty in ("0.3", "0.9", "1")] == [6, 6, 6]
    play = Play(steady(**THIN, extra={"volume": Decimal(10_000)}))
    event = accepted(play, qty="3", duration="60s", urgency="low", venues=["sim_a"])
    assert (event.works_as, event.params["slices"]) == ("twap", 15)  # each a tenth of the two that are shown


def test_a_change_keeps_the_choice_and_derives_its_parameters_anew() -> None:
    play = Play(steady(**THIN))
    assert accepted(play, qty="1", duration="100s").works_as == "twap"
    play.until(5 * SECOND)
    play.request("modify", qty="0.15", params={"duration": "200s", "max_slice": "0.02"})
    (modified,) = play.of(m.ParentModified)
    assert modified.works_as == "twap"  # though so little would have been taken at once
    assert (modified.params["slices"], modified.params["max_slice"]) == (20, "0.02")
    play.to_end()
    assert max(play.sizes[1:]) <= 2_000


def test_a_killed_scheduler_goes_on_by_what_was_chosen_whatever_it_would_choose_now() -> None:
    def script(at_ns: int) -> Moment:
        return (
            Moment(**THIN) if at_ns < 5 * SECOND else Moment()
        )  # later it would be small, and taken at once

    play = Play(script)
    assert accepted(play, qty="1", duration="100s").works_as == "twap"
    play.until(30 * SECOND)
    before = len(play.sizes)
    play = play.killed().to_end()
    assert len(play.of(m.ParentAccepted)) == 1
    assert len(play.sizes) >= 9 > before
    assert play.done is not None
    assert play.done.reason is Code.FILLED


@pytest.mark.parametrize("urgency", ["low", "medium", "high", "immediate"])
@pytest.mark.parametrize("seconds", [1, 60, 100_000, 10**7])
def test_what_it_derives_is_allowed_for_every_algorithm_that_there_is(urgency: str, seconds: int) -> None:
    for qty in ("0.01", "1", "50"):
        for order in ({}, {"limit_price": "59950"}, {"limit_price": "60100"}):
            play = Play(steady(**THIN))
            event = accepted(play, qty=qty, duration=f"{seconds}s", urgency=urgency, **order)
            kind = plugins.load(plugins.ALGOS, event.works_as)
            assert event.works_as in ALL
            assert not play.bench.core._params(event).problem()
            assert kind is type(play.bench.core._params(event))


def test_nothing_is_derived_that_the_algorithm_would_refuse() -> None:
    class Narrow(Twap, frozen=True, kw_only=True, omit_defaults=True):
        def problem(self) -> str:
            return "no slices here" if self.slices else ""

    play = Play(steady(**THIN))
    accepted(play, qty="1")
    smart = Smart()
    parent = play.bench.core._parents["p1"]
    chosen, _ = smart.choose(parent.task(play.bench.core._markets["BTC/USDT"]), {"twap": Narrow})
    assert isinstance(chosen, Narrow)
    assert not chosen.slices


def test_an_iceberg_shows_no_more_than_a_small_part_of_the_book() -> None:
    class Iceberg(Params, frozen=True, kw_only=True, omit_defaults=True):
        name: ClassVar[str] = "iceberg"
        display_share: Ratio = Ratio(0.5)

    play = Play(steady(**THIN))
    accepted(play, qty="40", side="sell", limit_price="60100")
    task = play.bench.core._parents["p1"].task(play.bench.core._markets["BTC/USDT"])
    chosen, why = Smart().choose(task, {"twap": Twap, "iceberg": Iceberg})
    assert isinstance(chosen, Iceberg)
    assert chosen.display_share == pytest.approx(0.005)  # of 40: a tenth of the two that are shown
    assert why.startswith("iceberg, because nothing is to be had at its limit")


def test_an_algorithm_that_does_not_know_enough_is_passed_over() -> None:
    class Vwap(Twap, frozen=True, kw_only=True, omit_defaults=True):
        name: ClassVar[str] = "vwap"
        knows: ClassVar[bool] = True

        @classmethod
        def knows_enough(cls, market: Market) -> bool:
            del market
            return cls.knows

        def choose(self, task: Task, algos: Mapping[str, type[Params]], name: str = "") -> tuple[Params, str]:
            del task, algos, name
            return self, "by the volume of 20 days"

    class Unknowing(Vwap, frozen=True, kw_only=True, omit_defaults=True):
        knows: ClassVar[bool] = False

    play = Play(steady(**THIN, extra={"volume": Decimal(6_000)}))
    accepted(play, qty="1", duration="600s")
    task = play.bench.core._parents["p1"].task(play.bench.core._markets["BTC/USDT"])
    chosen, why = Smart().choose(task, {"twap": Twap, "vwap": Vwap})
    assert isinstance(chosen, Vwap)
    assert why.endswith("; by the volume of 20 days")
    chosen, _ = Smart().choose(task, {"twap": Twap, "vwap": Unknowing})
    assert type(chosen) is Twap


def test_its_own_parameters_are_checked_as_those_of_all() -> None:
    (rejected,) = Play().order("smart", depth_bps=0)
    assert isinstance(rejected, m.ParentRejected)
    assert rejected.code is Code.INVALID_PARAMETER
    (rejected,) = Play().order("smart", slices=3)
    assert rejected.code is Code.UNKNOWN_FIELD
