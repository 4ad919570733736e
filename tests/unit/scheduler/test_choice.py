"""Which algorithm is chosen in which situation, and why."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.models.choice import RULES, Situation, chosen

ALL = frozenset(
    ("market", "limit", "twap", "vwap", "pov", "is", "iceberg", "sniper", "peg", "liquidity", "block")
)
# A tenth of a percent of the volume, a quarter of the book, a spread of 2 bps as usual: nothing out of the ordinary.
PLAIN = Situation(
    has_book=True, of_depth=0.25, of_volume=0.001, spread_bps=2.0, usual_spread_bps=2.0, volatility_bps=0.7
)
SMALL, LARGE = {"of_depth": 0.05}, {"of_depth": 5.0}
WIDE: dict[str, Any] = {"spread_bps": 6.0, "usual_spread_bps": 2.0}
AWAY: dict[str, Any] = {"has_limit": True, "away_bps": 4.0}
UNKNOWN: dict[str, Any] = {"has_book": False, "of_depth": None, "spread_bps": None, "usual_spread_bps": None}


@pytest.mark.parametrize(
    ("differs", "best", "next_best"),
    [
        # urgency
        ({"urgency": "immediate"}, "market", "is"),
        ({"urgency": "immediate", **LARGE}, "market", "is"),
        ({"urgency": "immediate", **UNKNOWN}, "market", "twap"),
        ({"urgency": "high"}, "is", "liquidity"),
        ({"urgency": "high", **LARGE}, "is", "liquidity"),
        ({"urgency": "high", **SMALL}, "market", "is"),
        ({"urgency": "high", **SMALL, **WIDE}, "market", "is"),
        # nothing known
        (UNKNOWN, "twap", "vwap"),
        ({"urgency": "high", **UNKNOWN}, "twap", "is"),
        ({"of_volume": None, "volatility_bps": None}, "twap", "market"),
        # the limit is away from the market
        (AWAY, "limit", "vwap"),
        ({**AWAY, **LARGE}, "iceberg", "limit"),
        ({**AWAY, **SMALL}, "limit", "market"),
        ({"has_limit": True, "away_bps": -4.0}, "vwap", "twap"),
        # small against the book
        (SMALL, "market", "vwap"),
        ({**SMALL, **WIDE}, "twap", "market"),
        ({**SMALL, **WIDE, "urgency": "low"}, "sniper", "peg"),
        ({**SMALL, "urgency": "low"}, "peg", "market"),
        ({**SMALL, "urgency": "low", "spread_bps": 0.1}, "market", "vwap"),
        # large, and somewhere to go with it
        ({**LARGE, "has_dark": True}, "block", "vwap"),
        ({**LARGE, "has_dark": True, "urgency": "high"}, "is", "liquidity"),
        ({"has_dark": True}, "vwap", "twap"),
        # against what trades
        ({**LARGE, "of_volume": 0.5}, "pov", "liquidity"),
        ({**LARGE, "of_volume": 0.5, "urgency": "high"}, "pov", "liquidity"),
        ({**LARGE, "of_volume": None}, "liquidity", "twap"),
        # the risk of waiting: .7 bps per root second over 2 hours is 34 bps
        ({"seconds": 7_200.0}, "is", "twap"),
        ({"seconds": 7_200.0, "urgency": "low"}, "vwap", "twap"),
        ({"volatility_bps": 3.0}, "is", "twap"),
        ({"volatility_bps": 1.2, "urgency": "high", "seconds": 600.0}, "is", "twap"),
        # time and patience
        ({"urgency": "low", "volatility_bps": 0.1}, "iceberg", "peg"),
        ({"urgency": "low", **WIDE, "volatility_bps": 2.0}, "sniper", "vwap"),
        ({}, "vwap", "twap"),
        ({"seconds": 120.0}, "twap", "market"),
    ],
)
def test_the_situation_decides(differs: dict[str, Any], best: str, next_best: str) -> None:
    situation = PLAIN._replace(**differs)
    algo, why = chosen(situation, ALL)
    assert algo == best
    assert why
    assert chosen(situation, ALL - {best})[0] == next_best


def test_every_rule_decides_somewhere() -> None:
    assert len({rule.why for rule in RULES}) == len(RULES)
    assert {algo for rule in RULES for algo in rule.algos} == ALL


NUMBER = st.none() | st.floats(0, 1_000)


@given(
    st.builds(
        Situation,
        urgency=st.sampled_from(("low", "medium", "high", "immediate")),
        seconds=st.floats(1, 1e6),
        has_book=st.booleans(),
        has_limit=st.booleans(),
        away_bps=st.floats(-100, 100),
        of_depth=NUMBER | st.just(float("inf")),
        of_volume=NUMBER,
        spread_bps=NUMBER,
        usual_spread_bps=NUMBER,
        volatility_bps=NUMBER,
        has_dark=st.booleans(),
    ),
    st.sets(st.sampled_from(sorted(ALL - {"twap"}))),
)
def test_something_that_there_is_is_always_chosen(situation: Situation, others: set[str]) -> None:
    there = {"twap", *others}
    assert chosen(situation, there)[0] in there
    if not situation.has_book and situation.urgency != "immediate":
        assert chosen(situation, there)[0] == "twap"


def test_where_nothing_suits_that_is_said() -> None:
    with pytest.raises(ValueError, match="none of block"):
        chosen(PLAIN, {"block"})
