"""How closely VWAP's schedule follows real volume, beside TWAP's, on recorded days; `pytest -s` prints the table.

Walked forward: a day's profile is made of the earlier days alone, of which there are one or two. The orders are
played through the scheduler's core, one slice a minute, all of it filled at the minute's price. `plan` is the curve
at acceptance, `vwap` and `twap` are what was sent. Errors are of the cumulative shares, in bps of the order; slippage
is the schedule's price against the volume-weighted one, in bps, whichever the side.
"""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bestex import messages as m
from bestex.bars import volume_days
from bestex.clock import MINUTE, SECOND, Time
from bestex.sessions import Calendar, Session, calendar
from bestex.volumes import Floats
from services.scheduler.curve import of_schedule
from tests.unit.scheduler.bench_core import book
from tests.unit.scheduler.hours import HoursBench

BTC = "BTC/USDT"  # the instrument that stands for each of them
SETS = {
    "BTCUSD": ("24/7", [f"coinbase_btcusd_201804{day}_trade.zip" for day in ("04", "05", "06")]),
    "AAPL": ("XNYS", [f"aapl_201406{day}_trade.zip" for day in ("05", "06", "09")]),
    "SPY": ("XNYS", [f"spy_201310{day}_trade.zip" for day in ("04", "07", "08")]),
}
QTY = 100_000_00000  # of an order, in units: so large that rounding is nothing
CASES = [(name, day) for name in SETS for day in (1, 2)]


@dataclass(frozen=True)
class Row:
    """One order on one day. (mean, max) error of plan, vwap, twap; slippage of vwap and twap."""

    plan: tuple[float, float]
    vwap: tuple[float, float]
    twap: tuple[float, float]
    vwap_bps: float
    twap_bps: float
    replans: int
    clock: float  # by how much, at most, TWAP left the straight line


def prices(path: Path, hours: Calendar, session: Session) -> Floats:
    """Of each minute, the mean of open, high, low and close; the last one's where nothing was traded."""
    found = np.full(session.minutes, np.nan)
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    midnight_ns = hours.midnight_ns(session.date)
    for row in csv.reader(StringIO(text)):
        minute = session.minute_of(midnight_ns + int(row[0]) * 1_000_000)
        if minute is not None:
            found[minute] = np.mean([float(price) for price in row[1:5]])
    known = ~np.isnan(found)
    last = np.maximum.accumulate(np.where(known, np.arange(len(found)), -1))
    return np.where(last >= 0, found[last], found[known][0])


def sent(
    algo: str, hours: str, session: Session, volumes: Floats, history: list[m.VolumeDay]
) -> tuple[Floats, list[m.ParentAccepted], int]:
    """The share sent by the end of each minute, the acceptance, and how often the plan was changed."""
    bench = HoursBench(hours, session.open_ns)
    for day in history:
        bench.feed(msgspec.structs.replace(day, symbol=BTC))
    instrument = bench.config.make_instruments().by_symbol[BTC]
    params = {"end_time": str(Time(session.close_ns)), "interval": "60s", "randomize": 0}
    total, shares, done = 0, [], 0
    for minute in range(session.minutes):
        at_ns = session.begin_ns(minute)
        bench.now_ns = max(bench.now_ns, at_ns)
        bench.feed(book(at_ns=at_ns))
        bench.feed(
            m.Stats(
                symbol=BTC, at=Time(at_ns), traded=instrument.qty(total), counting_since=Time(session.open_ns)
            )
        )
        if not minute:
            bench.order({"side": "buy", "qty": str(instrument.qty(QTY)), "params": params}, algo=algo)
        bench.advance(at_ns)
        for sliced in bench.of(m.ParentSliced)[done:]:
            bench.settle(sliced)
            done += 1
        bench.advance(at_ns + MINUTE - SECOND)
        for sliced in bench.of(m.ParentSliced)[done:]:
            bench.settle(sliced)
            done += 1
        settled = bench.of(m.ParentSettled)
        shares.append(instrument.qty_units(settled[-1].cum_qty) / QTY if settled else 0.0)
        total += round(float(np.nan_to_num(volumes[minute])) * 10**instrument.qty_scale)
    replans = [event for event in bench.of(m.ParentReplanned) if "expected" in event.text]
    return np.array(shares), bench.of(m.ParentAccepted), len(replans)


