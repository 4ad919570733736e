"""A TWAP on paper: two exchanges' own markets over their own wires, fills in them, and no order that gets there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from bestex import rights
from bestex.audit import run_audit
from bestex.client import Client
from bestex.session import Options, Session, prepare
from bestex.supervisor import Child, State
from tests.contract.rigs import BINANCE_SPOT, BYBIT_PERP, Rig
from tests.e2e.conftest import BESTEX
from tests.emulators.engine import DepthChange
from tests.emulators.server import Emulator, serve
from tests.waiting import until

LIVE_S_MAX = 30.0
WORK_S_MAX = 60.0
RIGS = (BINANCE_SPOT, BYBIT_PERP)


def config_text(rigs: list[tuple[Rig, str]]) -> str:
    """Without a word of modes, keys or limits: what nobody has asked for is paper."""
    venues = "".join(
        f'[venues.{rig.venue}]\nadapter = "ccxt"\nurl = "{url}"\nlatency = "5ms"\n' for rig, url in rigs
    )
    listings = "".join(
        f'{rig.venue} = {{ symbol = "{rig.symbol}", maker_bps = "1", {rig.listing} }}\n' for rig, _ in rigs
    )
    return (
        f'{venues}[instruments."BTC/USDT"]\nprice_scale = 2\nqty_scale = 5\n'
        f'[instruments."BTC/USDT".venues]\n{listings}'
    )


def orders_asked(emulator: Emulator) -> dict[str, int]:
    return {what: emulator.faults.asked[what] for what in ("new", "cancel", "amend", "query", "list")}


async def test_a_twap_on_paper_fills_in_the_real_market_and_no_order_gets_there(tmp_path: Path) -> None:
    async with (
        serve(BINANCE_SPOT.make(tmp_path / "binance")) as spot,
        serve(BYBIT_PERP.make(tmp_path / "bybit")) as perp,
    ):
        shown = {"binance_spot": remembered(spot), "bybit_perp": remembered(perp)}
        path = tmp_path / "bestex.toml"
        path.write_text(config_text([(BINANCE_SPOT, spot.url), (BYBIT_PERP, perp.url)]))
        session = prepare(Options(config=path, data_dir=tmp_path / "data", any_port=True))
        told: list[str] = []
        supervisor = session.supervisor(told.append)
        await supervisor.start()
        try:
            async with Client(supervisor.url, session.config) as client:
                async with asyncio.timeout(LIVE_S_MAX):
                    while len((await client.plan("BTC/USDT", "buy", "1")).legs) < 1:  # noqa: ASYNC110 - a question
                        await asyncio.sleep(0.1)
                parent = await client.submit(
                    "BTC/USDT", "buy", "0.5", algo="twap", duration="5s", interval="1s", force_completion=True
                )
                async with asyncio.timeout(WORK_S_MAX):
                    status = await parent.wait()
            listed = json.loads(await venues(session, supervisor.url))
            report = await run_audit(
                supervisor.access(rights.MONITOR), journals=session.data_dir / "exchange", complete=True
            )
        finally:
            await supervisor.stop()
        asked = [orders_asked(emulator) for emulator in (spot, perp)]
        at_work = [emulator.engine.orders("default") for emulator in (spot, perp)]
    assert report.ok, report.text()
    assert {(one["venue"], one["kind"], one["runs_as"], one["session"]) for one in listed["venues"]} == {
        ("binance_spot", "paper", "paper", "reconciled"),
        ("bybit_perp", "paper", "paper", "reconciled"),
    }
    assert all(one["running"] and one["breaker"] == "" for one in listed["venues"])
    assert asked == [dict.fromkeys(asked[0], 0)] * 2, "nothing of an account was even asked"
    assert at_work == [[], []]
    assert told == []
    assert status.cum_qty == Decimal("0.5")
    assert all(fill.paper for fill in parent.fills)
    assert all(fill.price in shown[fill.venue] for fill in parent.fills if fill.liquidity == "taker")
    rates = {"binance_spot": Decimal("0.001"), "bybit_perp": Decimal("0.00055")}
    takes = [fill for fill in parent.fills if fill.liquidity == "taker"]
    assert takes
    assert all(fill.fee == fill.qty * fill.price * rates[fill.venue] for fill in takes)
    assert said(session.data_dir / "logs" / "gateway.log", "paper: nothing goes to the venue") == {
        "binance_spot",
        "bybit_perp",
    }


async def test_on_paper_too_nothing_is_lost_when_processes_are_killed(tmp_path: Path) -> None:
    """The exchange is the venue: what it took is in its journal; the real market comes again from its collector."""
    async with serve(BINANCE_SPOT.make(tmp_path / "binance")) as spot:
        path = tmp_path / "bestex.toml"
        path.write_text(config_text([(BINANCE_SPOT, spot.url)]))
        session = prepare(Options(config=path, data_dir=tmp_path / "data", any_port=True))
        supervisor = session.supervisor(lambda _: None)
        await supervisor.start()
        try:
            async with Client(supervisor.url, session.config) as client:
                parent = await client.submit(
                    "BTC/USDT", "buy", "0.6", algo="twap", duration="15s", interval="500ms"
                )
                for name in ("exchange", "collector", "gateway"):
                    child = supervisor.child(name)
                    os.kill(child.pid, signal.SIGKILL)
                    await until(partial(is_back, child))
                async with asyncio.timeout(WORK_S_MAX):
                    status = await parent.wait()
            report = await run_audit(
                supervisor.access(rights.MONITOR), journals=session.data_dir / "exchange", complete=True
            )
        finally:
            await supervisor.stop()
        asked = orders_asked(spot)
    assert report.ok, report.text()
    assert set(asked.values()) == {0}
    filled = sum((fill.qty for fill in parent.fills), Decimal(0))
    assert 0 < filled == status.cum_qty <= Decimal("0.6")
    assert all(fill.paper for fill in parent.fills)


def is_back(child: Child) -> bool:
    return child.restarts.count == 1 and child.state is State.READY


async def venues(session: Session, url: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *BESTEX,
        "venues",
        "--json",
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **session.environment, "NATS_URL": url},
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said


def remembered(emulator: Emulator) -> set[Decimal]:
    """Every price at which the exchange shows something to buy, from now on."""
    prices: set[Decimal] = set()
    tell = emulator.engine.on_depth

    def remember(change: DepthChange) -> None:
        prices.update(price for price, qty in change.asks if qty)
        tell(change)

    emulator.engine.on_depth = remember
    for market in emulator.engine.markets.values():
        prices.update(price for price, _ in market.snapshot().asks)
    return prices


def said(log: Path, event: str) -> set[str]:
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in log.read_text().splitlines() if line[:1] == "{"
    ]
    return {line["venue"] for line in lines if line["event"] == event}
