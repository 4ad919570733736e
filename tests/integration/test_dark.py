"""Dark venues of the real exchange process: its flow of others meets ours, and a killed one goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from bestex import codec
from bestex import sim_wire as w
from bestex.messages import Side
from bestex.sim_journal import journal_path, read_journal
from bestex.sim_wire import State
from tests.integration.exchange_process import ExchangeProcess, get, send

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
