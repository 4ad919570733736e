"""`bestex halt` against a real gateway at work: nothing goes out once it has returned, cancels do."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from bestex import bus, codec, halting, streams, subjects
from bestex import config as configuration
from bestex import messages as m
from bestex import sim_wire as w
from bestex.errors import Code, UsageError
from bestex.messages import Side, Tif
from bestex.server import NatsServer
from tests.integration.exchange_process import ExchangeProcess
from tests.integration.gateway_process import (
    SYMBOL,
    VENUE,
    GatewayProcess,
    History,
    journal_of,
    order,
    publish,
)

TRIED_AFTER = 5  # children published after the command has returned
PAUSE_S = 0.005  # between two children: some are always on their way
BESTEX = [sys.executable, "-c", "from bestex.cli.main import main; main()"]


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ExchangeProcess]:
    process = ExchangeProcess(tmp_path / "exchange", BESTEX__EXCHANGE__LATENCY="30ms")
    process.start()
    yield process
    process.stop()


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    connection = await bus.connect(nats_server.url, "test")
    await streams.apply(connection, configuration.load(None, {}))
    yield connection
    await connection.close()


async def bestex(url: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the answer and the complaints of one command."""
    process = await asyncio.create_subprocess_exec(
        *BESTEX,
        *arguments,
        "--json",
        env=os.environ | {"NATS_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await process.communicate()
    return process.returncode or 0, json.loads(out or b"{}"), said.decode()


def states(answer: dict[str, Any]) -> dict[str, str]:
    return {one["venue"]: one["obeyed"] for one in answer["venues"]}


async def test_no_order_goes_out_after_the_halt_has_returned_and_cancels_do(
    nats_server: NatsServer, exchange: ExchangeProcess, client: Client, tmp_path: Path
) -> None:
    history = await History().follow(client)
    gateway = GatewayProcess(nats_server.url, exchange.url, tmp_path / "data")
    try:
        resting = order("r1", tif=Tif.GTC, side=Side.BUY, price=Decimal("30000"))
        await publish(client, resting)
        await history.until(m.ExecAccepted, 1)
        numbers, going = count(), True

        async def flood() -> None:
            while going:
                await publish(client, order(f"c{next(numbers)}"))
                await asyncio.sleep(PAUSE_S)

        flooding = asyncio.create_task(flood())
        await history.until(m.Fill, 20)
        code, answer, said = await bestex(nats_server.url, "halt", "global", "--reason", "a test")
        returned_ns = time.time_ns()
        assert (code, states(answer)[VENUE]) == (0, "confirmed"), said
        assert "@" in answer["word"]["by"]
        tried = next(numbers)
        await history.end_of(f"c{tried + TRIED_AFTER}")
        going = False
        await flooding

        # It stays halted whatever happens to the process, and the resting order can be cancelled.
        gateway.kill()
        gateway.start()
        await publish(client, order("h1"))
        assert (await history.end_of("h1")).code is Code.HALTED
        cancel = m.ChildCancel(
            child_id="r1", parent_id="pr1", venue=VENUE, symbol=SYMBOL, reason=Code.CANCELED
        )
        await publish(client, cancel)
        assert isinstance(await history.end_of("r1"), m.ExecCanceled)

        code, answer, said = await bestex(nats_server.url, "unhalt", "global", "--reason", "it is over")
        assert (code, states(answer)[VENUE]) == (0, "confirmed"), said
        await publish(client, order("u1"))
        assert isinstance(await history.end_of("u1"), m.ExecFilled)
    finally:
        assert gateway.stop() == 0
    sent = {e.request.client_id: e for e in journal_of(exchange) if isinstance(e.request, w.Submit)}
    created = {order.client_id: order.created_ns for entry in sent.values() for order in entry.orders}
    assert created.pop("u1") > returned_ns
    assert max(created.values()) < returned_ns, "what the venue had, it had before the command returned"
    after = [end for end in history.of(m.ExecRejected) if end.child_id[0] == "c" and number(end) > tried]
    assert len(after) >= TRIED_AFTER
    assert {end.code for end in after} == {Code.HALTED}


def number(end: m.ExecEnded) -> int:
    return int(end.child_id[1:])


async def test_a_gateway_that_lives_and_does_not_confirm_is_named_and_one_that_is_down_is_not_waited_for(
    nats_server: NatsServer, exchange: ExchangeProcess, client: Client, tmp_path: Path
) -> None:
    history = await History().follow(client)
    gateway = GatewayProcess(nats_server.url, exchange.url, tmp_path / "data")
    try:
        await publish(client, order("c1"))
        await history.end_of("c1")
        gateway.freeze()
        code, answer, _ = await bestex(nats_server.url, "halt", f"venue:{VENUE}", "--reason", "frozen")
        gateway.thaw()
        assert (code, answer["confirmed"], states(answer)) == (1, False, {VENUE: "unconfirmed"})
        gateway.kill()
        code, answer, _ = await bestex(nats_server.url, "halt", "global", "--reason", "dead", "--by", "me")
        assert code == 0
        assert set(states(answer).values()) == {"down"}
        code, answer, _ = await bestex(nats_server.url, "halts")
        assert [(one["scope"], one["by"], one["reason"]) for one in answer["halts"]][1:] == [
            ("global", "me", "dead")
        ]
        gateway.start()
        await publish(client, order("c2"))
        assert (await history.end_of("c2")).code is Code.HALTED, "read before the first input"
    finally:
        gateway.stop()


async def test_an_unhalt_never_takes_back_a_halt_that_came_after_it_was_decided(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say(halted: bool, reason: str) -> m.Halt:
        return await halting.say(client, "venue-sim_a", halted, reason=reason, by="me", now_ns=time.time_ns())

    await say(True, "first")
    read = bus.read_last

    async def read_then_be_overtaken(*arguments: Any) -> Any:
        found = await read(*arguments)
        monkeypatch.setattr(bus, "read_last", read)
        await say(True, "second")
        return found

    monkeypatch.setattr(bus, "read_last", read_then_be_overtaken)
    with pytest.raises(UsageError, match="second"):
        await say(False, "over")
    (word,) = await halting.words(client)
    assert (word.halted, word.reason) == (True, "second")
    assert not (await say(False, "over")).halted


async def test_a_halt_is_newer_than_what_stands_there_whatever_the_clock_says(client: Client) -> None:
    ahead = await halting.say(client, "global", False, reason="", by="me", now_ns=time.time_ns() + 10**12)
    behind = await halting.say(client, "global", True, reason="stop", by="me", now_ns=time.time_ns())
    assert behind.at > ahead.at


async def test_what_an_operator_wrote_by_hand_and_cannot_be_read_is_listed_as_a_halt(client: Client) -> None:
    await bus.publish(client, subjects.halt("account-x"), b"stop it!")
    (word,) = await halting.words(client)
    assert (word.scope, word.halted) == ("account-x", True)
    again = await halting.say(client, "account-x", False, reason="read", by="me", now_ns=time.time_ns())
    stored = await bus.read_last(client, subjects.CONTROL, subjects.halt("account-x"))
    assert stored is not None
    assert codec.from_json(stored.data, m.Halt) == again
