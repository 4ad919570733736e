"""A look at KIS that sends no order: `bestex venues check`.

Each thing is looked at by itself, so that one that is wrong hides no other. The token and the limits are those
that this machine's processes share: of a gateway that runs, a look takes nothing but a few requests. Nothing that is
said holds a key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from bestex.budget import Kind
from bestex.config import Config
from bestex.errors import ConfigError
from bestex.keys import Keys, read_keys
from bestex.kis import frames
from bestex.kis.client import STALE_TOKEN, TOO_MANY, Json, KisClient, NoAnswer, Op
from bestex.kis.hosts import Host, host_of
from bestex.kis.token import TokenError
from bestex.venues import Found, Say, Verdict
from services.gateway.venues.kis.dialect import Dialect, account_of, dialect_of
from services.gateway.venues.kis.markets import by_code, markets_of, number

ANSWER_S = 5.0  # of the websocket, to a subscription
NEEDED = ("key", "secret", "account")
IN_USE, ON_ALREADY = "OPSP8996", "OPSP0002"

# What their codes mean for whoever holds the keys.
MEANINGS: Mapping[str, str] = {
    "EGW00103": "KIS knows no such key: it is mistyped, has ended, or is the other host's (real or virtual)",
    "EGW00105": "the secret is not the key's",
    "EGW00133": "a token was asked for less than a minute ago: wait a minute, and look again",
    **dict.fromkeys(STALE_TOKEN, "KIS does not take the access token"),
    TOO_MANY: "the key has asked too much in this second: others use it as well",
    "EGW00300": "KIS is closed for maintenance",
    "EGW02006": "the request is not this host's: the key is for the other one, real or virtual",
    "OPSQ2000": "the account is not this key's: see account in the file of keys",
    "OPSP0011": "the websocket does not take its key",
    "OPSP8992": "hts_id is not the name that the account's owner logs in with: see the file of keys",
    IN_USE: "the key's only websocket is in use, by a gateway or a collector: what it hears cannot be looked at",
}


async def check(name: str, config: Config, say: Say) -> None:
    """Says what it finds as soon as it is found."""
    try:
        host = host_of(name, config)
    except ConfigError as error:
        say(Found(what="host", verdict=Verdict.WRONG, text=str(error)))
        return
    kind = "virtual, a simulation of the broker's own" if host.virtual else "the real one"
    say(Found(what="host", verdict=Verdict.OK, text=f"{host.exchange} at {host.url}, {kind}"))
    keys = _keys(name, config, host, say)
    if keys is None:
        return
    settings = config.venues[name]
    timeout_ns, share = int(config.execution.timeout), float(settings.rate_share)
    try:
        client = KisClient(host, keys, Path(config.data_dir), timeout_ns, time.time_ns, share=share)
    except ConfigError as error:
        say(Found(what="limits", verdict=Verdict.WRONG, text=str(error)))
        return
    await client.start()
    try:
        await _Look(name, config, client, say).all()
    finally:
        await client.close()


def _keys(name: str, config: Config, host: Host, say: Say) -> Keys | None:
    """None where they are not to be had, or not enough to ask anything."""
    path = config.venues[name].keys
    if not path:
        verdict = Verdict.WRONG if config.venues[name].is_live else Verdict.UNKNOWN
        text = "there are no keys, and KIS answers nothing without"
        say(Found(what="keys", verdict=verdict, text=text, write=f'[venues.{name}] keys = "FILE"'))
        return None
    try:
        keys = read_keys(path)
    except ConfigError as error:
        say(Found(what="keys", verdict=Verdict.WRONG, text=str(error)))
        return None
    wrong = False
    for one in (*NEEDED, *(("hts_id",) if host.notices else ())):
        try:
            keys.get(one)
            if one == "account":
                account_of(keys)
        except ConfigError as error:
            wrong = True
            instead = "; or options.notices = false, to hear nothing" if one == "hts_id" else ""
            say(Found(what="keys", verdict=Verdict.WRONG, text=f"{error}{instead}"))
    if not wrong:
        say(Found(what="keys", verdict=Verdict.OK, text=f"{keys.path} can be read by nobody else"))
    return None if wrong else keys


class _Look:
    def __init__(self, name: str, config: Config, client: KisClient, say: Say) -> None:
        self._client, self._tell = client, say
        self._codes = by_code(markets_of(name, config))
        self._dialect: Dialect = dialect_of(client.host, account_of(client.keys), self._codes)

    async def all(self) -> None:
        if not await self._token():
            return
        if await self._account():
            await self._orders()
        await self._notices()
        text = "cannot be checked: KIS states no ticks, lots and fees; they are as configured"
        self._say("terms", Verdict.UNKNOWN, text)

    # -- words -------------------------------------------------------------------------------------------------

    def _say(self, what: str, verdict: Verdict, text: str) -> None:
        self._tell(Found(what=what, verdict=verdict, text=text))

    def _failed(self, what: str, error: Exception) -> None:
        """Whatever was to be found: in our words what is known of it, and in theirs."""
        text = self._client.keys.redact(str(error) or type(error).__name__)
        meaning = MEANINGS.get(getattr(error, "code", ""), "")
        if not meaning and isinstance(error, NoAnswer):
            meaning = "KIS did not answer" if error.left else "nothing answers at its address"
        self._say(what, Verdict.WRONG, f"{meaning}; {text}" if meaning else text)

    # -- what is looked at -------------------------------------------------------------------------------------

    async def _token(self) -> bool:
        try:
            await self._client.token.keep()
        except (TokenError, NoAnswer, OSError, ValueError) as error:
            self._failed("token", error)
            return False
        self._say("token", Verdict.OK, "KIS knows the key, and there is an access token")
        return True

    async def _pages(self, asked: tuple[Op, Json]) -> list[Json]:
        """NoAnswer. Where KIS does not take the token that was kept, it is asked once more, with a new one: these are
        questions, which change nothing. TokenError where there is none yet."""
        try:
            return await self._client.pages(*asked, self._dialect.SUFFIX, Kind.QUERY)
        except NoAnswer as error:
            if error.code not in STALE_TOKEN:
                raise
            said = str(error)
        await self._client.token.keep()
        self._say(
            "token", Verdict.WARNING, f"KIS did not take the one that was kept: a new one is there; {said}"
        )
        return await self._client.pages(*asked, self._dialect.SUFFIX, Kind.QUERY)

    async def _account(self) -> bool:
        try:
            bodies = await self._pages(self._dialect.balance())
            held = {code: number(qty) for code, qty in self._dialect.holdings(bodies).items()}
            money = {name: number(amount) for name, amount in self._dialect.money(bodies).items()}
        except (TokenError, NoAnswer, OSError, ValueError) as error:
            self._failed("account", error)
            return False
        shares = [f"{code} {held.get(code, number(0)):f}" for code in self._codes]
        text = ", ".join([*(f"{name} {amount:f}" for name, amount in money.items()), *shares])
        if not money:
            self._say("account", Verdict.OK, f"{text}; its money is not told with them")
        elif any(money.values()) or any(held.values()):
            self._say("account", Verdict.OK, text)
        else:
            self._say("account", Verdict.WARNING, f"there is nothing to trade with: {text}")
        return True

    async def _orders(self) -> None:
        """Both lists that a gateway knows its orders by."""
        now_ns = time.time_ns()
        try:
            opened = self._dialect.open_numbers(await self._pages(self._dialect.open(now_ns)))
            rows = self._dialect.rows(await self._pages(self._dialect.orders(now_ns, now_ns)))
        except (TokenError, NoAnswer, OSError, ValueError) as error:
            self._failed("orders", error)
            return
        text = f"its lists can be read: {len(rows)} rows today, {len(opened)} orders at work"
        self._say("orders", Verdict.OK, text)

    async def _notices(self) -> None:
        if not self._client.host.notices:
            self._say("notices", Verdict.OK, "not wanted (notices = false): everything is asked for")
            return
        try:
            code, text = await self._subscribe(await self._client.approval())
        except TimeoutError:
            text = f"the websocket did not answer within {ANSWER_S:g} s"
            self._say("notices", Verdict.WRONG, text)
        except (TokenError, NoAnswer, aiohttp.ClientError, OSError, ValueError) as error:
            self._failed("notices", error)
        else:
            verdict = {"": Verdict.OK, IN_USE: Verdict.WARNING}.get(code, Verdict.WRONG)
            meaning = MEANINGS.get(code, "KIS does not tell of the account's orders") if code else ""
            said = f"{meaning}; {code} {text}" if code else "what happens to the account's orders is told"
            self._say("notices", verdict, said)

    async def _subscribe(self, approval: str) -> tuple[str, str]:
        """What KIS says to whoever wants to hear of the account's orders: its code, empty for yes, and its text."""
        client = self._client
        topic = client.host.notice_id, client.keys.get("hts_id")
        async with (
            asyncio.timeout(ANSWER_S),
            client.session.ws_connect(
                client.host.socket, timeout=aiohttp.ClientWSTimeout(ws_close=1.0), max_msg_size=1_000_000
            ) as socket,
        ):
            await socket.send_str(frames.subscription(approval, *topic))
            while True:
                message = await socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise NoAnswer("the websocket was closed", left=True)
                heard = frames.parse(message.data)
                if isinstance(heard, frames.Data) or heard.get("header", {}).get("tr_id") != topic[0]:
                    continue  # a ping, or what comes before the answer
                body = heard.get("body") or {}
                code = str(body.get("msg_cd") or "")
                good = str(body.get("rt_cd")) == "0" or code == ON_ALREADY
                return "" if good else code, str(body.get("msg1") or "")[:200]
