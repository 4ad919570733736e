"""The gateway against a venue that loses, doubles and reorders its words, and a process that dies at any time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bestex import messages as m
from services.gateway import port as p
from services.gateway.controls.ledger import Place, PlaceSums
from services.gateway.orders import Child, Status
from tests.property.gateway_world import PARENT_QTY, PARENTS, PRICE, QTY, World
from tests.unit.gateway.bench import SYMBOL, VENUE, Bench, child_new

RARE = ["sleep", "sleep", "again", "cancel", "replace", "close", "sleep", "crash", "reconnect"]
USUAL = 2 * ["new", "trade"] + 4 * ["perform", "listen"]


@given(st.integers(0, 2**32), st.lists(st.sampled_from(2 * USUAL + RARE), min_size=40, max_size=150))
@settings(max_examples=200, deadline=None)
def test_whatever_is_lost_doubled_or_killed_the_gateway_agrees_with_the_venue(
    seed: int, acts: list[str]
) -> None:
    world = World(seed)
    for act in acts:
        getattr(world, act)()
        check_reserved(world)
        check_caps(world)
    world.settle()
    check_ends(world)


def check_reserved(world: World) -> None:
    """An order that the venue may still fill has all of its rest reserved."""
    children = world.bench.core.memory.children
    for child_id, order in world.orders.items():
        if order.state == "open":
            child: Child = children[child_id]
            assert not child.ended, f"{child_id} works at the venue and has ended here"
            assert child.cum_qty + child.reserved >= order.qty


def check_caps(world: World) -> None:
    """No parent can fill more than it is for, whatever the venue does next; and the sums are those of a slow look."""
    children, ledger = world.bench.core.memory.children, world.bench.core.controls.ledger
    parent_of = {child_id: new.parent_id for child_id, (new, *_) in world.commands.items()}
    for parent_id in PARENTS:
        orders = [order for child_id, order in world.orders.items() if parent_of[child_id] == parent_id]
        assert sum(order.qty if order.state == "open" else order.cum for order in orders) <= PARENT_QTY
        sums = ledger.parent(SYMBOL, parent_id)
        mine = [child for child in children.values() if child.parent_id == parent_id]
        assert sums.filled == sum(child.cum_qty for child in mine)
        assert sums.reserved == sum(child.reserved for child in mine)
        assert sums.filled + sums.reserved <= PARENT_QTY
    place = ledger.places.get(Place("default", VENUE, SYMBOL), PlaceSums())
    assert place.position == sum(child.cum_qty for child in children.values())
    assert place.buys == world.bench.core.reserved
    assert place.value == sum(child.reserved_value for child in children.values())


def check_ends(world: World) -> None:
    """Every child has ended, with the venue's own trades and sums; none of them twice."""
    assert not world.bench.core.memory.open[VENUE], "every order terminates"
    assert not world.bench.core.anomalies["overfill fill"]
    ends: dict[str, Any] = {}
    fills: dict[str, list[m.Fill]] = {}
    for event in world.bench.journal:
        if isinstance(event, m.Fill):
            assert not event.flag
            fills.setdefault(event.child_id, []).append(event)
        elif event.ends:
            assert event.child_id not in ends, "a child ends once"
            ends[event.child_id] = event
    assert set(ends) == set(world.commands)
    for child_id, end in ends.items():
        own = fills.get(child_id, [])
        order = world.orders.get(child_id)
        truth = {(t.trade_id, t.qty, t.price) for t in order.trades} if order else set()
        assert {(f.trade_id, int(f.qty * 10**5), int(f.price * 100)) for f in own} == truth
        assert len(own) == len(truth)
        assert end.cum_qty == sum(f.qty for f in own)
        assert end.notional == sum(f.qty * f.price for f in own)
        assert end.fees == sum(f.fee for f in own)
        assert isinstance(end, m.ExecRejected) == (order is None or order.state == "rejected")


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), max_size=10), st.integers(0, 5))
def test_fills_in_any_order_and_number_sum_to_the_same(
    order: list[int], twice: list[int], end_at: int
) -> None:
    bench = Bench().ready()
    bench.hear(child_new())
    said: list[Any] = [
        p.VenueFill(
            child_id="c1",
            trade_id=str(i),
            venue_order_id="v",
            price=PRICE - i,
            qty=QTY // 10 + i,
            fee=Decimal(i),
            venue_ns=1,
        )
        for i in [*order[:2], *twice, *order[2:]]
    ]
    said.insert(end_at, p.VenueClosed(child_id="c1", how="expired", cum_qty=5 * (QTY // 10) + 10))
    bench.hear(*said)
    child = bench.core.memory.children["c1"]
    assert child.status is Status.ENDED
    assert (child.cum_qty, child.fees, len(child.trades)) == (510, Decimal(10), 5)
    assert bench.tags().count("expired") == 1
    assert child.notional == sum((PRICE - i) * (100 + i) for i in range(5))
