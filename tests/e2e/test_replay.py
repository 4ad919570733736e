"""A TWAP over spot and perpetual, on a recorded evening ten times as fast, and its tapes run again."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

from bestex import rights
from bestex.audit import run_audit
from bestex.client import Client
from bestex.session import Options, prepare
from bestex.tape import retrace
from services.backtester.lab.tapes import relive
from services.backtester.session import BUILDERS

FILES = ("spot_btcusdt_20240808.gz", "usdm_btcusdt_20240808.gz")
BOTH_LIVE_S_MAX = 20.0
WORK_S_MAX = 40.0


async def test_a_twap_over_a_replayed_evening_uses_both_venues_and_retraces(
    data_dir: Path, tmp_path: Path
) -> None:
    tapes = tmp_path / "tapes"
    session = prepare(
        Options(
            data_dir=tmp_path / "data",
            replay=tuple(data_dir / "binance" / name for name in FILES),
            speed=10,
            tape=tapes,
            any_port=True,
        )
    )
    told: list[str] = []
    supervisor = session.supervisor(told.append)
    await supervisor.start()
    try:
        async with Client(supervisor.url, session.config) as client:
            async with asyncio.timeout(BOTH_LIVE_S_MAX):
                while len((await client.plan("BTC/USDT", "buy", "20")).legs) < 2:  # noqa: ASYNC110 - a question
                    await asyncio.sleep(0.1)
            # More than one venue shows at once, so that both are needed.
            parent = await client.submit(
                "BTC/USDT", "buy", "60", algo="twap", duration="60s", interval="5s", force_completion=True
            )
            async with asyncio.timeout(WORK_S_MAX):
                status = await parent.wait()
        report = await run_audit(
            supervisor.access(rights.MONITOR), journals=session.data_dir / "exchange", complete=True
        )
    finally:
        await supervisor.stop()
    assert report.ok, report.text()
    assert {fill.venue for fill in parent.fills} == {"binance_spot", "binance_perp"}
    filled = sum((fill.qty for fill in parent.fills), Decimal(0))
    assert filled == status.cum_qty > 0
    assert status.cum_qty + status.leaves_qty == status.qty
    assert status.notional == sum((fill.qty * fill.price for fill in parent.fills), Decimal(0))
    assert status.fees == sum((fill.fee for fill in parent.fills), Decimal(0))
    assert told == []
    outcomes = retrace(tapes)
    assert {one.service for one in outcomes} >= {"router", "scheduler", "gateway", "aggregator"}
    assert all(one.identical for one in outcomes), [str(one) for one in outcomes]
    decided = {one.service: (one.facts > 0, one.emitted > 0) for one in outcomes}
    assert decided["scheduler"][0]
    assert decided["router"][0]
    assert decided["gateway"][0]
    assert decided["aggregator"][1]
    assert decided["collector"][1]
    relived = [relive(tapes / one.tape) for one in outcomes if one.service in BUILDERS]
    assert {one.service for one in relived} == set(BUILDERS)
    assert all(one.identical for one in relived), [one.difference for one in relived]
    assert sum(one.events for one in relived) == sum(
        one.facts + one.emitted for one in outcomes if one.service in BUILDERS
    )
