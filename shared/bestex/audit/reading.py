"""From a stored record to its message, and whether it stands where it belongs. Written for speed."""

from __future__ import annotations

from typing import Any

import msgspec

from bestex import codec, subjects
from bestex import messages as m
from bestex.ids import token
from bestex.subjects import ROUTE, SCHED, event_name, exec_stream

_parent = codec.json_decoder(subjects.ParentEvents)
_route = codec.json_decoder(subjects.RouteEvents)
_exec = codec.json_decoder(subjects.ExecEvents)
_fill = codec.json_decoder(m.Fill)
_COMMANDS = {
    "new": codec.json_decoder(m.ChildNew),
    "cancel": codec.json_decoder(m.ChildCancel),
    "replace": codec.json_decoder(m.ChildReplace),
}

_LENGTHS = {"parent": 6, "route": 7, "child": 7, "exec": 7, "fill": 6}  # in tokens, `bestex.v1` included


class Misplaced(Exception):
    """A message under a subject, or in a stream, that is not its own."""


def read(stream: str, subject: str, data: bytes) -> Any:
    """The message of a record. Raises Misplaced, or ValueError where it cannot be read."""
    tokens = subject.split(".")
    kind = tokens[2] if len(tokens) == _LENGTHS.get(tokens[2], 0) else ""
    message: Any
    try:
        if kind == "exec":
            message = _exec.decode(data)
            _, _, _, venue, symbol, name, event = tokens
            placed = message.venue == venue and message.child_id == name and event_name(message) == event
            placed = placed and stream == exec_stream(venue)
        elif kind == "fill":
            message = _fill.decode(data)
            _, _, _, venue, symbol, name = tokens
            placed = message.venue == venue and message.fill_id == name and stream == exec_stream(venue)
        elif kind == "parent":
            message = _parent.decode(data)
            _, _, _, symbol, name, event = tokens
            placed = message.parent_id == name and event_name(message) == event and stream == SCHED
        elif kind == "route":
            message = _route.decode(data)
            _, _, _, symbol, name, number, event = tokens
            placed = message.parent_id == name and event_name(message) == event and stream == ROUTE
            placed = placed and str(message.slice_no) == number
        elif kind == "child" and tokens[6] in _COMMANDS:
            message = _COMMANDS[tokens[6]].decode(data)
            _, _, _, venue, symbol, name, _ = tokens
            placed = message.venue == venue and message.child_id == name and stream == ROUTE
        else:
            raise Misplaced(f"{subject} is no subject of the contract")
    except (RecursionError, msgspec.MsgspecError) as error:
        raise ValueError(str(error)) from error
    if not placed or token(message.symbol) != symbol:
        raise Misplaced(f"{subject} in {stream} holds what belongs elsewhere: {message}")
    return message
