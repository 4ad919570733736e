"""What is learned of venues changes where and when children go."""

from __future__ import annotations

from bestex import config
from bestex import messages as m
from bestex.clock import MS, Time
from services.router.routing import route_of
from services.router.strategies.sweep import Sweep
from services.router.venues import HOLD_NS_MAX, Venues
from tests.unit.router.strategies.test_smart import ask
from tests.unit.router.test_core import NOW, VENUES, Bench, make_book, make_slice


def metrics(venue: str, **known: float) -> m.VenueMetrics:
    return m.VenueMetrics(venue=venue, at=Time(NOW), **known)  # type: ignore[arg-type]


def test_what_is_farther_away_is_sent_first_so_that_all_arrive_together() -> None:
    venues = Venues(config.load(None, {}))
    for name, ack_ms in (("near", 4.0), ("far", 24.0), ("as near", 5.0)):
        venues.hear(metrics(name, ack_ms_p50=ack_ms))
    assert venues.holds_ns(["near", "far"]) == {"near": 10 * MS}
    assert venues.holds_ns(["near", "as near"]) == {}  # less than what a queue takes
    assert venues.holds_ns(["near", "far", "never heard of"]) == {"near": 10 * MS}
    assert venues.holds_ns(["near"]) == {}


def test_nobody_is_waited_for_who_is_too_far_away() -> None:
    venues = Venues(config.load(None, {}))
    venues.hear(metrics("near", ack_ms_p50=2.0))
    venues.hear(metrics("asleep", ack_ms_p50=5_000.0))
    assert venues.holds_ns(["near", "asleep"]) == {"near": HOLD_NS_MAX}


def test_it_can_be_switched_off() -> None:
    venues = Venues(config.load(None, {"BESTEX__EXECUTION__ARRIVE_TOGETHER": "false"}))
    venues.hear(metrics("near", ack_ms_p50=4.0))
    venues.hear(metrics("far", ack_ms_p50=24.0))
    assert venues.holds_ns(["near", "far"]) == {}


def test_a_child_is_ordered_with_its_time() -> None:
    bench = Bench()
    bench.feed(make_book())
    for number, venue in enumerate(VENUES):
        bench.feed(metrics(venue, ack_ms_p50=2.0 + 10 * number))
    (decided,) = bench.feed(make_slice("2"))
    assert [leg.send_at and leg.send_at - NOW for leg in sorted(decided.legs, key=lambda leg: leg.venue)] == [
        15 * MS,
        10 * MS,
        5 * MS,
        None,
    ]
    children = {
        command.child_id: command.send_at for command in bench.commands if isinstance(command, m.ChildNew)
    }
    assert children == {leg.child_id: leg.send_at for leg in decided.legs}


def test_what_cannot_be_relied_on_counts_as_dearer() -> None:
    venues = Venues(config.load(None, {}))
    for name, reliability in (("good", 1.0), ("half", 0.5)):
        venues.hear(metrics(name, reliability=reliability))
    venues.hear(metrics("new", ack_ms_p50=1.0))
    assert venues.handicaps_e8 == {"good": 0, "half": 10_000}  # half of two basis points


def test_a_handicap_is_what_a_price_must_be_better_by() -> None:
    """Both ask 100.05; a basis point of that is a cent."""
    for handicap_e8, chosen in ((0, {"a": 1_000}), (10_000, {"b": 1_000})):
        route = route_of(Sweep(), ask(None, handicaps_e8={"a": handicap_e8}))
        assert {part.venue: part.qty for part in route.allocations} == chosen
