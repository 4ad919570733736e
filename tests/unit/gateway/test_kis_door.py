"""What KIS lets pass: limits, tokens, hours, the virtual host, settings."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bestex.clock import MS
from bestex.config import load as load_config
from bestex.errors import Code, ConfigError
from bestex.messages import Side, Tif
from services.gateway import port as p
from services.gateway.venues.kis.adapter import KisVenue
from tests.contract.rigs import CLOCK, KIS_KRX, KIS_NXT, KIS_US, Desk, Rig, desk_of
from tests.contract.test_contract import is_fill, rests
from tests.emulators import kis_wire as wire
from tests.emulators.budget import Budget
from tests.emulators.kis import Kis
from tests.emulators.server import Key
from tests.unit.gateway.kis_desk import connected, kis, optioned, replace
from tests.waiting import until


@pytest.fixture
async def krx(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_of(KIS_KRX, tmp_path) as made:
        yield made


async def test_two_venues_of_one_account_share_a_websocket(tmp_path: Path) -> None:
    async with desk_of(KIS_KRX, tmp_path) as desk:
        config = KIS_NXT.config(desk.emulator.url, tmp_path)
        heard: list[Any] = []
        nxt = KisVenue("kis_nxt", config, CLOCK)
        await nxt.connect(lambda said: heard.append(said), CLOCK.now_ns)
        try:
            await until(lambda: bool(heard))
            assert len(desk.emulator.sockets) == 1
            await nxt.submit(msgspec.structs.replace(desk.order("c1"), venue="kis_nxt"))
            engine = kis(desk).engines["NXT"]
            engine.submit("other", KIS_NXT.symbol, Side.SELL, Decimal(10), KIS_NXT.price)
            await until(lambda: any(isinstance(one, p.VenueFill) for one in heard))
        finally:
            await nxt.disconnect()
        since = len(desk.said)
        await rests(desk, "c2")
        desk.others(Side.SELL)
        fill = await desk.until(is_fill("c2"), since)
        assert fill.qty == 10, "the other one has left, and this one still hears"


async def test_what_the_limits_do_not_let_pass_in_time_is_not_sent(krx: Desk) -> None:
    async with connected(krx, optioned(krx.config, "kis_krx", rate=4, notices=False)) as venue:
        soon_ns = CLOCK.now_ns() + 100 * MS
        said = [await venue.admit(krx.order(f"c{i}", deadline_ns=soon_ns)) for i in range(6)]
        refused = [one for (one,) in filter(None, said)]
        assert 3 <= len(refused) <= 5
        assert {(type(one), getattr(one, "code", "")) for one in refused} == {
            (p.VenueNotSent, Code.RATE_LIMITED)
        }
        late = msgspec.structs.replace(replace(krx, "c1", ""), deadline_ns=soon_ns)
        [said_late] = await venue.admit(late)
        assert isinstance(said_late, p.VenueReplaceRejected)
    assert krx.emulator.faults.asked["new"] == 0


async def test_a_kind_that_is_not_there_is_not_sent(tmp_path: Path) -> None:
    async with desk_of(KIS_US, tmp_path) as desk:
        [said] = await desk.venue.submit(desk.order("c1", tif=Tif.IOC))
        assert isinstance(said, p.VenueNotSent)
        assert desk.emulator.faults.asked["new"] == 0


async def test_outside_of_the_hours_an_order_is_refused(krx: Desk) -> None:
    kis(krx).sessions = True
    kis(krx).now_ns = lambda: wire.when("2026-11-29T10:00:00")  # type: ignore[method-assign] # a Sunday
    [said] = await krx.venue.submit(krx.order("c1"))
    assert isinstance(said, p.VenueRejected)
    assert said.code is Code.VENUE_DOWN


async def test_a_token_that_is_not_taken_any_more_is_not_used_again(krx: Desk) -> None:
    kis(krx).tokens.clear()
    [said] = await krx.venue.submit(krx.order("c1"))
    assert isinstance(said, p.VenueRejected)
    asked = krx.emulator.faults.asked["new"]
    [said] = await krx.venue.submit(krx.order("c2"))
    assert isinstance(said, p.VenueNotSent)
    assert krx.emulator.faults.asked["new"] == asked


@pytest.mark.parametrize("rig", [KIS_KRX, KIS_US], ids=str)
async def test_the_virtual_host_is_the_same_under_other_names(rig: Rig, tmp_path: Path) -> None:
    make = partial(Kis, exchange="US" if rig is KIS_US else "KRX", sessions=False, virtual=True)
    async with desk_of(dataclasses.replace(rig, make=make), tmp_path, connect=False) as desk:
        config = optioned(desk.config, rig.venue, host="virtual", rate=20)
        kis(desk).budgets[Key().key] = Budget(1_000, 1.0)
        async with connected(desk, config) as venue:
            assert Tif.IOC not in venue.capabilities.tifs
            for child_id, side in (("c1", Side.BUY), ("c2", Side.SELL)):
                order = desk.order(child_id, side, off=-5)
                [said] = await venue.submit(order)
                assert isinstance(said, p.VenueAccepted)
                [opened] = await venue.open_orders() or []
                assert (opened.child_id, opened.venue_order_id) == (child_id, said.venue_order_id)
                ended = (await venue.cancel(desk.cancel(child_id, said.venue_order_id)))[-1]
                assert isinstance(ended, p.VenueClosed)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"exchange": "LSE"}, "exchange: must be one of"),
        ({"host": "paper"}, "host: must be real or virtual"),
        ({"host": "virtual", "exchange": "NXT"}, "has no NXT"),
        ({"rate": "many"}, "rate: must be a number"),
        ({"rate": 0}, "lets nothing pass"),
        ({"speed": 1}, "speed: there is no such option"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, options: dict[str, Any], wrong: str) -> None:
    config = optioned(KIS_KRX.config("http://127.0.0.1:1", tmp_path), "kis_krx", **options)
    with pytest.raises(ConfigError, match=wrong):
        KisVenue("kis_krx", config, CLOCK)


def test_orders_are_sent_only_where_somebody_has_said_so(tmp_path: Path) -> None:
    config = KIS_KRX.config("http://127.0.0.1:1", tmp_path)
    paper = msgspec.structs.replace(config.venues["kis_krx"], mode="paper")
    with pytest.raises(ConfigError, match="live"):
        KisVenue("kis_krx", msgspec.structs.replace(config, venues={"kis_krx": paper}), CLOCK)


def test_the_example_of_a_configuration_makes_all_three_venues(tmp_path: Path) -> None:
    given = load_config(Path(__file__).parents[3] / "deploy" / "config" / "kis.toml", {})
    keys = KIS_KRX.config("http://127.0.0.1:1", tmp_path).venues["kis_krx"].keys
    venues = {name: msgspec.structs.replace(venue, keys=keys) for name, venue in given.venues.items()}
    config = msgspec.structs.replace(given, venues=venues, data_dir=str(tmp_path))
    made = {name: KisVenue(name, config, CLOCK) for name in config.enabled_venues()}
    assert {name: venue.capabilities.calendar for name, venue in made.items()} == {
        "kis_krx": "XKRX",
        "kis_nxt": "NXT",
        "kis_us": "XNYS",
    }
