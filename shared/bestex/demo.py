"""`python -m bestex.demo`: the whole platform at work on this machine, with an accident in the middle.

Four simulated venues, two symbols, some thirty parents of every algorithm; one is cancelled and one modified midway,
and one service is killed with -9. It ends by itself with a table and the audit's verdict; the exit code is 1 if a
parent has not ended, sums differ, or the audit found an anomaly.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bestex import codec, ids, rights, subjects
from bestex.audit import run_audit
from bestex.cli.common import table
from bestex.client import Client
from bestex.config import Config
from bestex.demo_orders import DemoOrder, script
from bestex.errors import BestexError
from bestex.messages import Stats
from bestex.parent import Parent
from bestex.session import Options, prepare
from bestex.status import State
from bestex.supervisor import State as ServiceState
from bestex.supervisor import Supervisor

END_S_MAX = 80.0  # from the start of the process; with stopping it stays below 90 s
MID_S_MAX = 15.0
ACCIDENT_S, ACCIDENT_SMALL_S = 10.0, 2.5  # after the first order: the time-sliced ones are in their middle
SETTLE_S = 0.5  # the recorder's last reports
REDRAW_S = 0.25
LINES_S = 5.0  # progress as lines where no terminal is
KILLABLE = ("router", "gateway", "scheduler", "collector", "aggregator", "recorder")


class Demo:
    """One run. `problems` collects what must not be; an empty list is success."""

    def __init__(
        self, console: Console, supervisor: Supervisor, config: Config, *, small: bool, victim: str
    ) -> None:
        self.console = console
        self.supervisor = supervisor
        self.config = config
        self.small = small
        self.victim = victim
        self.orders = script(ids.new_parent_id()[:4], small=small)
        self.parents: dict[str, Parent] = {}
        self.problems: list[str] = []

    async def run(self, deadline: float) -> None:
        async with Client(self.supervisor.url, self.config, name="bestex-demo") as client:
            mids = await self._mids(client)
            for order in self.orders:
                self.parents[order.parent_id] = await client.submit(
                    order.symbol,
                    order.side,
                    order.qty,
                    algo=order.algo,
                    limit_price=order.limit_price(mids[order.symbol]),
                    parent_id=order.parent_id,
                    **order.params,
                )
            readers = [asyncio.create_task(parent.wait()) for parent in self.parents.values()]
            drawing = asyncio.create_task(self._draw())
            accident = asyncio.create_task(self._accident(client))
            await asyncio.wait(readers, timeout=max(deadline - time.monotonic(), 0))
            for task in (drawing, *readers):
                if not task.done():
                    task.cancel()
            await accident
            for reader in readers:
                if reader.done() and not reader.cancelled() and (error := reader.exception()):
                    self.problems.append(str(error))
            await asyncio.sleep(SETTLE_S)
        self._check()

    async def _mids(self, client: Client) -> dict[str, Decimal]:
        """The consolidated mid of each symbol of the script, once every one is known."""
        wanted = {order.symbol for order in self.orders}
        found: dict[str, Decimal] = {}
        subscription = await client.connection.subscribe(f"{subjects.ROOT}.stats.*")
        deadline = time.monotonic() + MID_S_MAX
        while wanted - found.keys():
            try:
                message = await subscription.next_msg(timeout=max(deadline - time.monotonic(), 0.001))
            except TimeoutError:
                missing = ", ".join(sorted(wanted - found.keys()))
                raise BestexError(f"no price for {missing} within {MID_S_MAX:g} s") from None
            stats = codec.from_json(message.data, Stats)
            if stats.mid is not None and all(venue.status == "live" for venue in stats.venues):
                found[stats.symbol] = stats.mid
        await subscription.unsubscribe()
        return found

    async def _accident(self, client: Client) -> None:
        """Midway: kill the victim, cancel one parent, modify another, while nobody is there to take it."""
        await asyncio.sleep(ACCIDENT_SMALL_S if self.small else ACCIDENT_S)
        child = self.supervisor.child(self.victim)
        pid = child.pid
        if pid:
            os.kill(pid, signal.SIGKILL)
            self.console.print(f"killed {self.victim} (process {pid}) with -9")
        for order in self.orders:
            if order.cancel:
                await client.cancel(order.parent_id, "the demonstration cancels one")
            if order.modify_to is not None:
                await client.modify(order.parent_id, qty=order.modify_to)

    async def _draw(self) -> None:
        """Live progress: how much is filled, how many parents have ended."""
        bars = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self.console,
        )
        filled = bars.add_task("filled", total=1.0, note="")
        ended = bars.add_task("ended", total=float(len(self.orders)), note="")
        spoken = time.monotonic()
        with bars:
            while True:
                statuses = [parent.status for parent in self.parents.values()]
                share = sum(min(status.fill_rate, 1.0) for status in statuses) / len(statuses)
                done = sum(status.state.is_terminal for status in statuses)
                fills = sum(len(parent.fills) for parent in self.parents.values())
                services = sum(child.state is ServiceState.READY for child in self.supervisor.children)
                note = f"{done} of {len(statuses)} parents, {services} services ready"
                bars.update(filled, completed=share, note=f"{share:.0%} in {fills} fills")
                bars.update(ended, completed=done, note=note)
                if not self.console.is_terminal and time.monotonic() - spoken >= LINES_S:
                    spoken = time.monotonic()
                    self.console.print(f"filled {share:.0%} in {fills} fills; {note}")
                await asyncio.sleep(REDRAW_S)

    def _check(self) -> None:
        for order in self.orders:
            parent = self.parents[order.parent_id]
            status = parent.status
            fills = sum((fill.qty for fill in parent.fills), start=Decimal(0))
            if status.state is not State.DONE:
                self.problems.append(f"{order.parent_id} is {status.state} {status.text}".rstrip())
            elif fills != status.cum_qty or status.cum_qty + status.leaves_qty != status.qty:
                self.problems.append(
                    f"{order.parent_id}: fills sum to {fills:f}, filled {status.cum_qty:f}, "
                    f"left {status.leaves_qty:f}, in all {status.qty:f}"
                )
            self._check_wish(order, parent)
        if not self.supervisor.child(self.victim).restarts.count:
            self.problems.append(f"{self.victim} was not killed and restarted")

    def _check_wish(self, order: DemoOrder, parent: Parent) -> None:
        status = parent.status
        if order.cancel and status.reason != "canceled":
            self.problems.append(
                f"{order.parent_id} was cancelled but ended as {status.reason or status.state}"
            )
        if order.modify_to is not None and status.qty != order.modify_to:
            self.problems.append(f"{order.parent_id} was modified to {order.modify_to:f}, is {status.qty:f}")

    def show(self) -> None:
        numbers = ("qty", "filled", "average", "bps", "fees", "sent")
        rows = table("id", "symbol", "side", "qty", "state", *numbers[1:], right=numbers)
        for parent in self.parents.values():
            status = parent.status
            slippage = status.arrival_slippage_bps
            rows.add_row(
                status.parent_id,
                status.symbol,
                str(status.side or ""),
                f"{status.qty.normalize():f}",
                status.reason or str(status.state),
                f"{status.cum_qty:f}",
                "" if status.avg_px is None else f"{status.avg_px:.2f}",
                "" if slippage is None else f"{slippage:+.2f}",
                "" if status.fees is None else f"{status.fees:.2f}",
                str(len({fill.child_id for fill in parent.fills})),
            )
        self.console.print(rows)


async def demonstrate(*, small: bool, victim: str, data_dir: Path, console: Console) -> int:
    """Start all, run the script, audit, stop all; the exit code."""
    deadline = time.monotonic() + END_S_MAX
    session = prepare(Options(data_dir=data_dir, any_port=True))
    supervisor = session.supervisor(lambda text: console.print(text, style="dim"))
    console.print(f"starting {len(session.specs)} services and the bus")
    began = time.monotonic()
    await supervisor.start()
    try:
        console.print(f"ready after {time.monotonic() - began:.1f} s, the bus is at {supervisor.url}")
        demo = Demo(console, supervisor, session.config, small=small, victim=victim)
        await demo.run(deadline)
        demo.show()
        report = await run_audit(
            supervisor.access(rights.MONITOR), journals=data_dir / "exchange", complete=True
        )
    finally:
        await supervisor.stop()
    if not report.ok:
        console.print(report.text(), markup=False)
    for problem in demo.problems:
        console.print(f"[red]problem[/red] {problem}", highlight=False)
    ended = sum(parent.status.state.is_terminal for parent in demo.parents.values())
    console.print(
        f"{ended} of {len(demo.parents)} parents ended, {victim} was killed and restarted, "
        f"{report.count} anomalies"
    )
    return 1 if demo.problems or not report.ok else 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bestex.demo", description=__doc__)
    parser.add_argument("--small", action="store_true", help="six orders, some twelve seconds")
    parser.add_argument("--kill", default="router", choices=KILLABLE, help="which service has the accident")
    parser.add_argument("--keep", type=Path, help="keep what was stored in this directory")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="bestex-demo-") as temporary:
        data_dir = arguments.keep or Path(temporary)
        work = demonstrate(small=arguments.small, victim=arguments.kill, data_dir=data_dir, console=console)
        try:
            code = asyncio.run(work)
        except BestexError as error:
            console.print(f"[red]failed[/red] {error}", highlight=False)
            code = 1
        except KeyboardInterrupt:
            code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
