"""What other strategies would have cost, worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bestex import messages as m
from bestex import plugins
from bestex.clock import Time
from bestex.errors import Code
from bestex.human import Ratio
from bestex.messages import Side
from services.router.shadows import Shadows
from services.router.state import key_of
from tests.unit.router.strategies.test_smart import CONFIG, FAST, NOW, ask, book

STRATEGIES = {name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES}
KEY = key_of("X/Y", "p1", 1)


def shadows(share: float = 1.0) -> Shadows:
    execution = msgspec.structs.replace(CONFIG.execution, shadow_share=Ratio(share))
    return Shadows(msgspec.structs.replace(CONFIG, execution=execution), STRATEGIES)


def done(filled: str, notional: str, fees: str = "0") -> m.RouteDone:
    return m.RouteDone(
        symbol="X/Y",
        parent_id="p1",
        slice_no=1,
        at=Time(NOW),
        qty=Decimal(1),
        filled_qty=Decimal(filled),
        notional=Decimal(notional),
        fees=Decimal(fees),
        reason=Code.FILLED,
    )


def moved(by: int) -> m.ConsolidatedBook:
    """The usual book, all of it so many cents higher."""
    columns = [
        m.VenueColumn(
            c.venue,
            c.status,
            0,
            NOW,
            NOW,
            [p + by for p in c.bid_px],
            c.bid_qty,
            [p + by for p in c.ask_px],
            c.ask_qty,
        )
        for c in book().venues
    ]
    return m.ConsolidatedBook("X/Y", 2, NOW, 2, 3, False, False, columns)


def costs(made: Shadows, end: m.RouteDone, last: m.ConsolidatedBook) -> dict[str, float]:
    return {one.strategy: one.cost_bps for one in made.end(end, last)}


def test_the_real_route_is_priced_by_what_it_paid_and_comes_first() -> None:
    made = shadows()
    made.begin(KEY, ask(FAST), "sweep")
    found = made.end(done("1", "100.05", "0.02001"), book())
    assert found[0].strategy == "sweep"
    assert found[0].cost_bps == pytest.approx(5 + 2.001)
    assert {one.strategy for one in found} == STRATEGIES.keys()


def test_what_is_left_is_taken_at_the_end() -> None:
    made = shadows()
    made.begin(KEY, ask(FAST), "sweep")
    # Half at 100.05; the other half at 100.15, which is asked at the end, with a fee of 2 basis points.
    found = costs(made, done("0.5", "50.025", "0.010005"), moved(10))
    assert found["sweep"] == pytest.approx((0.05 + 0.02001 + 0.15 + 0.02003) / 2 * 100)
    assert found["best_price"] == pytest.approx(7.001), "it would have taken all of it"


@pytest.mark.parametrize(
    ("seen", "cost_bps"),
    [
        ([-10], -5.0),  # somebody offered at 99.95: what was posted there is filled, without a fee
        ([-9, 3], 8 + 2.0016),  # nobody did: it is taken at the end at 100.08
    ],
)
def test_what_would_have_been_posted_is_filled_if_the_market_came_through_it(
    seen: list[int], cost_bps: float
) -> None:
    made = shadows()
    made.begin(KEY, ask(FAST), "sweep")
    for by in seen:
        made.book(moved(by))
    assert costs(made, done("1", "100.05"), moved(seen[-1]))["smart"] == pytest.approx(cost_bps)


def test_a_sell_is_its_mirror() -> None:
    made = shadows()
    made.begin(KEY, ask(FAST, Side.SELL), "sweep")
    found = costs(made, done("1", "99.95", "0.01999"), book())
    assert found["sweep"] == pytest.approx(5 + 1.999)
    assert found["best_price"] == pytest.approx(5 + 1.999)


def test_only_a_share_of_slices_is_sampled_and_always_the_same_ones() -> None:
    def sampled(share: float) -> set[str]:
        made, found = shadows(share), set()
        for number in range(150):
            key = key_of("X/Y", f"p{number}", 1)
            made.begin(key, ask(None), "sweep")
            end: Any = msgspec.structs.replace(done("1", "100"), parent_id=f"p{number}")
            if made.end(end, book()):
                found.add(key)
        return found

    assert sampled(0.0) == set()
    assert 20 < len(sampled(0.3)) < 80
    assert sampled(0.3) == sampled(0.3) <= sampled(0.6)
