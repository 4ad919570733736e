"""Dark venues at the gateway: minimums, and checks without a displayed book."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import structlog

from bestex import messages as m
from bestex import sim_wire as w
from bestex.clock import SECOND
from bestex.config import Config, parse
from bestex.errors import Code
from bestex.messages import Side, Tif
from bestex.sim_journal import journal_path, read_journal
from services.exchange.api import make_app
from services.exchange.shell import Exchange
from services.gateway import port as p
from services.gateway.venues.sim import DARK, LIT, SimVenue
from tests.unit.gateway.bench import CAPABILITIES, SYMBOL, Bench, book, child_new
from tests.unit.gateway.test_sim import CLOCK, serve

MINIMUM = msgspec.structs.replace(CAPABILITIES, min_qty=True)


@pytest.fixture
def bench() -> Bench:
    return Bench(capabilities=MINIMUM).ready()


def test_the_minimum_is_written_down_and_sent(bench: Bench) -> None:
    [submitting] = bench.hear(child_new(tif=Tif.GTC, min_fill_qty=Decimal("0.004")))
    assert submitting.min_fill_qty == Decimal("0.004")
    [submit] = bench.asked(p.Submit)
    assert submit.min_qty == 400


@pytest.mark.parametrize(
    ("least", "code"),
    [
        ("0.02", Code.INVALID_QTY),  # more than the child's quantity
        ("0", Code.INVALID_QTY),
        ("-0.004", Code.INVALID_QTY),
        ("0.00405", Code.OFF_LOT),
        ("0.000001", Code.OFF_LOT),
    ],
)
def test_a_minimum_that_no_venue_could_mean_is_refused(bench: Bench, least: str, code: Code) -> None:
    [rejected] = bench.hear(child_new(tif=Tif.GTC, min_fill_qty=Decimal(least)))
    assert (type(rejected), rejected.code) == (m.ExecRejected, code)


def test_a_venue_that_knows_no_minimum_gets_none() -> None:
    [rejected] = Bench().ready().hear(child_new(min_fill_qty=Decimal("0.004")))
    assert rejected.code is Code.INVALID_PARAMETER


@pytest.mark.parametrize("displayed", ["nothing", "an empty book"])
def test_the_collar_compares_with_the_other_venues_where_this_one_shows_nothing(displayed: str) -> None:
    bench = Bench(capabilities=MINIMUM)
    bench.hear(p.SessionState("sim_a", p.Session.UP), p.SessionState("sim_a", p.Session.RECONCILED))
    lit = book(at_ns=bench.now, venue="sim_b")
    if displayed == "an empty book":
        empty = m.VenueColumn("sim_a", m.BookStatus.LIVE, 0, bench.now, bench.now, [], [], [], [])
        lit = msgspec.structs.replace(lit, venues=[empty, *lit.venues])
    bench.hear(lit)
    [dear] = bench.hear(child_new("c1", tif=Tif.GTC, price=Decimal("63000.1")))
    assert dear.code is Code.PRICE_COLLAR
    [good] = bench.hear(child_new("c2", tif=Tif.GTC, price=Decimal(60_300)))
    assert isinstance(good, m.ExecSubmitting)
    bench.sleep(10 * SECOND)
    later = child_new("c3", now_ns=bench.now, tif=Tif.GTC, price=Decimal(60_300))
    assert bench.hear(later)[0].code is Code.NO_REFERENCE


def config(url: str, folder: Path) -> Config:
    return parse(
        f"""
        data_dir = "{folder}"
        [venues.sim_a]
        url = "{url}"
        [venues.dark_a]
        url = "{url}"
        [instruments."BTC/USDT"]
        price_scale = 2
        qty_scale = 5
        [instruments."BTC/USDT".venues]
        sim_a = {{ tick = "0.01", lot = "0.00001" }}
        dark_a = {{ kind = "dark", tick = "0.01", lot = "0.00001", taker_bps = "0.5", maker_bps = "0.5" }}
        [exchange]
        latency = "0s"
        """
    )


def submit(
    child_id: str, side: Side, qty: int, price: int, venue: str = "dark_a", min_qty: int = 0
) -> p.Submit:
    later_ns = CLOCK.now_ns() + 60 * SECOND
    return p.Submit(
        venue=venue, symbol=SYMBOL, child_id=child_id, side=side, qty=qty, price=price, tif=Tif.GTC,
        post_only=False, deadline_ns=later_ns, good_till_ns=later_ns, min_qty=min_qty,
    )  # fmt: skip


async def test_two_children_meet_at_the_mid_of_the_real_exchange_and_its_journal_says_so(
    tmp_path: Path,
) -> None:
    exchange = Exchange(
        config("", tmp_path), CLOCK, structlog.stdlib.get_logger(), make_backgrounds=lambda *_: []
    )
    exchange.start()
    async with serve(make_app(exchange)) as url:
        settings = config(url, tmp_path)
        venues = {name: SimVenue(name, settings, CLOCK) for name in ("sim_a", "dark_a")}
        assert (venues["sim_a"].capabilities, venues["dark_a"].capabilities) == (LIT, DARK)
        ready = {name: Ready() for name in venues}
        for name, venue in venues.items():
            await venue.connect(ready[name], CLOCK.now_ns)
        for one in ready.values():
            await one.up()
        # Two orders of the lit venue are the reference: 59,999.00 and 60,001.01, so the mid is 60,000.005.
        await venues["sim_a"].submit(submit("l1", Side.BUY, 10, 59_999_00, "sim_a"))
        await venues["sim_a"].submit(submit("l2", Side.SELL, 10, 60_001_01, "sim_a"))
        dark = venues["dark_a"]
        [rests] = await dark.submit(submit("d1", Side.BUY, 1_000, 60_300_00, min_qty=600))
        assert isinstance(rests, p.VenueAccepted)
        [small] = await dark.submit(submit("d2", Side.SELL, 500, 59_700_00))
        assert isinstance(small, p.VenueAccepted)  # below the other's minimum
        fill, end = await dark.submit(submit("d3", Side.SELL, 700, 59_700_00))
        assert isinstance(fill, p.VenueFill)
        assert (fill.price, fill.qty) == (60_000_00, 700)  # the half unit is the first one's
        assert isinstance(end, p.VenueClosed)
        # What is left of the first, 300, is below its minimum and meets the small one whole.
        found = await dark.query_order(p.QueryOrder(venue="dark_a", symbol=SYMBOL, child_id="d1"))
        assert isinstance(found[0], p.VenueClosed)
        for venue in venues.values():
            await venue.disconnect()
    await exchange.stop()
    lines = list(read_journal(journal_path(str(tmp_path), "dark_a")))
    trades = [trade for line in lines if isinstance(line, w.JournalEntry) for trade in line.trades]
    assert [(t.client_id, t.qty) for t in trades] == [("d3", 700), ("d1", 700), ("d2", 300), ("d1", 300)]
    assert {trade.price for trade in trades} == {60_000_00}


class Ready:
    """Waits for the session."""

    def __init__(self) -> None:
        self._up = asyncio.Event()

    def __call__(self, said: object) -> None:
        if isinstance(said, p.SessionState) and said.state is p.Session.UP:
            self._up.set()

    async def up(self) -> None:
        async with asyncio.timeout(10):
            await self._up.wait()
