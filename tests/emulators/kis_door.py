"""The door of KIS: tokens, who may ask what and how often, and what is said where something is wrong."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from bestex.clock import DAY, HOUR, MINUTE, SECOND
from tests.emulators import kis_wire as wire
from tests.emulators.budget import Budget
from tests.emulators.faults import Fault, What
from tests.emulators.kis_orders import Refused
from tests.emulators.kis_wire import Json
from tests.emulators.server import Emulator, Key, Reply

PER_SECOND = {False: 20, True: 2}  # real and virtual
TOKEN_NS = DAY
SAME_TOKEN_NS = 6 * HOUR  # asked again within that time, it gives the same one
ISSUE_EVERY_NS = MINUTE
BLOCKED = (
    b"<html><head><title>Request Rejected</title></head><body>The requested URL was rejected.</body></html>"
)


@dataclass
class Token:
    text: str
    appkey: str
    issued_ns: int

    def is_valid(self, now_ns: int) -> bool:
        return now_ns < self.issued_ns + TOKEN_NS


@dataclass
class Asked:
    """A request that has passed the door. `exchange` is told by the path for the United States, else by the body."""

    key: Key
    given: Json
    tr_id: str
    next_page: bool


Act = Callable[[Asked], tuple[Json, dict[str, str]] | Json]


class Door(Emulator):
    def __init__(self, *arguments: Any, virtual: bool = False, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.virtual = virtual
        self.tokens: dict[str, Token] = {}
        self.budgets: dict[str, Budget] = {}
        self.refuse_with_200 = False  # too many requests are refused with status 500, or with 200

    # -- tokens ------------------------------------------------------------------------------------------------

    async def _token(self, request: web.Request) -> web.StreamResponse:
        given = await _json(request)
        return await self.rest(request, "other", lambda: self._issue(given))

    def _issue(self, given: Json) -> Reply:
        key = self.keys.get(given.get("appkey", ""))
        if given.get("grant_type") != "client_credentials" or key is None:
            return Reply(_wrong("EGW00103", "유효하지 않은 AppKey입니다."), 403)
        if given.get("appsecret") != key.secret:
            return Reply(_wrong("EGW00105", "유효하지 않은 AppSecret입니다."), 403)
        now_ns = self.now_ns()
        mine = [token for token in self.tokens.values() if token.appkey == key.key]
        newest = max(mine, key=lambda token: token.issued_ns, default=None)
        if newest is not None and now_ns < newest.issued_ns + ISSUE_EVERY_NS:
            return Reply(_wrong("EGW00133", "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)"), 403)
        if newest is None or now_ns >= newest.issued_ns + SAME_TOKEN_NS:
            newest = Token(secrets.token_urlsafe(200), key.key, now_ns)
            self.tokens[newest.text] = newest
        ends_ns = newest.issued_ns + TOKEN_NS
        return Reply(
            {
                "access_token": newest.text,
                "access_token_token_expired": f"{wire.at(ends_ns):%Y-%m-%d %H:%M:%S}",
                "token_type": "Bearer",
                "expires_in": (ends_ns - now_ns) // SECOND,
            }
        )

    async def _approval(self, request: web.Request) -> web.StreamResponse:
        given = await _json(request)

        def answer() -> Reply:
            key = self.keys.get(given.get("appkey", ""))
            if key is None or given.get("secretkey") != key.secret:
                return Reply(_wrong("EGW00105", "유효하지 않은 AppSecret입니다."), 403)
            return Reply({"approval_key": self.approve(key)})

        return await self.rest(request, "other", answer)

    def approve(self, key: Key) -> str:
        """The key of a websocket of theirs."""
        raise NotImplementedError

    # -- the life of a request ---------------------------------------------------------------------------------

    def private(self, tr_ids: set[str], act: Act) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            given = await _json(request) if request.method == "POST" else dict(request.query)

            def answer() -> Reply:
                try:
                    said = act(self._passed(request, given, tr_ids))
                except Refused as refused:
                    return Reply(_refusal(refused.rt_cd, refused.code, refused.text), refused.status)
                body, headers = said if isinstance(said, tuple) else (said, {"tr_cont": ""})
                return Reply(
                    {"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "정상처리 되었습니다.", **body}, 200, headers
                )

            return await self.rest(request, _what(request.path, given), answer)

        return handle

    def _passed(self, request: web.Request, given: Json, tr_ids: set[str]) -> Asked:
        """Raises Refused. In the order in which the gateway of theirs looks: who, how often, what."""
        headers = request.headers
        key = self.keys.get(headers.get("appkey", ""))
        if key is None:
            raise Refused("EGW00103", "유효하지 않은 AppKey입니다.", 403)
        if headers.get("appsecret") != key.secret:
            raise Refused("EGW00105", "유효하지 않은 AppSecret입니다.", 403)
        token = self.tokens.get(headers.get("authorization", "").removeprefix("Bearer "))
        if token is None or token.appkey != key.key:
            raise Refused("EGW00121", "유효하지 않은 token 입니다.", 500)
        if not token.is_valid(self.now_ns()):
            raise Refused("EGW00123", "기간이 만료된 token 입니다.", 500)
        budget = self.budgets.setdefault(
            key.key, Budget(PER_SECOND[self.virtual], 1.0, patience=1_000_000_000)
        )
        if budget.spend(1, self.now_s()):
            raise self._too_many()
        tr_id = headers.get("tr_id", "")
        wanted = {_virtual(one) for one in tr_ids} if self.virtual else tr_ids
        if tr_id not in wanted:
            other = "EGW02006" if tr_id in {_virtual(one) for one in tr_ids} | tr_ids else "EGW00204"
            raise Refused(other, "TR 이 올바르지 않습니다.", 500)
        if headers.get("custtype") not in ("P", "B"):
            raise Refused("EGW00304", "고객식별키가 유효하지 않습니다.", 500)
        if "CANO" in given:
            asked = f"{given['CANO']}-{given.get('ACNT_PRDT_CD', '')}"
            if asked != wire.account_number(key.account):
                raise Refused("OPSQ2000", "ERROR : INPUT INVALID_CHECK_ACNO", rt_cd="2")
        return Asked(key, given, tr_id.replace("VTT", "TTT", 1), headers.get("tr_cont", "") == "N")

    def _too_many(self) -> Refused:
        self.refuse_with_200 = not self.refuse_with_200
        status = 200 if self.refuse_with_200 else 500
        return Refused("EGW00201", "초당 거래건수를 초과하였습니다.", status)

    def refusal(self, fault: Fault) -> Reply:
        match fault.how:
            case "rate_limited":
                refused = self._too_many()
                return Reply(_refusal("1", refused.code, refused.text), refused.status)
            case "banned":
                return Reply(BLOCKED, 403)
            case "skewed":  # it looks at no time of a request but its day
                return Reply(_refusal("7", "APBK0918", "장운영일자가 주문일과 상이합니다."))
            case "maintenance":
                return Reply(_refusal("1", "EGW00300", "서비스 점검중 입니다."), 503)
            case _:
                return Reply(_refusal("1", "EGW00203", "OPS라우팅 중 오류가 발생했습니다."), 500)


def _what(path: str, given: Json) -> What:
    name = path.rpartition("/")[2]
    if name in ("order-cash", "order"):
        return "new"
    if name == "order-rvsecncl":
        return "cancel" if given.get("RVSE_CNCL_DVSN_CD") == "02" else "amend"
    if name in ("inquire-daily-ccld", "inquire-ccnl"):
        return "query" if given.get("ODNO") else "list"
    return "list" if name.startswith(("inquire-psbl", "inquire-nccs", "inquire-balance")) else "other"


def _virtual(tr_id: str) -> str:
    return f"V{tr_id[1:]}" if tr_id.startswith("T") else tr_id


async def _json(request: web.Request) -> Json:
    try:
        given = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        return {}
    return given if isinstance(given, dict) else {}


def _wrong(code: str, text: str) -> Json:
    return {"error_code": code, "error_description": text}


def _refusal(rt_cd: str, code: str, text: str) -> Json:
    return {"rt_cd": rt_cd, "msg_cd": code, "msg1": text}
