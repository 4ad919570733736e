"""The level-1 exercise out of sample, and how long it takes: `python -m tests.bench.lab_l1 [--days N] [--json]`.

- `days`: simulated days of a stock on three venues, each a file, bought and sold in small parts and in parts above
  what the best venue displays; for each baseline the mean saving over all windows of the days' walk-forward tests,
  with its interval.
- `evening`: the recorded Binance evening as a file of two venues, the perpetual's prices moved by the median basis,
  because the two are not the same thing to own. It is five minutes long and the price falls: both sides are
  worked, and `both` is the mean of the two.
- `rows`: a made-up file of a million rows, once read and worked.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np

from bestex import codec
from bestex.clock import SECOND
from bestex.instruments import Instrument, Listing
from bestex.market import simulate
from bestex.messages import MarketTrade, VenueBook
from bestex.recording import open_recording
from services.backtester.lab.l1 import files
from services.backtester.lab.l1.quotes import Terms
from services.backtester.lab.l1.run import Options, Run, run
from services.backtester.lab.statistics import mean_interval

HOURS = 8.5
VENUES = ("P", "Q", "R")
STOCK = Instrument(
    symbol="ABC/EUR",
    price_scale=4,
    qty_scale=0,
    listings=tuple(Listing(venue=venue, symbol="ABC", tick=100) for venue in VENUES),
)
# (side, quantity): fifty children of a lot, and 250 of ten, which is more than the best venue mostly displays.
ORDERS = (("buy", 5_000), ("sell", 5_000), ("buy", 250_000))
TERMS = Terms(fee=Decimal("0.003"), rebate=Decimal("0.002"))
EVENING = {
    "spot": ("spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz"),
    "perp": ("usdm_btcusdt_20240808.gz",),
}
ROWS = 1_000_000
DATA = Path(os.environ.get("BESTEX_DATA", "../shared/data")) / "binance"


def exercise(
    path: Path, side: str, qty: Decimal, lot: Decimal, terms: Terms, trials: int
) -> tuple[Run, float]:
    """The run, and its seconds."""
    began = time.perf_counter()
    options = Options(
        path=path, side=side, qty=qty, lot=lot, terms=terms, trials=trials, seed=1, trade_share=0.005
    )
    return run(options, lambda: None), time.perf_counter() - began


def day(path: Path, seed: int, hours: float = HOURS) -> Path:
    """A simulated day as a level-1 file."""
    events = simulate(STOCK, "equity", seed, hours * 3600, 340_000)
    files.write(path, files.of_events(events, VENUES), 4, 0)
    return path


def days(folder: Path, first: int, count: int, trials: int) -> dict[str, Any]:
    paths = [day(folder / f"day{seed}.csv", seed) for seed in range(first, first + count)]
    found: dict[str, Any] = {}
    for side, qty in ORDERS:
        runs = [exercise(path, side, Decimal(qty), Decimal(100), TERMS, trials) for path in paths]
        each = [one.tested.each for one, _ in runs]
        found[f"{side} {qty}"] = {
            "seconds": round(sum(seconds for _, seconds in runs) / count, 1),
            **{name: mean_interval(np.concatenate([one[name] for one in each]), seed=1) for name in each[0]},
            "best": [one.results.honest.best_params for one, _ in runs],
        }
    return found


def evening(folder: Path, trials: int) -> dict[str, Any]:
    """What the walk-forward test says of the recorded evening, or why there is none."""
    if not DATA.is_dir():
        return {"skipped": "no recorded market data"}
    path = evening_file(folder / "evening.csv", DATA)
    found: dict[str, Any] = {}
    each = []
    for side in ("buy", "sell"):
        made, seconds = exercise(path, side, Decimal(5), Decimal("0.01"), Terms(), trials)
        tested = made.results.honest.cross_validation
        found[side] = {
            "seconds": round(seconds, 1),
            "savings": tested.savings_bps,
            "without_drift": tested.savings_without_drift_bps,
            "best": made.results.honest.best_params,
        }
        each.append(made.tested.each)
    found["both"] = {name: mean_interval((each[0][name] + each[1][name]) / 2, seed=1) for name in each[0]}
    return found


def evening_file(path: Path, data: Path, seconds: float = 3600.0) -> Path:
    """Spot and perpetual as two publishers of one file, at the spot's price level; sizes in thousandths. `seconds`:
    no more of it than this."""
    spot, perp = (_messages(data, names, seconds) for names in EVENING.values())
    start, end = max(spot[0].recv_ns, perp[0].recv_ns), min(spot[-1].recv_ns, perp[-1].recv_ns)
    spot, perp = ([one for one in of if start <= one.recv_ns <= end] for of in (spot, perp))
    basis = round(_level(perp) - _level(spot))
    both = sorted([*_books(spot, "spot", 0), *_books(perp, "perp", basis)], key=lambda book: book.recv_ns)
    rows = files.of_books(both, ("spot", "perp"), 3)
    files.write(path, rows, 2, 3)
    return path


def _messages(data: Path, names: tuple[str, ...], seconds: float) -> list[VenueBook | MarketTrade]:
    recording = open_recording(*[data / name for name in names])
    until_ns = recording.start_ns + round(seconds * SECOND)
    return list(takewhile(lambda message: message.recv_ns < until_ns, recording.books(1)))


def _level(messages: list[VenueBook | MarketTrade]) -> float:
    """The median mid in cents."""
    mids: list[float] = [
        (book.bid_px[0] + book.ask_px[0]) / 2 * 10.0 ** (2 - book.price_scale)
        for book in messages
        if isinstance(book, VenueBook) and book.bid_px and book.ask_px
    ]
    return median(mids)


def _books(messages: list[VenueBook | MarketTrade], venue: str, basis: int) -> Iterator[VenueBook]:
    """Books in cents, their prices less the basis."""
    for book in messages:
        if isinstance(book, VenueBook):
            factor = 10 ** (2 - book.price_scale)
            yield msgspec.structs.replace(
                book,
                venue=venue,
                price_scale=2,
                bid_px=[price * factor - basis for price in book.bid_px],
                ask_px=[price * factor - basis for price in book.ask_px],
            )


def million(folder: Path, trials: int) -> dict[str, Any]:
    """Three venues, a day of `ROWS` rows whose prices wander by a cent."""
    random = np.random.default_rng(1)
    at = 1_750_000_000 * 10**9 + np.sort(random.integers(0, 8 * 3600 * 10**9, ROWS))
    mid = 34_000 + np.cumsum(random.choice([-1, 0, 1], ROWS, p=[0.01, 0.98, 0.01]))
    sizes = random.integers(1, 20, (ROWS, 2)) * 100
    lines = [
        f"{at_ns},{publisher},{(price + 1) / 100:.2f},{ask},{(price - 1) / 100:.2f},{bid}\n"
        for at_ns, publisher, price, ask, bid in zip(
            at.tolist(), random.integers(1, 4, ROWS).tolist(), mid.tolist(), *sizes.T.tolist(), strict=True
        )
    ]
    path = folder / "million.csv"
    path.write_text(",".join(files.COLUMNS) + "\n" + "".join(lines))
    made, seconds = exercise(path, "buy", Decimal(5_000), Decimal(100), TERMS, trials)
    return {"rows": made.results.data.rows, "trials": trials, "seconds": round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.lab_l1")
    parser.add_argument("--days", type=int, default=6)
    parser.add_argument("--first", type=int, default=1, help="the seed of the first day")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--json", action="store_true", help="one line")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = {
            "days": days(folder, arguments.first, arguments.days, arguments.trials),
            "evening": evening(folder, arguments.trials),
            "rows": million(folder, trials=10),
        }
    if arguments.json:
        print(codec.to_json(results).decode())
        return
    for part, found in results.items():
        for what, value in found.items():
            print(part, what, codec.to_json(value).decode())


if __name__ == "__main__":
    main()
