"""The error matrix: request x failure x {the venue had it, the venue had it not}, at every emulated exchange.

`python -m tests.contract.matrix` plays all cells and writes MATRIX.md, which `test_matrix` compares with what
happens. Each cell is a gateway's own core and desk over the venue's adapter; the user stream is mute, so that the
truth is found by asking. What must hold in every cell is asserted here: nothing is sent a second time, what nobody
knows is not called refused, and in the end the history says what the venue's own book says.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, get_args

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import Code
from bestex.plugins import GATEWAYS, load
from bestex.sim_wire import State
from services.gateway.venues.ccxt.adapter import CcxtVenue
from tests.contract.live import Live
from tests.contract.rigs import BY_REST, BYBIT_SPOT, CLOCK, OKX_PERP, RIGS, Desk, Rig, desk_of
from tests.emulators.faults import Fault, How
from tests.unit.gateway.bench import child_cancel
from tests.waiting import until

PAGE = Path(__file__).parent / "MATRIX.md"
TIMEOUT, TIMEOUT_S = "2s", 2.0  # a machine under load may stand still for one
AT_ONCE = 8  # cells; each waits for its time-out
LATE_S = 1.5 * TIMEOUT_S
WAITED_FOR = ("timeout", "delay")  # begun first, so that the others are made and played meanwhile
SHUT = ("rate_limited", "banned")  # after these the venue is left alone for a while
FAILURES: tuple[str, ...] = get_args(How)
# The simulated exchange's faults are the simulation's. Over REST only where that is another code than the socket's.
EMULATED = [rig for rig in RIGS if rig.adapter != "sim" and rig not in BY_REST]
REQUESTS = ("new", "cancel", "amend")


class Cell(NamedTuple):
    request: str
    how: str
    when: str  # before the venue had it, or after

    def __str__(self) -> str:
        return "-".join(self)


Column = Mapping[Cell, str]  # what each cell becomes at one venue


def cells(request: str) -> list[Cell]:
    """A refusal is only ever said of what was not taken, and an answer that is late or said twice was taken."""
    refusals = ("busy", "rate_limited", "banned", "maintenance", "skewed")
    return [
        Cell(request, how, when)
        for how in FAILURES
        for when in ("before", "after")
        if not (when == "after" and how in refusals) and not (when == "before" and how in ("delay", "double"))
    ]


async def play(rig: Rig, request: str, folder: Path) -> Column:
    """Several at once: they mostly wait. But they are set up one after the other: making an exchange takes a tenth
    of a second of work, and many of them in a row would look like answers that do not come."""
    limit, making = asyncio.Semaphore(AT_ONCE), asyncio.Lock()
    acts = {"new": _new, "cancel": _cancel, "amend": _amend}

    async def one(cell: Cell) -> str:
        async with limit, AsyncExitStack() as stack:
            async with making:
                live = await stack.enter_async_context(_live(rig, folder / str(cell)))
            return await acts[request](live, cell)

    chosen = sorted(cells(request), key=lambda cell: cell.how not in WAITED_FOR)
    return dict(zip(chosen, await asyncio.gather(*map(one, chosen)), strict=True))


@asynccontextmanager
async def _live(rig: Rig, folder: Path) -> AsyncIterator[Live]:
    async with desk_of(rig, folder, TIMEOUT, connect=False) as desk, Live(desk) as live:
        opening = asyncio.create_task(_open(desk))
        try:
            yield live
        finally:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)


async def _open(desk: Desk) -> None:
    """A venue that shuts for minutes is asked again at once: only that it was left alone is looked at here."""
    while True:
        await asyncio.sleep(0.02)
        gate = desk.gate()
        if gate is not None and gate.shut_for_ns():
            desk.emulator.faults.happened["shut"] += 1
            gate.reopen()


def _spoil(live: Live, cell: Cell) -> None:
    faults, how, when = live.desk.emulator.faults, cell.how, cell.when
    faults.add(Fault(how="mute_user", seconds=600))
    faults.add(Fault(how=how, what=cell.request, when=when, seconds=LATE_S if how == "delay" else 0))  # type: ignore[arg-type]


async def _settled(live: Live, cell: Cell) -> None:
    happened = live.desk.emulator.faults.happened
    assert happened[cell.how] == 1, f"{cell}: it never happened: {live.journal}"
    if cell.how == "rate_limited" and isinstance(live.desk.venue, CcxtVenue):
        await live.until(lambda: happened["shut"] > 0)


async def _new(live: Live, cell: Cell) -> str:
    _spoil(live, cell)
    live.new("c1")
    await live.until(lambda: live.decided("c1"))
    await _settled(live, cell)
    became, there = live.became("c1"), live.desk.there("c1")
    asked = live.desk.emulator.faults.asked["new"]
    assert asked == 1, f"{cell}: sent {asked} times"
    assert len(live.desk.emulator.engine.orders("default")) <= 1
    works = there is not None and there.state is State.OPEN
    assert works == became.endswith("working"), f"{cell}: {became}, and the venue has {there}"
    return became


async def _cancel(live: Live, cell: Cell) -> str:
    live.new("c1")
    await live.until(lambda: live.decided("c1"))
    _spoil(live, cell)
    live.deliver(m.ChildCancel(**{**_of(child_cancel("c1")), "venue": live.name}))
    await live.until(lambda: live.end("c1") is not None)
    await _settled(live, cell)
    end, there = live.end("c1"), live.desk.there("c1")
    assert isinstance(end, m.ExecCanceled), f"{cell}: {end}"
    assert end.code is Code.CANCELED
    assert there is not None
    assert there.state is State.CANCELED, f"{cell}: the venue has {there}"
    assert live.desk.emulator.faults.asked["new"] == 1
    # A second cancel may still be on its way, beside the answer that told the end.
    await until(lambda: not live.actor.in_flight)
    again = live.desk.emulator.faults.asked["cancel"] > 1
    # Too late is what a cancel is that is asked again for an order that the first one has ended.
    refusals = [one for one in live.journal if isinstance(one, m.ExecCancelRejected)]
    refused = "".join(f"refused: {one.code}, then " for one in refusals if one.code is not Code.TOO_LATE)
    return f"{refused}{'asked again, then ' if again else ''}canceled"


async def _amend(live: Live, cell: Cell) -> str:
    live.new("c1")
    await live.until(lambda: live.decided("c1"))
    _spoil(live, cell)
    desk, now_ns = live.desk, live.now_ns()
    price = desk.rig.price - desk.instrument.price(desk.listing.tick)
    live.deliver(
        m.ChildReplace(
            child_id="c1",
            parent_id="p1",
            venue=live.name,
            symbol="BTC/USDT",
            qty=desk.rig.qty,
            price=price,
            expires_at=Time(now_ns + 4 * SECOND),
        )
    )
    ends = (m.ExecReplaced, m.ExecReplaceRejected)
    await live.until(lambda: any(isinstance(one, ends) for one in live.journal))
    await _settled(live, cell)
    end, there = next(one for one in live.journal if isinstance(one, ends)), desk.there("c1")
    assert there is not None
    assert there.state is State.OPEN
    moved = desk.instrument.price(there.price) == price
    assert moved == isinstance(end, m.ExecReplaced), f"{cell}: {end}, and the venue has {there}"
    asked = desk.emulator.faults.asked["amend"]
    assert asked == 1, f"{cell}: asked for {asked} times"
    return "replaced" if isinstance(end, m.ExecReplaced) else f"stands as it was: {end.code}"


def _of(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}


# -- the page ----------------------------------------------------------------------------------------------------

HEAD = """# What becomes of a request that fails

