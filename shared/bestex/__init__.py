"""bestex: a smart order router and execution platform on NATS.

    from bestex import Client, execute_twap

    execution = await execute_twap("BTC/USDT", "buy", "1", duration="5m")     # one order, waited for
    print(execution.summary())

    async with Client() as client:                                            # all that the platform does
        parent = await client.submit("BTC/USDT", "buy", "1", algo="twap", duration="5m")
        async for event in parent:
            print(event)

Algorithms are here by their names too: `from bestex import TWAP` and `algo=TWAP(duration="5m")`. Names are imported
when they are first used, so that `import bestex` costs nothing. `bestex.run` has the same functions for programs
without an event loop.
"""

from __future__ import annotations

from typing import Any

from bestex import names


def __getattr__(name: str) -> Any:
    value = globals()[name] = names.find(name)
    return value


def __dir__() -> list[str]:
    return names.listed()
