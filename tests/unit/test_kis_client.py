"""Requests to KIS: what is an answer, and what may have been sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bestex.budget import Kind
from bestex.clock import SECOND
from bestex.keys import Keys
from bestex.kis.client import KisClient, NoAnswer, Op
from bestex.kis.hosts import Host
from tests.emulators.faults import Fault
from tests.emulators.kis import Kis
from tests.emulators.server import Key, serve
from tests.unit.emulators.talking_kis import ACCOUNT

KEYS = Keys("keys.toml", {"key": Key().key, "secret": Key().secret})
TRADING = "/uapi/domestic-stock/v1/trading/"
BALANCE = Op(f"{TRADING}inquire-balance", "TTTC8434R")
ORDER = Op(f"{TRADING}order-cash", "TTTC0012U", True)
GIVEN = {**ACCOUNT, "PDNO": "005930", "ORD_DVSN": "00", "ORD_QTY": "1", "ORD_UNPR": "70000"}


@pytest.fixture
async def kis(tmp_path: Path) -> AsyncIterator[Kis]:
    async with serve(Kis(tmp_path / "venue", market="none", sessions=False)) as emulator:
        assert isinstance(emulator, Kis)
        yield emulator


async def made(url: str, folder: Path, rate: float = 20, timeout_s: float = 1.0) -> KisClient:
    host = Host(url, url.replace("http", "ws"), False, "KRX", rate, False, Decimal(0))
    client = KisClient(host, KEYS, folder, int(timeout_s * SECOND), time.time_ns)
    await client.start()
    return client


@pytest.fixture
async def client(kis: Kis, tmp_path: Path) -> AsyncIterator[KisClient]:
    one = await made(kis.url, tmp_path)
    await one.token.keep()
    yield one
    await one.close()


async def test_numbers_are_what_they_were(client: KisClient) -> None:
    answer = await client.call(ORDER, GIVEN, Kind.NEW)
    assert (answer.is_good, answer.body["output"]["ODNO"].isdigit()) == (True, True)
    answer = await client.call(ORDER, {**GIVEN, "PDNO": "999999"}, Kind.NEW)
    assert (answer.is_good, answer.code) == (False, "APBK0656")


@pytest.mark.parametrize("how", ["timeout", "reset", "truncated", "garbled", "server_error", "banned"])
async def test_whatever_is_no_answer_may_have_been_sent(kis: Kis, client: KisClient, how: Any) -> None:
    kis.faults.add(Fault(how=how, what="new", when="after", seconds=5))
    with pytest.raises(NoAnswer) as caught:
        await client.call(ORDER, GIVEN, Kind.NEW)
    assert caught.value.left
    assert kis.faults.asked["new"] == 1, "and it is not sent again"


async def test_nothing_has_left_where_nobody_listens(tmp_path: Path) -> None:
    client = await made("http://127.0.0.1:9", tmp_path)
    with pytest.raises(NoAnswer) as caught:
        await client.call(ORDER, GIVEN, Kind.NEW)
    assert not caught.value.left, "there is no token"
    with pytest.raises(NoAnswer) as caught:
        await client.approval()
    assert not caught.value.left
    await client.close()
    with pytest.raises(NoAnswer, match="no session"):
        await client.approval()


async def test_half_a_list_is_no_list(kis: Kis, client: KisClient) -> None:
    for _ in range(5):
        await client.call(ORDER, GIVEN, Kind.NEW)
    kis.PAGE = {False: 2}
    daily = Op(f"{TRADING}inquire-daily-ccld", "TTTC0081R")
    given = {**ACCOUNT, "INQR_STRT_DT": "20000101", "INQR_END_DT": "20991231", "INQR_DVSN": "01"}
    bodies = await client.pages(daily, given, "100")
    assert [len(body["output1"]) for body in bodies] == [2, 2, 1]
    for fault in (
        Fault(how="truncated", what="list", skip=2),
        Fault(how="rate_limited", what="list", skip=1),
    ):
        kis.faults.add(fault)
        with pytest.raises(NoAnswer):
            await client.pages(daily, given, "100")
        kis.faults.clear()


async def test_two_clients_of_one_key_share_its_limit(kis: Kis, tmp_path: Path) -> None:
    clients = [await made(kis.url, tmp_path, rate=5) for _ in range(2)]
    for one in clients:
        await one.token.keep()
    until_ns = time.time_ns() + SECOND // 2
    said = await asyncio.gather(*(clients[i % 2].take(Kind.QUERY, until_ns) for i in range(12)))
    passed = said.count("")
    assert 1 <= passed <= 5
    for _ in range(passed):
        await clients[0].call(BALANCE, ACCOUNT, None)
    for one in clients:
        await one.close()
    assert kis.faults.asked["list"] == passed


async def test_what_it_says_has_no_secret(kis: Kis, client: KisClient) -> None:
    kis.keys.clear()
    answer = await client.call(ORDER, GIVEN, Kind.NEW)
    said = repr((client, answer, KEYS))
    for secret in (Key().key, Key().secret, client.token.current()):
        assert secret not in said
