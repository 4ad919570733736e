"""`bestex shadows`: on the slices that were sampled, what each strategy would have cost beside what was paid."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from bestex.cli.common import COMMON, Common, console, print_json, table
from bestex.errors import UsageError

if TYPE_CHECKING:
    from bestex.messages import RouteDone


@dataclass(frozen=True)
class Row:
    """`saves_bps`: by how much it would have been cheaper in the mean, with its standard error; of `slices`."""

    strategy: str
    slices: int
    cost_bps: float
    saves_bps: float
    error_bps: float | None


async def shadows(*, since: str = "24h", symbol: str = "", common: Common = COMMON) -> int:
    """What every routing strategy would have cost on the same slices, by shadow routing (execution.shadow_share).

    bestex shadows
    bestex shadows --since 1h --symbol BTC/USDT --json

    Exit code: 0 there are samples, 1 there are none.

    Parameters
    ----------
    since
        Slices that ended within this time, such as 90m or 7d.
    symbol
        This symbol only.
    """
    from bestex import codec, reading, subjects
    from bestex import messages as m
    from bestex.human import Duration

    try:
        since_ns = time.time_ns() - int(Duration.parse(since))
    except ValueError as error:
        raise UsageError(f"--since: {error}") from None
    ended: list[RouteDone] = []

    def take(kept: reading.Kept) -> None:
        event = codec.from_json(kept.data, m.RouteDone)
        if event.shadows and symbol in ("", event.symbol):
            ended.append(event)

    async with common.client() as client:
        pattern = f"{subjects.ROOT}.route.*.*.*.done"
        start = await reading.seq_at(client.connection, subjects.ROUTE, since_ns, 0)
        await reading.read_all(client.connection, subjects.ROUTE, [pattern], take, start_seq=start)
    rows = summary(ended)
    if common.json:
        print_json({"slices": len(ended), "strategies": rows})
    elif not rows:
        print("no slice was sampled; execution.shadow_share says how many are")
    else:
        figures = ("slices", "cost, bps", "cheaper by, bps")
        shown = table("strategy", *figures, right=figures)
        for row in rows:
            around = "" if row.error_bps is None else f" ± {row.error_bps:.3f}"
            shown.add_row(
                row.strategy, str(row.slices), f"{row.cost_bps:.3f}", f"{row.saves_bps:+.3f}{around}"
            )
        console().print(shown)
    return 0 if rows else 1


def summary(ended: list[RouteDone]) -> list[Row]:
    """By strategy, the cheapest first. The first shadow of a slice is what was really done."""
    costs: dict[str, list[float]] = {}
    saved: dict[str, list[float]] = {}
    for event in ended:
        real = event.shadows[0].cost_bps
        for number, one in enumerate(event.shadows):
            name = "as routed" if not number else one.strategy
            costs.setdefault(name, []).append(one.cost_bps)
            saved.setdefault(name, []).append(real - one.cost_bps)
    rows = []
    for name, values in costs.items():
        differences = saved[name]
        error = statistics.stdev(differences) / sqrt(len(differences)) if len(differences) > 1 else None
        rows.append(Row(name, len(values), statistics.fmean(values), statistics.fmean(differences), error))
    return sorted(rows, key=lambda row: (-row.saves_bps, row.strategy))
