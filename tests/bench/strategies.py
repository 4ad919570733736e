"""What each routing strategy costs on the same moments: `python -m tests.bench.strategies [--minutes N] [--json]`.

The whole platform on virtual time (`services.backtester`), once for each strategy: the same market, the same orders
at the same times, alternating sides. Around the market model (four venues) and around recordings of Binance
where they are found (spot and USD-M as two venues). Posted orders wait in the matching engine's queues: what is
cancelled in front of them is taken to have stood behind them, which is the worse for whoever posts.

An order's cost is what it paid against the mid at its arrival, fees included, in bps of its value; what is unfilled
at its end is valued at the mid of then and a half spread and fee more. So adverse fills and missed moves are in it.
`saves_bps` is the mean of the paired differences to `best_price`, with a 95 % interval from a bootstrap of blocks of
consecutive orders.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bestex import config as configuration
from bestex import messages as m
from bestex import plugins
from bestex.clock import MINUTE, SECOND, Time
from bestex.human import Ratio
from bestex.instruments import FEE_ONE, Instrument
from bestex.ladder import Ladder
from bestex.messages import Side
from services.backtester.session import VirtualSession
from services.router.routing import make_strategy
from services.router.strategies.base import Route
from tests.routes import find_route

STRATEGIES = ("best_price", "sweep", "smart", "cont_kukanov")
BASELINE = "best_price"
FIRST_NS, EVERY_NS = 90 * SECOND, 15 * SECOND  # queues are watched for a while before anything is posted
ORDER_S = 12
BLOCK, DRAWS = 5, 4_000
BPS = 10_000
RECORDED_EVERY_NS = 13 * SECOND
DATA = Path(os.environ.get("BESTEX_DATA", "../shared/data")) / "binance"
RECORDED = ("spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz", "usdm_btcusdt_20240808.gz")
QTY = {"crypto": "0.8", "equity": "300", "recorded": "1"}


class Run:
    """One strategy in one market."""

    def __init__(
        self, session: VirtualSession, symbol: str, strategy: str, qty: str, until_ns: int, every_ns: int
    ):
        self._session = session
        self._symbol = symbol
        start = session.now_ns
        params = {"duration": f"{ORDER_S}s", "max_slippage": "1%"}
        self.ids = []
        for number, at_ns in enumerate(range(start + FIRST_NS, start + until_ns - EVERY_NS, every_ns)):
            order = m.ParentOrder(
                symbol=symbol,
                side=list(Side)[number % 2],
                qty=Decimal(qty),
                algo="market",
                parent_id=f"p{number}",
                params=params,
                strategy=strategy,
            )
            self.ids.append(session.submit(order, at_ns))
        self._mids: dict[int, tuple[float, float]] = {}
        for at_ns in range(start, start + until_ns + SECOND, SECOND):
            session.run(at_ns)
            self._note(at_ns)

    def _note(self, at_ns: int) -> None:
        book = self._session.core("router").books.get(self._symbol)
        if book is not None and (mid := Ladder(book).mid) is not None:
            half = (Ladder(book).spread_bps or 0.0) / 2
            self._mids[at_ns // SECOND] = mid / 10**book.price_scale, half

    def costs(self) -> dict[str, float]:
        """By order, in bps; without those that ended before anything was known."""
        accepted, done = {}, {}
        for stored in self._session.events("parent.>"):
            event = stored.message
            if isinstance(event, m.ParentAccepted):
                accepted[event.parent_id] = event
            elif isinstance(event, m.ParentDone):
                done[event.parent_id] = event
        return {
            name: self._cost(accepted[name], done[name])
            for name in self.ids
            if name in accepted and name in done and accepted[name].arrival_px
        }

    def _cost(self, start: m.ParentAccepted, end: m.ParentDone) -> float:
        arrival, qty, sign = float(start.arrival_px or 0), float(start.order.qty), start.order.side.sign
        left = qty - float(end.cum_qty)
        mid, half = self._mid(end.at)
        paid = float(end.notional) + left * mid
        more = float(end.fees) + left * mid * (half + 5) / BPS  # a dear venue's fee for what was not done
        return BPS * (sign * (paid - arrival * qty) + more) / (arrival * qty)

    def _mid(self, at: Time) -> tuple[float, float]:
        second = int(at) // SECOND
        return next(self._mids[s] for s in range(second, second - 60, -1) if s in self._mids)

    def maker_share(self) -> float:
        fills = self._session.fills()
        made = sum(float(fill.qty) for fill in fills if fill.liquidity == "maker")
        return made / (sum(float(fill.qty) for fill in fills) or 1.0)


def interval(differences: Sequence[float], rng: np.random.Generator) -> tuple[float, float]:
    """95 % of the mean, by moving blocks: neighbours share a market."""
    values = np.array(differences)
    count = len(values)
    starts = rng.integers(0, max(count - BLOCK, 0) + 1, size=(DRAWS, -(-count // BLOCK)))
    drawn = (starts[:, :, None] + np.arange(min(BLOCK, count))).reshape(DRAWS, -1)[:, :count]
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def compare(runs: Mapping[str, Run]) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    costs = {name: run.costs() for name, run in runs.items()}
    common = [name for name in costs[BASELINE] if all(name in one for one in costs.values())]
    found: dict[str, Any] = {"orders": len(common)}
    for name, one in costs.items():
        values = [one[order] for order in common]
        saved = [costs[BASELINE][order] - one[order] for order in common]
        low, high = interval(saved, rng)
        found[name] = {
            "cost_bps": round(float(np.mean(values)), 3),
            "saves_bps": round(float(np.mean(saved)), 3),
            "from": round(low, 3),
            "to": round(high, 3),
            "never_worse": min(saved) >= -1e-9,
            "maker_share": round(runs[name].maker_share(), 3),
        }
    return found


def modelled(preset: str, minutes: float, seed: int) -> dict[str, Any]:
    settings = configuration.load(None, {"BESTEX__EXCHANGE__PRESET": preset})
    symbol = settings.make_instruments().all[0].symbol
    until_ns = round(minutes * MINUTE)
    made = {}
    for name in STRATEGIES:
        session = VirtualSession(settings, seed=seed)
        made[name] = Run(session, symbol, name, QTY[preset], until_ns, EVERY_NS)
        print(preset, name, file=sys.stderr)
    return compare(made)


def recorded() -> dict[str, Any]:
    paths = [DATA / name for name in RECORDED]
    if not all(path.exists() for path in paths):
        return {"skipped": f"no recordings at {DATA}"}
    made = {}
    with tempfile.TemporaryDirectory() as cache:
        for name in STRATEGIES:
            session = VirtualSession.on_recordings(paths, Path(cache))
            symbol = session.config.make_instruments().all[0].symbol
            made[name] = Run(session, symbol, name, QTY["recorded"], 640 * SECOND, RECORDED_EVERY_NS)
            print("recorded", name, file=sys.stderr)
    return compare(made)


def snapshots(session: VirtualSession, seconds: int) -> dict[str, Any]:
    """On the same book, for the same quantity: what sweep saves against the best price, each second, on both sides.

    Without shares of venues: a share of another quantity would be another question. Prices are compared less basis.
    """
    free = {
        name: msgspec.structs.replace(v, max_volume_pct=Ratio(1.0))
        for name, v in session.config.venues.items()
    }
    settings = msgspec.structs.replace(session.config, venues=free)
    strategies = {name: plugins.load(plugins.STRATEGIES, name) for name in (BASELINE, "sweep")}
    single, swept = (make_strategy(strategies, settings, name, {}) for name in (BASELINE, "sweep"))
    instrument = settings.make_instruments().all[0]
    saved, worse, start = [], 0, session.now_ns
    for second in range(5, seconds):
        session.run(start + second * SECOND)
        book = session.core("router").books.get(instrument.symbol)
        for side in Side:
            asked = instrument.qty_units(Decimal(QTY["recorded"]))
            one = find_route(instrument, settings, single, book, side, asked, None, session.now_ns)
            if not one.qty:
                continue
            other = find_route(instrument, settings, swept, book, side, one.qty, None, session.now_ns)
            paid, less = (_cost(route, instrument, book, side) for route in (one, other))
            worse += other.qty < one.qty or less > paid
            saved.append((paid - less) / abs(paid) * BPS)
    return {"compared": len(saved), "worse": worse, "saves_bps": round(float(np.mean(saved)), 3)}


def _cost(route: Route, instrument: Instrument, book: m.ConsolidatedBook, side: Side) -> int:
    """What it costs a buyer, or fails to bring a seller, fees and basis included; 1e-8 price x quantity units."""
    fees = {listing.venue: listing.taker_fee_e8 for listing in instrument.listings}
    basis = {column.venue: column.basis for column in book.venues}
    paid = 0
    for part in route.allocations:
        paid += (
            part.notional * (FEE_ONE + side.sign * fees[part.venue]) - part.qty * basis[part.venue] * FEE_ONE
        )
    return side.sign * paid


def on_recordings() -> dict[str, Any]:
    paths = [DATA / name for name in RECORDED]
    if not all(path.exists() for path in paths):
        return {"skipped": f"no recordings at {DATA}"}
    with tempfile.TemporaryDirectory() as cache:
        return snapshots(VirtualSession.on_recordings(paths, Path(cache)), 640)


def run(minutes: float, seed: int = 1) -> dict[str, Any]:
    settings = configuration.load(None, {})
    return {
        "crypto": modelled("crypto", minutes, seed),
        "recorded": recorded(),
        "sweep_against_best_price": {
            "crypto": snapshots(VirtualSession(settings, seed=seed), 300),
            "recorded": on_recordings(),
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.strategies", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="of the market model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    print(json.dumps(run(given.minutes, given.seed), indent=None if given.json else 2))
