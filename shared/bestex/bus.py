"""The bus: one connection with the options that money needs, acknowledged publishes, reading back.

What is set differently from nats-py's defaults, and why, is said where it is set; the measurements behind it
are NATS 2.15 with nats-py 2.16.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client

from bestex import bus_keys, refusals, rights
from bestex.asking import ask, asking
from bestex.bus_access import Access, api_subject, remember, role
from bestex.errors import BusError, Forbidden

API_TIMEOUT_S = 5.0  # creating a stream or a consumer writes files
REQUEST_TIMEOUT_S = 2.0  # long against a 0.3 ms publish, short against a trader's patience

EXPECTED_SEQ = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"

WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
STREAM_NOT_FOUND = 10059


class _Client(Client):
    """nats-py's, with the same reading of headers in a fifth of the time: they are half of what a recovery reads; and
    it ends when it is cancelled."""

    async def _connect_to_server(self, s: Any) -> None:
        """Python 3.11's `wait_for` loses a cancellation that comes together with a refused connection. A process
        whose bus is away would go on trying for ever at its end, and never be gone."""
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        await super()._connect_to_server(s)

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        found = {}
        for line in raw.decode(errors="replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                found[name.strip()] = value.strip()
        return found


async def connect(
    where: str | Access,
    name: str,
    *,
    on_closed: Callable[[], Awaitable[None]] | None = None,
    on_disconnected: Callable[[], Awaitable[None]] | None = None,
    on_reconnected: Callable[[], Awaitable[None]] | None = None,
    on_error: Callable[[Exception], None] | None = None,
) -> Client:
    """A connection that never buffers a publish while it is down and never gives up reconnecting.

    An address may name several servers of one cluster, separated by commas: then one that is down keeps nobody out.
    An address alone is enough for a bus without roles. Raises BusError with what to do where nothing listens, or
    where the bus or this client does not know the other; Forbidden where the key is of another role.
    """
    access = Access(where) if isinstance(where, str) else where
    if access.key is not None:
        bus_keys.check(access.key)
    client = _Client()

    async def report(error: Exception) -> None:
        # An exception raised here would kill nats-py's reader; the loop's handler is told of it instead.
        refused = refusals.violation(role(client), error)
        if refused is not None:
            subject, error = refused
            asking(client).refused(subject, error)
        if on_error is not None:
            asyncio.get_running_loop().call_soon(on_error, error)

    async def disconnected() -> None:
        asking(client).disconnected()
        if on_disconnected is not None:
            await on_disconnected()

    try:
        await client.connect(
            access.url.split(","),
            name=name,
            **_identity(access),
            # A buffered publish would leave seconds later, stale: fail at once instead.
            pending_size=-1,
            # The default of 120 s would notice a dead server far too late.
            ping_interval=2,
            max_outstanding_pings=2,
            # The first connection is tried twice, so that a wrong address is reported at once: with these two
            # as they are set below, nats-py would try for ever.
            max_reconnect_attempts=1,
            allow_reconnect=False,
            reconnect_time_wait=0.1,  # type: ignore[arg-type]
            connect_timeout=3,
            disconnected_cb=disconnected,
            closed_cb=on_closed,
            reconnected_cb=on_reconnected,
            error_cb=report,
        )
    except (OSError, nats.errors.Error, TimeoutError) as error:
        raise BusError(refusals.no_connection(access, error)) from error
    # The default of 60 attempts closes the connection for good.
    client.options.update(allow_reconnect=True, max_reconnect_attempts=-1)
    if access.key is not None:
        try:
            await _introduce(client, access)
        except BaseException:
            await client.close()
            raise
    return client


def _identity(access: Access) -> dict[str, Any]:
    """What nats-py must know of who we are and whom we trust."""
    options: dict[str, Any] = {}
    if access.key is not None:
        options["nkeys_seed"] = str(access.key)
        options["inbox_prefix"] = rights.inbox(access.role).encode()
    if access.ca is not None:
        from bestex import bus_tls  # its library is of no use on loopback

        options["tls"] = bus_tls.context(access.ca)
    return options


async def _introduce(client: Client, access: Access) -> None:
    """Ask the bus whom it takes us for. Forbidden where that is not the role that this process needs."""
    # Not the inbox of the role that we think we are: with another's key it would be refused in silence.
    inbox = f"{rights.HELLO}.{client.new_inbox().rpartition('.')[2]}"
    hello = await client.subscribe(inbox, max_msgs=1)
    await client.publish(rights.WHOAMI, reply=inbox)
    try:
        reply = await hello.next_msg(API_TIMEOUT_S)
    except (nats.errors.Error, TimeoutError) as error:
        raise BusError(
            f"the bus at {access.url} does not say whose key {access.key} is; it must let it ask on {rights.WHOAMI}"
        ) from error
    account = str(msgspec.json.decode(reply.data).get("data", {}).get("account", ""))
    if not rights.is_role(account):
        return  # a bus that somebody else has set up: his accounts are his own
    if access.role and account != access.role:
        raise Forbidden(
            f"{access.key} is the key of role {account}, and this needs the one of {access.role}; "
            f"give it {access.role}{bus_keys.SUFFIX} ([bus] credentials or keys_dir)"
        )
    remember(client, account)


class ApiError(msgspec.Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class PubAck(msgspec.Struct, frozen=True):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: ApiError | None = None


_puback = msgspec.json.Decoder(PubAck)


async def publish(
    client: Client,
    subject: str,
    payload: bytes,
    headers: dict[str, str] | None = None,
    timeout: float = REQUEST_TIMEOUT_S,
) -> PubAck:
    """Publish into JetStream and await the acknowledgement; a refusal is in `.error`.

    nats.errors.Error or TimeoutError means that the outcome is unknown: read back before going on.
    """
    reply = await ask(client, subject, payload, timeout, headers)
    return _puback.decode(reply.data)


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as the stream holds it."""

    subject: str
    seq: int
    data: bytes
    headers: dict[str, str]


