"""`bestex venues check` at the emulated exchanges, and what keeps a gateway from trading for real."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from bestex import bus, streams
from bestex.cli.main import run
from bestex.config import parse
from bestex.server import NatsServer
from tests.contract.rigs import (
    BINANCE_PERP,
    BINANCE_SPOT,
    BYBIT_PERP,
    BYBIT_SPOT,
    KIS_KRX,
    OKX_PERP,
    OKX_SPOT,
    Rig,
)
from tests.emulators.server import Emulator, Key, serve

RIGS = [BINANCE_SPOT, BINANCE_PERP, BYBIT_SPOT, BYBIT_PERP, OKX_SPOT, OKX_PERP]
BESTEX = [sys.executable, "-c", "from bestex.cli.main import main; main()"]
GOOD = Key()
ENDS_S_MAX = 60.0
MISCONFIGURED = 2
THREE = ("binance_spot", "okx_perp", "bybit_spot")  # of each exchange one; each takes seconds


def limits(venue: str) -> str:
    return f"""
[limits]
max_order_value = "100000"
[limits.open_orders]
{venue} = 20
[[limits.exposure]]
venue = "{venue}"
symbol = "BTC/USDT"
max_position = "10"
max_open_value = "1000000"
"""


@dataclass
class Place:
    """A configuration file for one venue, with its file of keys."""

    rig: Rig
    folder: Path
    url: str
    listing: str = ""
    mode: str = "live"
    limits: str | None = None
    key: Key | None = GOOD
    permissions: int = 0o600

    def write(self) -> Path:
        rig, keys = self.rig, self.folder / "keys.toml"
        if self.key is not None:
            keys.touch()
            keys.write_text(
                f'key = "{self.key.key}"\nsecret = "{self.key.secret}"\npassphrase = "{self.key.passphrase}"\n'
            )
            keys.chmod(self.permissions)
        path = self.folder / "bestex.toml"
        path.write_text(
            f"""
data_dir = "{self.folder / "data"}"
[venues.{rig.venue}]
adapter = "ccxt"
mode = "{self.mode}"
url = "{self.url}"
keys = "{keys if self.key is not None else ""}"
[instruments."BTC/USDT"]
price_scale = {rig.price_scale}
qty_scale = {rig.qty_scale}
[instruments."BTC/USDT".venues]
{rig.venue} = {{ symbol = "{rig.symbol}", {self.listing or rig.listing} }}
"""
            + (limits(rig.venue) if self.limits is None else self.limits)
        )
        return path

    async def check(self) -> tuple[int, dict[str, Any]]:
        """The exit code, and what was said. In a thread: a process would load all of ccxt's exchanges once more."""
        arguments = ["venues", "check", self.rig.venue, "--json", "--config", str(self.write())]
        with redirect_stdout(TextIOWrapper(written := BytesIO())) as out:
            async with asyncio.timeout(ENDS_S_MAX):
                code = await asyncio.to_thread(run, arguments)
            out.flush()
        found: dict[str, Any] = json.loads(written.getvalue())
        return code, found


