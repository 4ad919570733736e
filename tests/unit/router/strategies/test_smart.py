"""Post or cross, by expected cost: each part of it moves the decision the way that it must."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bestex import config
from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.messages import BookStatus, QueueStats, Side, Stats, Tif, VenueStats
from services.router.routing import Ask, make_task, route_of
from services.router.strategies.base import Route
from services.router.strategies.posting import CROSS_NS, LOOK_NS
from services.router.strategies.smart import Smart

NOW = 1_700_000_000 * SECOND
VENUES = ("a", "b")
LISTED = "\n".join(
    f'{name} = {{ tick = "0.01", lot = "0.001", taker_bps = "2", maker_bps = "0" }}' for name in VENUES
)
CONFIG = config.parse(
    '[venues.a]\n[venues.b]\n[splitting]\nmin_split_size = "0"\n'
    f'[instruments."X/Y"]\nprice_scale = 2\nqty_scale = 3\n[instruments."X/Y".venues]\n{LISTED}'
)
INSTRUMENT = CONFIG.make_instruments().by_symbol["X/Y"]


def queue(outflow: float, seconds: float = 1_000.0) -> QueueStats:
    return QueueStats(outflow=outflow, outflow_sd=outflow, traded=outflow / 2, seconds=seconds)


def stats(volatility: float = 0.5, **venues: dict[str, Any]) -> Stats:
    """What is known of each venue."""
    known = [
        VenueStats(venue=name, status=BookStatus.LIVE, age_ms=1.0, **more) for name, more in venues.items()
    ]
    return Stats(symbol="X/Y", at=Time(NOW), volatility_bps=volatility, venues=known)


def book(bid_size: int = 1_000, ask_size: int = 1_000) -> m.ConsolidatedBook:
    """A spread of 10 cents around 100.00, 4,000 behind the best level."""
    columns = [
        m.VenueColumn(
            name,
            BookStatus.LIVE,
            0,
            NOW,
            NOW,
            [99_95, 99_90],
            [bid_size, 4_000],
            [100_05, 100_10],
            [ask_size, 4_000],
        )
        for name in VENUES
    ]
    return m.ConsolidatedBook("X/Y", 1, NOW, 2, 3, False, False, columns)


def ask(known: Stats | None, side: Side = Side.BUY, qty: int = 1_000, **more: Any) -> Ask:
    usual: dict[str, Any] = {"book": book(), "limit": None, "until_ns": NOW + 10 * SECOND}
    return Ask(
        instrument=INSTRUMENT, config=CONFIG, side=side, qty=qty, now_ns=NOW, stats=known, **{**usual, **more}
    )


def posted(route: Route) -> dict[str, int]:
    return {part.venue: part.qty for part in route.allocations if part.rests}


FAST = stats(a={"bid_queue": queue(2.0), "ask_queue": queue(2.0)})


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, 99_95), (Side.SELL, 100_05)])
def test_a_fast_queue_is_joined_at_its_best_price(side: Side, price: int) -> None:
    route = route_of(Smart(), ask(FAST, side))
    [part] = [part for part in route.allocations if part.rests]
    assert (part.venue, part.price, part.tif, part.post_only) == ("a", price, Tif.GTC, True)
    assert "expected within" in part.reason
    assert route.qty == 1_000
    assert route.review_ns == NOW + LOOK_NS
    assert route.why.startswith("posts ")


def test_of_two_queues_the_faster_gets_more() -> None:
    known = stats(a={"bid_queue": queue(2.0)}, b={"bid_queue": queue(0.8)})
    shares = posted(route_of(Smart(urgency="low"), ask(known, qty=6_000)))
    assert shares["a"] > shares["b"] > 0


@pytest.mark.parametrize(
    ("strategy", "known", "more"),
    [
        (Smart(urgency="immediate"), FAST, {}),
        (Smart(), FAST, {"until_ns": NOW + CROSS_NS}),
        (Smart(), None, {}),
        (Smart(), stats(a={"bid_queue": queue(0.001)}), {}),
        (Smart(), stats(a={"bid_queue": queue(2.0, seconds=0.01)}), {}),
        (Smart(), stats(a={"bid_queue": queue(2.0), "adverse_bps_10s": 30.0}), {}),
        (Smart(urgency="high"), stats(volatility=100.0, a={"bid_queue": queue(0.3)}), {}),
        (Smart(), FAST, {"limit": 99_94}),
    ],
    ids=[
        *(
            "waiting is ruled out",
            "there is no time",
            "nothing is known",
            "the queue is slow",
            "it was hardly seen",
        ),
        *("trades are informed", "waiting is risky", "the limit is below the bid"),
    ],
)
def test_where_waiting_is_not_worth_it_all_is_taken(strategy: Smart, known: Stats | None, more: Any) -> None:
    route = route_of(strategy, ask(known, **more))
    assert not posted(route)
    assert route.review_ns == 0
    assert route.qty == (0 if "limit" in more else 1_000)


def test_a_book_that_leans_against_the_order_has_less_posted() -> None:
    known = stats(a={"bid_queue": queue(0.8)})

    def share(**sizes: int) -> int:
        return sum(posted(route_of(Smart(), ask(known, qty=8_000, book=book(**sizes)))).values())

    assert share(ask_size=100) < share(ask_size=1_000)


def test_what_is_posted_stays_while_it_leads_and_there_is_time() -> None:
    strategy = Smart()
    for book_now, now_ns, again_ns in (
        (book(), NOW + SECOND, NOW + 2 * SECOND),
        (book(), NOW + 5 * SECOND, 0),  # its patience is over
        (moved(5), NOW + SECOND, 0),  # the others have gone ahead
        (moved(-5), NOW + SECOND, NOW + 2 * SECOND),
    ):
        task, _ = make_task(strategy, ask(FAST, book=book_now))
        assert task is not None
        later = type(task)(**{**{f: getattr(task, f) for f in task.__slots__}, "now_ns": now_ns})
        assert strategy.keeps(later, NOW, [("a", 99_95)]) == again_ns
        assert strategy.keeps(later, NOW, [("gone", 99_95)]) == 0


def moved(by: int) -> m.ConsolidatedBook:
    columns = [
        m.VenueColumn(
            c.venue, c.status, 0, NOW, NOW, [p + by for p in c.bid_px], c.bid_qty, c.ask_px, c.ask_qty
        )
        for c in book().venues
    ]
    return m.ConsolidatedBook("X/Y", 2, NOW, 2, 3, False, False, columns)


@given(
    qty=st.integers(1, 20_000),
    side=st.sampled_from(list(Side)),
    outflows=st.lists(st.floats(0, 50), min_size=4, max_size=4),
    adverse=st.floats(-10, 10),
    urgency=st.sampled_from(["low", "medium", "high"]),
    splits=st.integers(1, 3),
)
def test_whatever_is_known_no_lot_is_lost_or_doubled(
    qty: int, side: Side, outflows: list[float], adverse: float, urgency: Any, splits: int
) -> None:
    known = stats(
        a={"bid_queue": queue(outflows[0]), "ask_queue": queue(outflows[1]), "adverse_bps_1s": adverse},
        b={"bid_queue": queue(outflows[2]), "ask_queue": queue(outflows[3])},
    )
    route = route_of(Smart(urgency=urgency, max_splits=splits), ask(known, side, qty))
    assert route.qty <= qty
    assert all(part.qty > 0 for part in route.allocations)
    assert len({part.venue for part in route.allocations}) <= max(splits, 1)
    if qty <= 10_000 and splits > 1:
        assert route.qty == qty
    if not posted(route):
        assert route.review_ns == 0
