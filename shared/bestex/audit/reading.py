"""From a stored record to its message, and whether it stands where it belongs. Written for speed."""

from __future__ import annotations

from typing import Any

import msgspec

from bestex import codec, subjects
from bestex import messages as m
from bestex.ids import token

_parent = codec.json_decoder(subjects.ParentEvents)
_route = codec.json_decoder(subjects.RouteEvents)
_exec = codec.json_decoder(subjects.ExecEvents)
_fill = codec.json_decoder(m.Fill)
_COMMANDS = {
    "new": codec.json_decoder(m.ChildNew),
    "cancel": codec.json_decoder(m.ChildCancel),
    "replace": codec.json_decoder(m.ChildReplace),
}


class Misplaced(Exception):
    """A message under a subject, or in a stream, that is not its own."""


def read(stream: str, subject: str, data: bytes) -> Any:
    """The message of a record. Raises Misplaced, or ValueError where it cannot be read."""
    _, _, head, *rest = subject.split(".")
    message: Any
    try:
        match head, rest:
            case "parent", (symbol, parent_id, event):
                message = _parent.decode(data)
                place = subjects.SCHED, message.symbol, message.parent_id, subjects.event_name(message)
                given = stream, symbol, parent_id, event
            case "route", (symbol, parent_id, number, event):
                message = _route.decode(data)
                name = subjects.event_name(message)
                place = subjects.ROUTE, message.symbol, message.parent_id, f"{message.slice_no} {name}"
                given = stream, symbol, parent_id, f"{number} {event}"
            case "exec", (venue, symbol, child_id, event):
                message = _exec.decode(data)
                name = subjects.event_name(message)
                place = subjects.exec_stream(message.venue), message.symbol, message.child_id, name
                given = (stream if venue == message.venue else ""), symbol, child_id, event
            case "fill", (venue, symbol, fill_id):
                message = _fill.decode(data)
                place = subjects.exec_stream(message.venue), message.symbol, message.fill_id, ""
                given = (stream if venue == message.venue else ""), symbol, fill_id, ""
            case "child", (venue, symbol, child_id, command) if command in _COMMANDS:
                message = _COMMANDS[command].decode(data)
                place = subjects.ROUTE, message.symbol, message.child_id, message.venue
                given = stream, symbol, child_id, venue
            case _:
                raise Misplaced(f"{subject} is no subject of the contract")
    except (RecursionError, msgspec.MsgspecError) as error:
        raise ValueError(str(error)) from error
    if given != (place[0], token(place[1]), place[2], place[3]):
        text = f"{subject} in {stream} holds the {type(message).__name__} of {place[2]} in {place[1]}"
        raise Misplaced(text)
    return message