def error(shares: Floats, real: Floats) -> tuple[float, float]:
    apart = np.abs(shares - real) * 1e4
    return float(apart.mean()), float(apart.max())


def slippage(shares: Floats, price: Floats, volumes: Floats) -> float:
    vwap = (volumes * price).sum() / volumes.sum()
    return float(((np.diff(shares, prepend=0.0) * price).sum() / vwap - 1) * 1e4)


def measured(name: str, day: int, folder: Path) -> Row:
    hours_name, files = SETS[name]
    hours = calendar(hours_name)
    days = [one for file in files for one in volume_days(folder / file, BTC, hours, Time(0))]
    session = hours.on(days[day].date)
    assert session is not None
    volumes = np.array([float(volume or 0) for volume in days[day].minutes])
    real = np.cumsum(volumes) / volumes.sum()
    price = prices(folder / files[day], hours, session)
    vwap, (accepted,), replans = sent("vwap", hours_name, session, volumes, days[:day])
    twap, _, _ = sent("twap", hours_name, session, volumes, days[:day])
    curve = of_schedule(accepted.schedule, HoursBench(hours_name, 0).config.make_instruments().by_symbol[BTC])
    ends = [session.begin_ns(minute) + MINUTE for minute in range(session.minutes)]
    planned = np.array([curve.qty(end) / QTY for end in ends])
    straight = np.arange(1, session.minutes + 1) / session.minutes
    return Row(
        plan=error(planned, real),
        vwap=error(vwap, real),
        twap=error(twap, real),
        vwap_bps=slippage(vwap, price, volumes),
        twap_bps=slippage(twap, price, volumes),
        replans=replans,
        clock=error(twap, straight)[1],
    )


@pytest.fixture(scope="module")
def rows(data_dir: Path) -> dict[tuple[str, int], Row]:
    folder = data_dir / "bars"
    if not folder.is_dir():
        pytest.skip(f"no recorded minute bars in {folder}")
    return {(name, day): measured(name, day, folder) for name, day in CASES}


def test_the_schedule_tracks_real_volume_closer_than_the_clock_does(
    rows: dict[tuple[str, int], Row],
) -> None:
    print(f"\n{'':<14}{'error of the cumulative share, bps: mean / max':^60}{'slippage, bps':>18}")
    print(f"{'':<14}{'plan':>14}{'vwap':>16}{'twap':>16}{'replans':>12}{'vwap':>10}{'twap':>10}")
    for (name, day), row in rows.items():
        pairs = "".join(f"{mean:>9.0f} /{worst:>5.0f}" for mean, worst in (row.plan, row.vwap, row.twap))
        print(f"{name:<8}day {day + 1} {pairs}{row.replans:>12}{row.vwap_bps:>10.1f}{row.twap_bps:>10.1f}")
    for kind, figures in (
        ("mean", [(row.plan[0], row.vwap[0], row.twap[0]) for row in rows.values()]),
        ("max", [(row.plan[1], row.vwap[1], row.twap[1]) for row in rows.values()]),
    ):
        plan, vwap, twap = np.mean(figures, axis=0)
        print(f"{kind:<6} over all days: plan {plan:.0f}, vwap {vwap:.0f}, twap {twap:.0f}")
        assert plan < 0.9 * twap
        assert vwap < 0.85 * twap
        assert vwap < plan, "the day's own volume helps"
    slipped = np.abs([(row.vwap_bps, row.twap_bps) for row in rows.values()]).mean(axis=0)
    print(f"mean distance from the interval VWAP: vwap {slipped[0]:.1f} bps, twap {slipped[1]:.1f} bps")


def test_twap_tracks_the_clock(rows: dict[tuple[str, int], Row]) -> None:
    assert max(row.clock for row in rows.values()) < 1
