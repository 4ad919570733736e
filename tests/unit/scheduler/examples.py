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
    "vwap": [
        {"duration": "100s", "interval": "10s"},
        {"duration": "100s", "slices": 7, "randomize": 0.9, "days": 1, "force_completion": True},
        {"duration": "100s", "interval": "5s", "max_participation": "10%", "lookback": "2m"},
        {"duration": "100s", "interval": "20s", "would_price": "59990", "limit_price": "60020"},
    ],
}
