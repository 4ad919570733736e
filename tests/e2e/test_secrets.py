"""Keys stay in their file: a whole run with real keys, much that can go wrong, and a search of all that is left.

One of the exchanges quotes key and secret in whatever it refuses, which is more than any real one should do.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from aiohttp import web
from nats.aio.msg import Msg

from bestex import bus, rights
from bestex.audit import run_audit
from bestex.client import Client
from bestex.parent import Parent
from bestex.session import Options, Session, prepare
from bestex.supervisor import Supervisor
from tests.contract.rigs import BINANCE_SPOT, BYBIT_SPOT, OKX_SPOT, PLENTY, Rig
from tests.e2e.conftest import BESTEX
from tests.emulators.binance import Binance
from tests.emulators.faults import Fault
from tests.emulators.server import Emulator, Key, Reply, serve
from tests.waiting import until

WORK_S_MAX = 60.0
PARENTS = 8  # at each venue: as many orders at once as there are faults
EDGE = 14  # characters of the beginning and of the end that are looked for too: cut keys are keys
KEYS = {
    "binance_spot": Key(
        "UNMISTAKABLEbinancekey0001", "UNMISTAKABLE/binance+secret==0001", "UNMISTAKABLEpass0001"
    ),
    "bybit_spot": Key("UNMISTAKABLEbybitkey0002", "UNMISTAKABLE/bybit+secret==0002", "UNMISTAKABLEpass0002"),
    "okx_spot": Key("UNMISTAKABLEokxkey0003", "UNMISTAKABLE/okx+secret==0003", "UNMISTAKABLE pass 0003"),
}
WRONG = KEYS["okx_spot"]._replace(secret="UNMISTAKABLE/mistaken+secret==0004")  # what our file says of okx
SECRETS = [value for key in (*KEYS.values(), WRONG) for value in (key.key, key.secret, key.passphrase)]
QUOTED = "key=*** secret=***"  # what is left of the exchange's quotation where it was hidden
DEPOSITS = {"USDT": PLENTY, "BTC": Decimal(100), "ETH": Decimal(1_000)}


class Quoting(Binance):
    """Repeats the key and the secret wherever it refuses, over a socket as over REST."""

    def _response(self, reply: Reply) -> web.Response:
        return super()._response(self._quoting(reply))

    def refusal(self, fault: Fault) -> Reply:
        return self._quoting(super().refusal(fault))

    def _quoting(self, reply: Reply) -> Reply:
        key = next(iter(self.keys.values()))
        if reply.status < 400 or not isinstance(reply.body, dict) or "msg" not in reply.body:
            return reply
        if key.secret in reply.body["msg"]:  # what a fault said, on its way over REST
            return reply
        said = f"{'x' * 180} {reply.body['msg']} key={key.key} secret={key.secret}"
        return reply._replace(body=reply.body | {"msg": said})


def spellings(value: str) -> Iterator[bytes]:
    """Every form in which a library may write it, and the forms of its edges."""
    for text in {value, quote(value, safe=""), quote(value), quote_plus(value), json.dumps(value)[1:-1]}:
        yield from (
            text.encode(),
            text[:EDGE].encode() + text[EDGE : EDGE + 3].encode(),
            text[-EDGE:].encode(),
        )
    raw = value.encode()
    yield from (raw.hex().encode(), raw.hex().upper().encode())
    for before in range(3):  # where it begins within a group of three bytes decides what it looks like
        for encode in (b64encode, urlsafe_b64encode):
            whole = encode(b"\0" * before + raw)
            yield whole[4 if before else 0 : len(whole) - 4]


NEEDLES = {needle for secret in SECRETS for needle in spellings(secret)}


def found_in(data: bytes) -> list[bytes]:
    return [needle for needle in NEEDLES if needle in data]


def found_below(folder: Path) -> dict[str, list[bytes]]:
    return {
        str(path.relative_to(folder)): found
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (found := found_in(path.read_bytes()))
    }


def test_the_search_finds_a_key_in_each_of_its_forms(tmp_path: Path) -> None:
    secret = KEYS["okx_spot"].secret
    forms = [
        secret.encode(),
        quote(secret, safe="").encode(),
        secret.encode().hex().encode(),
        b64encode(secret.encode()),
        b64encode(f"user:{secret}".encode()),
        b64encode(f"u:{secret}".encode()),
        secret[:20].encode(),
    ]
    for number, form in enumerate(forms):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "log").write_bytes(b"before " + form + b" after")
        assert list(found_below(folder)) == ["log"], form
    assert not found_in(b"UNMISTAKABLE words, and no key")


def config_text(rigs: list[tuple[Rig, str]], keys: Path) -> str:
    text = '[limits]\nmax_order_value = "100000"\n[limits.open_orders]\n'
    text += "".join(f"{rig.venue} = 50\n" for rig, _ in rigs)
    text += '[[limits.exposure]]\nsymbol = "BTC/USDT"\nmax_position = "10"\nmax_open_value = "1000000"\n'
    text += '[execution]\ntimeout = "1s"\n'
    for rig, url in rigs:
        given = WRONG if rig is OKX_SPOT else KEYS[rig.venue]
        path = keys / f"{rig.venue}.toml"
        path.touch(mode=0o600)
        path.write_text(
            f'key = "{given.key}"\nsecret = "{given.secret}"\npassphrase = "{given.passphrase}"\n'
        )
        text += f'[venues.{rig.venue}]\nadapter = "ccxt"\nmode = "live"\nurl = "{url}"\nkeys = "{path}"\n'
    text += '[instruments."BTC/USDT"]\nprice_scale = 2\nqty_scale = 8\n[instruments."BTC/USDT".venues]\n'
    return text + "".join(f'{rig.venue} = {{ symbol = "{rig.symbol}", {rig.listing} }}\n' for rig, _ in rigs)


def spoil(emulators: list[Emulator]) -> None:
    """What may make somebody say too much."""
    for emulator in emulators:
        for how in ("truncated", "server_error", "garbled", "busy", "skewed", "maintenance", "reset"):
            emulator.faults.add(Fault(how=how, what="new", when="before"))
        emulator.faults.add(Fault(how="truncated", what="list"), Fault(how="garbled", what="list"))


def break_a_handler(emulator: Emulator) -> None:
    """A trade without a time: what reads it raises, within the task that watches the user's stream."""
    report = {
        "e": "executionReport",
        "s": "BTCUSDT",
        "c": "nobody",
        "i": 1,
        "x": "TRADE",
        "X": "FILLED",
        "t": 7,
    }
    assert isinstance(emulator, Binance)
    emulator._tell_user(
        "default", report | {"q": "1", "p": "1", "l": "1", "L": "1", "z": "1", "Z": "1", "S": "BUY"}
    )


