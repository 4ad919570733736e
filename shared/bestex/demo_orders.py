"""The demonstration's script: which parents, in which order, and what happens to them on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from bestex.messages import Side

TICK = Decimal("0.1")  # a price grid that every demonstration venue takes


@dataclass(frozen=True)
class DemoOrder:
    """`offset_bps`: the limit price from the mid, positive towards the other side; None for no limit.

    `modify_to`: the new total after half the time. `ends`: with what it may end.
    """

    parent_id: str
    symbol: str
    side: Side
    qty: Decimal
    algo: str
    offset_bps: int | None = None
    params: dict[str, Any] = field(default_factory=dict)
    cancel: bool = False
    modify_to: Decimal | None = None

    def limit_price(self, mid: Decimal) -> Decimal | None:
        if self.offset_bps is None:
            return None
        price = mid * (1 + Decimal(self.side.sign * self.offset_bps) / 10_000)
        return price.quantize(TICK, ROUND_HALF_EVEN)


def script(run: str, *, small: bool) -> list[DemoOrder]:
    """Some thirty orders, of every algorithm; six where it must be quick. `run` begins every id."""
    duration, interval = ("6s", "1s") if small else ("30s", "2s")
    twap = {"duration": duration, "interval": interval, "force_completion": True}
    orders: list[DemoOrder] = []

    def add(symbol: str, side: Side, qty: str, algo: str, **rest: Any) -> None:
        number = len(orders) + 1
        orders.append(DemoOrder(f"{run}-{number:02d}-{algo}", symbol, side, Decimal(qty), algo, **rest))

    btc, eth, buy, sell = "BTC/USDT", "ETH/USDT", Side.BUY, Side.SELL
    add(btc, buy, "0.4", "twap", params=twap)
    add(eth, sell, "6", "twap", params=twap, cancel=True)
    add(btc, sell, "0.3", "twap", params=twap, modify_to=Decimal("0.45"))
    add(eth, buy, "2", "market")
    add(btc, buy, "0.05", "limit", offset_bps=20, params={"duration": duration})
    add(eth, sell, "1.5", "limit", offset_bps=-1, params={"duration": duration})
    if small:
        return orders
    for symbol, unit in ((btc, Decimal("0.05")), (eth, Decimal(1))):
        for side in (buy, sell):
            add(symbol, side, str(3 * unit), "market")
            add(symbol, side, str(2 * unit), "limit", offset_bps=15, params={"duration": "20s"})
            add(symbol, side, str(8 * unit), "twap", params={**twap, "duration": "20s"})
    works = {"duration": duration, "force_completion": True}
    for number, (algo, more) in enumerate(
        {
            "vwap": {"interval": interval},
            "pov": {"rate": "20%"},
            "is": {"interval": interval},
            "iceberg": {"display_share": "30%"},
            "peg": {},
            "sniper": {"threshold": "55%"},
            "liquidity": {"interval": interval},
            "block": {"interval": interval},
            "smart": {},
        }.items()
    ):
        symbol, qty = ((btc, "0.3"), (eth, "4"))[number % 2]
        add(symbol, (buy, sell)[number // 2 % 2], qty, algo, params={**works, **more})
    add(btc, buy, "0.02", "limit", offset_bps=-2, params={"duration": "25s"})
    add(eth, buy, "5", "twap", offset_bps=30, params=twap)
    return orders
