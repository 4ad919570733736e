"""Ways to make a correct history wrong, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

Event = tuple[str, int, Any]
Edit = Callable[[list[Event]], list[Event]]


def where(history: list[Event], name: str, nth: int = 0) -> int:
    """The place of the `nth` event whose subject is `<head>...<tail>`, written "head.tail"."""
    head, _, tail = name.partition(".")
    return [
        i
        for i, (subject, _, _) in enumerate(history)
        if subject.split(".")[2] == head
        and (head == "fill" or tail in (subject.split(".")[-1], subject.split(".")[3]))
    ][nth]


def without(name: str, nth: int = 0) -> Edit:
    def edit(history: list[Event]) -> list[Event]:
        del history[where(history, name, nth)]
        return history

    return edit


def doubled(name: str, nth: int = 0) -> Edit:
    def edit(history: list[Event]) -> list[Event]:
        i = where(history, name, nth)
        return [*history[: i + 1], *history[i:]]

    return edit


def changed(name: str, nth: int = 0, **values: Any) -> Edit:
    def edit(history: list[Event]) -> list[Event]:
        i = where(history, name, nth)
        subject, ms, event = history[i]
        history[i] = (subject, ms, msgspec.structs.replace(event, **values))
        return history

    return edit


def later(name: str, nth: int = 0, *, ms: int) -> Edit:
    """The stream stored it later: what happened meanwhile happened before it."""

    def edit(history: list[Event]) -> list[Event]:
        i = where(history, name, nth)
        subject, _, event = history[i]
        history[i] = (subject, ms, event)
        return history

    return edit


def leg(slice_no: int, **values: Any) -> Edit:
    """The first leg of a slice's first decision, changed in the decision only."""

    def edit(history: list[Event]) -> list[Event]:
        i = where(history, "route.decided", slice_no - 1)
        subject, ms, event = history[i]
        legs = [msgspec.structs.replace(event.legs[0], **values), *event.legs[1:]]
        history[i] = (subject, ms, msgspec.structs.replace(event, legs=legs))
        return history

    return edit


def both(*edits: Edit) -> Edit:
    def edit(history: list[Event]) -> list[Event]:
        for one in edits:
            history = one(history)
        return history

    return edit


def after(name: str, nth: int, *events: Event) -> Edit:
    """More events, right after that one."""

    def edit(history: list[Event]) -> list[Event]:
        i = where(history, name, nth) + 1
        return [*history[:i], *events, *history[i:]]

    return edit
