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
    "block": [
        {"duration": "100s", "rest": "6s"},
        {"duration": "100s", "dark_time": "70s", "rest": "4s", "learning": "gradient", "min_fill": "0.05"},
        {"duration": "100s", "then": "at_once", "limit_price": "60010", "randomize": 0.9},
        {"duration": "100s", "venues": ["dark_a", "dark_b"], "rest": "5s", "max_slice": "0.3"},
        {"duration": "100s", "venues": ["sim_a", "dark_b"], "dark_share": "30%", "interval": "7s"},
        {"duration": "100s", "venues": ["sim_a"], "force_completion": True},
    ],
}
