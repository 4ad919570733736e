"""Code that users may bring with them, asked so that its bugs stop what it was asked for, and nothing else.

A bug asserts and crashes. In an algorithm or a strategy that would be for good: the process starts again, is asked
for the same order, and crashes again, with all other orders in it. So what comes out of such code is an outcome with
a code, which goes into the history of the one order. Nothing has happened yet when it comes: such code is pure. The
invariants of those who ask are not asked through this, and crash as ever.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

TEXT_CHARS_MAX = 300  # of what an exception says: it may quote a whole book
T = TypeVar("T")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")


class PluginFailed(Exception):
    """`error` came out of `plugin`, a class of an algorithm or a strategy or one of them with its parameters. `text`
    says which, what and where, and is the same whenever the same is asked again."""

    def __init__(self, plugin: Any, error: Exception) -> None:
        kind: Any = plugin if isinstance(plugin, type) else type(plugin)
        # An object without a text of its own shows its address, which is another one in every process.
        said = _ADDRESS.sub("0x...", _said(error))[:TEXT_CHARS_MAX]
        what = f"{type(error).__name__}: {said}" if said else type(error).__name__
        where = _place(kind, error)
        self.error = error
        self.text = f"{kind.name} failed, {what}{f' ({where})' if where else ''}"
        super().__init__(self.text)


def asked(
    plugin: Any,
    what: Callable[..., T],
    *args: Any,
    gives: Any = None,
    passes: tuple[type[Exception], ...] = (),
) -> T:
    """`what(*args)`. Raises PluginFailed for whatever that raises, but for `passes`, and for want of memory, which is
    the process's own trouble; and where it gives something else than `gives`, if that is said."""
    try:
        found = what(*args)
    except Exception as error:
        if isinstance(error, (MemoryError, PluginFailed, *passes)):
            raise
        raise PluginFailed(plugin, error) from error
    if gives is not None and not isinstance(found, gives):
        raise PluginFailed(plugin, TypeError(f"{what.__name__} gives a {type(found).__name__}"))
    return found


def _said(error: Exception) -> str:
    """What an exception says, as text that can be stored: it is a user's own class, and may fail at this too."""
    try:
        return str(error).encode("utf-8", "replace").decode()
    except Exception:  # noqa: BLE001 - whatever it is, it is not worth more words
        return ""


def _place(kind: type[Any], error: Exception) -> str:
    """Module and line: the last one of its own code, or where it was raised; empty where nothing was raised."""
    frames = [
        (frame.f_globals.get("__name__", ""), line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [frame for frame in frames if frame[0] == kind.__module__]
    return "{}:{}".format(*(own or frames)[-1]) if frames else ""
