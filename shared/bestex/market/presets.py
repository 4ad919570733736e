"""The parameters of the market model, and two sets of them.

Everything is in basis points of price, in quote notional or per second, so that a preset fits any symbol. A
preset's venues go to an instrument's listings in order, and start again where there are more listings.
"""

from __future__ import annotations

import msgspec

from bestex.errors import UsageError


class VenueProfile(msgspec.Struct, frozen=True, kw_only=True):
    """How one venue quotes and trades.

    Sizes are relative to the preset's `best_notional`. `depth`: median size at the levels behind the best one
    against the best one. `resizes`: size changes a second that nothing else caused. `requotes`: how often a
    second each side draws its distance from the efficient price afresh; with probability `near` at
    `half_spread_bps` give or take `jitter_bps`, otherwise `away_bps` further out on average. `delay_ms`: median
    time in which a quote follows news. `reach`: share of informed orders that come to this venue; `prints`:
    trades that one of them makes there on average. `noise` and `mid`: uninformed trades and trades of hidden
    orders at the consolidated mid, a minute.
    """

    size: float
    size_sigma: float = 0.8
    depth: float
    resizes: float
    requotes: float
    near: float
    half_spread_bps: float
    jitter_bps: float
    away_bps: float
    delay_ms: float
    reach: float
    prints: float
    trade_size: float
    trade_sigma: float
    noise: float
    mid: float = 0.0


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """`news`: changes a second of the efficient price, `news_bps` their root mean square.

    `best_notional`: median quote notional at the first venue's best price. Books hold `levels` to 1.5 x
    `levels` prices a side, `gap_bps` apart on average but never less than a tick. `excitation`: further size
    changes that one causes on average (below 1), within `excitation_ms`. `lock`: probability that a quote may
    meet another venue's opposite one.
    """

    venues: tuple[VenueProfile, ...]
    news: float
    news_bps: float
    best_notional: float
    levels: int
    gap_bps: float
    excitation: float
    excitation_ms: float
    lock: float


# Calibrated to one day of three European blue chips on a primary venue and three others (level-2 books and
# trades, November 2025); the test of the statistics holds the figures.
EQUITY = Preset(
    news=0.14,
    news_bps=2.0,
    best_notional=30_000,
    levels=10,
    gap_bps=0.5,
    excitation=0.5,
    excitation_ms=60,
    lock=0.5,
    venues=(
        VenueProfile(
            size=1.0, depth=2.6, resizes=2.1, requotes=0.12, near=0.9, half_spread_bps=0.5, jitter_bps=0.15,
            away_bps=2.0, delay_ms=8, reach=0.8, prints=3.0, trade_size=0.2, trade_sigma=1.0, noise=0.6, mid=1.2,
        ),
        VenueProfile(
            size=0.33, depth=0.6, resizes=0.4, requotes=0.35, near=0.75, half_spread_bps=0.5, jitter_bps=0.15,
            away_bps=3.0, delay_ms=20, reach=0.25, prints=1.4, trade_size=0.155, trade_sigma=1.0, noise=0.2,
            mid=0.6,
        ),
        VenueProfile(
            size=0.7, depth=0.6, resizes=0.5, requotes=0.35, near=0.9, half_spread_bps=0.5, jitter_bps=0.15,
            away_bps=2.0, delay_ms=12, reach=0.7, prints=2.5, trade_size=0.12, trade_sigma=1.4, noise=0.5, mid=3.0,
        ),
        VenueProfile(
            size=0.18, depth=1.15, resizes=0.2, requotes=0.12, near=0.5, half_spread_bps=0.5, jitter_bps=0.15,
            away_bps=5.0, delay_ms=60, reach=0.35, prints=1.4, trade_size=0.085, trade_sigma=1.1, noise=0.2,
            mid=0.9,
        ),
    ),
)  # fmt: skip

CRYPTO = Preset(
    news=8.0,
    news_bps=0.35,
    best_notional=60_000,
    levels=20,
    gap_bps=0.4,
    excitation=0.5,
    excitation_ms=40,
    lock=0.02,
    venues=(
        VenueProfile(
            size=1.0, depth=1.2, resizes=10.0, requotes=2.0, near=0.9, half_spread_bps=0.25, jitter_bps=0.06,
            away_bps=0.4, delay_ms=3, reach=0.5, prints=2.5, trade_size=0.05, trade_sigma=1.6, noise=100,
        ),
        VenueProfile(
            size=0.5, depth=1.3, resizes=6.0, requotes=2.0, near=0.85, half_spread_bps=0.4, jitter_bps=0.1,
            away_bps=0.6, delay_ms=8, reach=0.4, prints=1.8, trade_size=0.04, trade_sigma=1.5, noise=50,
        ),
        VenueProfile(
            size=0.7, depth=1.2, resizes=5.0, requotes=1.5, near=0.85, half_spread_bps=0.6, jitter_bps=0.15,
            away_bps=0.8, delay_ms=10, reach=0.35, prints=1.6, trade_size=0.05, trade_sigma=1.5, noise=35,
        ),
        VenueProfile(
            size=0.3, depth=1.6, resizes=3.0, requotes=1.0, near=0.8, half_spread_bps=0.9, jitter_bps=0.25,
            away_bps=1.2, delay_ms=20, reach=0.3, prints=1.4, trade_size=0.04, trade_sigma=1.4, noise=20,
        ),
    ),
)  # fmt: skip

PRESETS = {"equity": EQUITY, "crypto": CRYPTO}


def preset_named(name: str) -> Preset:
    """UsageError for a name that is none."""
    try:
        return PRESETS[name]
    except KeyError:
        raise UsageError(f"no market preset {name!r}; there are {', '.join(PRESETS)}") from None
