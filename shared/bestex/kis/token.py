"""KIS's access token, one for all processes of a machine that use the same key.

It lasts for a day, and its issue is limited to one in a minute; who issues more is told off, and its customer gets a
message each time. So it stands in a file that only we may read, whoever renews it holds the file's lock, and it is
renewed before it ends. The lock goes with the process that holds it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from pathlib import Path

import msgspec

from bestex.clock import HOUR, MINUTE, SECOND

ISSUE_EVERY_NS = MINUTE + SECOND  # their minute, and a second for the difference of clocks
RENEW_BEFORE_NS = HOUR  # KIS gives the same token again in its first six hours, a new one later
LOCK_PAUSE_S = 0.05


class Stored(msgspec.Struct, frozen=True):
    """What the file says. `asked_ns`: when one was last asked for, whatever came of it."""

    token: str = ""
    ends_ns: int = 0
    asked_ns: int = 0
    refused: str = ""  # a digest of the last token that KIS would not take


class TokenError(Exception):
    """There is none, and why; `code` is KIS's own, empty where it gave none."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class SharedToken:
    """`issue` asks KIS for a token: (token, seconds that it lasts). Raises whatever it does."""

    def __init__(
        self, path: Path, issue: Callable[[], Awaitable[tuple[str, int]]], now_ns: Callable[[], int]
    ) -> None:
        self._path, self._issue, self._now_ns = path, issue, now_ns
        self._stored = Stored()
        self._one_at_a_time = asyncio.Lock()

    def current(self) -> str:
        """Empty where there is none that is good now. Asks nobody."""
        stored = self._stored
        good = self._now_ns() < stored.ends_ns and _digest(stored.token) != stored.refused
        return stored.token if good else ""

    def refuse(self, token: str) -> None:
        """KIS would not take it: it is not used again."""
        if token and token == self._stored.token:
            self._stored = msgspec.structs.replace(self._stored, refused=_digest(token))

    async def keep(self) -> float:
        """Make sure that there is one, of the file or a new one; the seconds after which to call again. TokenError
        where there is none and none may be asked for yet; else what `issue` raises."""
        async with self._one_at_a_time:
            if not self._is_fresh(self._stored):
                fd = await self._lock()
                try:
                    await self._renew()
                finally:
                    os.close(fd)  # and with it the lock
        left_ns = self._stored.ends_ns - RENEW_BEFORE_NS - self._now_ns()
        return max(left_ns, SECOND) / SECOND

    def _is_fresh(self, stored: Stored) -> bool:
        return self._now_ns() < stored.ends_ns - RENEW_BEFORE_NS and _digest(stored.token) != stored.refused

    async def _lock(self) -> int:
        """Of a file beside it, for the token's own is replaced as a whole."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    await asyncio.sleep(LOCK_PAUSE_S)
                else:
                    return fd
        except BaseException:
            os.close(fd)
            raise

    async def _renew(self) -> None:
        """With the lock: another process may have done it meanwhile."""
        now_ns, refused = self._now_ns(), self._stored.refused
        stored = _read(self._path)
        if refused and _digest(stored.token) == refused:
            stored = msgspec.structs.replace(stored, refused=refused)
        self._stored = stored
        if self._is_fresh(stored):
            return
        wait_ns = stored.asked_ns + ISSUE_EVERY_NS - now_ns
        if 0 < wait_ns <= ISSUE_EVERY_NS:
            if self.current():
                return  # it will do until then
            raise TokenError(f"a token may be asked for again in {wait_ns / SECOND:.0f} s")
        self._write(msgspec.structs.replace(stored, asked_ns=now_ns))
        token, lasts_s = await self._issue()
        self._write(Stored(token, now_ns + lasts_s * SECOND, now_ns))

    def _write(self, stored: Stored) -> None:
        self._stored = stored
        made = self._path.with_suffix(f".{os.getpid()}")
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(stored))
            file.flush()
            os.fsync(file.fileno())
        made.replace(self._path)


def _read(path: Path) -> Stored:
    """What cannot be read is no token. A file that others may read is not believed either."""
    try:
        if path.stat().st_mode & 0o077:
            return Stored()
        return msgspec.json.decode(path.read_bytes(), type=Stored)
    except (OSError, msgspec.MsgspecError):
        return Stored()


def _digest(token: str) -> str:
    return blake2b(token.encode(), digest_size=16).hexdigest() if token else ""
