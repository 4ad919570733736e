"""The command line of the emulated exchanges."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from bestex import log
from tests.emulators.server import Emulator


def main(*kinds: Callable[..., Emulator]) -> None:
    """`python -m tests.emulators.NAME [--port N] [--data-dir D] [--market model|none]`: runs until it is interrupted,
    the first of `kinds` on the given port and the others on the next ones. Says where on standard output, in JSON."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 for free ones")
    parser.add_argument("--data-dir", type=Path, help="where the journal is kept; else in a new directory")
    parser.add_argument("--market", choices=("model", "none"), default="model")
    parser.add_argument(
        "--deposits", default="", help="what each account has, as BTC=10,USDT=100000; else credit"
    )
    arguments = parser.parse_args()
    log.configure("emulator")
    data_dir = arguments.data_dir or Path(tempfile.mkdtemp(prefix="emulator-"))
    deposits = dict(one.split("=") for one in arguments.deposits.split(",") if one)
    asyncio.run(
        _run(
            [
                kind(
                    data_dir,
                    market=arguments.market,
                    deposits={name: Decimal(amount) for name, amount in deposits.items()} or None,
                )
                for kind in kinds
            ],
            arguments.port,
        )
    )


async def _run(emulators: list[Emulator], port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    for place, emulator in enumerate(emulators):
        await emulator.start(port + place if port else 0)
        ready = {"event": "ready", "venue": emulator.NAME, "url": emulator.url}
        print(json.dumps(ready), flush=True)
    await stop.wait()
    with suppress(ConnectionError):
        for emulator in emulators:
            await emulator.stop()
