"""A gateway as a process, the children it is given, and its venue's history as it comes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from bestex import bus, codec, fleet, subjects
from bestex import messages as m
from bestex import sim_wire as w
from bestex.clock import SECOND, AffineClock, Time
from bestex.messages import Side, Tif
from bestex.reading import Kept
from bestex.sim_journal import journal_path, read_journal
from bestex.tail import Tail
from tests.integration.exchange_process import ExchangeProcess

SYMBOL, VENUE = "BTC/USDT", "sim_a"
WAIT_S = 40.0


class GatewayProcess:
    """Without a price collar: there is no aggregator, and so no reference."""

    def __init__(
        self, bus_url: str, exchange_url: str, data_dir: Path, venue: str = VENUE, **settings: str
    ) -> None:
        self.venue = venue
        self.environment = os.environ | {
            "NATS_URL": bus_url,
            "BESTEX__DATA_DIR": str(data_dir),
            f"BESTEX__VENUES__{venue.upper()}__URL": exchange_url,
            "BESTEX__EXECUTION__TIMEOUT": "500ms",
            "BESTEX__LIMITS__COLLAR__ENABLED": "false",
            **settings,
        }
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "services.gateway", self.venue]
        self._process = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL)

    def make_checkpoint(self) -> int:
        """As it is made while the gateway works; the exit code."""
        command = [sys.executable, "-m", "services.gateway", self.venue, "--checkpoint"]
        return subprocess.run(
            command, env=self.environment, stdout=subprocess.DEVNULL, check=False
        ).returncode

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(20)


class History:
    """Everything in the venue's stream, as it comes."""

    def __init__(self, venue: str = VENUE) -> None:
        self.venue = venue
        self.events: list[tuple[str, m.ExecEvent | m.Fill]] = []
        self._changed = asyncio.Event()

    async def follow(self, client: Client) -> History:
        def heard(kept: Kept) -> None:
            kind = subjects.kind_of(kept.subject).message
            self.events.append((kept.subject, codec.from_json(kept.data, kind)))
            self._changed.set()

        def failed(error: Exception) -> None:
            raise error

        # Not the subjects themselves: a write whose outcome nobody knew is heard again when it is repeated.
        patterns = [f"{subjects.ROOT}.{what}.{self.venue}.>" for what in ("exec", "fill")]
        await Tail(client, subjects.exec_stream(self.venue), patterns, heard, failed).start()
        return self

    def of(self, kind: type) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]

    async def until(self, kind: type, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.of(kind)) < count:
                self._changed.clear()
                await self._changed.wait()

    async def end_of(self, child_id: str) -> Any:
        async with asyncio.timeout(WAIT_S):
            while True:
                ends = [event for event in self.of(m.ExecEnded) if event.child_id == child_id]
                if ends:
                    return ends[0]
                self._changed.clear()
                await self._changed.wait()


def order(child_id: str, **changed: Any) -> m.ChildNew:
    """An IOC that trades at once: buys for odd ids, sells for even ones, each of a parent of its own."""
    now = AffineClock().now_ns()
    buys = bool(int(child_id[1:]) % 2)
    usual: dict[str, Any] = {
        "child_id": child_id,
        "parent_id": f"p{child_id}",
        "slice_no": 1,
        "venue": VENUE,
        "symbol": SYMBOL,
        "side": Side.BUY if buys else Side.SELL,
        "qty": Decimal("0.001"),
        "price": Decimal("66000") if buys else Decimal("54000"),
        "tif": Tif.IOC,
        "expires_at": Time(now + 20 * SECOND),
        "good_till": Time(now + 20 * SECOND),
        "parent_qty": Decimal("0.001"),
        "build": fleet.build(),
        "slice_build": fleet.build(),
    }
    return m.ChildNew(**{**usual, **changed})


async def publish(client: Client, message: m.ChildNew | m.ChildCancel) -> None:
    command = "new" if isinstance(message, m.ChildNew) else "cancel"
    subject = subjects.child(message.venue, SYMBOL, message.child_id, command)
    ack = await bus.publish(client, subject, codec.to_json(message), {bus.EXPECTED_SEQ: "0"})
    assert ack.error is None, ack.error


def journal_of(exchange: ExchangeProcess, venue: str = VENUE) -> list[w.JournalEntry]:
    lines = read_journal(journal_path(str(exchange.data_dir), venue))
    return [line for line in lines if isinstance(line, w.JournalEntry)]
