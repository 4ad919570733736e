"""`bestex status` and `bestex watch`."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bestex.cli.common import COMMON, Common, console, figure, losses_told, print_json, table

if TYPE_CHECKING:
    from rich.console import Console

    from bestex.status import ParentStatus

ALL_COLUMNS_MIN = 110  # on a narrower terminal the less telling columns are left out
ID_COLUMN_MAX = 16  # a generated id in one piece; longer ones of the user's may be folded


async def status(
    parent_id: str = "",
    /,
    *,
    all: Annotated[bool, Parameter(negative="")] = False,  # noqa: A002
    common: Common = COMMON,
) -> int:
    """Every parent that is at work and where it stands, or one parent with its whole history.

    bestex status
    bestex status --all
    bestex status k3j9d0a7c1e5g2h4

    Parameters
    ----------
    parent_id
        One parent only.
    all
        Those that have ended too.
    """
    from bestex.cli.lines import describe
    from bestex.cli.orders import summary

    async with common.client() as client:
        if not parent_id:
            found = [one for one in await client.parents() if all or not one.state.is_terminal]
            if common.json:
                print_json({"parents": [summary(one) for one in found]})
            elif found:
                out = console()
                out.print(parents_table(found, out))
            else:
                print("no parent is at work" if not all else "there has been no parent yet")
            return 0
        one = await client.status(parent_id)
        history = await client.history(parent_id)
        if common.json:
            print_json({**summary(one), "events": history})
            return 0
        out = console()
        out.print(parents_table([one], out))
        for event in history:
            out.print(describe(event), soft_wrap=True)
    return 0


def parents_table(parents: list[ParentStatus], out: Console) -> Any:
    """One row a parent; as many columns as `out` has room for."""
    wide = out.width >= ALL_COLUMNS_MIN
    numbers = ("qty", "filled", "average", "bps", "fees")
    more = ("bps", "fees", "algo") if wide else ()
    rows = table("id", "symbol", "side", "qty", "filled", "average", "state", *more, right=numbers)
    for column in rows.columns[1:3]:
        column.no_wrap = True
    rows.columns[0].min_width = min(max(len(one.parent_id) for one in parents), ID_COLUMN_MAX)
    for one in parents:
        slippage = one.arrival_slippage_bps
        cells = [
            one.parent_id,
            one.symbol,
            one.side or "",
            figure(one.qty),
            figure(one.cum_qty),
            figure(one.avg_px),
            one.reason or str(one.state),
            "" if slippage is None else f"{slippage:+.2f}",
            figure(one.fees),
            one.algo,
        ]
        rows.add_row(*cells[: len(rows.columns)])
    return rows


async def watch(what: str = "", /, *, common: Common = COMMON) -> None:
    """Live lines of everything that happens to orders, until ctrl-C.

    bestex watch                    all that happens to orders, and halts
    bestex watch fill               one kind: parent, route, child, exec, ...
    bestex watch BTC/USDT           one symbol, with its consolidated book
    bestex watch k3j9d0a7c1e5g2h4   one parent
    bestex watch 'exec.sim_a.>'     any subject pattern, after bestex.v1.

    Parameters
    ----------
    what
        A kind (parent, route, child, exec, fill, order, control, metrics, book, stats, md), a symbol, a
        parent id or a subject pattern.
    """
    from bestex import bus, bus_access, codec, rights, subjects
    from bestex.cli.lines import BOOK_PAUSE_S, DURABLE, LIVE, Filter, decode, describe
    from bestex.errors import Forbidden
    from bestex.tail import Tail

    config = common.load()
    chosen = Filter.parse(what, tuple(config.instruments))
    tails: list[Tail] = []
    shown_at: dict[str, float] = {}
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()
    out = console()

    def show(subject: str, data: bytes) -> None:
        message = decode(subject, data)
        if not chosen.wants(subject, message):
            return
        if common.json:
            print_json({"subject": subject, "message": codec.to_builtins(message)})
        else:
            out.print(describe(message), soft_wrap=True)

    def fail(error: Exception) -> None:
        if not failed.done():
            failed.set_exception(error)

    def refused(error: Exception) -> None:
        if isinstance(error, Forbidden):
            fail(error)

    async def renew() -> None:
        for tail in tails:
            tail.renew()

    async def live(message: Any) -> None:
        # Books change faster than a person reads; the newest of each pause is shown.
        if loop.time() - shown_at.get(message.subject, 0.0) >= BOOK_PAUSE_S:
            shown_at[message.subject] = loop.time()
            try:
                show(message.subject, message.data)
            except Exception as error:  # noqa: BLE001 - nats-py would only log it
                fail(error)

    client = await bus.connect(
        bus_access.find(config, rights.USER), "bestex-watch", on_reconnected=renew, on_error=refused
    )
    try:
        if chosen.parent_id:
            mine = f"{subjects.ROOT}.parent.*.{chosen.parent_id}.*"
            if await bus.read_last(client, subjects.SCHED, mine) is None:
                kinds = ", ".join((*DURABLE, *LIVE))
                print(
                    f"bestex: there is no parent {what} yet, waiting for it; a kind is one of {kinds}",
                    file=sys.stderr,
                )
        for stream, patterns in (await chosen.streams(client)).items():
            tail = Tail(client, stream, patterns, lambda one: show(one.subject, one.data), fail)
            await tail.start()
            tails.append(tail)
        for pattern in chosen.live:
            await client.subscribe(pattern, cb=live)
        async with losses_told(client):
            await failed
    finally:
        for tail in tails:
            await tail.stop()
        await client.close()