async def read_last(client: Client, stream: str, subject_filter: str) -> Stored | None:
    """The newest message under `subject_filter`, from the stream's leader; None where there is none."""
    return await _read(client, stream, {"last_by_subj": subject_filter})


async def read_next(client: Client, stream: str, subject_filter: str, seq: int) -> Stored | None:
    """The first message under `subject_filter` at or after `seq`; None where there is none."""
    return await _read(client, stream, {"seq": seq, "next_by_subj": subject_filter})


async def read_seq(client: Client, stream: str, seq: int) -> Stored | None:
    """The message with this sequence; None where there is none."""
    return await _read(client, stream, {"seq": seq})


async def _read(client: Client, stream: str, request: dict[str, Any]) -> Stored | None:
    reply = await ask(
        client,
        api_subject(client, f"STREAM.MSG.GET.{stream}"),
        msgspec.json.encode(request),
        REQUEST_TIMEOUT_S,
    )
    answer = msgspec.json.decode(reply.data)
    error = answer.get("error")
    if error:
        if error.get("code") == 404 and error.get("err_code") != STREAM_NOT_FOUND:
            return None
        raise BusError(f"stream {stream}: {error.get('description')}")
    message = answer["message"]
    return Stored(
        subject=message["subject"],
        seq=message["seq"],
        data=b64decode(message.get("data", "")),
        headers=_parse_headers(b64decode(message.get("hdrs", ""))),
    )


def _parse_headers(block: bytes) -> dict[str, str]:
    lines = block.decode(errors="replace").split("\r\n")[1:]
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines) if key}


async def api(client: Client, what: str, request: dict[str, Any]) -> dict[str, Any]:
    """One request of JetStream's API; its answer, which may be an error. BusError where none comes."""
    try:
        reply = await ask(client, api_subject(client, what), msgspec.json.encode(request), API_TIMEOUT_S)
    except (nats.errors.Error, TimeoutError) as error:
        if not client.is_connected:
            raise BusError("the connection to the bus is lost for the moment; try again") from error
        raise BusError(f"JetStream does not answer {what}: {type(error).__name__}") from error
    answer: dict[str, Any] = msgspec.json.decode(reply.data)
    return answer


def error_code(answer: dict[str, Any]) -> int:
    """JetStream's own number of the error in an answer; 0 where there is none."""
    return int(answer.get("error", {}).get("err_code", 0))
