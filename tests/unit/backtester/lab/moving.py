"""A made-up recording in which prices move: a spot market and a perpetual 23 below it, at scales of their own."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Literal

from bestex.clock import MS, SECOND
from bestex.feed import DepthUpdate, FeedStream
from bestex.messages import MarketTrade
from bestex.recording import RecordingWriter

START_NS = 1_750_000_000 * SECOND
STEP_NS = 100 * MS
SPOT, PERP = ("binance_spot", "BTC/USDT"), ("binance_perp", "BTC/USDT:USDT")
SCALES = {SPOT: (2, 5), PERP: (1, 3)}
LEVELS = 8


def write(
    path: Path,
    seconds: int = 60,
    seed: int = 1,
    markets: tuple[tuple[str, str], ...] = (SPOT,),
    steps: tuple[int, ...] = (-5, 0, 0, 0, 5),
) -> Path:
    """A random walk of the mid by one of `steps`, in tenths, new sizes after each, and a trade every half second."""
    kinds: dict[tuple[str, str], Literal["spot", "perp"]] = {SPOT: "spot", PERP: "perp"}
    streams = [
        FeedStream(
            venue=venue, symbol=symbol, price_scale=scale[0], qty_scale=scale[1], kind=kinds[venue, symbol]
        )
        for (venue, symbol), scale in SCALES.items()
        if (venue, symbol) in markets
    ]
    random, mid = Random(seed), 60_000 * 10
    shown: dict[tuple[str, str], tuple[dict[int, int], dict[int, int]]] = {one: ({}, {}) for one in markets}
    with RecordingWriter(path, "made up", streams) as out:
        for i in range(seconds * 10):
            at_ns = START_NS + i * STEP_NS
            mid += random.choice(steps)
            for market in markets:
                price_scale, qty_scale = SCALES[market]
                tick = 10 ** (price_scale - 1)
                centre = (mid - (230 if market == PERP else 0)) * tick
                sides = []
                for before, sign in zip(shown[market], (-1, 1), strict=True):
                    now = {
                        centre + sign * (5 + 10 * level) * tick: (1 + random.randrange(9))
                        * 10**qty_scale
                        // 10
                        for level in range(LEVELS)
                    }
                    changes = {price: 0 for price in before if price not in now} | now
                    sides.append([(price, qty) for price, qty in changes.items() if before.get(price) != qty])
                    before.clear()
                    before.update(now)
                out.write(
                    DepthUpdate(
                        *market, i + 1, at_ns, at_ns, price_scale, qty_scale, i == 0, sides[0], sides[1]
                    )
                )
                if i % 5 == 4:
                    best = centre + 5 * tick
                    out.write(
                        MarketTrade(
                            *market,
                            f"t{i}",
                            at_ns,
                            at_ns,
                            price_scale,
                            qty_scale,
                            best,
                            10**qty_scale // 50,
                            1,
                        )
                    )
    return path
