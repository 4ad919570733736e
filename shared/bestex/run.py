"""The functions of `bestex` that work an order to its end, for programs without an event loop.

from bestex.run import execute_twap

print(execute_twap("BTC/USDT", "buy", "1", duration="5m").summary())
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bestex import names

if TYPE_CHECKING:
    from bestex.execution import Execution


def __getattr__(name: str) -> Any:
    if name != "execute" and not name.startswith(names.EXECUTE):
        raise AttributeError(f"module 'bestex.run' has no attribute {name!r}")
    asynchronous = names.find(name)

    @functools.wraps(asynchronous)
    def blocking(*args: Any, **kwargs: Any) -> Execution:
        found: Execution = _run(lambda: asynchronous(*args, **kwargs), name)
        return found

    globals()[name] = blocking
    return blocking


def _run(make: Callable[[], Any], name: str) -> Any:
    from bestex.errors import UsageError

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(make())
    raise UsageError(f"an event loop is running here: write `await bestex.{name}(...)`")
