"""Every order that ever existed can be explained from its events."""

from __future__ import annotations

from bestex.audit.story import story_of
from tests.unit.history import PARENT, events, records


def test_all_that_was_stored_of_an_order_is_its_story_in_the_order_of_time() -> None:
    stored = records(events())
    foreign = [record._replace(data=record.data.replace(b'"p1"', b'"p2"')) for record in stored]
    foreign = [record._replace(seq=record.seq + 1000) for record in foreign if record.stream != "ORDERS"]
    story = story_of([*foreign, *sorted(stored, key=lambda one: one.stream)], PARENT)
    assert len(story) == len(stored)
    assert {(one.stream, one.seq) for one in story} == {(one.stream, one.seq) for one in stored}
    assert [one.at_ns for one in story] == sorted(one.at_ns for one in stored)


def test_an_order_without_an_id_of_its_own_is_found_by_its_answer() -> None:
    """Its request does not name it; the acceptance names the request."""
    first, *others = records(events())
    nameless = first._replace(data=first.data.replace(b'"parent_id":"p1",', b""))
    assert story_of([nameless, *others], PARENT)[0] == nameless


def test_an_order_that_never_was_has_no_story() -> None:
    assert story_of(records(events()), "p") == []
