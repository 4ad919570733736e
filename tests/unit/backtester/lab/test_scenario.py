"""One scenario: what an order cost, to the last part."""

from __future__ import annotations

import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bestex import messages as m
from bestex.clock import SECOND
from bestex.shortfall import bps
from services.backtester.lab import scenario as s
from services.backtester.lab import windows as w
from tests.unit.backtester import recorded
from tests.unit.backtester.lab import moving

BTC = "BTC/USDT"
WARM_UP_NS = 5 * SECOND


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def still(cache: Path) -> w.Dataset:
    """Spot at 60,000 and a perpetual at 59,977 that do not move: a bitcoin every unit of price, 0.50 from the mid."""
    return w.prepare([recorded.write(cache / "still.rec")], cache)


@pytest.fixture(scope="module")
def walking(cache: Path) -> w.Dataset:
    return w.prepare([moving.write(cache / "moving.rec")], cache)


def order(qty: str, side: str = "buy", algo: str = "market", **more: Any) -> m.ParentOrder:
    return m.ParentOrder(symbol=BTC, side=m.Side(side), qty=Decimal(qty), algo=algo, **more)


def scenario(dataset: w.Dataset, *orders: m.ParentOrder, seconds: int = 20, seed: int = 1) -> s.Scenario:
    span = w.Span(dataset.begin_ns + 10 * SECOND, dataset.begin_ns + (10 + seconds) * SECOND)
    [window] = w.windows(dataset, [span])
    at_ns = span.begin_ns + WARM_UP_NS
    placed = tuple(s.Placed(order=one, at_ns=at_ns) for one in orders)
    return s.Scenario(window=window, placed=placed, config_text=dataset.config_text, seed=seed)


class InBps(NamedTuple):
    delay: float
    trading: float
    opportunity: float
    fees: float
    total: float


def one(dataset: w.Dataset, placed: m.ParentOrder, **more: Any) -> tuple[s.Outcome, InBps]:
    """What became of it, and what it cost in basis points."""
    [outcome] = s.run(scenario(dataset, placed, **more))
    cost = s.cost(outcome)
    assert cost is not None
    assert outcome.decision_mid is not None
    value = placed.qty * outcome.decision_mid
    found = InBps(*(bps(part, value) or 0.0 for part in cost))
    assert s.cost_bps(outcome) == found.total
    return outcome, found


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_what_crosses_a_market_that_stands_still_pays_half_the_spread_and_the_fee(
    still: w.Dataset, side: str
) -> None:
    outcome, cost = one(still, order("0.5", side, venues=["binance_spot"]))
    assert outcome.decision_mid == 60_000
    assert (cost.delay, cost.opportunity, outcome.left) == (0, 0, None)
    assert cost.trading == pytest.approx(0.5 / 60_000 * 1e4)
    assert cost.fees == pytest.approx(10, rel=1e-4)  # bps, an ordinary account's on spot
    assert cost.total == pytest.approx(cost.trading + cost.fees)


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_the_difference_between_two_markets_is_neither_gain_nor_cost(still: w.Dataset, side: str) -> None:
    """A perpetual 23 below spot is not 4 bps cheaper: that is its basis."""
    outcome, cost = one(still, order("0.5", side, venues=["binance_perp"]))
    assert outcome.summary is not None
    assert {fill.venue for fill in outcome.summary.fills} == {"binance_perp"}
    assert cost.trading == pytest.approx(0.5 / 60_000 * 1e4, abs=0.05)
    assert cost.fees == pytest.approx(5, rel=1e-2)


def test_what_is_left_is_taken_at_the_end_level_by_level_with_fees(still: w.Dataset) -> None:
    """A limit that nobody meets: the whole quantity costs what a market order would have, not nothing."""
    resting = order("1.5", algo="limit", limit_price=Decimal(59_000), venues=["binance_spot"])
    outcome, cost = one(still, resting)
    assert outcome.summary is not None
    assert outcome.summary.total_quantity == 0
    assert outcome.left is not None
    assert (outcome.left.qty, outcome.left.beyond) == (Decimal("1.5"), Decimal(0))
    # The perpetual is the cheaper one by its fee: one bitcoin 0.50 beyond the mid, half of one at the level after it.
    assert cost.opportunity == pytest.approx((1 * 0.5 + 0.5 * 1.5) / 1.5 / 60_000 * 1e4, abs=0.05)
    assert cost.fees == pytest.approx(5, rel=1e-2)
    assert (cost.trading, cost.delay) == (0, 0)


