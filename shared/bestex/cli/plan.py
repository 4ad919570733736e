"""`bestex plan`: the route of an order before it is an order, on the live market, a recorded one, or a given book."""

from __future__ import annotations

import importlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bestex.cli.common import (
    COMMON,
    Common,
    Number,
    assignments,
    console,
    figure,
    known,
    print_json,
    table,
    venue_names,
)
from bestex.cli.orders import Routing, Side
from bestex.errors import UsageError

if TYPE_CHECKING:
    from bestex.messages import Plan, PlanRequest

Files = Annotated[list[Path] | None, Parameter(negative="", consume_multiple=True)]


async def plan(
    symbol: str,
    side: Side,
    qty: Number,
    /,
    *,
    limit: Number | None = None,
    max_slippage: str = "",
    strategy: str = "",
    venues: str = "",
    routing: Routing = None,
    book: Path | None = None,
    recording: Files = None,
    at: str = "60s",
    common: Common = COMMON,
) -> int:
    """The route that the router would take now, with its costs. Nothing is sent anywhere.

    bestex plan BTC/USDT buy 10 --max-slippage 0.1%
    bestex plan BTC/USDT sell 5 --strategy best_price --json
    bestex plan X/Y buy 1000 --book book.json
    bestex plan BTC/USDT buy 2 --recording spot.rec --at 5m

    Exit code: 0 there is a route, 1 there is none.

    Parameters
    ----------
    limit
        Not beyond this price.
    max_slippage
        Not further than this beyond the best price, such as 0.1%.
    strategy
        The routing strategy; `bestex strategies` lists them.
    venues
        Only these venues, comma separated.
    routing
        A parameter of the strategy, name=value; as often as needed.
    book
        Plan on the book of this JSON file, without a bus.
    recording
        Plan on these recordings, without a bus.
    at
        How long after the first message of the recordings, such as 90s.
    """
    from bestex import messages as m
    from bestex import plugins
    from bestex.human import Ratio

    if strategy:
        known("strategy", strategy, plugins.STRATEGIES)
    if book is not None and recording:
        raise UsageError("a plan is made on one market: name --book or --recording")
    params: dict[str, Any] = assignments(routing or (), "--route")
    if max_slippage:
        try:
            params["max_slippage_percent"] = 100 * float(Ratio.parse(max_slippage))
        except ValueError as error:
            raise UsageError(f"--max-slippage: {error}") from None
    request = m.PlanRequest(
        symbol=symbol,
        side=m.Side(side),
        qty=qty,
        limit_price=limit,
        strategy=strategy,
        strategy_params=params,
        venues=venue_names(venues),
        compare=True,
    )
    if book is not None:
        found = _on_book(request, book, common)
    elif recording:
        found = _on_recording(request, recording, at)
    else:
        async with common.client() as client:
            found = await client.ask_plan(request)
    if common.json:
        print_json(found)
    else:
        _print(found)
    return 1 if found.error else 0


# The router and the backtester stand above this library: they are looked up, as algorithms and venues are.


def _on_book(request: PlanRequest, path: Path, common: Common) -> Plan:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    offline = importlib.import_module("services.router.offline")
    found: Plan = offline.plan_on_book(request, data, common.load(), time.time_ns())
    return found


def _on_recording(request: PlanRequest, paths: list[Path], at: str) -> Plan:
    from bestex.cli.recordings import existing
    from bestex.human import Duration

    try:
        after_ns = int(Duration.parse(at))
    except ValueError as error:
        raise UsageError(f"--at: {error}") from None
    moment = importlib.import_module("services.backtester.moment")
    with tempfile.TemporaryDirectory() as cache:
        found: Plan = moment.plan_at(request, existing(tuple(paths)), after_ns, Path(cache))
    return found


def _print(found: Plan) -> None:
    if found.error:
        print(f"no route: {found.text} ({found.error})")
    else:
        _print_route(found)
    for venue in found.left_out:
        print(f"without {venue.venue}: {venue.reason}")


def _print_route(found: Plan) -> None:
    rows = table("venue", "qty", "price", "fee", "", right=("qty", "price", "fee"))
    for leg in found.legs:
        rows.add_row(leg.venue, f"{leg.qty:f}", f"{leg.price:f}", figure(leg.fee), leg.reason)
    out = console()
    out.print(rows)
    slippage, impact = found.expected_slippage_bps, found.expected_impact_bps
    print(
        f"{found.side} {found.routed_qty:f} of {found.qty:f} by {found.strategy}: "
        f"average {figure(found.avg_price) or '-'}, "
        f"expected slippage {'-' if slippage is None else f'{slippage:+.2f} bps'}, "
        f"impact {'-' if impact is None else f'{impact:.2f} bps ({found.impact_model})'}, "
        f"fees {figure(found.fees)}, total cost {figure(found.total_cost)}"
    )
    for text in (found.why, found.text):
        if text:
            print(text)
    if found.gap_bps:
        print(f"a route that is cheaper by up to {found.gap_bps:.4f} bps may exist")
    if found.others:
        others = table("other strategies", "qty", "posted", "average", "fees", "total cost", right=_FIGURES)
        for other in found.others:
            posted = f"{other.posted_qty:f}" if other.posted_qty else ""
            average, cost = figure(other.avg_price) or "-", figure(other.total_cost)
            others.add_row(other.strategy, f"{other.routed_qty:f}", posted, average, figure(other.fees), cost)
        out.print(others)


_FIGURES = ("qty", "posted", "average", "fees", "total cost")
