"""A VWAP order in a Korean stock over KRX and NXT: real bus, real processes, and the emulated broker behind them.

All clocks stand at a time of Friday in Seoul, and go on from there as ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import nats
import pytest
from nats.aio.msg import Msg

from bestex import codec, rights, subjects
from bestex import messages as m
from bestex.audit import run_audit
from bestex.client import Client
from bestex.clock import ENV_CLOCK, AffineClock, parse_time
from bestex.session import Options, prepare
from bestex.sessions import calendar
from bestex.supervisor import Supervisor
from tests.emulators import kis_wire as wire
from tests.emulators.kis import Kis
from tests.emulators.server import Key, serve
from tests.live_limits import live_limits
from tests.unit.equities import KRX_TICKS
from tests.waiting import until

SHARE = "005930/KRW"
VENUES = {"kis_krx": "XKRX", "kis_nxt": "NXT"}
BOTH_OPEN = parse_time("2026-11-27T05:30:00Z")  # 14:30 in Seoul
KRX_ALONE = parse_time("2026-11-27T06:22:00Z")  # 15:22: NXT has closed, and KRX will in eight minutes
ORDER_S = 20
READY_S, WORK_S = 60.0, 90.0
QTY = Decimal(30)
KEY = Key()


@pytest.fixture(
    params=[
        pytest.param(BOTH_OPEN, id="both open"),
        pytest.param(KRX_ALONE, id="krx alone", marks=pytest.mark.campaign),  # as long as the other
    ]
)
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AffineClock:
    """Of all processes of this test."""
    made = AffineClock(int(request.param), time.time_ns(), 1.0)
    monkeypatch.setenv(ENV_CLOCK, made.encode())
    return made


def settings(kis: Kis, folder: Path) -> str:
    keys = folder / "keys.toml"
    names = {"key": KEY.key, "secret": KEY.secret, "hts_id": KEY.passphrase, "account": "12345678-01"}
    keys.write_text("".join(f'{name} = "{value}"\n' for name, value in names.items()))
    keys.chmod(0o600)
    # The app's only websocket is the collector's, so the gateway asks for everything.
    venues = "".join(
        f'[venues.{venue}]\nadapter = "kis"\nmode = "live"\ncalendar = "{hours}"\nkeys = "{keys}"\n'
        f'url = "{kis.url}"\noptions = {{ notices = false }}\n'
        for venue, hours in VENUES.items()
    )
    ticks = "[" + ", ".join(f'["{start}", "{tick}"]' for start, tick in KRX_TICKS) + "]"
    terms = f'symbol = "005930", ticks = {ticks}, lot = "1", taker_bps = "1.5", maker_bps = "1.5"'
    listed = "".join(f"venues.{venue} = {{ {terms} }}\n" for venue in VENUES)
    limits = live_limits([SHARE], VENUES)
    return f'{venues}[instruments."{SHARE}"]\nprice_scale = 0\nqty_scale = 0\n{listed}{limits}'


class Platform(NamedTuple):
    """At work. `decided`: every route of a slice; `told`: what the supervisor had to say of its processes."""

    client: Client
    supervisor: Supervisor
    decided: list[m.RouteDecided]
    told: list[str]


@asynccontextmanager
async def platform(
    kis: Kis, folder: Path
) -> AsyncIterator[tuple[Client, Supervisor, list[m.RouteDecided], list[str]]]:
    config = folder / "bestex.toml"
    config.write_text(settings(kis, folder))
    session = prepare(Options(config=config, data_dir=folder / "data", any_port=True))
    told: list[str] = []
    decided: list[m.RouteDecided] = []
    supervisor = session.supervisor(told.append)
    await supervisor.start()
    try:
        access = supervisor.user
        async with Client(access.url, session.config) as client:
            bare = await nats.connect(access.url, nkeys_seed=str(access.key))

            async def route(message: Msg) -> None:
                if message.subject.endswith(".decided"):
                    decided.append(codec.from_json(message.data, m.RouteDecided))

            await bare.subscribe(f"{subjects.ROOT}.route.>", cb=route)
            yield Platform(client, supervisor, decided, told)
            await bare.close()
    finally:
        await supervisor.stop()


async def test_a_vwap_order_trades_where_it_is_open_on_the_ticks_of_its_prices(
    clock: AffineClock, tmp_path: Path
) -> None:
    open_now = {venue for venue, hours in VENUES.items() if calendar(hours).at(clock.now_ns()) is not None}
    async with serve(Kis(tmp_path / "broker")) as kis:
        assert isinstance(kis, Kis)
        async with platform(kis, tmp_path) as (client, supervisor, decided, told):

            async def all_are_seen() -> bool:
                shown = await client.plan(SHARE, "buy", "30", strategy="split_evenly")
                return {leg.venue for leg in shown.legs} == open_now

            await until(all_are_seen, READY_S)
            parent = await client.submit(
                SHARE,
                "buy",
                QTY,
                algo="vwap",
                strategy="split_evenly",
                limit_price="80000",  # its value is limited, and a scheduler may not have heard a price yet
                duration=f"{ORDER_S}s",
                interval="2s",
                force_completion=True,
            )
            async with asyncio.timeout(WORK_S):
                status = await parent.wait()
            report = await run_audit(supervisor.access(rights.MONITOR), journals=None, complete=True)
        truth = {venue: kis.engines[exchange].trades("default") for exchange, venue in wire.VENUES.items()}
    assert report.ok, report.text()
    assert told == []
    assert status.cum_qty == QTY
    assert not status.leaves_qty
    assert sum(fill.qty for fill in parent.fills) == QTY
    assert sum(fill.qty * fill.price for fill in parent.fills) == status.notional
    assert {fill.venue for fill in parent.fills} == open_now
    for event in decided:
        for leg in event.legs:
            assert wire.on_grid("KRX", leg.price)
    for venue in VENUES:
        ours = [fill for fill in parent.fills if fill.venue == venue]
        theirs = [(trade.qty, trade.price) for trade in truth[venue]]
        assert sum(fill.qty for fill in ours) == sum(qty for qty, _ in theirs)
        # What the broker tells without notices is an order's sum, whose mean is rounded to whole won.
        paid = sum((qty * price for qty, price in theirs), Decimal(0))
        told_paid = sum((fill.qty * fill.price for fill in ours), Decimal(0))
        assert abs(told_paid - paid) <= sum((fill.qty for fill in ours), Decimal(0))
    reasons = {left.venue: left.reason for event in decided for left in event.left_out}
    for venue in VENUES.keys() - open_now:
        assert reasons[venue].startswith("market_closed: closed until 2026-11-27T06:40:00")