async def ran(command: list[str], **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    async with asyncio.timeout(ENDS_S_MAX):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def wrong(found: dict[str, Any], verdict: str = "wrong") -> list[dict[str, Any]]:
    return [one for one in found["found"] if one["verdict"] == verdict]


def corrected(listing: str, writes: list[str]) -> str:
    """With all that is to be written, which is `PATH: name = "value", ...`."""
    terms = dict(part.split(" = ") for part in listing.split(", "))
    for write in writes:
        terms |= dict(part.split(" = ") for part in write.partition(": ")[2].split(", "))
    return ", ".join(f"{name} = {value}" for name, value in terms.items())


def at(rig: Rig, folder: Path, key: Key = GOOD) -> Emulator:
    return rig.make(folder / "venue", market="none", keys=(key,))


@pytest.mark.parametrize(
    "rig",
    [pytest.param(rig, marks=() if rig.venue in THREE else pytest.mark.campaign) for rig in RIGS],
    ids=str,
)
async def test_what_it_says_to_write_is_all_that_is_needed(rig: Rig, tmp_path: Path) -> None:
    """The rigs leave out what the contract does not need: fees of the account, smallest values."""
    async with serve(at(rig, tmp_path, Key(bound=True))) as emulator:
        place = Place(rig, tmp_path, emulator.url)
        _, found = await place.check()
        place.listing = corrected(rig.listing, [one["write"] for one in wrong(found)])
        code, found = await place.check()
        asked = emulator.faults.asked
    assert wrong(found) == []
    assert wrong(found, "unknown") == []
    assert code == 0
    looked = {one["what"].partition(" ")[0] for one in found["found"]}
    assert looked >= {"mode", "keys", "connection", "clock", "terms", "account", "rights", "address", "fees"}
    assert not any(asked[what] for what in ("new", "cancel", "amend")), "it looks, and does nothing"


@pytest.mark.parametrize("rig", RIGS, ids=str)
async def test_what_a_key_may_do_is_read_from_the_exchange(rig: Rig, tmp_path: Path) -> None:
    bad = Key(can_withdraw=True, can_trade=False)
    async with serve(at(rig, tmp_path, bad)) as emulator:
        code, found = await Place(rig, tmp_path, emulator.url).check()
    assert code == 1
    assert {one.get("code") for one in wrong(found)} >= {"key_may_withdraw", "key_may_not_trade"}
    (warned,) = [one for one in wrong(found, "warning") if one["what"] == "address"]
    assert "may be used from anywhere" in warned["text"]


async def test_what_differs_is_said_with_what_to_write(tmp_path: Path) -> None:
    listing = 'tick = "0.05", lot = "0.00001", min_notional = "1", taker_bps = "7.5"'
    async with serve(at(BINANCE_SPOT, tmp_path)) as emulator:
        code, found = await Place(BINANCE_SPOT, tmp_path, emulator.url, listing=listing).check()
    assert code == 1
    path = 'instruments."BTC/USDT".venues.binance_spot'
    written = {one.get("write") for one in wrong(found)}
    assert written >= {f'{path}: tick = "0.01"', f'{path}: min_notional = "5"'}
    assert any(str(one).startswith(f'{path}: taker_bps = "10", maker_bps = ') for one in written)


@pytest.mark.parametrize(("skew_s", "verdict"), [(3.0, "wrong"), (-3.0, "wrong"), (0.6, "warning")])
async def test_a_clock_that_is_off_is_told(tmp_path: Path, skew_s: float, verdict: str) -> None:
    async with serve(at(BINANCE_SPOT, tmp_path)) as emulator:
        emulator.skew_ns = int(skew_s * 1e9)
        _, found = await Place(BINANCE_SPOT, tmp_path, emulator.url).check()
    (clock,) = [one for one in found["found"] if one["what"] == "clock"]
    assert clock["verdict"] == verdict
    assert "set this machine's clock" in clock["text"]
    assert [one for one in found["found"] if one["what"] == "account"], (
        "and the rest is looked at all the same"
    )


@pytest.mark.parametrize("rig", [BINANCE_SPOT, BYBIT_SPOT, OKX_SPOT], ids=str)
@pytest.mark.parametrize("given", [GOOD._replace(secret="wrong-secret"), GOOD._replace(key="wrong-key")])
async def test_keys_that_the_venue_refuses_are_wrong(rig: Rig, tmp_path: Path, given: Key) -> None:
    async with serve(at(rig, tmp_path)) as emulator:
        code, found = await Place(rig, tmp_path, emulator.url, key=given).check()
    assert code == 1
    (account,) = [one for one in wrong(found) if one["what"] == "account"]
    assert "the venue" in account["text"]
    assert given.key not in str(found)
    assert given.secret not in str(found)


async def test_without_keys_what_is_public_is_looked_at(tmp_path: Path) -> None:
    async with serve(at(BINANCE_SPOT, tmp_path)) as emulator:
        place = Place(BINANCE_SPOT, tmp_path, emulator.url, mode="paper", key=None, limits="")
        code, found = await place.check()
        asked = dict(emulator.faults.asked)
    assert code == 0
    (keys,) = wrong(found, "unknown")
    assert "only what is public" in keys["text"]
    assert set(asked) <= {"other"}


async def test_where_nobody_answers_it_says_so(tmp_path: Path) -> None:
    code, found = await Place(BINANCE_SPOT, tmp_path, "http://127.0.0.1:9").check()
    assert code == 1
    (connection,) = wrong(found)
    assert "nothing answers at its address" in connection["text"]


# -- live ------------------------------------------------------------------------------------------------------


async def gateway(place: Place, nats: str = "nats://127.0.0.1:9") -> tuple[int, str]:
    command = [sys.executable, "-m", "services.gateway", place.rig.venue, "--config", str(place.write())]
    code, _, err = await ran(command, NATS_URL=nats)
    return code, err


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"key": None}, "live_without_keys"),
        ({"permissions": 0o644}, "live_without_keys"),
        ({"limits": ""}, "live_without_limits"),
    ],
)
async def test_a_gateway_without_what_live_needs_does_not_start(
    tmp_path: Path, changed: dict[str, Any], code: str
) -> None:
    place = Place(BINANCE_SPOT, tmp_path, "http://127.0.0.1:9", **changed)
    ended, said = await gateway(place)
    assert ended == MISCONFIGURED
    assert f"({code})" in said
    assert 'or write mode = "paper" in [venues.binance_spot]' in said
    listed, shown, _ = await ran(
        [*BESTEX, "venues", "--config", str(place.write())], NATS_URL="nats://127.0.0.1:9"
    )
    assert listed == 1
    assert f"({code})" in shown
    assert "LIVE" in shown