def test_what_no_book_shows_is_priced_at_the_last_level_and_said_so(still: w.Dataset) -> None:
    resting = order("25", algo="limit", limit_price=Decimal(59_000))
    outcome, _ = one(still, resting)
    assert outcome.left is not None
    assert outcome.left.beyond == 15, "ten levels of one bitcoin are shown"


def test_the_parts_of_a_cost_sum_to_its_total_where_prices_move(walking: w.Dataset) -> None:
    worked = order("3", algo="twap", params={"duration": "10s", "interval": "2s"})
    outcome, cost = one(walking, worked)
    summary = outcome.summary
    assert summary is not None
    assert outcome.decision_mid is not None
    paid = (
        sum((fill.quantity * fill.fill_price for fill in summary.fills), Decimal(0))
        + summary.total_commission
    )
    left = outcome.left.notional + outcome.left.fees if outcome.left else Decimal(0)
    direct = (paid + left) / (3 * outcome.decision_mid) - 1
    assert cost.total == pytest.approx(1e4 * float(direct), abs=1e-6)
    exact = s.cost(outcome)
    assert exact is not None
    assert sum(exact[:-1]) == exact.total


def test_a_refused_order_says_why_and_has_no_cost(still: w.Dataset) -> None:
    outcome, other = s.run(
        scenario(still, order("0.5", algo="twap", params={"interval": "0s"}), order("0.5"))
    )
    assert (outcome.refused, outcome.summary) == ("invalid_parameter", None)
    assert "interval" in outcome.text
    assert s.cost(outcome) is None
    assert other.summary is not None


def test_what_is_at_work_when_the_window_ends_is_cancelled_and_priced(walking: w.Dataset) -> None:
    long = order("3", algo="twap", params={"duration": "5m", "interval": "5s"})
    outcome, _ = one(walking, long)
    assert outcome.summary is not None
    assert outcome.summary.reason == "canceled"
    assert 0 < outcome.summary.total_quantity < 3
    assert outcome.left is not None
    assert outcome.left.qty == 3 - outcome.summary.total_quantity


def test_a_scenario_gives_the_same_outcomes_again_wherever_it_runs(walking: w.Dataset) -> None:
    made = scenario(
        walking, order("2", algo="twap", params={"duration": "10s", "interval": "2s"}), order("1", "sell")
    )
    first = s.run(made)
    assert s.run(pickle.loads(pickle.dumps(made))) == first
    assert pickle.loads(pickle.dumps(first)) == first


def test_the_end_of_an_order_is_its_own_and_not_when_somebody_looked(cache: Path) -> None:
    """Half a unit is lost every tenth of a second."""
    falling = w.prepare([moving.write(cache / "falling.rec", steps=(-5,))], cache)
    resting = order("1", algo="limit", limit_price=Decimal(59_000), params={"duration": "3300ms"})
    outcome, cost = one(falling, resting)
    assert outcome.summary is not None
    assert outcome.decision_mid is not None
    assert outcome.end_mid is not None
    lived_s = outcome.summary.duration_s
    assert lived_s == pytest.approx(3.3, abs=0.1)
    assert float(outcome.decision_mid - outcome.end_mid) == pytest.approx(5 * lived_s, abs=1)
    assert cost.opportunity == pytest.approx((0.5 - 5 * lived_s) / float(outcome.decision_mid) * 1e4, abs=0.3)


def test_without_a_recording_each_seed_is_a_market_of_its_own() -> None:
    from importlib import resources

    text = (resources.files("bestex") / "default.toml").read_text()
    dataset = w.modelled(text, moving.START_NS, 60 * SECOND)
    mids = []
    for seed in (1, 1, 2):
        outcome, _ = one(dataset, order("0.5"), seed=seed)
        mids.append(outcome.decision_mid)
    assert mids[0] == mids[1] != mids[2]
