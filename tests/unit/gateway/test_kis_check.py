"""`bestex venues check` at KIS: what is wrong with the keys or the account, each in a sentence, and no order sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bestex import plugins
from bestex.clock import DAY, MINUTE
from bestex.config import Config
from bestex.kis.token import Stored
from bestex.messages import Side, Tif
from bestex.venues import Found, stated_capabilities
from services.gateway.venues.kis.adapter import KisVenue
from tests.contract.rigs import CLOCK, KIS, KIS_KRX, Rig
from tests.emulators.faults import Fault
from tests.emulators.kis import Kis
from tests.emulators.server import Emulator, Key, serve
from tests.unit.gateway.kis_desk import optioned
from tests.waiting import until

GIVEN = dict(zip(KIS_KRX.names, KIS_KRX.secrets, strict=True))
WON = {"KRW": Decimal(1_000_000)}


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[Kis]:
    async with serve(KIS_KRX.make(tmp_path / "venue", market="none", deposits=WON)) as emulator:
        assert isinstance(emulator, Kis)
        yield emulator


def config_of(rig: Rig, emulator: Emulator, folder: Path, **keys: str) -> Config:
    """With other keys than the emulator's, where they are given."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{rig.venue}.toml"
    file.touch(mode=0o600)
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in {**GIVEN, **keys}.items() if value))
    return rig.config(emulator.url, folder)


async def look(config: Config, venue: str = "kis_krx") -> dict[str, Found]:
    """What was found, by what was looked at; the last word on each."""
    found: list[Found] = []
    await plugins.load(plugins.CHECKS, "kis")(venue, config, found.append)
    for secret in (Key().key, Key().secret):
        assert secret not in str(found), "nothing that is said holds a key"
    return {one.what: one for one in found}


def verdicts(found: dict[str, Found]) -> dict[str, str]:
    return {what: str(one.verdict) for what, one in found.items()}


@pytest.mark.parametrize("rig", KIS, ids=str)
async def test_where_all_is_well_it_says_so_and_does_nothing(rig: Rig, tmp_path: Path) -> None:
    async with serve(rig.make(tmp_path / "venue", market="none", deposits=rig.deposits)) as emulator:
        order = emulator.engine.submit("default", rig.symbol, Side.BUY, rig.qty, rig.price)
        assert order.ok
        found = await look(config_of(rig, emulator, tmp_path), rig.venue)
        asked = emulator.faults.asked
    assert verdicts(found) == {
        **dict.fromkeys(("host", "keys", "token", "account", "orders", "notices"), "ok"),
        "terms": "unknown",
    }
    assert f"{rig.base} {rig.deposits[rig.base]}" in found["account"].text
    assert "1 rows today, 1 orders at work" in found["orders"].text
    assert not any(asked[what] for what in ("new", "cancel", "amend"))


async def test_an_account_without_money_and_shares_is_warned_of(tmp_path: Path) -> None:
    async with serve(KIS_KRX.make(tmp_path / "venue", market="none", deposits={})) as emulator:
        found = await look(config_of(KIS_KRX, emulator, tmp_path))
    assert found["account"].verdict == "warning"
    assert found["account"].text == "there is nothing to trade with: KRW 0, 005930 0"


@pytest.mark.parametrize(
    ("keys", "what", "sentence"),
    [
        ({"key": "another-key"}, "token", "KIS knows no such key"),
        ({"secret": "another-secret"}, "token", "the secret is not the key's"),
        ({"account": "87654321-01"}, "account", "the account is not this key's"),
        ({"account": "first"}, "keys", 'account must be like "12345678-01"'),
        ({"hts_id": "somebody"}, "notices", "hts_id is not the name that the account's owner logs in with"),
        ({"hts_id": ""}, "keys", "or options.notices = false"),
        ({"secret": ""}, "keys", "has no secret; a line of it reads"),
    ],
)
async def test_each_wrong_key_is_named(
    venue: Kis, tmp_path: Path, keys: dict[str, str], what: str, sentence: str
) -> None:
    found = await look(config_of(KIS_KRX, venue, tmp_path, **keys))
    assert {name for name, one in found.items() if one.verdict == "wrong"} == {what}
    assert sentence in found[what].text


async def test_a_wrong_account_does_not_hide_that_notices_come(venue: Kis, tmp_path: Path) -> None:
    found = await look(config_of(KIS_KRX, venue, tmp_path, account="87654321-01"))
    assert (found["notices"].verdict, "orders" in found) == ("ok", False)


