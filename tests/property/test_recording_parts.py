from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from bestex.feed import DepthUpdate, FeedEvent, FeedStream
from bestex.messages import MarketTrade
from bestex.recording_tools import cut, merge

END_NS = 1_000
LEVELS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 3)), max_size=4, unique_by=lambda level: level[0]
)


@st.composite
def days(draw: st.DrawFn) -> list[FeedEvent]:
    """Events of two streams in time order, often at the same time; with breaks, and differences without a book."""
    events: list[FeedEvent] = []
    for at_ns in sorted(draw(st.lists(st.integers(1, END_NS), min_size=1, max_size=30))):
        venue = draw(st.sampled_from("ab"))
        if draw(st.booleans()):
            whole = draw(st.booleans())
            sides = [[level for level in draw(LEVELS) if level[1] or not whole] for _ in range(2)]
            events.append(DepthUpdate(venue, "X", len(events), 0, at_ns, 0, 0, whole, *sides))
        else:
            events.append(MarketTrade(venue, "X", str(len(events)), 0, at_ns, 0, 0, 1, 1, 0))
    return events


class Part:
    damage = ""
    start_ns = end_ns = 0
    streams: tuple[FeedStream, ...] = ()

    def __init__(self, events: list[FeedEvent]) -> None:
        self.events = events

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.events)


@settings(max_examples=200, deadline=None)
@given(day=days(), times=st.lists(st.integers(1, END_NS), max_size=5))
def test_parts_of_a_day_merged_are_the_same_events(day: list[FeedEvent], times: list[int]) -> None:
    bounds = [0, *sorted(times), END_NS + 1]
    parts = [Part(list(cut(day, lo, hi))) for lo, hi in pairwise(bounds)]
    assert list(merge(parts)) == day


@settings(max_examples=100, deadline=None)
@given(day=days(), bounds=st.tuples(st.integers(0, END_NS), st.integers(0, END_NS)))
def test_a_part_of_a_part_is_the_part_of_the_day(day: list[FeedEvent], bounds: tuple[int, int]) -> None:
    outer, inner = sorted(bounds)
    part = cut(day, outer, END_NS + 1)
    assert list(cut(part, inner, END_NS + 1)) == list(cut(day, inner, END_NS + 1))


@settings(max_examples=100, deadline=None)
@given(day=days())
def test_venues_taken_apart_and_merged_are_the_same_streams(day: list[FeedEvent]) -> None:
    merged = list(merge([Part(list(cut(day, 0, END_NS + 1, {(venue, "X")}))) for venue in "ab"]))
    for venue in "ab":
        assert [e for e in merged if e.venue == venue] == [e for e in day if e.venue == venue]
    assert [event.recv_ns for event in merged] == [event.recv_ns for event in day]