class Watch:
    """All that anybody may hear on the bus."""

    def __init__(self) -> None:
        self.count, self.found = 0, list[tuple[str, list[bytes]]]()

    async def hear(self, message: Msg) -> None:
        self.count += 1
        data = message.data + json.dumps(dict(message.headers or {})).encode()
        if found := found_in(data):
            self.found.append((message.subject, found))


def of_processes(supervisor: Supervisor) -> dict[str, list[bytes]]:
    """Arguments and environments, which other users of a machine may see."""
    assert supervisor.server is not None
    processes = {child.spec.name: child.pid for child in supervisor.children} | {
        "nats": supervisor.server.pid
    }
    return {
        name: found
        for name, pid in processes.items()
        if (
            found := found_in(
                b"".join(Path(f"/proc/{pid}/{what}").read_bytes() for what in ("cmdline", "environ"))
            )
        )
    }


async def command(session: Session, url: str, *arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **session.environment, "NATS_URL": url},
    )
    async with asyncio.timeout(WORK_S_MAX):
        said, _ = await process.communicate()
    return said


async def done(*parents: Parent) -> None:
    async with asyncio.timeout(WORK_S_MAX):
        await asyncio.gather(*(parent.wait() for parent in parents))


def logged(session: Session, words: str) -> Callable[[], bool]:
    return lambda: words in (session.data_dir / "logs" / "gateway.log").read_text()


