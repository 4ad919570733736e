"""A platform at work is audited at one moment, again and again: what is on its way is no anomaly."""

from __future__ import annotations

import asyncio

from bestex.client import Client
from tests.e2e.conftest import Platform

WORK_S_MAX = 60.0
ROUNDS = 6  # of crossing orders, so that there is always something in flight


async def test_many_audits_of_a_platform_at_work_find_nothing(platform: Platform) -> None:
    async with Client(platform.url, credentials=platform.credentials) as client, asyncio.timeout(WORK_S_MAX):
        sliced = [
            await client.submit("BTC/USDT", side, "0.5", algo="twap", duration="6s", interval="1s")
            for side in ("buy", "sell")
        ]
        resting = await client.submit("ETH/USDT", "sell", "1", algo="limit", limit_price="9000")

        async def cross() -> None:
            for _ in range(ROUNDS):
                crossing = [
                    await client.submit(symbol, side, "0.2", algo="market")
                    for symbol in ("BTC/USDT", "ETH/USDT")
                    for side in ("buy", "sell")
                ]
                await asyncio.gather(*(parent.wait() for parent in crossing))
            await resting.cancel()

        work = asyncio.gather(cross(), resting.wait(), *(parent.wait() for parent in sliced))
        audits = at_work = 0
        while not work.done():
            report = await platform.audit()
            assert report.ok, report.text()
            audits += 1
            at_work += report.checked["children"] > 0
        await work
    assert at_work > 1, f"{audits} audits, none of them while children worked"
