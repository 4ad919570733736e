"""The exchange process over real HTTP and websockets, killed and restarted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSServerHandshakeError

from bestex import codec
from bestex import sim_wire as w
from bestex.errors import Code
from bestex.messages import Side
from bestex.sim_journal import journal_path, read_journal
from bestex.sim_wire import State
from tests.integration.exchange_process import ExchangeProcess, get, send

BTC = "BTC/USDT"
FRAMES_MAX = 2_000


@contextmanager
def exchange_in(folder: Path) -> Iterator[ExchangeProcess]:
    started = ExchangeProcess(folder, BESTEX__EXCHANGE__LATENCY="1ms")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ExchangeProcess]:
    with exchange_in(tmp_path) as started:
        yield started


@pytest.fixture
async def session(process: ExchangeProcess) -> AsyncIterator[ClientSession]:
    async with ClientSession(process.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExchangeProcess]:
    """One for all tests that only say something wrong to it."""
    with exchange_in(tmp_path_factory.mktemp("patient")) as started:
        yield started


@pytest.fixture
async def to_patient(patient: ExchangeProcess) -> AsyncIterator[ClientSession]:
    async with ClientSession(patient.url) as opened:
        yield opened


async def book(session: ClientSession, levels: int = 5) -> w.BookFrame:
    async with session.ws_connect(f"/v1/md?venue=sim_a&symbol={BTC}&levels={levels}") as md:
        frame = codec.msgpack_decoder(w.Frame).decode(await md.receive_bytes())
        assert isinstance(frame, w.BookFrame)
        return frame


def order(client_id: str, **terms: Any) -> w.Submit:
    defaults: dict[str, Any] = {"venue": "sim_a", "symbol": BTC, "side": Side.BUY, "qty": 100_000}
    return w.Submit(client_id=client_id, **(defaults | terms))


def far_below(frame: w.BookFrame) -> int:
    return frame.bid_px[0] * 9 // 10


async def test_an_order_is_taken_filled_reported_and_found_again(session: ClientSession) -> None:
    async with (
        session.ws_connect("/v1/user?venue=sim_a") as user,
        session.ws_connect("/v1/trade") as trade,
    ):
        answer = await send(trade, order("m1", kind="market", id=42))
        event = codec.from_msgpack(await user.receive_bytes(), w.UserEvent)
    assert (answer.id, answer.ok) == (42, True)
    assert answer.order is not None
    assert answer.order.cum_qty == sum(fill.qty for fill in answer.trades) > 0
    assert (event.orders, event.trades) == (answer.orders, answer.trades)
    assert await get(session, "/v1/orders/m1?venue=sim_a", w.OrderState) == answer.order
    assert await get(session, "/v1/trades?venue=sim_a", list[w.Trade]) == answer.trades
    balances = await get(session, "/v1/balances?venue=sim_a", w.Balances)
    assert balances.balances["USDT"] == -answer.order.notional - answer.order.fees
    assert answer.order.fees == answer.order.notional * Decimal("0.0002")


async def test_rest_cancel_and_replace_work_by_hand_over_post(session: ClientSession) -> None:
    price = far_below(await book(session))

    async def post(**request: Any) -> dict[str, Any]:
        async with session.post("/v1/trade", json={"venue": "sim_a"} | request) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    new = {"op": "submit", "symbol": BTC, "client_id": "c1", "side": "buy", "qty": 100_000, "price": price}
    assert (await post(**new))["orders"][0]["state"] == "open"
    assert (await post(**new))["code"] == "duplicate_order"
    replaced = await post(op="replace", client_id="c1", qty=50_000, price=price)
    assert replaced["orders"][0]["qty"] == 50_000
    assert [o.client_id for o in await get(session, "/v1/orders?venue=sim_a", list[w.OrderState])] == ["c1"]
    assert (await post(op="cancel", client_id="c1"))["orders"][0]["state"] == "canceled"
    assert (await post(op="cancel", client_id="c1"))["code"] == "too_late"
    assert await get(session, "/v1/orders?venue=sim_a", list[w.OrderState]) == []


@pytest.mark.parametrize(
    "frame", ["", "no json", "[" * 10_000, '{"op":"sell"}', '{"op":"cancel","venue":"sim_a","client_id":1}']
)
async def test_a_request_that_cannot_be_read_is_answered_and_harms_nobody(
    to_patient: ClientSession, frame: str
) -> None:
    async with to_patient.ws_connect("/v1/trade") as trade:
        await trade.send_str(frame)
        assert (await trade.receive_json())["code"] == "malformed"
        assert (await send(trade, order(f"ok{len(frame)}", kind="market"))).ok


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/orders", Code.UNKNOWN_VENUE),
        ("/v1/orders/c1?venue=sim_x", Code.UNKNOWN_VENUE),
        ("/v1/trades?venue=sim_a&after=-1", Code.INVALID_PARAMETER),
        ("/v1/trades?venue=sim_a&limit=1000000", Code.INVALID_PARAMETER),
        ("/v1/orders/never?venue=sim_a", Code.UNKNOWN_ORDER),
    ],
)
async def test_a_wrong_query_says_what_is_wrong(to_patient: ClientSession, path: str, code: Code) -> None:
    answer = await get(to_patient, path, w.Answer)
    assert (answer.ok, answer.code) == (False, code)


async def test_a_stream_of_no_venue_is_refused(session: ClientSession) -> None:
    with pytest.raises(WSServerHandshakeError):
        await session.ws_connect("/v1/md?venue=sim_x")


async def test_frames_are_numbered_without_a_gap_and_books_are_never_crossed(session: ClientSession) -> None:
    seen = {"book": 0, "trade": 0}
    decoder = codec.msgpack_decoder(w.Frame)
    async with (
        session.ws_connect(f"/v1/md?venue=sim_a&symbol={BTC}&levels=10") as md,
        session.ws_connect("/v1/trade") as trade,
    ):
        last = decoder.decode(await md.receive_bytes()).seq
        await send(trade, order("m1", kind="market"))
        for _ in range(FRAMES_MAX):
            frame = decoder.decode(await md.receive_bytes())
            assert frame.seq == last + 1
            last = frame.seq
            if isinstance(frame, w.BookFrame):
                seen["book"] += 1
                assert frame.bid_px[0] < frame.ask_px[0]
                assert len(frame.bid_px) <= 10
            else:
                seen["trade"] += 1
            if min(seen.values()) > 2:
                return
    raise AssertionError(f"too few of a kind: {seen}")


async def test_json_streams_carry_the_same_as_msgpack(session: ClientSession) -> None:
    async with session.ws_connect(f"/v1/md?venue=sim_a&symbol={BTC}&format=json") as md:
        kind, venue, symbol, *_ = json.loads(await md.receive_str())
    assert (kind, venue, symbol) == ("book", "sim_a", BTC)


async def test_after_kill_9_every_answered_request_is_still_true(
    process: ExchangeProcess, session: ClientSession
) -> None:
    price = far_below(await book(session))
    answers: list[w.Answer] = []
    async with session.ws_connect("/v1/trade") as trade:
        for number in range(20):
            kind = {"kind": "market"} if number % 4 == 0 else {"price": price}
            answers.append(await send(trade, order(f"c{number}", **kind)))
        answers.append(await send(trade, w.Cancel(venue="sim_a", client_id="c1")))
        await flood(trade, price)
    process.kill()
    torn = journal_path(process.data_dir, "sim_a")
    with torn.open("ab") as file:
        file.write(b'{"line":"entry","seq":')
    process.start()

    newest = {a.order.client_id: a.order for a in answers if a.order is not None}
    trades = [fill for answer in answers for fill in answer.trades]
    async with ClientSession(process.url) as again:
        for client_id, state in newest.items():
            found = await get(again, f"/v1/orders/{client_id}?venue=sim_a", w.OrderState)
            assert (found.state, found.cum_qty, found.order_id) == (
                state.state,
                state.cum_qty,
                state.order_id,
            )
        assert await get(again, "/v1/trades?venue=sim_a", list[w.Trade]) == trades
        async with again.ws_connect("/v1/trade") as trade:
            repeated = await send(trade, order("c0", kind="market"))
            assert (repeated.ok, repeated.code) == (False, Code.DUPLICATE_ORDER)
            canceled = await send(trade, w.Cancel(venue="sim_a", client_id="c3"))
            assert canceled.order is not None
            assert canceled.order.state is State.CANCELED
            fresh = await send(trade, order("fresh", kind="market"))
        assert fresh.trades[0].trade_id > trades[-1].trade_id
    entries = [line for line in read_journal(torn) if isinstance(line, w.JournalEntry)]
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))


async def flood(trade: ClientWebSocketResponse, price: int) -> None:
    """Requests whose answers nobody waits for, so that the kill comes between some of them."""
    for number in range(200):
        await trade.send_bytes(codec.to_msgpack(order(f"f{number}", price=price)))


async def test_sigterm_is_a_clean_stop_with_listeners_connected(
    process: ExchangeProcess, session: ClientSession
) -> None:
    async with session.ws_connect("/v1/md?venue=sim_a") as md:
        await md.receive_bytes()
        assert process.stop() == 0


def test_a_second_process_on_the_same_journals_refuses_to_start(process: ExchangeProcess) -> None:
    second = ExchangeProcess(process.data_dir)
    with pytest.raises(AssertionError, match="ended before it was ready"):
        second.start()
    assert second.stop() == 2


def test_a_journal_of_other_scales_refuses_to_start(process: ExchangeProcess) -> None:
    process.stop()
    rescaled = ExchangeProcess(process.data_dir, BESTEX_CONFIG=str(process.data_dir / "other.toml"))
    (process.data_dir / "other.toml").write_text(
        '[venues.sim_a]\n[instruments."BTC/USDT"]\nprice_scale = 3\nqty_scale = 5\n'
        '[instruments."BTC/USDT".venues]\nsim_a = { tick = "0.01", lot = "0.00001" }\n'
    )
    with pytest.raises(AssertionError, match="ended before it was ready"):
        rescaled.start()
    assert rescaled.stop() == 2
