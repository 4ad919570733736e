"""The registries: what can be named in an order or in the configuration, and where its code is.

To add an algorithm, a routing strategy or a venue: copy the `_template.py` of its folder and add one line here.
Values are "module:attribute", imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bestex.errors import UsageError

ALGOS = {
    "market": "services.scheduler.algos.market:Market",
    "limit": "services.scheduler.algos.limit:Limit",
    "twap": "services.scheduler.algos.twap:Twap",
    "vwap": "services.scheduler.algos.vwap:Vwap",
    "pov": "services.scheduler.algos.pov:Pov",
    "is": "services.scheduler.algos.implementation_shortfall:ImplementationShortfall",
    "iceberg": "services.scheduler.algos.iceberg:Iceberg",
    "sniper": "services.scheduler.algos.sniper:Sniper",
    "peg": "services.scheduler.algos.peg:Peg",
    "liquidity": "services.scheduler.algos.liquidity:Liquidity",
    "block": "services.scheduler.algos.block:Block",
    "smart": "services.scheduler.algos.smart:Smart",
}

STRATEGIES = {
    "sweep": "services.router.strategies.sweep:Sweep",
    "best_price": "services.router.strategies.best_price:BestPrice",
    "best_liquidity": "services.router.strategies.best_liquidity:BestLiquidity",
    "lowest_fees": "services.router.strategies.lowest_fees:LowestFees",
    "split_evenly": "services.router.strategies.split_evenly:SplitEvenly",
    "split_by_liquidity": "services.router.strategies.split_by_liquidity:SplitByLiquidity",
    "price_optimized_liquidity": "services.router.strategies.price_optimized_liquidity:PriceOptimizedLiquidity",
    "minimal_market_impact": "services.router.strategies.minimal_market_impact:MinimalMarketImpact",
    "cont_kukanov": "services.router.strategies.cont_kukanov:ContKukanov",
    "smart": "services.router.strategies.smart:Smart",
}

GATEWAYS = {
    "sim": "services.gateway.venues.sim:SimVenue",
    "ccxt": "services.gateway.venues.ccxt.adapter:CcxtVenue",
    "kis": "services.gateway.venues.kis.adapter:KisVenue",
}

# What looks at a real venue without trading there: `check(venue, configuration, say)` (`bestex venues check`).
CHECKS = {
    "ccxt": "services.gateway.venues.ccxt.check:check",
    "kis": "services.gateway.venues.kis.check:check",
}

COLLECTORS = {
    "sim": "services.collector.sources.sim:SimSource",
    "recording": "services.collector.sources.recording:RecordingSource",
    "ccxt": "services.collector.sources.ccxt.source:CcxtSource",
    "kis": "services.collector.sources.kis:KisSource",
}


def load(registry: dict[str, str], name: str) -> Any:
    """What `name` stands for in `registry`. Raises UsageError with what there is."""
    if name not in registry:
        raise UsageError(f"there is no {name!r}; there are {', '.join(sorted(registry))}")
    module, _, attribute = registry[name].partition(":")
    return getattr(import_module(module), attribute)
