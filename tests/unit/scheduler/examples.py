"""Orders of every algorithm, for the tests that hold for all of them: of one BTC, over 100 s where they take time."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "market": [{}],
    "limit": [{"limit_price": "60000"}, {"limit_price": "60010", "tif": "ioc"}],
    "twap": [
        {"duration": "100s", "interval": "10s"},
        {"duration": "100s", "slices": 7, "randomize": 0.9, "force_completion": True},
        {"duration": "100s", "interval": "5s", "max_participation": "10%", "out_of_limit": "pause"},
        {"duration": "100s", "interval": "20s", "would_price": "59990", "limit_price": "60020"},
    ],
    "pov": [
        {"duration": "100s", "rate": "20%"},
        {"duration": "100s", "rate": "10%", "min_rate": "5%", "max_rate": "30%", "reach": "20bps"},
        {"duration": "100s", "rate": "30%", "min_slice": "0.02", "limit_price": "60020", "catch_up": 0},
        {"duration": "100s", "rate": "5%", "force_completion": True, "would_price": "59900"},
        {"duration": "100s", "rate": "40%", "limit_price": "60000", "out_of_limit": "pause"},
    ],
    "is": [
        {"duration": "100s", "interval": "5s", "replan": "10s"},
        {"duration": "100s", "slices": 12, "risk_aversion": 1e-3, "replan": "1s"},
        {"duration": "100s", "interval": "10s", "urgency": "high", "volatility": "3%", "randomize": 0.9},
        {"duration": "100s", "interval": "5s", "urgency": "immediate", "max_slice": "0.2"},
        {"duration": "100s", "interval": "10s", "model": "transient", "half_life": "1m"},
        {
            "duration": "100s",
            "interval": "5s",
            "limit_price": "60020",
            "out_of_limit": "pause",
            "replan": "5s",
        },
    ],
}
