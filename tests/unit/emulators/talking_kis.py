"""A bare client of KIS's protocol as it is documented: what an order entry of a few lines would send."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import orjson
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bestex.messages import Side
from tests.emulators.kis import Kis, subscription
from tests.emulators.server import Key

DOMESTIC, OVERSEAS = "/uapi/domestic-stock/v1/", "/uapi/overseas-stock/v1/"
ACCOUNT = {"CANO": "12345678", "ACNT_PRDT_CD": "01"}
PATIENCE_S = 5.0


class Client:
    """`ask` gives the body of an answer; `headers` are those of the last one."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: Key) -> None:
        self.session, self.url, self.key = session, url, key
        self.token = ""
        self.headers: dict[str, str] = {}
        self.status = 0

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        async with self.session.post(self.url + path, data=orjson.dumps(body)) as response:
            self.status = response.status
            return orjson.loads(await response.read())

    async def log_in(self) -> str:
        body = {"grant_type": "client_credentials", "appkey": self.key.key, "appsecret": self.key.secret}
        self.token = (await self.post("/oauth2/tokenP", body))["access_token"]
        return self.token

    async def ask(self, path: str, tr_id: str, given: dict[str, Any], *, page: str = "") -> Any:
        post = tr_id.endswith("U")
        headers = {
            "authorization": f"Bearer {self.token}",
            "appkey": self.key.key,
            "appsecret": self.key.secret,
            "tr_id": tr_id,
            "custtype": "P",
            "tr_cont": page,
        }
        more: dict[str, Any] = {"data": orjson.dumps(given)} if post else {"params": given}
        method = "POST" if post else "GET"
        async with self.session.request(method, self.url + path, headers=headers, **more) as response:
            self.status, self.headers = response.status, dict(response.headers)
            return orjson.loads(await response.read())

    async def order(self, side: Side = Side.BUY, price: int = 70_000, qty: int = 10, **more: str) -> Any:
        body = {
            **ACCOUNT,
            "PDNO": "005930",
            "ORD_DVSN": "00",
            "ORD_QTY": str(qty),
            "ORD_UNPR": str(price),
            "EXCG_ID_DVSN_CD": "KRX",
            "SLL_TYPE": "",
            "CNDT_PRIC": "",
        }
        tr_id = "TTTC0012U" if side is Side.BUY else "TTTC0011U"
        return await self.ask(f"{DOMESTIC}trading/order-cash", more.pop("tr_id", tr_id), body | more)

    async def revise(self, number: str, what: str, price: int = 0, **more: str) -> Any:
        body = {
            **ACCOUNT,
            "KRX_FWDG_ORD_ORGNO": "06010",
            "ORGN_ODNO": number,
            "ORD_DVSN": "00",
            "RVSE_CNCL_DVSN_CD": what,
            "ORD_QTY": "0",
            "ORD_UNPR": str(price),
            "QTY_ALL_ORD_YN": "Y",
        }
        return await self.ask(f"{DOMESTIC}trading/order-rvsecncl", "TTTC0013U", body | more)

    async def daily(self, *, page: str = "", next_page: str = "", **more: str) -> Any:
        given = {
            **ACCOUNT,
            "INQR_STRT_DT": "20000101",
            "INQR_END_DT": "20991231",
            "SLL_BUY_DVSN_CD": "00",
            "INQR_DVSN": "01",
            "CCLD_DVSN": "00",
            "EXCG_ID_DVSN_CD": "ALL",
            "CTX_AREA_FK100": "",
            "CTX_AREA_NK100": next_page,
        }
        return await self.ask(f"{DOMESTIC}trading/inquire-daily-ccld", "TTTC0081R", given | more, page=page)

    async def rows(self) -> dict[str, Any]:
        return {row["odno"]: row for row in (await self.daily())["output1"]}

    async def approval(self) -> str:
        body = {"grant_type": "client_credentials", "appkey": self.key.key, "secretkey": self.key.secret}
        return str((await self.post("/oauth2/Approval", body))["approval_key"])


@asynccontextmanager
async def of(kis: Kis, key: Key | None = None, *, logged_in: bool = True) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        client = Client(session, kis.url, key or Key())
        if logged_in:
            await client.log_in()
        yield client


class Listener:
    """A websocket. `hear` gives the next frame: JSON as such, data as [encrypted, tr_id, count, text]."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, approval: str) -> None:
        self.socket, self.approval = socket, approval
        self.secret: dict[str, str] = {}

    async def subscribe(self, tr_id: str, tr_key: str, tr_type: str = "1") -> Any:
        await self.socket.send_str(subscription(self.approval, tr_id, tr_key, tr_type))
        while not isinstance(said := await self.hear(), dict):
            pass
        self.secret = said["body"].get("output", self.secret)
        return said["body"]

    async def hear(self) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            text = str((await self.socket.receive()).data)
        return orjson.loads(text) if text.startswith("{") else text.split("|", 3)

    async def fields(self, tr_id: str) -> list[str]:
        """Of the next data frame of that kind, decrypted."""
        while True:
            said = await self.hear()
            if isinstance(said, list) and said[1] == tr_id:
                return (said[3] if said[0] == "0" else self._open(said[3])).split("^")

    def _open(self, text: str) -> str:
        cipher = Cipher(algorithms.AES(self.secret["key"].encode()), modes.CBC(self.secret["iv"].encode()))
        opener = cipher.decryptor()
        plain = opener.update(base64.b64decode(text)) + opener.finalize()
        return plain[: -plain[-1]].decode()


@asynccontextmanager
async def listening(client: Client) -> AsyncIterator[Listener]:
    approval = await client.approval()
    async with client.session.ws_connect(client.url.replace("http", "ws") + "/tryitout") as socket:
        yield Listener(socket, approval)


def quote(
    kis: Kis, exchange: str, bids: Sequence[tuple[int, int]] = (), asks: Sequence[tuple[int, int]] = ()
) -> None:
    """Somebody else's orders in 005930, or AAPL."""
    symbol = "AAPL/USD" if exchange == "US" else "005930/KRW"
    for side, levels in ((Side.BUY, bids), (Side.SELL, asks)):
        for price, qty in levels:
            answer = kis.engines[exchange].submit("other", symbol, side, Decimal(qty), Decimal(price))
            assert answer.ok, answer.text


def us(**more: str) -> dict[str, str]:
    """An order in AAPL."""
    usual = {"OVRS_EXCG_CD": "NASD", "PDNO": "AAPL", "ORD_QTY": "10", "OVRS_ORD_UNPR": "230.10"}
    return {**ACCOUNT, **usual, "ORD_SVR_DVSN_CD": "0", "ORD_DVSN": "00", **more}
