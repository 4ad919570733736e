"""`bestex submit`, `plan` and the commands to a parent that is at work."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from bestex.cli.common import COMMON, Common, Number, assignments, console, known, print_json, table
from bestex.errors import UsageError

if TYPE_CHECKING:
    from bestex.client import Client
    from bestex.parent import Parent
    from bestex.status import ParentStatus

ANSWER_S_MAX = 3.0  # a scheduler answers in milliseconds; after this the user is told that none does
TCA_S_MAX = 2.0  # the recorder's report follows the end; without it the figures come from the events
POLL_S = 0.1

Side = Literal["buy", "sell"]
Settings = Annotated[list[str] | None, Parameter(name="--set", negative="")]


async def submit(
    symbol: str,
    side: Side,
    qty: Number,
    /,
    *,
    algo: str = "",
    limit: Number | None = None,
    duration: str = "",
    settings: Settings = None,
    strategy: str = "",
    venues: str = "",
    parent_id: Annotated[str, Parameter(name="--id")] = "",
    wait: Annotated[bool, Parameter(negative="")] = False,
    common: Common = COMMON,
) -> int:
    """Publish a parent order; prints its id and whether it was accepted.

    bestex submit BTC/USDT buy 1 --algo twap --duration 5m --wait
    bestex submit ETH/USDT sell 20 --algo limit --limit 3010 --set duration=10m
    bestex submit BTC/USDT buy 0.5 --algo market --venues sim_a,sim_b --json

    Exit code: 0 accepted (with --wait: filled), 1 ended otherwise, 2 rejected or mistyped.

    Parameters
    ----------
    symbol
        What to trade, such as BTC/USDT.
    side
        buy or sell.
    qty
        How much, in the base currency.
    algo
        The execution algorithm, else the configuration's; `bestex algos` lists them with their parameters.
    limit
        Never pay more (buy) or get less (sell) than this price.
    duration
        How long to work, such as 90s, 5m, 1h30m.
    settings
        A parameter of the algorithm, name=value; as often as needed.
    strategy
        The routing strategy; `bestex strategies` lists them.
    venues
        Only these venues, comma separated.
    parent_id
        An id of your own: 1 to 32 of A-Z a-z 0-9 _ -. Submitting the same order under it again is harmless.
    wait
        Stay until it ends, with a progress bar.
    """
    from bestex import plugins
    from bestex.cli.catalogue import parameters

    algo = known("algorithm", algo or common.load().execution.default_algo, plugins.ALGOS)
    if strategy:
        known("strategy", strategy, plugins.STRATEGIES)
    params = assignments(settings or ())
    there = parameters(plugins.ALGOS, algo)
    for name in params:
        known(f"parameter of {algo}", name, there)
    if duration:
        known(f"parameter of {algo}", "duration", there)
        params["duration"] = duration
    async with common.client() as client:
        parent = await client.submit(
            symbol,
            side,
            qty,
            algo=algo,
            limit_price=limit,
            parent_id=parent_id,
            strategy=strategy,
            venues=[name.strip() for name in venues.split(",")] if venues else None,
            **params,
        )
        if not wait:
            return await _answer(parent, common)
        if not common.json:
            from bestex.bus_address import find_clock
            from bestex.cli.progress import follow

            await follow(parent, find_clock(common.load()))
        else:
            async for event in parent:
                print_json(event)
        return await _summary(client, parent, common)


async def _answer(parent: Parent, common: Common) -> int:
    """Wait for the scheduler's first word on the order, and say it."""
    from bestex.status import State

    events = aiter(parent)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(anext(events), ANSWER_S_MAX)
    status = parent.status
    if common.json:
        print_json(
            {
                "parent_id": status.parent_id,
                "symbol": status.symbol,
                "state": status.state,
                "reason": status.reason,
                "text": status.text,
            }
        )
    elif status.state is State.REJECTED:
        print(f"{status.parent_id} rejected: {status.text} ({status.reason})")
    elif status.state is State.SUBMITTED:
        print(f"{status.parent_id} is stored, but no scheduler has answered yet; look at `bestex doctor`")
    else:
        print(f"{status.parent_id} accepted; follow it with `bestex status {status.parent_id}`")
    return 2 if status.state is State.REJECTED else 0


async def _summary(client: Client, parent: Parent, common: Common) -> int:
    from bestex.status import State

    status = parent.status
    if status.state is State.REJECTED:
        if not common.json:
            print(f"{status.parent_id} rejected: {status.text} ({status.reason})")
        return 2
    slippage, fees, rate, average = status.arrival_slippage_bps, status.fees, status.fill_rate, status.avg_px
    for _ in range(int(TCA_S_MAX / POLL_S)):
        report = await client.tca(parent.parent_id)
        if report is not None:
            slippage, fees = report.arrival_slippage_bps, report.fees
            break
        await asyncio.sleep(POLL_S)
    if common.json:
        print_json({**summary(status, slippage), "fees": fees})
    else:
        print(
            f"{status.parent_id} {status.reason}: {status.cum_qty} of {status.qty} ({rate:.1%}) "
            f"at {'-' if average is None else f'{average:f}'}, "
            f"slippage {'-' if slippage is None else f'{slippage:+.2f} bps'} against arrival, "
            f"fees {0 if fees is None else fees:f}"
        )
    return 0 if status.reason == "filled" else 1