async def test_a_token_that_has_ended_is_renewed_and_said(venue: Kis, tmp_path: Path) -> None:
    config = config_of(KIS_KRX, venue, tmp_path)
    await look(config)
    for token in venue.tokens.values():
        token.issued_ns -= DAY
    found = await look(config)
    assert found["account"].verdict == "wrong", "one was asked for just now"
    assert "may be asked for again in" in found["account"].text
    (path,) = [one for one in (tmp_path / "kis").glob("token-*") if not one.suffix]
    stored = msgspec.json.decode(path.read_bytes(), type=Stored)
    path.write_bytes(
        msgspec.json.encode(msgspec.structs.replace(stored, asked_ns=stored.asked_ns - 2 * MINUTE))
    )
    found = await look(config)
    assert verdicts(found)["account"] == "ok"
    assert found["token"].verdict == "warning"
    assert "did not take the one that was kept" in found["token"].text
    assert len(venue.tokens) == 2


@pytest.mark.parametrize(
    ("fault", "what", "sentence"),
    [
        (
            Fault(how="maintenance", times=9),
            "token",
            "KIS is closed for maintenance; /oauth2/tokenP: EGW00300",
        ),
        (
            Fault(how="maintenance", what="list", times=9),
            "account",
            "KIS is closed for maintenance; EGW00300",
        ),
        (Fault(how="rate_limited", what="list", times=9), "account", "the key has asked too much"),
        (Fault(how="banned", what="list"), "account", "KIS did not answer; status 403"),
        (Fault(how="reset", what="list", skip=1, times=9), "orders", "KIS did not answer"),
        (Fault(how="server_error", skip=3, what="any"), "orders", "KIS did not answer; status 502"),
    ],
    ids=str,
)
async def test_what_is_wrong_with_the_broker_is_told_from_what_is_wrong_with_the_keys(
    venue: Kis, tmp_path: Path, fault: Fault, what: str, sentence: str
) -> None:
    venue.faults.add(fault)
    found = await look(config_of(KIS_KRX, venue, tmp_path))
    assert {name for name, one in found.items() if one.verdict == "wrong"} == {what}
    assert sentence in found[what].text


async def test_nobody_at_the_address_is_said(venue: Kis, tmp_path: Path) -> None:
    config = config_of(KIS_KRX, venue, tmp_path)
    nowhere = msgspec.structs.replace(config.venues["kis_krx"], url="http://127.0.0.1:9")
    found = await look(msgspec.structs.replace(config, venues={"kis_krx": nowhere}))
    assert list(found) == ["host", "keys", "token"]
    assert "nothing answers at its address" in found["token"].text


async def test_a_gateway_that_has_the_only_websocket_keeps_it(venue: Kis, tmp_path: Path) -> None:
    config = config_of(KIS_KRX, venue, tmp_path)
    running, heard = KisVenue("kis_krx", config, CLOCK), list[Any]()
    await running.connect(lambda said: heard.append(said), CLOCK.now_ns)
    try:
        await until(lambda: bool(heard))
        found = await look(config)
        assert found["notices"].verdict == "warning"
        assert "in use, by a gateway or a collector" in found["notices"].text
        assert len(heard) == 1, "it has not lost what it hears"
    finally:
        await running.disconnect()


async def test_without_notices_no_websocket_is_asked_for(venue: Kis, tmp_path: Path) -> None:
    config = config_of(KIS_KRX, venue, tmp_path, hts_id="")
    found = await look(optioned(config, "kis_krx", notices=False))
    assert "wrong" not in verdicts(found).values()
    assert "everything is asked for" in found["notices"].text
    assert not venue.approvals


async def test_without_keys_or_with_a_setting_that_is_none_nothing_is_asked(
    venue: Kis, tmp_path: Path
) -> None:
    config = config_of(KIS_KRX, venue, tmp_path)
    bare = msgspec.structs.replace(config.venues["kis_krx"], keys="")
    found = await look(msgspec.structs.replace(config, venues={"kis_krx": bare}))
    assert (found["keys"].verdict, found["keys"].write) == ("wrong", '[venues.kis_krx] keys = "FILE"')
    found = await look(optioned(config, "kis_krx", host="moon"))
    assert "must be real or virtual" in found["host"].text
    assert not venue.faults.asked


def test_what_a_venue_can_is_stated_without_a_session(tmp_path: Path) -> None:
    config = KIS_KRX.config("http://127.0.0.1:9", tmp_path)
    real = stated_capabilities("kis_krx", config)
    virtual = stated_capabilities("kis_krx", optioned(config, "kis_krx", host="virtual"))
    assert (Tif.IOC in real.tifs, Tif.IOC in virtual.tifs) == (True, False)
    assert (real.calendar, real.rates[0].weight, virtual.rates[0].weight) == ("XKRX", 20, 2)
    assert real == KisVenue("kis_krx", config, CLOCK).capabilities
    assert Key().secret not in str(real)
