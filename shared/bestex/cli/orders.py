"""`bestex submit` and the commands to a parent that is at work."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from bestex.cli.common import (
    COMMON,
    Common,
    Number,
    assignments,
    figure,
    known,
    losses_told,
    print_json,
    texts,
    venue_names,
)
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
Routing = Annotated[list[str] | None, Parameter(name="--route", negative="")]
Conditions = Annotated[list[str] | None, Parameter(name="--trigger", negative="")]
Otherwise = Annotated[list[str] | None, Parameter(name="--otherwise", negative="")]


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
    routing: Routing = None,
    venues: str = "",
    trigger: Conditions = None,
    otherwise: Otherwise = None,
    parent_id: Annotated[str, Parameter(name="--id")] = "",
    wait: Annotated[bool, Parameter(negative="")] = False,
    common: Common = COMMON,
) -> int:
    """Publish a parent order; prints its id and whether it was accepted.

    bestex submit BTC/USDT buy 1 --algo twap --duration 5m --wait
    bestex submit ETH/USDT sell 20 --algo limit --limit 3010 --set duration=10m
    bestex submit BTC/USDT buy 0.5 --algo market --venues sim_a,sim_b --json
    bestex submit BTC/USDT buy 3 --strategy split_by_liquidity --route min_liquidity_percent=5
    bestex submit BTC/USDT sell 1 --algo market --trigger trail_percent=2 --trigger by=bid
    bestex submit BTC/USDT sell 1 --algo limit --limit 62000 --otherwise price=58000 --otherwise algo=market

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
    routing
        A parameter of the strategy, name=value; as often as needed.
    venues
        Only these venues, comma separated.
    trigger
        A price to wait for before it begins, name=value: price, trail, trail_percent, when, by, until.
    otherwise
        What to do instead when another price is reached: the same names, and algo, limit_price, its parameters.
    parent_id
        An id of your own: 1 to 32 of A-Z a-z 0-9 _ -. Submitting the same order under it again is harmless.
    wait
        Stay until it ends, with a progress bar.
    """
    from bestex import entry, plugins
    from bestex.cli.catalogue import parameters

    _say_if_paper(common, venues)
    algo = known("algorithm", algo or common.load().execution.default_algo, plugins.ALGOS)
    strategy_params = assignments(routing or (), "--route")
    if strategy or strategy_params:
        routed_by = known(
            "strategy", strategy or common.load().execution.default_strategy, plugins.STRATEGIES
        )
        for name in strategy_params:
            known(f"parameter of {routed_by}", name, parameters(plugins.STRATEGIES, routed_by))
    params = assignments(settings or ())
    there = parameters(plugins.ALGOS, algo)
    for name in params:
        known(f"parameter of {algo}", name, there)
    chosen = venue_names(venues)
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
            strategy_params=strategy_params,
            venues=chosen,
            trigger=entry.trigger_of(texts(trigger, "--trigger")) if trigger else None,
            otherwise=entry.alternative(texts(otherwise, "--otherwise")) if otherwise else None,
            **params,
        )
        if not wait:
            return await _answer(parent, common)
        try:
            async with losses_told(client.connection):
                if common.json:
                    async for event in parent:
                        print_json(event)
                else:
                    from bestex.bus_address import find_clock
                    from bestex.cli.progress import follow

                    await follow(parent, find_clock(common.load()))
        except asyncio.CancelledError:  # ctrl-C ends the waiting, not the order
            print(
                f"bestex: {parent.parent_id} goes on; see `bestex status {parent.parent_id}`, "
                f"or end it with `bestex cancel {parent.parent_id}`",
                file=sys.stderr,
            )
            raise
        return await _summary(client, parent, common)


def _say_if_paper(common: Common, venues: str) -> None:
    """On stderr, so that nobody takes a fill for one."""
    config = common.load()
    chosen = venue_names(venues) or config.enabled_venues()
    paper = [name for name in chosen if name in config.venues and config.venues[name].is_paper]
    if paper:
        print(f"bestex: ON PAPER at {', '.join(paper)}: nothing is really traded", file=sys.stderr)


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
            f"{status.parent_id} {status.reason}: {status.cum_qty:f} of {status.qty:f} ({rate:.1%}) "
            f"at {figure(average) or '-'}, "
            f"slippage {'-' if slippage is None else f'{slippage:+.2f} bps'} against arrival, "
            f"fees {figure(fees) or 0}"
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


async def cancel(parent_id: str, /, *, reason: str = "", common: Common = COMMON) -> int:
    """Ask for a parent to be cancelled. It ends when its open slices have come back.

    bestex cancel k3j9d0a7c1e5g2h4
    """
    async with common.client() as client:
        request = await client.cancel(parent_id, reason)
        return await _answered(client, "cancel", parent_id, request, common)


async def modify(
    parent_id: str,
    /,
    *,
    qty: Number | None = None,
    limit: Number | None = None,
    duration: str = "",
    settings: Settings = None,
    routing: Routing = None,
    common: Common = COMMON,
) -> int:
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
    routing
        A parameter of its routing strategy, name=value; as often as needed.
    """
    params = assignments(settings or ())
    strategy_params = assignments(routing or (), "--route")
    if duration:
        params["duration"] = duration
    if qty is None and limit is None and not params and not strategy_params:
        raise UsageError("nothing to change; write --qty, --limit, --duration, --set or --route name=value")
    async with common.client() as client:
        request = await client.modify(
            parent_id, qty=qty, limit_price=limit, strategy_params=strategy_params, **params
        )
        return await _answered(client, "modify", parent_id, request, common)


async def pause(parent_id: str, /, *, reason: str = "", common: Common = COMMON) -> int:
    """Ask for a parent to send nothing more until it is resumed.

    bestex pause k3j9d0a7c1e5g2h4
    """
    async with common.client() as client:
        request = await client.pause(parent_id, reason)
        return await _answered(client, "pause", parent_id, request, common)


async def resume(parent_id: str, /, *, reason: str = "", common: Common = COMMON) -> int:
    """Let a paused parent go on.

    bestex resume k3j9d0a7c1e5g2h4
    """
    async with common.client() as client:
        request = await client.resume(parent_id, reason)
        return await _answered(client, "resume", parent_id, request, common)


async def _answered(client: Client, verb: str, parent_id: str, request: int, common: Common) -> int:
    """Wait for the scheduler's word on a command, and say it. The exit code: 2 where it was refused."""
    from bestex.messages import ParentRejected
    from bestex.subjects import event_name

    answer = None
    for _ in range(int(ANSWER_S_MAX / POLL_S)):
        answer = await client.answer(parent_id, request)
        if answer is not None:
            break
        await asyncio.sleep(POLL_S)
    refused = answer if isinstance(answer, ParentRejected) else None
    if common.json:
        said = "" if answer is None else event_name(answer)
        code, text = (refused.code, refused.text) if refused else ("", "")
        print_json({"parent_id": parent_id, "request": verb, "answer": said, "code": code, "text": text})
    elif answer is None:
        print(f"{verb} of {parent_id} is stored, but no scheduler has answered yet; look at `bestex doctor`")
    elif refused:
        print(f"{verb} of {parent_id} rejected: {refused.text} ({refused.code})")
    else:
        print(f"{parent_id} {event_name(answer)}; follow it with `bestex status {parent_id}`")
    return 2 if refused else 0
