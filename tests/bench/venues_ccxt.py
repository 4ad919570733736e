"""What everybody does with ccxt: loops of `watch_order_book` and `watch_trades`. The floor of `venues_data`.

`python -m tests.bench.venues_ccxt VENUE URL`: says `"ready"` with the first book, and answers each line on its
standard input with what it saw: books and trades that its loops were given, messages that ccxt has worked off, and
the numbers of the last update and of the last trade.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import uvloop

from bestex import ccxt_client
from bestex.config import parse
from tests.bench.venues_feeder import RIGS

TIMEOUT_S = 10.0
LEVELS = 50


async def main(venue: str, url: str) -> None:
    config = parse(f'[venues.{venue}]\nadapter = "ccxt"\nurl = "{url}"')
    seen = {"books": 0, "trades": 0, "applied": 0, "trade": 0}
    last: dict[str, Any] = {}
    kind: Any = ccxt_client.class_of(venue)

    class Counted(kind):  # type: ignore[misc]
        def handle_message(self, client: Any, message: Any) -> None:
            super().handle_message(client, message)
            seen["applied"] += "u" in message or "data" in message or message.get("e") == "trade"

        def handle_order_book(self, client: Any, message: Any) -> None:
            super().handle_order_book(client, message)
            last["update"] = message

    Counted.__name__ = kind.__name__
    exchange: Any = ccxt_client.create(venue, config, TIMEOUT_S, kind=Counted)
    exchange.options["adjustForTimeDifference"] = False
    exchange.options["fetchMarkets"] = {"types": ["linear"]}
    await exchange.load_markets()
    symbol = RIGS[venue].symbol

    async def books() -> None:
        while True:
            await exchange.watch_order_book(symbol, LEVELS)
            if not seen["books"]:
                print(json.dumps("ready"), flush=True)
            seen["books"] += 1

    async def trades() -> None:
        while True:
            new = await exchange.watch_trades(symbol)
            seen["trades"] += len(new)
            seen["trade"] = int(new[-1]["id"])

    watching = [asyncio.create_task(books()), asyncio.create_task(trades())]
    try:
        while await asyncio.to_thread(sys.stdin.readline):
            update = last.get("update", {})
            print(json.dumps({**seen, "update": update.get("data", update).get("u", 0)}), flush=True)
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await exchange.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
