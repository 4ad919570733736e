"""The life of a slice at the router."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Any

from bestex import codec, config, fleet
from bestex import messages as m
from bestex.clock import MS, SECOND, Time
from bestex.core import Alarm, Fact, Publish, Wake, Wakeup
from bestex.errors import Code
from services.router.core import RouterCore
from services.router.service import build

NOW = 1_700_000_000 * SECOND
VENUES = ("sim_a", "sim_b", "sim_c", "sim_d")


def make_book(at_ns: int = NOW, size: int = 50_000, **asks: int) -> m.ConsolidatedBook:
    """Four venues with one level each of 0.5 BTC; asks default to 60,001.00 and bids to 59,999.00."""
    columns = [
        m.VenueColumn(
            venue,
            m.BookStatus.LIVE,
            0,
            at_ns,
            at_ns,
            [59_999_00],
            [size],
            [asks.get(venue, 60_001_00)],
            [size],
        )
        for venue in VENUES
    ]
    return m.ConsolidatedBook("BTC/USDT", 1, at_ns, 2, 5, False, False, columns)


def make_slice(qty: str = "1", **changes: Any) -> m.ParentSliced:
    fields: dict[str, Any] = {
        "symbol": "BTC/USDT",
        "parent_id": "p1",
        "at": Time(NOW),
        "cum_qty": Decimal(0),
        "leaves_qty": Decimal(qty),
        "avg_px": None,
        "slice_no": 1,
        "side": m.Side.BUY,
        "qty": Decimal(qty),
        "due_at": Time(NOW),
        "expires_at": Time(NOW + 10 * SECOND),
        "limit_price": Decimal("60300"),
        "strategy": "sweep",
        "parent_qty": Decimal(qty),
        "build": fleet.build(),
    }
    return m.ParentSliced(**{**fields, **changes})


@cache
def _config(share: str, native_replace: bool) -> config.Config:
    settings = {"MAX_VOLUME_PCT": share, "NATIVE_REPLACE": str(native_replace).lower()}
    named = {
        f"BESTEX__VENUES__{venue}__{name}": value for venue in VENUES for name, value in settings.items()
    }
    return config.load(None, named)


class Bench:
    """An alarm is a bug found, and raised; a bench that `expects` alarms keeps them."""

    expects = False

    def __init__(self, share: str = "100%", *, native_replace: bool = True) -> None:
        self.alarms: list[Alarm] = []
        self.service = build(_config(share, native_replace), ())
        core = self.service.core
        assert isinstance(core, RouterCore)
        self.core = core
        self.now_ns = NOW
        self.facts: list[Any] = []
        self.commands: list[Any] = []
        self.wakes: dict[str, int] = {}

    def feed(self, message: Any) -> list[Any]:
        before = len(self.facts)
        self._take(self.core.decide(message, self.now_ns))
        self.advance(self.now_ns)
        return self.facts[before:]

    def advance(self, until_ns: int) -> list[Any]:
        before = len(self.facts)
        for _ in range(1000):
            due = sorted((at, key) for key, at in self.wakes.items() if at <= until_ns)
            if not due:
                break
            at_ns, key = due[0]
            self.now_ns = max(self.now_ns, at_ns)
            del self.wakes[key]
            self._take(self.core.decide(Wakeup(key), self.now_ns))
        self.now_ns = max(self.now_ns, until_ns)
        return self.facts[before:]

    def _take(self, outputs: Sequence[Any]) -> None:
        for out in outputs:
            if isinstance(out, Fact):
                self.facts.append(out.event)
                self.effects(self.core.apply(out.event))
            else:
                self.effects([out])

    def effects(self, effects: Sequence[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Publish):
                self.commands.append(effect.message)
            elif isinstance(effect, Alarm):
                if not self.expects:
                    raise effect.error
                self.alarms.append(effect)
            elif isinstance(effect, Wake):
                self.wakes.pop(effect.key, None)
                if effect.at_ns:
                    self.wakes[effect.key] = effect.at_ns

    def end(self, child: m.ChildNew, filled: str | None = None, kind: Any = None, **more: Any) -> list[Any]:
        qty = child.qty if filled is None else Decimal(filled)
        kind = kind or (m.ExecFilled if qty == child.qty else m.ExecExpired)
        return self.feed(
            kind(
                venue=child.venue,
                symbol=child.symbol,
                child_id=child.child_id,
                parent_id=child.parent_id,
                slice_no=child.slice_no,
                at=Time(self.now_ns),
                cum_qty=qty,
                notional=qty * child.price,
                fees=Decimal(0),
                **more,
            )
        )


def test_children_sum_to_the_slice_and_follow_from_the_decision() -> None:
    bench = Bench()
    bench.feed(make_book())
    (decided,) = bench.feed(make_slice())
    assert sum(leg.qty for leg in decided.legs) == 1
    assert [leg.child_id for leg in decided.legs] == [child.child_id for child in bench.commands]
    assert all(child.expires_at <= NOW + 2 * SECOND for child in bench.commands)


def test_the_slice_ends_filled_when_its_children_are() -> None:
    bench = Bench()
    bench.feed(make_book())
    bench.feed(make_slice())
    children = list(bench.commands)
    assert bench.end(children[0]) == []
    (done,) = bench.end(children[1])
    assert (done.reason, done.filled_qty, done.notional) == (
        Code.FILLED,
        1,
        sum(c.qty * c.price for c in children),
    )


def test_a_redelivered_slice_or_end_changes_nothing() -> None:
    bench = Bench()
    bench.feed(make_book())
    bench.feed(make_slice())
    assert bench.feed(make_slice()) == []
    first = bench.commands[0]
    bench.end(first)
    assert bench.end(first) == []


def test_a_slice_that_ended_long_ago_is_not_begun_again() -> None:
    bench = Bench()
    bench.core.past("bestex.v1.route.BTC-USDT.p1.1.done")
    assert bench.feed(make_slice()) == []


def test_what_came_back_unfilled_is_routed_again_on_the_newest_book() -> None:
    bench = Bench()
    bench.feed(make_book())
    bench.feed(make_slice())
    first, second = bench.commands
    bench.end(first, "0.1")
    bench.end(second)
    bench.feed(make_book(bench.now_ns + SECOND, sim_d=60_010_00))
    (rerouted,) = bench.advance(bench.now_ns + SECOND)
    assert (type(rerouted), rerouted.qty) == (m.RouteRerouted, Decimal("0.4"))
    assert rerouted.legs[0].venue == "sim_c"


def test_a_venue_that_refused_is_avoided_for_the_rest_of_the_slice() -> None:
    bench = Bench()
    bench.feed(make_book(sim_d=60_000_00))
    bench.feed(make_slice("0.5"))
    (child,) = bench.commands
    assert child.venue == "sim_d"
    bench.end(child, "0", m.ExecRejected, code=Code.NOT_READY, text="no session")
    (rerouted,) = bench.advance(bench.now_ns + SECOND)
    assert rerouted.legs[0].venue != "sim_d"
    assert any(left.venue == "sim_d" and "not_ready" in left.reason for left in rerouted.left_out)


def test_the_router_gives_up_after_its_retries_and_says_why() -> None:
    bench = Bench()
    bench.feed(make_book())
    bench.feed(make_slice("0.5"))
    for _ in range(10):
        bench.end(bench.commands[-1], "0")
        bench.feed(make_book(bench.now_ns))
        bench.advance(bench.now_ns + SECOND)
        if isinstance(bench.facts[-1], m.RouteDone):
            break
    assert bench.facts[-1].reason == Code.RETRIES_EXHAUSTED
    assert len(bench.commands) == 4


def test_without_a_book_the_slice_waits_and_expires_with_a_reason() -> None:
    bench = Bench()
    (decided,) = bench.feed(make_slice())
    assert (decided.legs, len(decided.left_out)) == ([], 4)
    (done,) = bench.advance(NOW + 11 * SECOND)
    assert (done.reason, done.filled_qty) == (Code.EXPIRED, 0)
    assert "no_book" in done.text


def test_a_book_that_comes_late_is_used() -> None:
    bench = Bench()
    bench.feed(make_slice())
    bench.advance(bench.now_ns + SECOND)
    bench.feed(make_book(bench.now_ns))
    (rerouted,) = bench.facts[1:] or bench.advance(bench.now_ns + SECOND)
    assert sum(leg.qty for leg in rerouted.legs) == 1


def test_a_stale_book_is_not_traded_on() -> None:
    bench = Bench()
    bench.feed(make_book(NOW - 10 * SECOND))
    (decided,) = bench.feed(make_slice())
    assert decided.legs == []
    assert all("stale_book" in left.reason for left in decided.left_out)


def test_a_book_crossed_by_more_than_the_fees_is_not_traded_on() -> None:
    bench = Bench()
    crossed = make_book(sim_a=59_000_00)
    crossed.venues[0].bid_px[0] = 58_998_00
    bench.feed(crossed)
    (decided,) = bench.feed(make_slice())
    assert decided.legs == []
    assert "crossed_book" in decided.left_out[0].reason


def test_nothing_is_taken_beyond_the_limit() -> None:
    bench = Bench()
    bench.feed(make_book())
    (decided,) = bench.feed(make_slice(limit_price=Decimal("60000")))
    assert decided.legs == []
    assert all("out_of_limit" in left.reason for left in decided.left_out)


def test_a_resting_slice_takes_what_crosses_and_posts_the_rest_at_the_limit() -> None:
    bench = Bench()
    bench.feed(make_book(sim_b=59_500_00, sim_a=60_500_00, sim_c=60_500_00, sim_d=60_500_00, size=10_000))
    bench.core.books["BTC/USDT"] = make_book(
        sim_a=60_500_00, sim_b=60_010_00, sim_c=60_500_00, sim_d=60_500_00
    )
    (decided,) = bench.feed(make_slice(tif=m.Tif.GTC, limit_price=Decimal("60100")))
    take, post = decided.legs
    assert (take.venue, take.tif, take.qty) == ("sim_b", m.Tif.IOC, Decimal("0.5"))
    assert (post.venue, post.tif, post.qty, post.price) == ("sim_d", m.Tif.GTC, Decimal("0.5"), 60_100)


def test_a_recall_cancels_the_children_and_ends_when_they_have() -> None:
    bench = Bench()
    bench.feed(make_book())
    bench.feed(make_slice(tif=m.Tif.GTC, limit_price=Decimal("59000")))
    (child,) = bench.commands
    base: dict[str, Any] = {"symbol": "BTC/USDT", "parent_id": "p1", "at": Time(NOW)}
    recall = m.ParentRecalled(
        **base, cum_qty=Decimal(0), leaves_qty=Decimal(1), avg_px=None, slice_no=1, reason=Code.CANCELED
    )
    (recalled,) = bench.feed(recall)
    assert (recalled.children, type(bench.commands[-1])) == ([child.child_id], m.ChildCancel)
    assert bench.feed(recall) == []
    (done,) = bench.end(child, "0.2", m.ExecCanceled, code=Code.CANCELED)
    assert (done.reason, done.filled_qty) == (Code.CANCELED, Decimal("0.2"))


def test_an_unknown_child_keeps_its_quantity_reserved() -> None:
    bench = Bench()
    bench.feed(make_book())
    bench.feed(make_slice("0.5"))
    (child,) = bench.commands
    unknown = m.ExecUnknown(
        venue=child.venue,
        symbol=child.symbol,
        child_id=child.child_id,
        parent_id="p1",
        slice_no=1,
        at=Time(NOW),
        code=Code.TIMEOUT,
        text="no answer",
    )
    assert bench.feed(unknown) == []
    assert bench.advance(NOW + 60 * SECOND) == []
    (done,) = bench.end(child)
    assert done.filled_qty == Decimal("0.5")


def test_dust_ends_the_slice_with_a_reason() -> None:
    bench = Bench()
    bench.feed(make_book())
    bench.feed(make_slice("0.5"))
    (child,) = bench.commands
    (done,) = bench.end(child, "0.49999")
    assert (done.reason, done.filled_qty) == (Code.DUST, Decimal("0.49999"))


def test_a_venue_gets_at_most_its_share_but_a_lone_venue_may_have_all() -> None:
    bench = Bench(share="60%")
    bench.feed(make_book(sim_a=60_000_00, size=500_000))
    (decided,) = bench.feed(make_slice())
    assert decided.legs[0].qty == Decimal("0.6")
    (alone,) = bench.feed(make_slice(slice_no=2, venues=["sim_a"]))
    assert [leg.qty for leg in alone.legs] == [1]


def test_recovery_derives_the_same_children_and_asks_for_their_ends() -> None:
    bench = Bench()
    bench.feed(make_book())
    bench.feed(make_slice())
    first, second = bench.commands
    bench.end(first, "0.1")
    other = Bench()
    for event in bench.facts:
        other.effects(other.core.apply(codec.from_json(codec.to_json(event), type(event))))
    assert other.commands == bench.commands
    missing = [subject for filters in other.core.missing().values() for subject in filters]
    assert [subject.split(".")[5] for subject in missing] == [first.child_id, second.child_id]
    other.now_ns = bench.now_ns + 300 * MS
    other.core.decide(make_book(other.now_ns), other.now_ns)
    other.end(first, "0.1")
    other.end(second)
    (rerouted,) = other.advance(other.now_ns + SECOND)
    assert rerouted.qty == Decimal("0.4")


def test_of_a_slice_that_has_ended_recovery_needs_its_end_alone() -> None:
    bench = Bench()
    bench.feed(make_book())
    bench.feed(make_slice())
    children = list(bench.commands)
    for child in children:
        bench.end(child)
    other = Bench()
    other.effects(other.core.apply(bench.facts[-1]))
    other.feed(make_book())
    assert other.feed(make_slice()) == [], "redelivered"
    assert other.end(children[0]) == []
    assert not other.core.missing().get("EXEC_sim_a")


def test_recovery_takes_a_reroute_whose_room_came_from_ends_that_are_read_later() -> None:
    bench = Bench()
    bench.feed(make_book())
    bench.feed(make_slice())
    first, second = bench.commands
    bench.end(first, "0.1")
    bench.end(second)
    bench.feed(make_book(bench.now_ns + SECOND, sim_d=60_010_00))
    bench.advance(bench.now_ns + SECOND)
    third = bench.commands[2]
    other = Bench()
    for event in bench.facts:
        other.effects(other.core.apply(codec.from_json(codec.to_json(event), type(event))))
    assert other.commands == bench.commands
    other.now_ns = bench.now_ns
    assert other.end(first, "0.1") == []
    assert other.end(second) == []
    (done,) = other.end(third)
    assert (done.reason, done.filled_qty) == (Code.FILLED, 1)


def test_a_decision_of_several_empty_legs_is_one_try() -> None:
    bench = Bench()
    bench.feed(make_book(size=10_000))
    bench.feed(make_slice("0.4"))
    assert len(bench.commands) == 4
    for child in list(bench.commands):
        bench.end(child, "0")
    bench.feed(make_book(bench.now_ns, size=10_000))
    (rerouted,) = bench.advance(bench.now_ns + SECOND)
    assert (type(rerouted), rerouted.qty) == (m.RouteRerouted, Decimal("0.4"))
