"""The counts of `bestex.budget`, in one small file that all processes of a machine map into their memory.

A process that is killed at any instant leaves no lock (the kernel lets go of it) and at worst one row half written,
which its checksum shows: such a row counts as spent to its limit, now. After a restart of the machine the monotonic
clock begins anew: what stood in the file then counts as spent at that moment. A file that cannot be read is replaced,
and its rates stay closed for a while.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

from bestex.budget_queue import KEPT, PARTS, RateBudget, Row
from bestex.clock import MINUTE

MAGIC = b"bestexb1"
ROWS = 256  # (account, rate) of one exchange: forty accounts; a file of 60 kB
KEY_BYTES = 16
DISTRUST_NS = MINUTE  # most limits are of a minute or less

_HEAD = struct.Struct("<8s16sq")  # magic, boot, the time until which new rows are closed
_ROW = struct.Struct(f"<{KEY_BYTES}sqqqd{KEPT}d")  # key, window, newest part, closed until, limit, spent
_SUM = struct.Struct("<I4x")
_SIZE = _ROW.size + _SUM.size
_EMPTY = bytes(KEY_BYTES)
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class BudgetFile:
    """OSError where the file cannot be made or mapped. `boot`: what tells one start of the machine from the next."""

    def __init__(self, path: Path, boot: str | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._boot = _digest(boot if boot is not None else _boot())
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._map: mmap.mmap | None = None
        self._places: dict[bytes, int] = {}

    def lock(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self, owner: str, rate: RateBudget, now_ns: int) -> Row | None:
        data = self._mapped(now_ns)
        key = _key(owner, rate)
        place = self._place(data, key, now_ns)
        if place is None:
            return None
        at = _HEAD.size + place * _SIZE
        raw = data[at : at + _ROW.size]
        stored, _, newest, closed_ns, _, *spent = _ROW.unpack(raw)
        if stored == _EMPTY:
            distrusted_ns: int = _HEAD.unpack_from(data)[2]
            return Row(closed_until_ns=distrusted_ns if distrusted_ns > now_ns else 0)
        if crc32(raw) != _SUM.unpack_from(data, at + _ROW.size)[0]:
            return _full(rate, now_ns)
        return Row(newest, closed_ns, list(spent))

    def write(self, owner: str, rate: RateBudget, row: Row) -> None:
        key = _key(owner, rate)
        data = self._map
        assert data is not None, "written before it was read"
        place = self._places.get(key)
        if place is None:
            return
        raw = _ROW.pack(key, rate.window_ns, row.newest, row.closed_until_ns, rate.weight, *row.spent)
        at = _HEAD.size + place * _SIZE
        data[at : at + _SIZE] = raw + _SUM.pack(crc32(raw))

    # -- within the file ---------------------------------------------------------------------------------------

    def _mapped(self, now_ns: int) -> mmap.mmap:
        """The file as it is for this start of the machine."""
        if self._map is None:
            size = _HEAD.size + ROWS * _SIZE
            new = os.fstat(self._fd).st_size == 0
            os.ftruncate(self._fd, size)
            self._map = mmap.mmap(self._fd, size)
            magic, boot, _ = _HEAD.unpack_from(self._map)
            if new or magic != MAGIC:
                self._map[:] = bytes(size)
                _HEAD.pack_into(self._map, 0, MAGIC, self._boot, 0 if new else now_ns + DISTRUST_NS)
            elif boot != self._boot:
                self._another_boot(self._map, now_ns)
        return self._map

    def _another_boot(self, data: mmap.mmap, now_ns: int) -> None:
        for place in range(ROWS):
            at = _HEAD.size + place * _SIZE
            raw = data[at : at + _ROW.size]
            key, window_ns, _, closed_ns, limit, *spent = _ROW.unpack(raw)
            if key == _EMPTY:
                continue
            whole = crc32(raw) == _SUM.unpack_from(data, at + _ROW.size)[0]
            rate = RateBudget(scope="", weight=limit, window_ns=max(window_ns, 1))
            row = _full(rate, now_ns, sum(spent) if whole else limit)
            if closed_ns:
                row.closed_until_ns = now_ns + window_ns
            raw = _ROW.pack(key, window_ns, row.newest, row.closed_until_ns, limit, *row.spent)
            data[at : at + _SIZE] = raw + _SUM.pack(crc32(raw))
        _HEAD.pack_into(data, 0, MAGIC, self._boot, 0)

    def _place(self, data: mmap.mmap, key: bytes, now_ns: int) -> int | None:
        """Where the row of `key` is or may be made; None where every place is in use."""
        known = self._places.get(key)
        if known is not None and self._key_at(data, known) in (key, _EMPTY):
            return known
        self._places.pop(key, None)
        free = None
        for place in range(ROWS):
            found = self._key_at(data, place)
            if found == key:
                self._places[key] = place
                return place
            if free is None and found == _EMPTY and place not in self._places.values():
                free = place
        if free is None:
            free = next((place for place in range(ROWS) if self._over(data, place, now_ns)), None)
            if free is not None:
                at = _HEAD.size + free * _SIZE
                data[at : at + _SIZE] = bytes(_SIZE)
        if free is not None:
            self._places[key] = free
        return free

    def _key_at(self, data: mmap.mmap, place: int) -> bytes:
        at = _HEAD.size + place * _SIZE
        return data[at : at + KEY_BYTES]

    def _over(self, data: mmap.mmap, place: int, now_ns: int) -> bool:
        """Whether nothing of that row counts any more."""
        _, window_ns, newest, closed_ns, *_ = _ROW.unpack_from(data, _HEAD.size + place * _SIZE)
        end_ns: int = max(closed_ns, (newest + KEPT) * window_ns // PARTS)
        return end_ns < now_ns


def _full(rate: RateBudget, now_ns: int, spent: float | None = None) -> Row:
    row = Row(newest=now_ns * PARTS // rate.window_ns)
    row.spent[row.newest % KEPT] = rate.weight if spent is None else spent
    return row


def _key(owner: str, rate: RateBudget) -> bytes:
    return _digest(f"{owner}|{rate.scope}|{rate.window_ns}")


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=KEY_BYTES).digest()


def _boot() -> str:
    """Empty where the system does not say: then a file from before a restart looks like one of the future, and its
    rates wait until they are overtaken."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