def summary(status: ParentStatus, slippage_bps: float | None = None) -> dict[str, Any]:
    """A parent's status with its derived figures, as plain values."""
    from bestex import codec

    return {
        **codec.to_builtins(status),
        "fill_rate": status.fill_rate,
        "arrival_slippage_bps": status.arrival_slippage_bps if slippage_bps is None else slippage_bps,
    }


async def plan(
    symbol: str,
    side: Side,
    qty: Number,
    /,
    *,
    limit: Number | None = None,
    strategy: str = "",
    venues: str = "",
    settings: Settings = None,
    common: Common = COMMON,
) -> int:
    """The route that the router would take now, with its costs. Nothing is sent anywhere.

    bestex plan BTC/USDT buy 5
    bestex plan BTC/USDT sell 5 --strategy best_price --json

    Parameters
    ----------
    limit
        Not beyond this price.
    strategy
        The routing strategy; `bestex strategies` lists them.
    venues
        Only these venues, comma separated.
    settings
        A parameter of the strategy, name=value; as often as needed.
    """
    from bestex import plugins

    if strategy:
        known("strategy", strategy, plugins.STRATEGIES)
    async with common.client() as client:
        found = await client.plan(
            symbol,
            side,
            qty,
            limit_price=limit,
            strategy=strategy,
            venues=[name.strip() for name in venues.split(",")] if venues else None,
            **assignments(settings or ()),
        )
    if common.json:
        print_json(found)
        return 1 if found.error else 0
    if found.error:
        print(f"no route: {found.text} ({found.error})")
        return 1
    rows = table("venue", "qty", "price", "fee", right=("qty", "price", "fee"))
    for leg in found.legs:
        rows.add_row(leg.venue, f"{leg.qty:f}", f"{leg.price:f}", f"{leg.fee:f}")
    out = console()
    out.print(rows)
    slippage = found.expected_slippage_bps
    out.print(
        f"{found.side} {found.routed_qty:f} of {found.qty:f} by {found.strategy}: "
        f"average {'-' if found.avg_price is None else f'{found.avg_price:f}'}, "
        f"expected slippage {'-' if slippage is None else f'{slippage:+.2f} bps'}, "
        f"fees {found.fees:f}, total cost {found.total_cost:f}"
    )
    for venue in found.left_out:
        out.print(f"without {venue.venue}: {venue.reason}")
    return 0


async def cancel(parent_id: str, /, *, reason: str = "", common: Common = COMMON) -> None:
    """Ask for a parent to be cancelled. It ends when its open slices have come back.

    bestex cancel k3j9d0a7c1e5g2h4
    """
    async with common.client() as client:
        await client.cancel(parent_id, reason)
    _asked("cancel", parent_id, common)


async def modify(
    parent_id: str,
    /,
    *,
    qty: Number | None = None,
    limit: Number | None = None,
    duration: str = "",
    settings: Settings = None,
    common: Common = COMMON,
) -> None:
    """Change a parent at work; what is not given stays as it is.

    bestex modify k3j9d0a7c1e5g2h4 --qty 2
    bestex modify k3j9d0a7c1e5g2h4 --limit 60500 --set interval=5s

    Parameters
    ----------
    qty
        The new total, what is filled included.
    limit
        The new limit price.
    duration
        How long to work in all, from its start.
    settings
        A parameter of the algorithm, name=value; as often as needed.
    """
    params = assignments(settings or ())
    if duration:
        params["duration"] = duration
    if qty is None and limit is None and not params:
        raise UsageError("nothing to change; write --qty, --limit, --duration or --set name=value")
    async with common.client() as client:
        await client.modify(parent_id, qty=qty, limit_price=limit, **params)
    _asked("modify", parent_id, common)


async def pause(parent_id: str, /, *, reason: str = "", common: Common = COMMON) -> None:
    """Ask for a parent to send nothing more until it is resumed.

    bestex pause k3j9d0a7c1e5g2h4
    """
    async with common.client() as client:
        await client.pause(parent_id, reason)
    _asked("pause", parent_id, common)


async def resume(parent_id: str, /, *, reason: str = "", common: Common = COMMON) -> None:
    """Let a paused parent go on.

    bestex resume k3j9d0a7c1e5g2h4
    """
    async with common.client() as client:
        await client.resume(parent_id, reason)
    _asked("resume", parent_id, common)


def _asked(verb: str, parent_id: str, common: Common) -> None:
    if common.json:
        print_json({"parent_id": parent_id, "request": verb, "stored": True})
    else:
        print(f"{verb} of {parent_id} is stored; `bestex status {parent_id}` shows what becomes of it")
