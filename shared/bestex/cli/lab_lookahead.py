"""`bestex lab lookahead`: the backtest of some orders, tested for eyes on the future."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

from bestex import fleet
from bestex.cli.common import COMMON, Common, console, print_json, table
from bestex.cli.recordings import existing
from bestex.clock import rfc3339

CACHE = Path("lab", "cache")  # below data_dir: what is converted once


def lookahead(orders: Path, *files: Path, times: int = 3, seed: int = 1, common: Common = COMMON) -> int:
    """Work the orders of a file on recordings twice: as they are, and with another future from some time on.

    bestex lab lookahead orders.json spot.rec perp.rec
    bestex lab lookahead orders.json spot.rec --times 10 --json

    Whatever is said and stored before that time must be the same. Exit code: 0 it is, 1 something has looked ahead,
    2 where something asked for is wrong.

    Parameters
    ----------
    orders
        A JSON list of orders with their times, as for python -m services.backtester.
    times
        How many moments are tested, evenly from the first order to the end.
    seed
        Of latencies and of the market model.
    """
    # The backtester stands above this library.
    lab = importlib.import_module("services.backtester.lab.check_lookahead")
    guard = importlib.import_module("services.backtester.lab.lookahead")
    paths = existing((orders, *files))[1:] if files else existing(files)
    text = common.config.read_text() if common.config else ""
    about = {
        "version": fleet.build(),
        "seed": seed,
        "data": {path.name: sha256(path) for path in paths},
    }
    seen, checks = "", []
    try:
        found = lab.of_orders(orders, paths, times, seed, text, Path(common.load().data_dir) / CACHE)
    except guard.LookedAhead as error:
        seen = str(error)
    else:
        checks = found.checks
    ok = not seen and not any(one.difference for one in checks)
    rows = [
        {"at": rfc3339(one.at_ns), "messages": one.messages, "difference": one.difference} for one in checks
    ]
    if common.json:
        print_json({**about, "ok": ok, "seen": seen, "checks": rows})
    elif seen:
        console().print(seen)
    else:
        shown = table(
            "another future from", "messages compared", "first difference", right=["messages compared"]
        )
        for one in rows:
            shown.add_row(str(one["at"]), f"{one['messages']:,}", str(one["difference"]) or "none")
        console().print(shown)
    return 0 if ok else 1


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
