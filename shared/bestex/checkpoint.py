"""A checkpoint: what a core made of its journal up to some place, so that a start reads what came since.

It is a cache and never the truth. It is only made by reading the journal, and by nobody who writes it: a process of
its own, now and then, or a start that had much to read. It names the code, the configuration and the streams that it
was made by and of; where any of them is another, or it cannot be read, the journal is read from its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import structlog
from nats.aio.client import Client

from bestex import bus, codec
from bestex.config import Config
from bestex.marks import Files, digest, holes
from bestex.service import Keeps, Service

EVERY = 5_000  # messages of the journal between two: half a second of a start
LOOK_S = 5.0  # between two looks at how many there are
SUM_BYTES = 32
DIGEST_BYTES = 16


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Up to where a stream was read: its last message, by which the stream is known again."""

    created: str
    holes: int
    seq: int
    digest: str


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """`maker`: a digest of the code and the configuration. `histories`: of each that is open its last sequence."""

    maker: str
    places: dict[str, Place]
    histories: dict[str, int]
    state: bytes


class Checkpoints:
    """Those of one process, in its files. None is used of which anything is in doubt."""

    def __init__(
        self,
        client: Client,
        service: Service,
        config: Config,
        files: Files,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._client = client
        self._files = files
        self._name = f"{service.label}.checkpoint"
        self._service = service
        self._config = config
        self._log = log

    async def find(self, infos: Mapping[str, dict[str, Any]]) -> Checkpoint | None:
        """The last one, if it is of these streams."""
        try:
            data = self._files.read(self._name)
        except OSError as error:
            self._log.warning("the checkpoint cannot be read", error=str(error))
            return None
        if data is None:
            return None
        body = data[SUM_BYTES:]
        if blake2b(body, digest_size=SUM_BYTES).digest() != data[:SUM_BYTES]:
            self._log.warning("the checkpoint is damaged, and the journal is read whole")
            return None
        try:
            found = codec.from_msgpack(body, Checkpoint)
        except msgspec.MsgspecError:
            return None  # of another release
        if found.maker != self._maker():
            return None
        for stream, place in found.places.items():
            if not await self._stands(stream, place, infos[stream]):
                self._log.warning("the checkpoint is of another stream, which is read whole", stream=stream)
                return None
        return found

    async def _stands(self, stream: str, place: Place, info: dict[str, Any]) -> bool:
        if (place.created, place.holes) != (info["created"], holes(info)):
            return False
        stored = await bus.read_seq(self._client, stream, place.seq)
        return stored is not None and digest(stored.subject, stored.data) == place.digest

    def write(self, places: Mapping[str, Place], histories: Mapping[str, int], core: Keeps) -> None:
        made = Checkpoint(self._maker(), dict(places), dict(histories), core.dump())
        body = codec.to_msgpack(made)
        try:
            self._files.write(self._name, blake2b(body, digest_size=SUM_BYTES).digest() + body)
        except OSError as error:
            self._log.warning("no checkpoint is kept: there is no place for it", error=str(error))

    def _maker(self) -> str:
        name, names = self._service.name, self._service.names
        found = blake2b(f"{name} {names} ".encode(), digest_size=DIGEST_BYTES)
        for part in (codec.to_json(self._config), _code("bestex"), _code(f"services.{name}")):
            found.update(part)
        return found.hexdigest()


@cache
def _code(package: str) -> bytes:
    """A digest of a package's source. A checkpoint is not read by any other code than has made it."""
    found = blake2b(digest_size=DIGEST_BYTES)
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for path in sorted(Path(folder).rglob("*.py")):
            found.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.digest()