async def test_no_key_leaves_its_file_whatever_goes_wrong(tmp_path: Path) -> None:
    keys, outside = tmp_path / "keys", tmp_path / "exchanges"
    keys.mkdir(mode=0o700)
    outside.mkdir()
    async with (
        serve(Quoting(outside / "binance", keys=(KEYS["binance_spot"],), deposits=DEPOSITS)) as binance,
        serve(BYBIT_SPOT.make(outside / "bybit", keys=(KEYS["bybit_spot"],), deposits=DEPOSITS)) as bybit,
        serve(
            OKX_SPOT.make(outside / "okx", market="none", keys=(KEYS["okx_spot"],), deposits=DEPOSITS)
        ) as okx,
    ):
        path = tmp_path / "bestex.toml"
        rigs = [(BINANCE_SPOT, binance.url), (BYBIT_SPOT, bybit.url), (OKX_SPOT, okx.url)]
        path.write_text(config_text(rigs, keys))
        session = prepare(Options(config=path, data_dir=tmp_path / "data", any_port=True))
        supervisor = session.supervisor(lambda _: None)
        watch, said = Watch(), dict[str, bytes]()
        await supervisor.start()
        try:
            monitor = await bus.connect(supervisor.access(rights.MONITOR), "test")
            await monitor.subscribe("bestex.v1.>", cb=watch.hear)
            await until(logged(session, "no session"))
            async with Client(supervisor.url, session.config) as client:
                # One alone first, so that what the exchange quotes is heard: later a connection may end with
                # everything that was on its way.
                binance.faults.add(Fault(how="maintenance", what="new"))
                await done(
                    await client.submit("BTC/USDT", "buy", "0.03", algo="market", venues=["binance_spot"])
                )
                spoil([binance, bybit])
                # Of many parents at once, because each waits until it is known what became of an order; of
                # different sizes, because the same again meanwhile is refused.
                parents = [
                    await client.submit(
                        "BTC/USDT",
                        "buy",
                        f"0.02{n}",
                        algo="twap",
                        duration="12s",
                        interval="1s",
                        venues=[venue],
                    )
                    for venue in ("binance_spot", "bybit_spot")
                    for n in range(1, PARENTS + 1)
                ]
                await done(*parents)
                await until(lambda: not binance.faults.waiting)  # everything that was to go wrong has
                bybit.faults.clear()
                after = [
                    await client.submit("BTC/USDT", "buy", "0.03", algo="market", venues=[venue])
                    for venue in ("binance_spot", "bybit_spot")
                ]
                await done(*after)
                break_a_handler(binance)
                await until(logged(session, "TypeError"))
            for venue in KEYS:
                said[f"check {venue}"] = await command(
                    session, supervisor.url, *BESTEX, "venues", "check", venue
                )
            said["venues"] = await command(session, supervisor.url, *BESTEX, "venues", "--json")
            said["doctor"] = await command(session, supervisor.url, *BESTEX, "doctor")
            checkpoint = [sys.executable, "-m", "services.gateway", "--checkpoint"]
            said["checkpoint"] = await command(session, supervisor.url, *checkpoint)
            processes = of_processes(supervisor)
            report = await run_audit(supervisor.access(rights.MONITOR))
            await monitor.close()
        finally:
            await supervisor.stop()
    assert report.ok, report.text()
    assert {fill.venue for parent in after for fill in parent.fills} == {"binance_spot", "bybit_spot"}
    provoked(session)
    assert b"***" in said["check okx_spot"] or b"refuses the key" in said["check okx_spot"]
    assert watch.count > 100
    assert watch.found == []
    assert processes == {}
    assert {name: found for name, text in said.items() if (found := found_in(text))} == {}
    assert found_below(session.data_dir) == {}
    assert found_in(path.read_bytes()) == []
    assert set(found_below(keys)) == {f"{venue}.toml" for venue in KEYS}, "and the search works"
    parts = {part.name for part in session.data_dir.iterdir()}
    assert parts >= {"logs", "nats", "markets", "bestex.db", "marks"}, "all that is kept was searched"
    assert (session.data_dir / "marks" / "gateway-all.checkpoint").exists()


def provoked(session: Session) -> None:
    """That there was something to leak: the exchange's quotation came here, and was hidden."""
    lines: list[dict[str, Any]] = [
        json.loads(line)
        for line in (session.data_dir / "logs" / "gateway.log").read_text().splitlines()
        if line[:1] == "{"
    ]
    assert any(QUOTED in str(line.get("text")) for line in lines if line["event"] == "no answer")
    assert any(line["event"] == "no session" and line["venue"] == "okx_spot" for line in lines)
