"""What rests: kept while it leads, withdrawn, and routed again."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from bestex import messages as m
from bestex.clock import MS, SECOND, Time
from bestex.errors import Code
from tests.unit.router.test_core import NOW, VENUES, Bench, make_book, make_slice


def with_queues(bench: Bench) -> None:
    """Queues so fast that the whole slice is posted."""
    queue = m.QueueStats(outflow=50.0, outflow_sd=5.0, traded=40.0, seconds=1_000.0)
    venues = [
        m.VenueStats(venue=venue, status=m.BookStatus.LIVE, age_ms=1.0, bid_queue=queue, ask_queue=queue)
        for venue in VENUES
    ]
    bench.feed(m.Stats(symbol="BTC/USDT", at=Time(NOW), volatility_bps=0.1, venues=venues))


def canceled(child: m.ChildNew, filled: str = "0") -> m.ExecCanceled:
    qty = Decimal(filled)
    return m.ExecCanceled(
        venue=child.venue,
        symbol=child.symbol,
        child_id=child.child_id,
        parent_id=child.parent_id,
        slice_no=child.slice_no,
        at=Time(NOW + 3 * SECOND),
        cum_qty=qty,
        notional=qty * child.price,
        code=Code.REROUTED,
    )


def test_what_rests_is_kept_while_it_leads_then_withdrawn_and_routed_again() -> None:
    bench = Bench()
    bench.feed(make_book())
    with_queues(bench)
    (decided,) = bench.feed(make_slice("0.4", strategy="smart"))
    children = [command for command in bench.commands if isinstance(command, m.ChildNew)]
    assert all(child.post_only and child.tif is m.Tif.GTC for child in children)
    assert decided.review_at == NOW + SECOND
    bench.feed(make_book(NOW + SECOND))
    assert bench.advance(NOW + 2 * SECOND) == []  # they still stand at the best price
    bench.feed(make_book(NOW + 5 * SECOND))
    (withdrawn,) = bench.advance(NOW + 5 * SECOND)
    assert withdrawn.children == sorted(child.child_id for child in children)
    assert {c.child_id for c in bench.commands if isinstance(c, m.ChildCancel)} == set(withdrawn.children)
    first, *others = children
    facts = [*bench.feed(canceled(first, "0.05"))]
    facts += [fact for child in others for fact in bench.feed(canceled(child))] + bench.advance(
        NOW + 6 * SECOND
    )
    [again] = [fact for fact in facts if isinstance(fact, m.RouteRerouted)]
    assert again.qty == Decimal("0.35")
    assert sum(leg.qty for leg in again.legs) == Decimal("0.35")


def test_a_slice_that_is_recalled_while_it_is_being_withdrawn_ends_with_its_children() -> None:
    bench = Bench()
    bench.feed(make_book())
    with_queues(bench)
    bench.feed(make_slice("0.4", strategy="smart"))
    children = [command for command in bench.commands if isinstance(command, m.ChildNew)]
    bench.feed(make_book(NOW + 5 * SECOND))
    bench.advance(NOW + 5 * SECOND)
    recall = m.ParentRecalled(
        symbol="BTC/USDT",
        parent_id="p1",
        at=Time(NOW + 5 * SECOND),
        cum_qty=Decimal(0),
        leaves_qty=Decimal("0.4"),
        avg_px=None,
        slice_no=1,
        reason=Code.CANCELED,
    )
    bench.feed(recall)
    called = [command.child_id for command in bench.commands if isinstance(command, m.ChildCancel)]
    assert sorted(called) == sorted(child.child_id for child in children)  # and none of them twice
    facts = [fact for child in children for fact in bench.feed(canceled(child))]
    assert isinstance(facts[-1], m.RouteDone)
    assert facts[-1].reason is Code.CANCELED


def test_what_does_not_lead_any_more_follows_its_venues_best_price_once_where_the_venue_can() -> None:
    bench = Bench()
    bench.feed(make_book())
    with_queues(bench)
    bench.feed(make_slice("0.4", strategy="smart"))
    [child] = [command for command in bench.commands if isinstance(command, m.ChildNew)]
    bench.feed(led_by(child.venue, 60_000_00, NOW + SECOND))
    (moved,) = bench.advance(NOW + SECOND)
    assert moved.children == [m.Repriced(child.child_id, Decimal("0.4"), Decimal(60_000))]
    [change] = [command for command in bench.commands if isinstance(command, m.ChildReplace)]
    assert (change.child_id, change.qty, change.price) == (child.child_id, Decimal("0.4"), Decimal(60_000))
    assert change.expires_at == NOW + 3 * SECOND
    bench.feed(led_by(child.venue, 60_000_00, NOW + 2 * SECOND))
    assert bench.advance(NOW + 2 * SECOND) == []  # now it leads
    bench.feed(led_by(child.venue, 60_000_50, NOW + 3 * SECOND))
    (withdrawn,) = bench.advance(NOW + 3 * SECOND)
    assert isinstance(withdrawn, m.RouteWithdrawn)


def test_where_the_venue_cannot_change_an_order_it_is_withdrawn_at_once() -> None:
    bench = Bench(native_replace=False)
    bench.feed(make_book())
    with_queues(bench)
    bench.feed(make_slice("0.4", strategy="smart"))
    [child] = [command for command in bench.commands if isinstance(command, m.ChildNew)]
    bench.feed(led_by(child.venue, 60_000_00, NOW + SECOND))
    (withdrawn,) = bench.advance(NOW + SECOND)
    assert isinstance(withdrawn, m.RouteWithdrawn)


def test_what_rests_is_still_looked_at_when_what_came_back_beside_it_was_taken_again() -> None:
    bench = Bench()
    bench.feed(make_book())
    with_queues(bench)
    bench.feed(make_slice("1.5", strategy="smart", strategy_params={"max_price_impact_percent": 1}))
    state = next(iter(bench.core._slices.values()))
    resting = state.resting
    assert resting
    review_ns = state.review_ns
    taken = m.RouteRerouted(
        symbol="BTC/USDT",
        parent_id="p1",
        slice_no=1,
        at=Time(NOW + MS),
        decision_no=1,
        side=m.Side.BUY,
        qty=Decimal("0.1"),
        strategy="smart",
        legs=[m.Leg(child_id="again", venue=VENUES[0], qty=Decimal("0.1"), price=Decimal(60_001))],
        expires_at=Time(NOW + SECOND),
        good_till=Time(NOW + 10 * SECOND),
    )
    state.decided(taken)
    assert (state.resting, state.review_ns) == (resting, review_ns)


def led_by(venue: str, bid: int, at_ns: int) -> m.ConsolidatedBook:
    """The usual book, in which one venue bids this."""
    book = make_book(at_ns)
    columns = [
        msgspec.structs.replace(column, bid_px=[bid]) if column.venue == venue else column
        for column in book.venues
    ]
    return msgspec.structs.replace(book, venues=columns)
