"""Requests to KIS over HTTP: each is sent once, within the broker's limits, and is an answer or is none.

Every number of theirs is text, and stays what it is: nothing becomes a float.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from bestex.budget import Gate, Kind, RateBudget
from bestex.budget_file import BudgetFile
from bestex.clock import MS, SECOND
from bestex.keys import Keys
from bestex.kis.hosts import Host
from bestex.kis.token import SharedToken, TokenError

SCOPE = "appkey"  # what KIS counts together
TOO_MANY = "EGW00201"
TOO_MANY_PAUSE_NS = 250 * MS  # their second is not ours: the rest of it may be full
SHUT_OUT = (403, 429)  # with a page in place of an answer: their firewall has had enough of us
SHUT_OUT_PAUSE_NS = 60 * SECOND  # they do not say how long; who goes on is shut out for longer
STALE_TOKEN = frozenset({"EGW00121", "EGW00123"})
PAGES_MAX = 200  # 20,000 orders of a day
BODY_MAX = 4_000_000  # bytes of an answer; a page of a hundred rows has 100 kB
TEXT_MAX = 300

Json = dict[str, Any]


class Op(NamedTuple):
    """One request of theirs. `tr_id` as the real host calls it."""

    path: str
    tr_id: str
    post: bool = False


class Answer(NamedTuple):
    """`code` and `text` are theirs (msg_cd, msg1); `more`: there is a next page."""

    is_good: bool
    code: str
    text: str
    body: Json
    more: bool


class NoAnswer(Exception):
    """`left`: whether it may have reached them; False is proof that nothing left this process. `code`: theirs, where
    a page of a list was refused."""

    def __init__(self, text: str, *, left: bool, code: str = "") -> None:
        super().__init__(text[:TEXT_MAX])
        self.left, self.code = left, code


class KisClient:
    """Of one key at one host. `start` within a running loop, and `close` in the end."""

    def __init__(
        self,
        host: Host,
        keys: Keys,
        data_dir: Path,
        timeout_ns: int,
        now_ns: Callable[[], int],
        *,
        share: float = 1.0,
        wall_s: float | None = None,
    ) -> None:
        """`timeout_ns` by the clock of `now_ns`, `wall_s` the same by the wall's. ConfigError where the keys' file
        lacks what is needed, or this machine's share of the limits lets nothing pass."""
        self.host, self.keys, self._now_ns = host, keys, now_ns
        self._timeout_ns = timeout_ns
        self._timeout_s = timeout_ns / SECOND if wall_s is None else wall_s
        self._appkey, self._secret = keys.get("key"), keys.get("secret")
        owner = blake2b(f"{host.url}|{self._appkey}".encode(), digest_size=8).hexdigest()
        self.owner = owner
        folder = data_dir / "kis"
        limit = RateBudget(scope=SCOPE, weight=host.rate, window_ns=SECOND)
        self.gate = Gate(BudgetFile(folder / "limits"), [limit], owner=owner, share=share, now_ns=now_ns)
        self.token = SharedToken(folder / f"token-{owner}", self._issue, now_ns)
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"KisClient({self.host.url})"

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        self.gate.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """NoAnswer where it was not started, or is closed."""
        if self._session is None:
            raise NoAnswer("there is no session", left=False)
        return self._session

    # -- requests ----------------------------------------------------------------------------------------------

    async def take(self, kind: Kind, deadline_ns: int) -> str:
        """Wait for the broker's limits, and pay for one request: empty then, else why it may not be sent."""
        return await self.gate.take(kind, 1, deadline_ns)

    async def call(self, op: Op, given: Mapping[str, str], kind: Kind | None, page: str = "") -> Answer:
        """Sent once, and at once where it was paid for (`kind` None). NoAnswer where there is none."""
        if kind is not None and (why := await self.take(kind, self._now_ns() + self._timeout_ns)):
            raise NoAnswer(why, left=False)
        token = self.token.current()
        if not token:
            raise NoAnswer("there is no access token", left=False)
        headers = {
            "content-type": "application/json; charset=utf-8",
            "authorization": f"Bearer {token}",
            "appkey": self._appkey,
            "appsecret": self._secret,
            "tr_id": self.host.tr(op.tr_id),
            "custtype": "P",
            "tr_cont": page,
        }
        more: Json = {"data": json.dumps(given).encode()} if op.post else {"params": given}
        status, body, cont = await self._send("POST" if op.post else "GET", op.path, headers, more)
        code, text = str(body.get("msg_cd") or ""), str(body.get("msg1") or "").strip()
        if "rt_cd" not in body:
            raise NoAnswer(f"status {status}: {body}", left=True)
        if code in STALE_TOKEN:
            self.token.refuse(token)
        elif code == TOO_MANY:
            self.gate.shut({SCOPE}, TOO_MANY_PAUSE_NS)
        is_good = str(body["rt_cd"]) == "0" and status == 200
        return Answer(is_good, code, text[:TEXT_MAX], body, cont in ("M", "F"))

    async def pages(
        self, op: Op, given: Mapping[str, str], suffix: str, kind: Kind = Kind.QUERY
    ) -> list[Json]:
        """The bodies of all pages. NoAnswer where any of them is missing or refused: half a list is no list."""
        bodies: list[Json] = []
        page, following = "", {f"CTX_AREA_FK{suffix}": "", f"CTX_AREA_NK{suffix}": ""}
        for _ in range(PAGES_MAX):
            answer = await self.call(op, {**given, **following}, kind, page=page)
            if not answer.is_good:
                raise NoAnswer(f"{answer.code} {answer.text}", left=True, code=answer.code)
            bodies.append(answer.body)
            if not answer.more:
                return bodies
            page = "N"
            following = {name: str(answer.body.get(name.lower()) or "").strip() for name in following}
        raise NoAnswer(f"more than {PAGES_MAX} pages", left=True)

    async def approval(self) -> str:
        """The key of a websocket. NoAnswer."""
        body = {"grant_type": "client_credentials", "appkey": self._appkey, "secretkey": self._secret}
        return await self._post_for("/oauth2/Approval", body, "approval_key")

    async def _issue(self) -> tuple[str, int]:
        body = {"grant_type": "client_credentials", "appkey": self._appkey, "appsecret": self._secret}
        lasts: list[int] = []
        token = await self._post_for("/oauth2/tokenP", body, "access_token", lasts)
        return token, lasts[0]

    async def _post_for(self, path: str, given: Json, name: str, lasts: list[int] | None = None) -> str:
        headers = {"content-type": "application/json; charset=utf-8"}
        status, body, _ = await self._send("POST", path, headers, {"data": json.dumps(given).encode()})
        if not body.get(name):
            why = body.get("error_description") or body.get("msg1") or f"status {status}"
            code = str(body.get("error_code") or body.get("msg_cd") or "")
            raise TokenError(self.keys.redact(f"{path}: {code} {why}")[:TEXT_MAX], code)
        if lasts is not None:
            lasts.append(int(body.get("expires_in") or 0))
        return str(body[name])

    async def _send(self, method: str, path: str, headers: Json, more: Json) -> tuple[int, Json, str]:
        """Status, body and tr_cont of the answer. NoAnswer. aiohttp asks again by itself where it is a GET and the
        connection had just been closed; a POST it never sends twice."""
        try:
            async with self.session.request(
                method, self.host.url + path, headers=headers, allow_redirects=False, **more
            ) as response:
                raw = await response.content.read(BODY_MAX + 1)
                while len(raw) <= BODY_MAX and (part := await response.content.read(BODY_MAX + 1 - len(raw))):
                    raw += part
                status, cont = response.status, response.headers.get("tr_cont", "").strip()
        except aiohttp.ClientConnectorError as error:
            raise NoAnswer(self._safe(error), left=False) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(self._safe(error), left=True) from None
        try:
            body = json.loads(raw, parse_float=Decimal)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            if status in SHUT_OUT:
                self.gate.shut({SCOPE}, SHUT_OUT_PAUSE_NS)
            start = raw[:80].decode(errors="replace").replace("\n", " ")
            raise NoAnswer(self.keys.redact(f"status {status}, and no JSON: {start}"), left=True)
        return status, body, cont

    def _safe(self, error: BaseException) -> str:
        return self.keys.redact(f"{type(error).__name__}: {error}".rstrip(": "))[:TEXT_MAX]