@pytest.mark.parametrize(
    ("key", "code"),
    [(Key(can_withdraw=True), "key_may_withdraw"), (Key(can_trade=False), "key_may_not_trade")],
)
@pytest.mark.parametrize("rig", [BINANCE_SPOT, BYBIT_PERP, OKX_SPOT], ids=str)
async def test_a_gateway_ends_where_the_venue_says_that_its_key_is_not_to_be_traded_with(
    rig: Rig, tmp_path: Path, nats_server: NatsServer, key: Key, code: str
) -> None:
    async with serve(at(rig, tmp_path, key)) as emulator:
        place = Place(rig, tmp_path, emulator.url)
        client = await bus.connect(nats_server.url, "test")
        await streams.apply(client, parse(place.write().read_text()))
        await client.close()
        ended, said = await gateway(place, nats_server.url)
        asked = emulator.faults.asked
    assert ended == MISCONFIGURED
    assert f"venues.{rig.venue}.keys: " in said
    assert f"({code})" in said
    assert not asked["new"]


async def test_a_configuration_of_both_is_refused_by_every_command(tmp_path: Path) -> None:
    path = Place(BINANCE_SPOT, tmp_path, "https://192.0.2.1").write()
    text = path.read_text().replace("[instruments", "[venues.sim_a]\n[instruments", 1)
    path.write_text(text.replace("[limits]", 'sim_a = { tick = "0.01", lot = "0.00001" }\n[limits]', 1))
    code, _, said = await ran([*BESTEX, "venues", "--config", str(path)])
    assert code == MISCONFIGURED
    assert "(live_mixed)" in said


# -- the broker ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [GOOD.secret, "wrong-secret"])
async def test_the_command_looks_at_the_broker_too(tmp_path: Path, secret: str) -> None:
    async with serve(KIS_KRX.make(tmp_path / "venue", market="none")) as emulator:
        KIS_KRX.config(emulator.url, tmp_path)  # writes the file of keys
        keys = tmp_path / "kis_krx.toml"
        keys.write_text(keys.read_text().replace(GOOD.secret, secret))
        path = tmp_path / "bestex.toml"
        path.write_text(
            f"""
data_dir = "{tmp_path / "data"}"
[venues.kis_krx]
adapter = "kis"
mode = "live"
url = "{emulator.url}"
keys = "{keys}"
[instruments."005930/KRW"]
price_scale = 0
qty_scale = 0
venues.kis_krx = {{ symbol = "005930", {KIS_KRX.listing} }}
"""
            + limits("kis_krx").replace("BTC/USDT", "005930/KRW")
        )
        code, said, _ = await ran([*BESTEX, "venues", "check", "kis_krx", "--json", "--config", str(path)])
    found = json.loads(said)
    assert (code, found["ok"]) == ((0, True) if secret == GOOD.secret else (1, False))
    assert [one["what"] for one in wrong(found)] == ([] if found["ok"] else ["token"])
    assert GOOD.key not in said
