"""The venues of a campaign: simulated ones, or emulated exchanges behind ccxt."""

from __future__ import annotations

from bestex.config import Config
from bestex.supervisor import ServiceSpec
from tests.emulators.outside import Outside
from tests.live_limits import live_limits

SIMULATED = """
[venues.sim_a]
priority = 1
[venues.sim_b]
priority = 2
[venues.sim_c]
priority = 3

[instruments."BTC/USDT"]
price_scale = 2
qty_scale = 5
start_price = "60000"

[instruments."BTC/USDT".venues]
sim_a = { tick = "0.01", lot = "0.00001", min_notional = "5", taker_bps = "2", maker_bps = "0.5" }
sim_b = { tick = "0.01", lot = "0.00001", min_notional = "5", taker_bps = "2.5", maker_bps = "0" }
sim_c = { tick = "0.10", lot = "0.001", min_notional = "10", taker_bps = "1", maker_bps = "-0.2" }

[instruments."ETH/USDT"]
price_scale = 2
qty_scale = 4
start_price = "3000"

[instruments."ETH/USDT".venues]
sim_a = { tick = "0.01", lot = "0.0001", min_notional = "5", taker_bps = "2", maker_bps = "0.5" }
sim_b = { tick = "0.01", lot = "0.0001", min_notional = "5", taker_bps = "2.5", maker_bps = "0" }
sim_c = { tick = "0.05", lot = "0.01", min_notional = "10", taker_bps = "1", maker_bps = "-0.2" }

[execution]
timeout = "2s"
slice_ttl = "3s"

[splitting]
min_split_size = "10"
"""

# What each venue of ours is at which exchange: spot and a perpetual in both, each exchange in one of its two kinds.
EMULATED = {
    "ccxt": {
        "binance_spot": ("binance", "spot"),
        "bybit_perp": ("bybit", "perp"),
        "okx_spot": ("okx", "spot"),
    },
    "ccxt-perp": {
        "binance_perp": ("binance_perp", "perp"),
        "bybit_spot": ("bybit", "spot"),
        "okx_perp": ("okx", "perp"),
    },
}
# (price_scale, qty_scale), and the terms at each venue.
LISTED = {
    "BTC/USDT": (
        (2, 8),
        {
            "binance_spot": 'tick = "0.01", lot = "0.00001", min_notional = "5", taker_bps = "10", maker_bps = "10"',
            "binance_perp": 'symbol = "BTC/USDT:USDT", kind = "perp", tick = "0.1", lot = "0.001", '
            'min_notional = "100", taker_bps = "5", maker_bps = "2"',
            "bybit_spot": 'tick = "0.01", lot = "0.000001", min_qty = "0.000011", min_notional = "5", '
            'taker_bps = "10", maker_bps = "10"',
            "bybit_perp": 'symbol = "BTC/USDT:USDT", kind = "perp", tick = "0.1", lot = "0.001", '
            'min_notional = "5", taker_bps = "5.5", maker_bps = "2"',
            "okx_spot": 'tick = "0.1", lot = "0.00000001", min_qty = "0.00001", taker_bps = "10", '
            'maker_bps = "8"',
            "okx_perp": 'symbol = "BTC/USDT:USDT", kind = "perp", tick = "0.1", lot = "0.0001", '
            'contract_size = "0.01", taker_bps = "5", maker_bps = "2"',
        },
    ),
    "ETH/USDT": (
        (2, 6),
        {
            "binance_spot": 'tick = "0.01", lot = "0.0001", min_notional = "5", taker_bps = "10", maker_bps = "10"',
            "bybit_spot": 'tick = "0.01", lot = "0.00001", min_qty = "0.0001", min_notional = "5", '
            'taker_bps = "10", maker_bps = "10"',
            "okx_spot": 'tick = "0.01", lot = "0.000001", min_qty = "0.001", taker_bps = "10", maker_bps = "8"',
        },
    ),
}
# New orders a second: what the exchanges allow, with room for what a restarted gateway has forgotten that it sent.
RATES = {"binance": 20, "binance_perp": 15, "bybit": 8, "okx": 15}
COMMON = """
[execution]
timeout = "2s"
slice_ttl = "3s"

[splitting]
min_split_size = "10"
"""


def specs_of(config: Config) -> list[ServiceSpec]:
    """A gateway and a collector for each exchange, each a process, and one of every other service."""
    venues = config.enabled_venues()
    return [
        *(ServiceSpec(f"collector-{venue}", "collector", (venue,)) for venue in venues),
        ServiceSpec("aggregator", "aggregator", ("all",)),
        ServiceSpec("router", "router"),
        *(ServiceSpec(f"gateway-{venue}", "gateway", (venue,)) for venue in venues),
        ServiceSpec("scheduler", "scheduler", ("all",)),
        ServiceSpec("recorder", "recorder"),
    ]


def emulated_toml(outside: Outside) -> str:
    """The configuration of a platform that trades there."""
    lines = [outside.toml(venue, "60%") for venue in outside.venues]
    for symbol, ((price_scale, qty_scale), terms) in LISTED.items():
        lines.append(f'[instruments."{symbol}"]\nprice_scale = {price_scale}\nqty_scale = {qty_scale}')
        lines.append(f'[instruments."{symbol}".venues]')
        lines += [f"{venue} = {{ {terms[venue]} }}" for venue in outside.venues if venue in terms]
    for venue, (exchange, _) in outside.venues.items():
        rate = RATES[exchange]
        lines.append(f"[limits.rates.{venue}]\nper_second = {rate}\nburst = {rate}")
    return "\n".join(lines) + f"\n{live_limits(LISTED, outside.venues)}" + COMMON
