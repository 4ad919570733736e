"""One order over three kinds of venues: emulated exchanges behind ccxt, spot and perpetual, and the simulated one.

Real bus, real processes. All three trade one instrument; the perpetual stands some basis points above spot.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import nats
from nats.aio.client import Client as Bare
from nats.aio.msg import Msg

from bestex import codec, rights, subjects
from bestex import messages as m
from bestex.audit import AuditReport, run_audit
from bestex.client import Client
from bestex.session import Options, prepare
from bestex.supervisor import Supervisor
from tests.emulators.outside import Outside
from tests.emulators.world import BASIS_BPS
from tests.live_limits import live_limits
from tests.waiting import until

BTC = "BTC/USDT"
VENUES = {"binance_spot": ("binance", "spot"), "bybit_perp": ("bybit", "perp")}
ALL = {*VENUES, "sim_a"}
SHARE = "45%"  # of a slice at most, so that two venues are never enough
WORK_S_MAX = 60.0

SIM = 'adapter = "sim"\nmax_volume_pct = "45%"\n'
INSTRUMENT = f"""
[instruments."{BTC}"]
price_scale = 2
qty_scale = 5
"""
SIM_LISTED = (
    'sim_a = { tick = "0.01", lot = "0.00001", min_notional = "5", taker_bps = "8", maker_bps = "2" }'
)
LISTED = f"""
[instruments."{BTC}".venues]
binance_spot = {{ tick = "0.01", lot = "0.00001", min_notional = "5", taker_bps = "10", maker_bps = "10" }}
bybit_perp = {{ symbol = "BTC/USDT:USDT", kind = "perp", tick = "0.1", lot = "0.001", min_notional = "5", \
taker_bps = "5.5", maker_bps = "2" }}
{SIM_LISTED}
"""


@dataclass
class Platform:
    """At work. `books`: the newest consolidated one; `decided`: every route of a slice, as the bus told it."""

    client: Client
    supervisor: Supervisor
    outside: Outside
    folder: Path
    books: list[m.ConsolidatedBook]
    decided: list[m.RouteDecided]
    told: list[str]

    async def audit(self) -> AuditReport:
        await self.outside.export(self.folder / "journals", ["sim_a"])
        monitor = self.supervisor.access(rights.MONITOR)
        return await run_audit(monitor, journals=self.folder / "journals", complete=True)

    def columns(self) -> dict[str, m.VenueColumn]:
        return {column.venue: column for column in self.books[-1].venues} if self.books else {}

    def all_live(self) -> bool:
        columns = self.columns()
        return set(columns) == ALL and all(one.status is m.BookStatus.LIVE for one in columns.values())


@asynccontextmanager
async def platform(folder: Path) -> AsyncIterator[Platform]:
    sim, config = folder / "sim.toml", folder / "bestex.toml"
    sim.write_text(
        f'[venues.sim_a]\n{SIM}{INSTRUMENT}[instruments."{BTC}".venues]\n{SIM_LISTED}\n'
        '[exchange]\nlatency = "1ms"\n'
    )
    async with Outside(folder / "world", VENUES, sim=sim) as outside:
        sections = [outside.toml(venue, SHARE) for venue in VENUES]
        sections.append(f'[venues.sim_a]\nurl = "{outside.urls["sim"]}"\n{SIM}')
        config.write_text("".join(sections) + INSTRUMENT + LISTED + "\n" + live_limits([BTC], VENUES))
        session = prepare(Options(config=config, data_dir=folder / "data", any_port=True))
        session.specs[:] = [spec for spec in session.specs if spec.service != "exchange"]  # it is outside
        told: list[str] = []
        supervisor = session.supervisor(told.append)
        await supervisor.start()
        try:
            access = supervisor.user
            async with Client(access.url, session.config) as client:
                made = Platform(client, supervisor, outside, folder, [], [], told)
                bare = await nats.connect(access.url, nkeys_seed=str(access.key))
                await _listen(bare, made)
                await until(made.all_live)
                yield made
                await bare.close()
        finally:
            await supervisor.stop()


async def _listen(bare: Bare, made: Platform) -> None:
    async def book(message: Msg) -> None:
        made.books[:] = [codec.from_msgpack(message.data, m.ConsolidatedBook)]

    async def route(message: Msg) -> None:
        if message.subject.endswith(".decided"):
            made.decided.append(codec.from_json(message.data, m.RouteDecided))

    await bare.subscribe(f"{subjects.ROOT}.book.BTC-USDT", cb=book)
    await bare.subscribe(f"{subjects.ROOT}.route.>", cb=route)


def total(numbers: list[Decimal]) -> Decimal:
    return sum(numbers, Decimal(0))


async def test_one_order_fills_on_two_exchanges_and_the_simulated_one_and_every_sum_is_exact(
    tmp_path: Path,
) -> None:
    async with platform(tmp_path) as work:
        plan = await work.client.plan(BTC, "buy", "3")
        assert {leg.venue for leg in plan.legs} == ALL, "the book says so"
        smart = await work.client.submit(BTC, "buy", "3", algo="smart", duration="8s", force_completion=True)
        async with asyncio.timeout(WORK_S_MAX):
            status = await smart.wait()
        basis = work.columns()["bybit_perp"].basis
        spot = await work.client.submit(
            BTC,
            "sell",
            "2",
            algo="market",
            duration="4s",
            strategy="sweep",
            strategy_params={"include_perp": False},
        )
        async with asyncio.timeout(WORK_S_MAX):
            spot_status = await spot.wait()
        report = await work.audit()
    assert report.ok, report.text()
    assert report.checked["venue trades"] == len(smart.fills) + len(spot.fills)
    # The order: all of it, on all three, and no sum that is not what its fills make.
    assert (status.cum_qty, status.leaves_qty) == (Decimal(3), Decimal(0))
    assert {fill.venue for fill in smart.fills} == ALL
    for one, parent in ((status, smart), (spot_status, spot)):
        assert one.cum_qty == total([fill.qty for fill in parent.fills])
        assert one.notional == total([fill.qty * fill.price for fill in parent.fills])
        assert one.fees == total([fill.fee for fill in parent.fills])
    # The perpetual is compared at its own distance from spot, and is paid at its own price.
    expected = Decimal(60_000 * BASIS_BPS) / 10_000
    assert abs(Decimal(basis).scaleb(-2) - expected) < expected / 2
    prices = {
        venue: [fill.price for fill in smart.fills if fill.venue == venue]
        for venue in ("bybit_perp", "sim_a")
    }
    assert min(prices["bybit_perp"]) > min(prices["sim_a"])
    # Without perpetuals it is left out by name, and the rest goes to spot.
    routes = [one for one in work.decided if one.parent_id == spot.parent_id]
    assert routes
    for route in routes:
        assert {leg.venue for leg in route.legs} <= ALL - {"bybit_perp"}
        assert any(out.venue == "bybit_perp" and "include_perp" in out.reason for out in route.left_out)
    assert {fill.venue for fill in spot.fills} == ALL - {"bybit_perp"}
    assert work.told == []
