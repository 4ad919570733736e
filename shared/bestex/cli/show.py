"""`bestex status` and `bestex watch`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bestex.cli.common import COMMON, Common, console, print_json, table

if TYPE_CHECKING:
    from bestex.status import ParentStatus


async def status(parent_id: str = "", /, *, all: bool = False, common: Common = COMMON) -> int:  # noqa: A002
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
                console().print(parents_table(found))
            else:
                print("no parent is at work" if not all else "there has been no parent yet")
            return 0
        one = await client.status(parent_id)
        history = await client.history(parent_id)
        if common.json:
            print_json({**summary(one), "events": history})
            return 0
        out = console()
        out.print(parents_table([one]))
        for event in history:
            out.print(describe(event), soft_wrap=True)
    return 0


def parents_table(parents: list[ParentStatus]) -> Any:
    numbers = ("qty", "filled", "average", "bps", "fees")
    rows = table("id", "symbol", "side", *numbers[:1], "algo", "state", *numbers[1:], "why", right=numbers)
    for one in parents:
        slippage = one.arrival_slippage_bps
        rows.add_row(
            one.parent_id,
            one.symbol,
            one.side or "",
            f"{one.qty:f}",
            one.algo,
            str(one.state),
            f"{one.cum_qty:f}",
            "" if one.avg_px is None else f"{one.avg_px:f}",
            "" if slippage is None else f"{slippage:+.2f}",
            "" if one.fees is None else f"{one.fees:f}",
            f"{one.reason} {one.text}".strip(),
        )
    return rows


async def watch(what: str = "", /, *, common: Common = COMMON) -> None:
    """Live lines of everything that happens to orders, until ctrl-C.

    bestex watch                         parents, routes, children, executions, fills, halts
    bestex watch fill                    one kind: parent, route, child, exec, fill, book, stats, order
    bestex watch BTC/USDT                one symbol, with its consolidated book
    bestex watch k3j9d0a7c1e5g2h4        one parent
    bestex watch 'exec.sim_a.>'          any subject pattern (bestex.v1. may be left out)

    Parameters
    ----------
    what
        A kind, a symbol, a parent id or a subject pattern.
    """
    from bestex import bus, bus_address, codec
    from bestex.cli.lines import BOOK_PAUSE_S, Filter, decode, describe
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

    client = await bus.connect(bus_address.find_url(config), "bestex-watch", on_reconnected=renew)
    try:
        for stream, patterns in (await chosen.streams(client)).items():
            tail = Tail(client, stream, patterns, lambda one: show(one.subject, one.data), fail)
            await tail.start()
            tails.append(tail)
        for pattern in chosen.live:
            await client.subscribe(pattern, cb=live)
        await failed
    finally:
        for tail in tails:
            await tail.stop()
        await client.close()
