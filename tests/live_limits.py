"""Limits as orders for real need them, too wide to ever matter: for tests that are about something else."""

from __future__ import annotations

from collections.abc import Iterable


def live_limits(symbols: Iterable[str], venues: Iterable[str]) -> str:
    """A part of a configuration."""
    wide = "1000000000000"
    orders = "".join(f'[limits.instruments."{symbol}"]\nmax_order_value = "{wide}"\n' for symbol in symbols)
    opened = "[limits.open_orders]\n" + "".join(f"{venue} = 500\n" for venue in venues)
    exposure = "".join(
        f'[[limits.exposure]]\nsymbol = "{symbol}"\nmax_position = "{wide}"\nmax_open_value = "{wide}"\n'
        for symbol in symbols
    )
    return orders + opened + exposure