Written by `python -m tests.contract.matrix`, and compared with what happens by `tests/contract/test_matrix.py`. A
failure comes *before* the venue had the request, or *after*: then the venue has done it, and only the answer suffers.
The user stream is mute, so the truth is found by asking. A name with `-rest` is a venue whose orders go over REST
because `options.order_entry` says so; the others have a websocket for them.

"""
TITLES = {"new": "A new order becomes", "cancel": "A cancel", "amend": "A change of price"}


def page(columns: Mapping[tuple[str, str], Column]) -> str:
    """`columns` by venue and request. Venues at which every cell is the same stand together."""
    text = HEAD
    for request in REQUESTS:
        told = {venue: column for (venue, asked), column in columns.items() if asked == request}
        alike: dict[tuple[str, ...], list[str]] = {}
        for venue, column in told.items():
            alike.setdefault(tuple(column[cell] for cell in cells(request)), []).append(venue)
        for became, venues in alike.items():
            text += f"## {TITLES[request]}\n\n{', '.join(f'`{venue}`' for venue in venues)}\n\n"
            text += "| failure | | |\n|---|---|---|\n"
            for cell, word in zip(cells(request), became, strict=True):
                text += f"| {cell.how} | {cell.when} | {word} |\n"
            text += "\n"
    return text.rstrip() + "\n"


def read(text: str) -> dict[tuple[str, str], dict[Cell, str]]:
    """The columns that stand on a page."""
    columns: dict[tuple[str, str], dict[Cell, str]] = {}
    venues: list[str] = []
    request = ""
    for line in text.splitlines():
        if line.startswith("## "):
            request = next(name for name, title in TITLES.items() if line == f"## {title}")
        elif line.startswith("`") and request:
            venues = [name.strip("`") for name in line.split(", ")]
        elif line.startswith("| ") and not line.startswith("| failure"):
            how, when, word = (part.strip() for part in line.strip("|").split("|"))
            for venue in venues:
                columns.setdefault((venue, request), {})[Cell(request, how, when)] = word
    return columns


def asked_of(rig: Rig) -> list[str]:
    """What can be asked of a venue: not all change an order in place."""
    with tempfile.TemporaryDirectory() as folder:
        config = rig.config("http://127.0.0.1:1", Path(folder))
        capable = load(GATEWAYS, rig.adapter)(rig.venue, config, CLOCK).capabilities.native_replace
    return [request for request in REQUESTS if request != "amend" or capable]


# One exchange's spot and perpetuals that have the same words are asked to cancel and to amend once.
ALIKE = {BYBIT_SPOT, OKX_PERP}
PLAYED = [(rig, request) for rig in EMULATED for request in (asked_of(rig) if rig not in ALIKE else ["new"])]
PLAYED += [(rig, "new") for rig in BY_REST] + [(rig, "cancel") for rig in BY_REST[:1]]
PLAYED += [(rig, "amend") for rig in BY_REST[1:2]]


def main() -> None:
    columns = {}
    for rig, request in PLAYED:
        with tempfile.TemporaryDirectory() as folder:
            columns[str(rig), request] = asyncio.run(play(rig, request, Path(folder)))
        print(rig, request, file=sys.stderr)
    PAGE.write_text(page(columns))


if __name__ == "__main__":
    main()
