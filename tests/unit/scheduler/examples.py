"""Orders of every algorithm, for the tests that hold for all of them: of one BTC, over 100 s where they take time."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "market": [{}],
    "limit": [{"limit_price": "60000", "duration": "100s"}, {"limit_price": "60010", "tif": "ioc"}],
    "twap": [
        {"duration": "100s", "interval": "10s"},
        {"duration": "100s", "slices": 7, "randomize": 0.9, "force_completion": True},
        {"duration": "100s", "interval": "5s", "max_participation": "10%", "out_of_limit": "pause"},
        {"duration": "100s", "interval": "20s", "would_price": "59990", "limit_price": "60020"},
    ],
    "sniper": [
        {"duration": "100s", "force_completion": True},
        {"duration": "100s", "threshold": "40%", "take": "20%", "cooldown": "3s", "limit_price": "60010"},
        {"duration": "100s", "threshold": "55%", "max_events": 3, "venues": ["sim_a", "sim_b"]},
        {"duration": "100s", "threshold": "60%", "max_participation": "20%", "max_slippage": "1bps"},
    ],
    "liquidity": [
        {"duration": "100s", "interval": "5s"},
        {"duration": "100s", "interval": "0s", "share": "2%", "force_completion": True, "randomize": 0.9},
        {"duration": "100s", "depth_of": "front", "share": "40%", "limit_price": "60000", "max_slice": "0.2"},
        {"duration": "100s", "interval": "1500ms", "min_slice": "0.05", "would_price": "59980"},
    ],
    "smart": [
        {"duration": "100s"},
        {"duration": "100s", "urgency": "low", "force_completion": True},
        {"duration": "100s", "urgency": "high", "max_participation": "20%", "max_slice": "0.2"},
        {"duration": "100s", "urgency": "immediate", "limit_price": "60000"},
    ],
    "iceberg": [
        {"duration": "100s", "display": "0.1", "refresh": "2s", "randomize": 0.5},
        {"duration": "100s", "display_share": "20%", "limit_price": "60000", "native": False},
        {"duration": "100s", "repost_after": "3s", "force_completion": True, "would_price": "59950"},
        {"duration": "100s", "limit_price": "60100", "post_only": True, "max_participation": "30%"},
    ],
    "peg": [
        {"duration": "100s"},
        {"duration": "100s", "reference": "mid", "interval": "5s", "tolerance": 3, "force_completion": True},
        {"duration": "100s", "reference": "market", "offset": 1, "unit": "bps", "max_slice": "0.2"},
        {"duration": "100s", "offset": -2, "max_chase": "1bps", "limit_price": "60010"},
        {"duration": "100s", "would_price": "59950", "max_participation": "30%", "slice_ttl": "7s"},
    ],
    "block": [
        {"duration": "100s", "rest": "6s", "conditional": True},
        {"duration": "100s", "dark_time": "70s", "rest": "4s", "learning": "gradient", "min_fill": "0.05"},
        {"duration": "100s", "then": "at_once", "limit_price": "60010", "randomize": 0.9},
        {"duration": "100s", "venues": ["dark_a", "dark_b"], "rest": "5s", "max_slice": "0.3"},
        {"duration": "100s", "venues": ["sim_a", "dark_b"], "dark_share": "30%", "interval": "7s"},
        {"duration": "100s", "venues": ["sim_a"], "force_completion": True},
        {"duration": "100s", "conditional": True, "rest": "5s", "min_fill": "0.02", "dark_share": "80%"},
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
    "vwap": [
        {"duration": "100s", "interval": "10s"},
        {"duration": "100s", "slices": 7, "randomize": 0.9, "days": 1, "force_completion": True},
        {"duration": "100s", "interval": "5s", "max_participation": "10%", "lookback": "2m"},
        {"duration": "100s", "interval": "20s", "would_price": "59990", "limit_price": "60020"},
    ],
}
