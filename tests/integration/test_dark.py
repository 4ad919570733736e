"""Dark venues of the real exchange process: its flow of others meets ours, and a killed one goes on.

Conditional orders go through the gateway's process, which is killed while an invitation stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from bestex import bus, codec, streams
from bestex import config as configuration
from bestex import messages as m
from bestex import sim_wire as w
from bestex.audit.children import ChildHistory
from bestex.audit.report import Findings, Witness
from bestex.audit.venues import read_journals
from bestex.clock import SECOND, AffineClock, Time
from bestex.messages import Side, Tif
from bestex.server import NatsServer
from bestex.sim_journal import journal_path, read_journal
from bestex.sim_wire import State
from tests.integration import gateway_process
from tests.integration.exchange_process import ExchangeProcess, get, send
from tests.integration.gateway_process import GatewayProcess, History

BTC = "BTC/USDT"
WAIT_S = 30.0


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ExchangeProcess]:
    """Many others in the dark, so that one of ours meets somebody soon."""
    started = ExchangeProcess(
        tmp_path,
        BESTEX__EXCHANGE__LATENCY="1ms",
        BESTEX__VENUES__DARK_A__ENABLED="true",
        BESTEX__EXCHANGE__DARK__DARK_A__PER_MINUTE="6000",
    )
    started.start()
    yield started
    started.stop()


def order(client_id: str, **terms: Any) -> w.Submit:
    usual: dict[str, Any] = {"venue": "dark_a", "symbol": BTC, "side": Side.BUY, "qty": 20_000}
    return w.Submit(client_id=client_id, **{**usual, "price": 66_000_00, **terms})


async def until_ended(session: ClientSession, client_id: str) -> w.OrderState:
    async with asyncio.timeout(WAIT_S):
        while True:
            state = await get(session, f"/v1/orders/{client_id}?venue=dark_a", w.OrderState)
            if state.state is not State.OPEN:
                return state
            await asyncio.sleep(0.05)


async def test_an_order_meets_others_at_the_mid_and_what_rests_is_there_after_a_kill(
    process: ExchangeProcess,
) -> None:
    async with ClientSession(process.url) as session, session.ws_connect("/v1/trade") as trade:
        assert (await send(trade, order("d1", min_qty=2_000))).ok
        assert (await until_ended(session, "d1")).state is State.FILLED
        # Far below the mid: it waits for a market that does not come.
        assert (await send(trade, order("d2", price=30_000_00, min_qty=2_000))).ok
        async with session.ws_connect(f"/v1/md?venue=dark_a&symbol={BTC}") as md:
            frame = codec.msgpack_decoder(w.Frame).decode(await md.receive_bytes())
        assert isinstance(frame, w.BookFrame)
        assert (frame.bid_px, frame.ask_px) == ([], [])
    process.kill()
    journal = [
        line
        for line in read_journal(journal_path(str(process.data_dir), "dark_a"))
        if isinstance(line, w.JournalEntry)
    ]
    mine = [one for line in journal for one in line.trades if one.client_id == "d1"]
    assert sum(one.qty for one in mine) == 20_000
    assert all(54_000_00 < one.price < 66_000_00 for one in mine)
    process.start()
    async with ClientSession(process.url) as session, session.ws_connect("/v1/trade") as trade:
        state = await get(session, "/v1/orders/d2?venue=dark_a", w.OrderState)
        assert (state.state, state.min_qty) == (State.OPEN, 2_000)
        assert await get(session, "/v1/trades?venue=dark_a", list[w.Trade]) == mine
        assert (await send(trade, order("d3", side=Side.SELL, price=54_000_00))).ok
        assert (await until_ended(session, "d3")).state is State.FILLED


# -- conditional orders ----------------------------------------------------------------------------------------

CHILDREN = 12
BTC_QTY = Decimal("0.2")


def conditional(number: int) -> m.ChildNew:
    later = Time(AffineClock().now_ns() + 60 * SECOND)
    whole = {"qty": BTC_QTY, "parent_qty": BTC_QTY, "good_till": later}
    terms: dict[str, Any] = {"tif": Tif.GTC, "venue": "dark_a", "conditional": True, **whole}
    return gateway_process.order(f"c{number:017d}", **terms)


async def test_each_invitation_is_answered_once_whenever_the_gateway_is_killed(
    nats_server: NatsServer, process: ExchangeProcess, tmp_path: Path
) -> None:
    """It is killed as soon as it has written down that it firms up: the request may have left, or not."""
    client = await bus.connect(nats_server.url, "test")
    dark = {"BESTEX__VENUES__DARK_A__ENABLED": "true"}
    await streams.apply(client, configuration.load(None, dark))
    history = await History("dark_a").follow(client)
    gateway = GatewayProcess(nats_server.url, process.url, tmp_path / "data", "dark_a", **dark)
    try:
        for number in range(1, CHILDREN + 1):
            await gateway_process.publish(client, conditional(number))
            if number in (4, 8):
                await history.until(m.ExecInvited, number // 2)
                gateway.kill()
                gateway.start()
        await history.until(m.ExecEnded, CHILDREN)
    finally:
        assert gateway.stop() == 0
        await client.close()
    told = [event for event in history.of(m.ExecInvited) if event.deadline is not None]
    assert len({event.child_id for event in history.of(m.ExecInvited)}) == len(history.of(m.ExecInvited))
    journal = gateway_process.journal_of(process, "dark_a")
    asked = [line.request.client_id for line in journal if isinstance(line.request, w.Firm)]
    assert len(set(asked)) == len(asked)
    assert set(asked) <= {event.child_id for event in told}
    met = {fill.child_id for fill in history.of(m.Fill)}
    assert met
    assert met <= {event.child_id for event in told}
    assert agree(history, process) == []


def agree(history: History, process: ExchangeProcess) -> list[str]:
    """What the audit says of the gateway's history beside the venue's own journal."""
    findings = Findings()
    children: dict[str, ChildHistory] = {}
    for number, (subject, event) in enumerate(history.events):
        child = children.setdefault(
            event.child_id, ChildHistory(findings, event.child_id, "dark_a", truncated=False)
        )
        witness = Witness("EXEC_dark_a", number, subject, int(event.at))
        (child.fill if isinstance(event, m.Fill) else child.take)(event, witness)  # type: ignore[arg-type]
    lines = read_journal(journal_path(str(process.data_dir), "dark_a"))
    read_journals(findings, {"dark_a": lines})["dark_a"].finish(children, {}, truncated=False, complete=True)
    return [anomaly.text for anomaly in findings.anomalies]
