"""Which algorithm suits an order: a table of rules, read from the top; the first that holds decides.

A rule names algorithms in the order of preference, of which the first is taken that there is, and says why. Where a
figure is not known, no rule that needs it holds, and the last one always does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf, sqrt
from typing import NamedTuple

from services.scheduler.algos.base import Urgency

# Up to a tenth of what is displayed near the mid is taken at once: it stands nearer than the rest, and others close
# the gap. Beyond one half a sweep walks through the book to prices that the next minute would not have asked for.
SMALL_OF_DEPTH = 0.1
LARGE_OF_DEPTH = 0.5
# Of what trades in the order's time. A third of all is half of what all others trade: a pace that they see and price.
TOO_MUCH_OF_VOLUME = 0.3
# A spread of twice its usual comes back: half spreads are what is paid for not waiting.
WIDE_SPREAD = 2.0
# Below a basis point there is nothing to be earned by resting: venues' fees differ by more.
SPREAD_BPS_MIN = 1.0
# The risk of an even schedule, as a standard deviation in bps, from which it is worth being early. Almgren, Thum,
# Hauptmann and Li (2005) have an order of a tenth of a day's volume cost 32 bps in .1 of a day and 18 in .5: who is
# in a hurry pays those 14 to avoid as much of risk, others for twice as much. Where risk counts for nothing the even
# schedule is the best there is (Almgren and Chriss 2000: the trajectory for a risk aversion of zero).
RISK_BPS: Mapping[Urgency, float] = {"low": inf, "medium": 28.0, "high": 14.0, "immediate": 0.0}
# A day's volume has a shape that shows over some minutes; within fewer it is chance.
PROFILE_S_MIN = 300.0


class Situation(NamedTuple):
    """An order against its market; None for what is not known.

    `of_depth` and `of_volume`: what is left against what is displayed near the mid on its side, and against what
    would trade in its time. `away_bps`: how far its limit is from the best price, above zero where that is beyond it.
    """

    urgency: Urgency = "medium"
    seconds: float = 300.0
    has_book: bool = False
    has_limit: bool = False
    away_bps: float = 0.0
    of_depth: float | None = None
    of_volume: float | None = None
    spread_bps: float | None = None
    usual_spread_bps: float | None = None
    volatility_bps: float | None = None
    has_dark: bool = False

    @property
    def risk_bps(self) -> float | None:
        """Of an even schedule: the standard deviation of what it costs, volatility x sqrt(T / 3): Almgren and Chriss
        (2000), V = sigma^2 tau sum x^2, in many steps, of what falls from the whole to nothing in a straight line."""
        return None if self.volatility_bps is None else self.volatility_bps * sqrt(self.seconds / 3)

    @property
    def is_small(self) -> bool:
        return self.of_depth is not None and self.of_depth <= SMALL_OF_DEPTH

    @property
    def is_large(self) -> bool:
        return self.of_depth is not None and self.of_depth > LARGE_OF_DEPTH

    @property
    def is_hurried(self) -> bool:
        return self.urgency in ("high", "immediate")

    @property
    def is_wide(self) -> bool:
        """The spread is far above its usual."""
        now, usual = self.spread_bps, self.usual_spread_bps
        return now is not None and usual is not None and now > max(WIDE_SPREAD * usual, SPREAD_BPS_MIN)

    @property
    def is_risky(self) -> bool:
        return self.risk_bps is not None and self.risk_bps > RISK_BPS[self.urgency]

    @property
    def is_calm(self) -> bool:
        """The price is not expected to leave the spread: what rests within it is met by others."""
        spread, risk = self.spread_bps, self.risk_bps
        return spread is not None and risk is not None and spread >= SPREAD_BPS_MIN and risk <= spread


class Rule(NamedTuple):
    when: Callable[[Situation], bool]
    algos: tuple[str, ...]
    why: str


RULES = (
    Rule(
        lambda s: s.urgency == "immediate",
        ("market",),
        "it is wanted at once",
    ),
    Rule(
        lambda s: not s.has_book,
        ("twap",),
        "nothing is known of the market's prices, so it goes in small parts, and only when they are known",
    ),
    Rule(
        lambda s: s.has_limit and s.away_bps > 0 and s.is_large,
        ("iceberg", "limit"),
        "nothing is to be had at its limit, so it rests there, and is too large to be shown",
    ),
    Rule(
        lambda s: s.has_limit and s.away_bps > 0,
        ("limit",),
        "nothing is to be had at its limit, so it rests there until somebody comes",
    ),
    Rule(
        lambda s: s.is_small and s.is_wide and s.urgency == "low",
        ("sniper",),
        "it is small and has time, and the spread is far above its usual: it waits for a better moment",
    ),
    Rule(
        lambda s: s.is_small and s.is_wide and s.urgency == "medium",
        ("twap",),
        "the spread is far above its usual, so it goes in parts while that comes back",
    ),
    Rule(
        lambda s: s.is_small and s.urgency == "low" and (s.spread_bps or 0) >= SPREAD_BPS_MIN,
        ("peg",),
        "it is small and has time, so it earns the spread instead of paying it",
    ),
    Rule(
        lambda s: s.is_small,
        ("market",),
        "it is small against the book, so that waiting has more to lose than to save",
    ),
    Rule(
        lambda s: s.is_large and s.has_dark and not s.is_hurried,
        ("block",),
        "it is large against the book, and dark venues may take it unseen",
    ),
    Rule(
        lambda s: (s.of_volume or 0) > TOO_MUCH_OF_VOLUME,
        ("pov", "liquidity"),
        "it is more than its share of what trades in its time, so it keeps to a share",
    ),
    Rule(
        lambda s: s.is_risky,
        ("is", "twap"),
        "the price may wander further in its time than trading early costs",
    ),
    Rule(
        lambda s: s.is_hurried,
        ("is", "liquidity"),
        "it is urgent and too large to be taken at once",
    ),
    Rule(
        lambda s: s.urgency == "low" and s.is_calm,
        ("iceberg", "peg"),
        "it has time and the price hardly leaves the spread, so others will come to it",
    ),
    Rule(
        lambda s: s.urgency == "low" and s.is_wide,
        ("sniper",),
        "it has time and the spread is far above its usual, so it waits for better moments",
    ),
    Rule(
        lambda s: s.seconds >= PROFILE_S_MIN and s.of_volume is not None,
        ("vwap",),
        "it has the time to follow the market's volume, and that is known",
    ),
    Rule(
        lambda s: s.is_large and s.of_volume is None,
        ("liquidity",),
        "it is large against the book and nothing is known of the volume, so the book says how much",
    ),
    Rule(
        lambda _: True,
        ("twap", "market"),
        "nothing speaks for more than equal parts at equal times",
    ),
)


def chosen(situation: Situation, can_work: Iterable[str]) -> tuple[str, str]:
    """The algorithm among those that can work the order, and why that one. ValueError where none of them suits."""
    there = set(can_work)
    for rule in RULES:
        if rule.when(situation):
            for algo in rule.algos:
                if algo in there:
                    return algo, rule.why
    raise ValueError(f"none of {', '.join(sorted(there)) or 'no algorithms'} suits any order")
