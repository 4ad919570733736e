"""Whatever parents come and whichever service dies: all end, sums are exact, no promise is broken."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from bestex import config as configuration
from bestex import messages as m
from bestex.clock import MS, SECOND
from services.backtester.session import BUILDERS, VirtualSession

WARM_UP_NS = 2 * SECOND
UNTIL_NS = 150 * SECOND  # the longest parent, a crash, and a redelivery or two


@dataclass(frozen=True)
class Plan:
    order: m.ParentOrder
    at_ms: int
    change: str
    change_ms: int


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    algo = draw(st.sampled_from(["market", "limit", "twap"]))
    side = draw(st.sampled_from(list(m.Side)))
    params: dict[str, str] = {}
    limit = None
    if algo == "twap":
        params = {"duration": f"{draw(st.integers(3, 20))}s", "interval": f"{draw(st.integers(1, 5))}s"}
    elif algo == "limit":
        params = {"duration": f"{draw(st.integers(1, 20))}s"}
        limit = Decimal(3000 + draw(st.integers(-6, 6)))
    order = m.ParentOrder(
        symbol="ETH/USDT",
        side=side,
        qty=Decimal(draw(st.integers(1, 400_000))) / 10_000 + Decimal("0.0020"),
        algo=algo,
        limit_price=limit,
        params=params,
    )
    change = draw(st.sampled_from(["", "", "cancel", "pause", "modify"]))
    return Plan(order, draw(st.integers(0, 4_000)), change, draw(st.integers(0, 10_000)))


def act(session: VirtualSession, plan: Plan, start_ns: int) -> None:
    at_ns = start_ns + plan.at_ms * MS
    parent_id = session.submit(plan.order, at_ns)
    later_ns = at_ns + plan.change_ms * MS + MS
    if plan.change == "cancel":
        session.cancel(parent_id, later_ns)
    elif plan.change == "pause":
        session.pause(parent_id, later_ns)
        session.resume(parent_id, later_ns + SECOND)
    elif plan.change == "modify":
        session.modify(parent_id, m.ModifyOrder(qty=2 * plan.order.qty), later_ns)


@settings(max_examples=12, deadline=None)
@given(
    parents=st.lists(plans(), min_size=1, max_size=8),
    seed=st.integers(0, 2**32),
    crash=st.none() | st.tuples(st.sampled_from(sorted(BUILDERS)), st.integers(0, 8_000_000)),
)
def test_every_parent_ends_with_exact_sums_and_no_anomaly(
    parents: list[Plan], seed: int, crash: tuple[str, int] | None
) -> None:
    session = VirtualSession(configuration.load(None, {}), seed=seed)
    start_ns = session.now_ns + WARM_UP_NS
    for plan in parents:
        act(session, plan, start_ns)
    if crash is not None:
        session.crash(crash[0], start_ns + crash[1] * 1_000)
    assert session.finish(session.now_ns + UNTIL_NS), "every order ends"
    for stored in session.events("parent.*.*.done"):
        done = stored.message
        fills = [fill for fill in session.fills() if fill.parent_id == done.parent_id]
        assert sum((fill.qty for fill in fills), Decimal(0)) == done.cum_qty
        assert sum((fill.qty * fill.price for fill in fills), Decimal(0)) == done.notional
        assert sum((fill.fee for fill in fills), Decimal(0)) == done.fees
    report = session.audit(complete=True)
    assert report.ok, report.text()
