"""A gateway that is there to be killed: `python -m tests.contract.armed VENUE URL FOLDER`.

Its own core and desk over the venue's adapter: it sends one order, keeps the dead-man switch armed, and says what
the order is each time that it has.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bestex import log
from bestex.core import Wakeup
from tests.contract.live import Live
from tests.contract.rigs import RIGS, Desk

EVERY_S = 2.2  # OKX's switch may be set once a second, of which a cancel's share is kept


async def run(venue: str, url: str, folder: str) -> None:
    rig = next(rig for rig in RIGS if str(rig) == venue)
    desk = Desk(rig, None, rig.config(url, Path(folder)))  # type: ignore[arg-type]
    async with Live(desk, dead_man=True) as live:
        live.new("c1")
        await live.until(lambda: live.decided("c1") and not live.actor.in_flight)
        while True:
            print(live.became("c1"), flush=True)
            await asyncio.sleep(EVERY_S)
            live.deliver(Wakeup(f"pull:{rig.venue}"))


if __name__ == "__main__":
    log.configure("armed")
    asyncio.run(run(*sys.argv[1:]))
