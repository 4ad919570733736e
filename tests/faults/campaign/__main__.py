"""`python -m tests.faults.campaign --service-kills N --server-kills M --minutes T`: exit code 1 on any violation."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import get_args

import msgspec

from tests.faults.campaign.plan import Settings, VenuesOf
from tests.faults.campaign.run import campaign
from tests.faults.campaign.verdict import Result

EXIT_VIOLATED, EXIT_INTERRUPTED = 1, 130


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign")
    parser.add_argument("--service-kills", type=int, default=100)
    parser.add_argument("--server-kills", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=5.0, help="over how long the faults are spread")
    parser.add_argument("--replicas", type=int, choices=(1, 3), default=1, help="servers of the bus")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=60, help="parents at work at any time")
    parser.add_argument(
        "--together",
        dest="split",
        action="store_false",
        help="one process for each service: cheaper, so more orders",
    )
    parser.add_argument(
        "--venues",
        choices=get_args(VenuesOf),
        default="sim",
        help="ccxt, ccxt-perp: emulated exchanges, which fail too",
    )
    parser.add_argument("--keep", type=Path, help="where logs and streams go if anything was wrong")
    parser.add_argument("--json", action="store_true", help="only the result, as JSON")
    given = vars(parser.parse_args())
    as_json, keep = given.pop("json"), given.pop("keep")
    try:
        result = asyncio.run(_run(Settings(**given), keep, quiet=as_json))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(EXIT_INTERRUPTED)
    print(msgspec.json.format(msgspec.json.encode(result)).decode())
    sys.exit(0 if result.ok else EXIT_VIOLATED)


async def _run(settings: Settings, keep: Path | None, *, quiet: bool) -> Result:
    task = asyncio.current_task()
    assert task is not None, "a coroutine that runs is a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await campaign(settings, (lambda _: None) if quiet else _tell, keep)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
