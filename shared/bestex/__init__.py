"""bestex: a smart order router and execution platform on NATS.

    from bestex import Client

    async with Client() as client:
        parent = await client.submit("BTC/USDT", "buy", "1", algo="twap", duration="5m")
        async for event in parent:
            print(event)

Algorithms are here by their names too: `from bestex import TWAP` and `algo=TWAP(duration="5m")`. Names are imported
when they are first used, so that `import bestex` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bestex.client import Client
    from bestex.errors import BestexError, Code
    from bestex.messages import (
        Alternative,
        Fill,
        ParentDone,
        ParentOrder,
        ParentRejected,
        Plan,
        Side,
        Trigger,
    )
    from bestex.parent import Parent

_HOME = {
    "Alternative": "bestex.messages",
    "BestexError": "bestex.errors",
    "Client": "bestex.client",
    "Code": "bestex.errors",
    "Fill": "bestex.messages",
    "Parent": "bestex.parent",
    "ParentDone": "bestex.messages",
    "ParentOrder": "bestex.messages",
    "ParentRejected": "bestex.messages",
    "Plan": "bestex.messages",
    "Side": "bestex.messages",
    "Trigger": "bestex.messages",
}

__all__ = [
    "Alternative",
    "BestexError",
    "Client",
    "Code",
    "Fill",
    "Parent",
    "ParentDone",
    "ParentOrder",
    "ParentRejected",
    "Plan",
    "Side",
    "Trigger",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name[:1].isupper() and (algorithm := _algorithm(name.lower())) is not None:
        value = algorithm
    else:
        raise AttributeError(f"module 'bestex' has no attribute {name!r}")
    globals()[name] = value
    return value


def _algorithm(name: str) -> Any:
    from bestex import plugins  # only who asks for an algorithm pays for its import

    return plugins.load(plugins.ALGOS, name) if name in plugins.ALGOS else None


def __dir__() -> list[str]:
    return sorted(__all__)
