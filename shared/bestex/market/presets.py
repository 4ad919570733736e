"""The parameters of the market model, and two sets of them.

Everything is in basis points of price, in quote notional or per second, so that a preset fits any symbol. A
preset's venues go to an instrument's listings in order, and start again where there are more listings.

`EQUITY` has every figure of the real day that it was fitted to within a third of the range over its three
stocks, and four of five within the range itself. Five are beyond it by more than a tenth: the primary venue's
effective half spread is too small (prints of one order are measured against a mid that each of them moves), the
fourth venue's too large (orders go there at whatever spread there is), its share of trades at the touch too small
(hidden trades are never at a venue's own best price), the second venue too seldom alone at the best price, and too
little correlated with the primary one (makers draw their distances independently). Mark-outs do not grow with
time, as some of the real ones do: the efficient price is a martingale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from bestex.errors import UsageError


class VenueProfile(msgspec.Struct, frozen=True, kw_only=True):
    """How one venue quotes and trades.

    `size`, `depth`, `trade_size`: median size at the best price and of a trade, both relative to the preset's
    `best_notional`, and median size behind the best level against it; the sigmas are of the lognormal.
    `resizes`: size changes a second. `requotes`: how often a second each side draws its distance from the
    efficient price afresh: `half_spread_bps` give or take `jitter_bps`, and with probability 1 - `near` an
    exponential `away_bps` more. `delay_ms`: median time in which a quote follows news. `reach`: share of
    informed orders that come to this venue, `eager_bps`: how far beyond the efficient price they pay there,
    `prints`: trades that such an order seeks there on average.
    `noise`, `mid`: uninformed orders and trades of hidden orders at the consolidated mid, a minute.
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
    delay_sigma: float = 0.8
    reach: float
    eager_bps: float = 0.0
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
    meet another venue's opposite one. `frenzy`: size changes on the busiest venue after news of `news_bps`;
    they grow with the fourth power of the news, which makes rare seconds of hundreds of updates.
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
    frenzy: float


# Calibrated to one day of three European blue chips on a primary venue and three others (level-2 books and
# trades, November 2025); `tests/unit/test_market_day.py` holds the figures.
EQUITY = Preset(
    news=0.107,
    news_bps=2.2,
    best_notional=30_000,
    levels=10,
    gap_bps=0.5,
    excitation=0.5,
    excitation_ms=60,
    lock=1.0,
    frenzy=1.0,
    venues=(
        VenueProfile(
            size=1.0, depth=2.5, resizes=2.03, requotes=0.35, near=0.955, half_spread_bps=0.405,
            jitter_bps=0.147, away_bps=2.0, delay_ms=12.5, reach=0.5, eager_bps=0.7, prints=6.0,
            trade_size=0.207, trade_sigma=1.0, noise=1.6, mid=1.2,
        ),
        VenueProfile(
            size=0.33, depth=0.6, resizes=0.375, requotes=0.25, near=0.75, half_spread_bps=0.56,
            jitter_bps=0.14, away_bps=1.9, delay_ms=8, reach=0.25, prints=1.6, trade_size=0.208,
            trade_sigma=1.1, noise=0.4, mid=0.4,
        ),
        VenueProfile(
            size=0.75, depth=0.6, resizes=0.595, requotes=0.33, near=0.9, half_spread_bps=0.456,
            jitter_bps=0.147, away_bps=2.0, delay_ms=7, reach=0.66, prints=3.0, trade_size=0.142,
            trade_sigma=1.6, noise=1.35, mid=1.95,
        ),
        VenueProfile(
            size=0.2, depth=1.1, resizes=0.3, requotes=0.036, near=0.4, half_spread_bps=0.5, jitter_bps=0.15,
            away_bps=5.0, delay_ms=8, delay_sigma=3.8, reach=0.35, prints=1.6, trade_size=0.12,
            trade_sigma=1.4, noise=0.8, mid=0.38,
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
    frenzy=0.03,
    venues=(
        VenueProfile(
            size=1.0, depth=1.2, resizes=10.0, requotes=2.0, near=0.9, half_spread_bps=0.25, jitter_bps=0.1,
            away_bps=0.4, delay_ms=3, reach=0.5, prints=2.5, trade_size=0.05, trade_sigma=1.6, noise=100,
        ),
        VenueProfile(
            size=0.5, depth=1.3, resizes=6.0, requotes=2.0, near=0.85, half_spread_bps=0.33, jitter_bps=0.14,
            away_bps=0.6, delay_ms=8, reach=0.4, prints=1.8, trade_size=0.04, trade_sigma=1.5, noise=50,
        ),
        VenueProfile(
            size=0.7, depth=1.2, resizes=5.0, requotes=1.5, near=0.85, half_spread_bps=0.45, jitter_bps=0.2,
            away_bps=0.8, delay_ms=10, reach=0.35, prints=1.6, trade_size=0.05, trade_sigma=1.5, noise=35,
        ),
        VenueProfile(
            size=0.3, depth=1.6, resizes=3.0, requotes=1.0, near=0.8, half_spread_bps=0.7, jitter_bps=0.3,
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


SHARES = frozenset({"near", "reach", "lock"})  # probabilities
WHOLE = frozenset({"levels"})
EXCITATION_MAX = 0.95  # at 1 a cluster of size changes would never end
OF_MARKET = tuple(field for field in Preset.__struct_fields__ if field != "venues")
OF_VENUE = VenueProfile.__struct_fields__
LARGEST = 1e9  # no parameter is anywhere near


def changed(preset: Preset, settings: Mapping[str, float], venues: Sequence[str] = ()) -> Preset:
    """The preset with other figures: `news_bps` of the market, `sim_a.noise` of one of `venues` in their order.

    As many profiles as there are `venues`, the preset's in turn. UsageError for a name or a value that is none.
    """
    profiles = [preset.venues[i % len(preset.venues)] for i in range(len(venues))] or list(preset.venues)
    own: dict[str, float] = {}
    for name, value in settings.items():
        venue, dot, field = name.rpartition(".")
        if dot and venue not in venues:
            raise UsageError(f'{name}: there is no venue "{venue}"; there are {", ".join(venues)}')
        if field not in (OF_VENUE if dot else OF_MARKET):
            raise UsageError(
                f"{name}: there is no such figure; there are {', '.join(OF_MARKET)}, and of a venue "
                f"(as in sim_a.noise) {', '.join(OF_VENUE)}"
            )
        _check(name, field, value)
        if dot:
            at = list(venues).index(venue)
            profiles[at] = msgspec.structs.replace(profiles[at], **{field: value})
        else:
            own[field] = int(value) if field in WHOLE else value
    return msgspec.structs.replace(preset, venues=tuple(profiles), **own)


def _check(name: str, field: str, value: float) -> None:
    most = 1.0 if field in SHARES else EXCITATION_MAX if field == "excitation" else LARGEST
    may_be_nothing = field in SHARES or field in {
        *("news", "lock", "frenzy", "excitation", "noise", "mid", "requotes"),
        *("eager_bps", "jitter_bps", "half_spread_bps", "prints"),
    }
    if not (0 if may_be_nothing else 1e-9) <= value <= most or (field in WHOLE and value != int(value)):
        least = "0" if may_be_nothing else "above 0"
        raise UsageError(f"{name}: {value:g} is not from {least} to {most:g}")
