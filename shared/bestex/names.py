"""What `bestex` has by name: all that users import, the algorithms, and an `execute_...` for each of them.

Everything is imported when it is first named, so that `import bestex` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

HOME = {
    "Alternative": "bestex.messages",
    "BestexError": "bestex.errors",
    "Client": "bestex.client",
    "Code": "bestex.errors",
    "Execution": "bestex.execution",
    "Fill": "bestex.messages",
    "OrderRejected": "bestex.errors",
    "Parent": "bestex.parent",
    "ParentDone": "bestex.messages",
    "ParentOrder": "bestex.messages",
    "ParentRejected": "bestex.messages",
    "Plan": "bestex.messages",
    "Side": "bestex.messages",
    "Summary": "bestex.execution",
    "Trigger": "bestex.messages",
    "execute": "bestex.execution",
}

EXECUTE = "execute_"


def find(name: str) -> Any:
    """AttributeError where there is no such name."""
    if name in HOME:
        return getattr(import_module(HOME[name]), name)
    if name[:1].isupper() and (algo := algorithm(name)):
        from bestex import plugins

        return plugins.load(plugins.ALGOS, algo)
    if name.startswith(EXECUTE) and (algo := algorithm(name.removeprefix(EXECUTE))):
        from bestex import execution

        return execution.executor(algo)
    raise AttributeError(f"module 'bestex' has no attribute {name!r}")


def algorithm(name: str) -> str:
    """The registry's name of an algorithm however it is spelt: TWAP, Twap, twap, or its class; empty where there is
    none."""
    from bestex import plugins  # only who asks for an algorithm pays for its import

    classes = {_plain(path.rpartition(":")[2]): one for one, path in plugins.ALGOS.items()}
    return {**classes, **{_plain(one): one for one in plugins.ALGOS}}.get(_plain(name), "")


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


def listed() -> list[str]:
    """Every name, algorithms as their classes are called."""
    from bestex import plugins

    classes = [path.rpartition(":")[2] for path in plugins.ALGOS.values()]
    return sorted({*HOME, *classes, *(EXECUTE + algo for algo in plugins.ALGOS)})
