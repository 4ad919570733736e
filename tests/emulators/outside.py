"""The emulated exchanges as a process of their own, for tests that start and break everything else.

Nothing is done to it but what its door is asked for: it is the truth, as an exchange is, and its journals are what
the streams are audited against.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from bestex.children import die_with_parent
from bestex.sim_journal import journal_path
from tests.emulators.faults import Fault
from tests.emulators.server import Key

START_S_MAX = 30.0
STOP_S_MAX = 10.0
ANSWER_S_MAX = 10.0
KEY = Key()


class Outside:
    """The exchanges at work. `venues`: by our names the exchange of each and its kind, spot or perp. `urls`: where
    each exchange is; `sim` is where the simulated venues of the configuration `sim` are."""

    def __init__(
        self, folder: Path, venues: Mapping[str, tuple[str, str]], seed: int = 1, sim: Path | None = None
    ) -> None:
        self.venues = venues
        self.urls: dict[str, str] = {}
        self._folder, self._seed, self._sim = folder, seed, sim
        self._keys = folder / "keys.toml"
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True)
        self._keys.touch(mode=0o600)
        values = {"key": KEY.key, "secret": KEY.secret, "passphrase": KEY.passphrase}
        self._keys.write_text("".join(f'{name} = "{value}"\n' for name, value in values.items()))
        exchanges = dict.fromkeys(exchange for exchange, _ in self.venues.values())
        command = ["-m", "tests.emulators.world", *exchanges, "--data-dir", str(self._folder)]
        command += ["--seed", str(self._seed), *(["--sim", str(self._sim)] if self._sim else [])]
        with (self._folder / "world.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ANSWER_S_MAX))
        wanted = len(exchanges) + bool(self._sim)
        assert self._process.stdout is not None, "it was asked for"
        async with asyncio.timeout(START_S_MAX):
            while len(self.urls) < wanted:
                line = await self._process.stdout.readline()
                if not line:
                    raise RuntimeError(f"the emulators ended: {(self._folder / 'world.log').read_text()}")
                with suppress(msgspec.DecodeError):
                    said = msgspec.json.decode(line)
                    self.urls[said["venue"]] = said["url"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_S_MAX)
            except TimeoutError:
                process.kill()
                await process.wait()

    def toml(self, venue: str, share: str) -> str:
        """The section of the configuration that trades there on credit, with at most `share` of a slice."""
        exchange, kind = self.venues[venue]
        replaces = str(
            exchange != "binance" or kind == "perp"
        ).lower()  # Binance spot changes no price in place
        return (
            f'[venues.{venue}]\nadapter = "ccxt"\nmode = "live"\nkeys = "{self._keys}"\n'
            f'url = "{self.urls[exchange]}"\nnative_replace = {replaces}\nmax_volume_pct = "{share}"\n'
            "holdings = false\n"
        )

    # -- the door ----------------------------------------------------------------------------------------------

    async def fail(self, exchange: str, faults: Iterable[Fault]) -> None:
        await self._post(exchange, "faults", msgspec.json.encode(list(faults)))

    async def cut(self, exchange: str) -> None:
        await self._post(exchange, "cut")

    async def clear(self) -> None:
        """Nothing more goes wrong."""
        for exchange, _ in self.venues.values():
            await self._post(exchange, "clear")

    async def happened(self) -> Counter[str]:
        """How often each fault has."""
        counts = Counter[str]()
        for exchange in dict.fromkeys(exchange for exchange, _ in self.venues.values()):
            state = await self._get(f"{self.urls[exchange]}/_emulator/state")
            counts.update(msgspec.json.decode(state)["happened"])
        return counts

    async def export(self, folder: Path, simulated: Iterable[str] = ()) -> None:
        """Each venue's journal into `folder`, as an audit looks for it; and those of these simulated venues."""
        for venue in simulated:
            _write(folder / f"{venue}.jsonl", journal_path(self._folder, venue).read_bytes())
        for venue, (exchange, kind) in self.venues.items():
            asked = f"{self.urls[exchange]}/_emulator/journal?venue={venue}&kind={kind}"
            _write(folder / f"{venue}.jsonl", await self._get(asked))

    async def _post(self, exchange: str, what: str, body: bytes = b"") -> None:
        assert self._session is not None, "started before anything is asked"
        url = f"{self.urls[exchange]}/_emulator/{what}"
        async with self._session.post(url, data=body) as answer:
            answer.raise_for_status()

    async def _get(self, url: str) -> Any:
        assert self._session is not None, "started before anything is asked"
        async with self._session.get(url) as answer:
            answer.raise_for_status()
            return await answer.read()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
