"""The error matrix: venue x failure x {the venue had it, the venue had it not}, through the gateway's own core.

Each cell says what the order becomes. In none is it sent a second time, and in none is what nobody knows called
rejected; in the end the history says what the venue's own book says. `pytest -s` prints the cells. The user stream
is mute in all of them, so that the truth is found by asking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

import pytest

from bestex import messages as m
from bestex.errors import Code
from bestex.sim_wire import State
from tests.contract.live import Live
from tests.contract.rigs import RIGS, Rig, desk_of
from tests.emulators.faults import Fault
from tests.unit.gateway.bench import child_cancel

TIMEOUT = "1s"
AT_ONCE = 8  # cells; each waits for its time-out
EMULATED = [
    rig for rig in RIGS if rig.adapter != "sim"
]  # the simulated exchange's faults are the simulation's

# What a new order becomes, by failure: where the venue had not taken it, and where it had.
DOUBTFUL = ("unknown, then absent", "unknown, then working")
REFUSED = ("refused", None)  # a refusal is only ever said of what was not taken
NEW: dict[str, tuple[str, str | None]] = {
    "timeout": DOUBTFUL,
    "reset": DOUBTFUL,
    "truncated": DOUBTFUL,
    "garbled": DOUBTFUL,
    "server_error": DOUBTFUL,
    "busy": DOUBTFUL,
    "maintenance": DOUBTFUL,
    "rate_limited": REFUSED,
    "banned": REFUSED,
    "skewed": REFUSED,
    "delay": ("unknown, then working", "unknown, then working"),  # an answer that is late was one
}
# What differs by venue, and why.
OWN: dict[tuple[str, str], tuple[str, str | None]] = {
    ("bybit_spot", "banned"): DOUBTFUL,  # a 403 from its edge, without a code of its own
    ("bybit_perp", "banned"): DOUBTFUL,
    ("okx_spot", "banned"): DOUBTFUL,  # and a page of its edge here
    ("okx_perp", "banned"): DOUBTFUL,
}
CANCEL = ("timeout", "reset", "truncated", "garbled", "server_error", "busy", "rate_limited")


def expected(rig: Rig, how: str) -> tuple[str, str | None]:
    return OWN.get((rig.venue, how), NEW[how])


async def side_by_side(cells: Iterable[Coroutine[Any, Any, str]]) -> list[str]:
    """What is wrong in each cell that is not as it should be. They mostly wait, so several are at it at once."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(cell: Coroutine[Any, Any, str]) -> str:
        async with limit:
            return await cell

    return [wrong for wrong in await asyncio.gather(*map(one, cells)) if wrong]


@pytest.mark.parametrize("rig", EMULATED, ids=str)
async def test_what_a_new_order_becomes(rig: Rig, tmp_path: Path) -> None:
    cells = [
        (how, when, wanted)
        for how in NEW
        for when, wanted in zip(("before", "after"), expected(rig, how), strict=True)
        if wanted is not None
    ]
    wrong = await side_by_side(new_order(rig, *cell, tmp_path / "-".join(cell[:2])) for cell in cells)
    assert wrong == []


async def new_order(rig: Rig, how: Any, when: Any, wanted: str, folder: Path) -> str:
    async with desk_of(rig, folder, TIMEOUT, connect=False) as desk, Live(desk) as live:
        faults = desk.emulator.faults
        faults.add(Fault(how="mute_user", seconds=600))
        faults.add(Fault(how=how, what="new", when=when, seconds=2.0))
        live.new("c1")
        await live.until(lambda: live.decided("c1"))
        became, there = live.became("c1"), desk.there("c1")
        cell = f"{rig.venue:>14} {how:>13} {when:>6}: {became}"
        print(cell)
        if not became.startswith(wanted):
            return f"{cell}, and not {wanted}"
        if faults.asked["new"] != 1 or len(desk.emulator.engine.orders("default")) > 1:
            return f"{cell}, and was sent {faults.asked['new']} times"
        if (there is not None and there.state is State.OPEN) != became.endswith("working"):
            return f"{cell}, and the venue has {there}"
        return ""


async def test_an_order_that_met_no_connection_was_not_sent(tmp_path: Path) -> None:
    for rig in EMULATED:
        folder = tmp_path / rig.venue
        async with desk_of(rig, folder, TIMEOUT, connect=False) as desk, Live(desk) as live:
            assert desk.emulator._runner is not None
            for site in list(desk.emulator._runner.sites):
                await site.stop()  # nobody listens any more; the session does not know yet
            await desk.venue._session.exchange.session.close()  # type: ignore[attr-defined]
            desk.venue._session.exchange.session = None  # type: ignore[attr-defined]
            live.new("c1")
            await live.until(lambda: live.decided("c1"))
            assert live.became("c1") == "not sent"


@pytest.mark.parametrize("rig", EMULATED, ids=str)
async def test_a_cancel_is_wanted_until_the_order_has_ended(rig: Rig, tmp_path: Path) -> None:
    cells = [(how, when) for how in CANCEL for when in ("before", "after")]
    assert await side_by_side(cancel(rig, *cell, tmp_path / "-".join(cell)) for cell in cells) == []


async def cancel(rig: Rig, how: Any, when: Any, folder: Path) -> str:
    async with desk_of(rig, folder, TIMEOUT, connect=False) as desk, Live(desk) as live:
        live.new("c1")
        await live.until(lambda: live.decided("c1"))
        faults = desk.emulator.faults
        faults.add(Fault(how="mute_user", seconds=600))
        faults.add(Fault(how=how, what="cancel", when=when, seconds=2.0))
        live.deliver(m.ChildCancel(**{**_of(child_cancel("c1")), "venue": rig.venue}))
        await live.until(lambda: live.end("c1") is not None)
        end, there = live.end("c1"), desk.there("c1")
        right = isinstance(end, m.ExecCanceled) and end.code is Code.CANCELED
        if right and there is not None and there.state is State.CANCELED and faults.asked["new"] == 1:
            return ""
        return f"{rig.venue} {how} {when}: {end}, and the venue has {there}"


def _of(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}
