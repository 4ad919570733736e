"""One slice's strategy fails: that slice comes back with a code, and no other one notices."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import pytest

from bestex import codec, plugins
from bestex import config as configuration
from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import Code
from bestex.instruments import Listing
from services.router.plan import Market, make_plan
from services.router.strategies.base import Allocation, Route, RouteTask, Strategy
from services.router.strategies.sweep import Sweep
from tests.unit.router.test_core import NOW, Bench, make_book, make_slice

FAULTY = "faulty"
PLACE = "tests.unit.router.test_contained:"


class Faulty(Sweep, frozen=True, kw_only=True, omit_defaults=True):
    """Takes a half, and has a bug where `fails_in` says."""

    name: ClassVar[str] = FAULTY

    fails_in: str = "route"
    second: bool = False  # only with what comes back

    def __post_init__(self) -> None:
        assert self.fails_in != "making", "made wrong"

    def excludes(self, listing: Listing) -> str:
        assert self.fails_in != "excludes", "none excluded"
        return super().excludes(listing)

    def route(self, task: RouteTask) -> Route:
        bad = not self.second or task.qty < 10**5
        assert self.fails_in != "route" or not bad, "no route"
        first, other = "sim_a", "sim_b"
        if bad and self.fails_in in WRONG:
            wrong: Route = WRONG[self.fails_in]
            return wrong
        if self.fails_in in ("keeps", "reprices"):
            rests = [
                Allocation(one, 10**4, 59_999_00, 10**4 * 59_999_00, m.Tif.GTC, True)
                for one in (first, other)
            ]
            return Route(rests, review_ns=task.now_ns + SECOND)
        return Route([Allocation(first, 50_000, 60_001_00, 50_000 * 60_001_00)])

    def keeps(self, *_: Any, **__: Any) -> int:
        assert self.fails_in != "keeps", "nothing kept"
        return 0

    def reprices(self, *_: Any, **__: Any) -> list[int]:
        return [60_000_00]  # for two


WRONG: dict[str, Any] = {
    "nothing": None,
    "too much": Route([Allocation("sim_a", 10**6, 60_001_00, 1)]),
    "half": Route([Allocation("sim_a", 0.5, 60_001_00, 1)]),  # type: ignore[arg-type]
    "less": Route([Allocation("sim_a", -1, 60_001_00, 1)]),
    "half shown": Route([Allocation("sim_a", 10, 60_001_00, 1, display=0.5)]),  # type: ignore[arg-type]
    "half paid": Route([Allocation("sim_a", 10, 60_001_00, 0.5)]),  # type: ignore[arg-type]
    "no word": Route(why=None),  # type: ignore[arg-type]
    "no reason": Route(left_out={"sim_a": None}),  # type: ignore[dict-item]
    "no time": Route(review_ns=0.5),  # type: ignore[arg-type]
    "elsewhere": Route([Allocation("nowhere", 10, 60_001_00, 1)]),
}


@pytest.fixture(autouse=True)
def _faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins.STRATEGIES, FAULTY, f"{__name__}:Faulty")


def bench() -> Bench:
    made = Bench()
    made.expects = True
    made.feed(make_book())
    return made


def bad_slice(fails_in: str, **more: Any) -> m.ParentSliced:
    second = more.pop("second", False)
    params = {"fails_in": fails_in, "second": second}
    return make_slice("1", strategy=FAULTY, strategy_params=params, **more)


@pytest.mark.parametrize("fails_in", ["route", "excludes", "making", *WRONG])
def test_the_slice_comes_back_whole_with_a_code_and_the_error_in_its_history(fails_in: str) -> None:
    made = bench()
    decided, done = made.feed(bad_slice(fails_in))
    assert (decided.legs, made.commands) == ([], [])
    assert decided.failed.startswith("faulty failed, ")
    assert (done.reason, done.filled_qty, done.text) == (Code.STRATEGY_FAILED, 0, decided.failed)
    assert fails_in in WRONG or PLACE in decided.failed
    (alarm,) = made.alarms
    assert alarm.code is Code.STRATEGY_FAILED
    assert alarm.subject == "bestex.v1.route.BTC-USDT.p1.1.*"


def test_other_slices_go_on() -> None:
    made = bench()
    made.feed(bad_slice("route"))
    decided, *_ = made.feed(make_slice("0.5", slice_no=2))
    assert decided.legs


def test_what_was_at_its_venues_when_it_failed_comes_back_first() -> None:
    made = bench()
    made.feed(bad_slice("route", second=True))
    (child,) = made.commands
    made.end(child, "0.3")
    made.advance(NOW + 2 * SECOND)
    (again,) = [event for event in made.facts if isinstance(event, m.RouteRerouted)]
    done = made.facts[-1]
    assert (again.legs, again.failed != "") == ([], True)
    assert (done.reason, done.filled_qty) == (Code.STRATEGY_FAILED, Decimal("0.3"))
    assert len(made.alarms) == 1


@pytest.mark.parametrize("fails_in", ["keeps", "reprices"])
def test_what_rests_is_withdrawn_by_a_strategy_that_fails_to_look_at_it(fails_in: str) -> None:
    made = bench()
    made.feed(bad_slice(fails_in, tif=m.Tif.GTC))
    made.feed(make_book(NOW + SECOND))
    children = [command for command in made.commands if isinstance(command, m.ChildNew)]
    made.advance(NOW + SECOND)
    (withdrawn,) = [event for event in made.facts if isinstance(event, m.RouteWithdrawn)]
    assert withdrawn.failed.startswith("faulty failed, ")
    for child in children:
        made.end(child, "0")
    made.advance(NOW + 2 * SECOND)
    done = made.facts[-1]
    assert (type(done), done.reason, done.text) == (m.RouteDone, Code.STRATEGY_FAILED, withdrawn.failed)
    assert len(made.alarms) == 1


@pytest.mark.parametrize("after", [1, 2])
def test_a_process_that_starts_again_asks_it_nothing(after: int) -> None:
    made = bench()
    made.feed(bad_slice("route"))
    twin = Bench()
    twin.feed(make_book())
    for event in made.facts[:after]:
        twin.effects(twin.core.apply(codec.from_json(codec.to_json(event), type(event))))
    # Redelivered, or not: it is known.
    twin.feed(bad_slice("route"))
    assert [*made.facts[:after], *twin.facts] == made.facts


def test_a_strategy_that_fails_in_the_shadow_of_others_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench()
    monkeypatch.setattr(made.core._shadows, "_share", 10_000)
    decided, *_ = made.feed(make_slice("0.5"))
    assert decided.legs
    (alarm,) = made.alarms
    assert alarm.code is Code.STRATEGY_FAILED
    (child,) = made.commands[:1]
    made.end(child)
    for other in made.commands[1:]:
        made.end(other)
    done = made.facts[-1]
    shadows = {one.strategy for one in done.shadows}
    assert "sweep" in shadows
    assert FAULTY not in shadows


def test_a_plan_says_that_its_strategy_failed_and_others_that_do_are_named() -> None:
    config = configuration.load(None, {})
    strategies: dict[str, type[Strategy]] = {
        name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES
    }
    market = Market(config.make_instruments(), config, strategies, {"BTC/USDT": make_book()})
    request = m.PlanRequest(
        symbol="BTC/USDT", side=m.Side.BUY, qty=Decimal("0.5"), strategy=FAULTY, compare=True
    )
    plan = make_plan(request, NOW, market)
    assert (plan.error, PLACE in plan.text) == (Code.STRATEGY_FAILED, True)
    other = make_plan(
        codec.convert({**codec.to_builtins(request), "strategy": "sweep"}, m.PlanRequest), NOW, market
    )
    assert other.legs
    assert PLACE in other.text
    assert FAULTY not in {one.strategy for one in other.others}
