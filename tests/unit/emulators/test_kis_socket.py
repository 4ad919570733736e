"""KIS's websocket: own notices, books and trades, registrations, pings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from bestex.messages import Side
from tests.emulators.kis import REGISTERED_MAX, Kis
from tests.emulators.server import Key, serve
from tests.unit.emulators.talking_kis import OVERSEAS, listening, of, quote, us
from tests.waiting import until

USER = Key().passphrase


@pytest.fixture
async def kis(tmp_path: Path) -> AsyncIterator[Kis]:
    async with serve(Kis(tmp_path, market="none", sessions=False)) as emulator:
        assert isinstance(emulator, Kis)
        yield emulator


async def test_own_notices_are_encrypted_and_have_26_fields(kis: Kis) -> None:
    async with of(kis) as client, listening(client) as socket:
        assert (await socket.subscribe("H0STCNI0", "somebody"))["msg_cd"] == "OPSP8992"
        said = await socket.subscribe("H0STCNI0", USER)
        assert (len(said["output"]["key"]), len(said["output"]["iv"])) == (32, 16)
        number = (await client.order())["output"]["ODNO"]
        told = await socket.fields("H0STCNI0")
        assert len(told) == 26
        assert (told[2], told[4], told[8], told[9], told[12], told[13]) == (
            number,
            "02",
            "005930",
            "10",
            "0",
            "1",
        )
        kis.engine.submit("other", "005930/KRW", Side.SELL, Decimal(4), Decimal(69_900))
        told = await socket.fields("H0STCNI0")
        assert (told[2], told[9], told[10], told[13], told[16]) == (number, "4", "70000", "2", "10")
        second = (await client.revise(number, "01", 70_100))["output"]["ODNO"]
        told = await socket.fields("H0STCNI0")
        assert (told[2], told[3], told[5], told[13]) == (second, number, "1", "1")
        third = (await client.revise(second, "02"))["output"]["ODNO"]
        told = await socket.fields("H0STCNI0")
        assert (told[2], told[3], told[5], told[13]) == (third, second, "2", "1")


async def test_notices_of_the_united_states_are_another_subscription(kis: Kis) -> None:
    async with of(kis) as client, listening(client) as socket:
        await socket.subscribe("H0GSCNI0", USER)
        quote(kis, "US", asks=[(230, 4)])
        said = await client.ask(f"{OVERSEAS}trading/order", "TTTT1002U", us())
        acknowledged, filled = await socket.fields("H0GSCNI0"), await socket.fields("H0GSCNI0")
        assert (len(filled), acknowledged[12], filled[12]) == (25, "1", "2")
        assert (filled[2], filled[7:10]) == (said["output"]["ODNO"], ["AAPL", "4", "2300000"])


@pytest.mark.parametrize(
    ("exchange", "book", "trade", "key", "widths"),
    [
        ("KRX", "H0STASP0", "H0STCNT0", "005930", (59, 46)),
        ("NXT", "H0NXASP0", "H0NXCNT0", "005930", (63, 46)),
        ("US", "HDFSASP0", "HDFSCNT0", "DNASAAPL", (17, 26)),
    ],
)
async def test_books_and_trades_are_told(
    kis: Kis, exchange: str, book: str, trade: str, key: str, widths: tuple[int, int]
) -> None:
    quote(kis, exchange, bids=[(200, 5), (100, 6)], asks=[(300, 7), (400, 8)])
    market = next(one for one in kis.engines[exchange].markets.values() if one.base in ("005930", "AAPL"))
    await until(lambda: (len(market.bids), len(market.asks)) == (2, 2))  # books are told at most so often
    async with of(kis) as client, listening(client) as socket:
        assert (await socket.subscribe(book, "nothing"))["msg_cd"] == "OPSP8992"
        await socket.subscribe(book, key)
        first = await socket.fields(book)
        assert len(first) == widths[0]
        if exchange == "US":
            assert (first[11:15], first[2]) == (["200", "300", "5", "7"], "4")
        else:
            assert (first[3:6], first[13:16]) == (["300", "400", "0"], ["200", "100", "0"])
            assert (first[23:26], first[33:36]) == (["7", "8", "0"], ["5", "6", "0"])
        await socket.subscribe(trade, key)
        kis.engines[exchange].submit(
            "other", "AAPL/USD" if exchange == "US" else "005930/KRW", Side.BUY, Decimal(2), Decimal(300)
        )
        traded = await socket.fields(trade)
        assert len(traded) == widths[1]
        if exchange == "US":
            assert (traded[11], traded[19], traded[20]) == ("300", "2", "2")
        else:
            assert (traded[2], traded[12], traded[13], traded[21]) == ("300", "2", "2", "1")


async def test_forty_registrations_on_one_websocket_of_an_appkey(kis: Kis) -> None:
    keys = [market.base for market in kis.engines["KRX"].markets.values()]
    async with of(kis) as client, listening(client) as socket:
        wanted: list[tuple[str, str]] = [
            (tr_id, key) for tr_id in ("H0STASP0", "H0STCNT0", "H0NXASP0", "H0NXCNT0") for key in keys
        ]
        for tr_id, key in wanted:
            assert (await socket.subscribe(tr_id, key))["msg_cd"] == "OPSP0000"
        assert (await socket.subscribe(*wanted[0]))["msg_cd"] == "OPSP0002"
        assert (await socket.subscribe(*wanted[0], "2"))["msg_cd"] == "OPSP0001"
        assert (await socket.subscribe(*wanted[0], "2"))["msg_cd"] == "OPSP0003"
        kis.sockets[0].topics |= {f"filler{i}" for i in range(REGISTERED_MAX)}
        assert (await socket.subscribe(*wanted[0]))["msg_cd"] == "OPSP0008"
        async with listening(client) as second:
            assert (await second.subscribe(*wanted[0]))["msg_cd"] == "OPSP8996"
        socket.approval = "wrong"
        assert (await socket.subscribe(*wanted[0]))["msg_cd"] == "OPSP0011"


async def test_who_answers_no_ping_is_cut_off(kis: Kis) -> None:
    async with of(kis) as client, listening(client) as socket:
        await socket.subscribe("H0STASP0", "005930")
        await socket.fields("H0STASP0")
        for _ in range(10):
            kis.ping()
            said = await socket.hear()
            assert said["header"]["tr_id"] == "PINGPONG"
            await socket.socket.send_json(said)
            await until(lambda: kis.sockets[0].state["unanswered"] == 0)
        for _ in range(5):
            kis.ping()
        await until(lambda: not kis.sockets)
