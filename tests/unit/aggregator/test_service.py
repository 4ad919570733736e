from __future__ import annotations

import pytest

from bestex import config
from bestex.errors import UsageError
from services.aggregator.service import build

CONFIGURATION = """
[venues.x_spot]
[venues.x_perp]
[venues.off]
enabled = false
[instruments."BTC/USDT"]
price_scale = 2
qty_scale = 5
[instruments."BTC/USDT".venues]
x_spot = { tick = "0.01", lot = "0.00001" }
x_perp = { symbol = "BTC/USDT:USDT", kind = "perp", tick = "0.1", lot = "0.001" }
off = { tick = "0.01", lot = "0.00001" }
[instruments."ETH/USDT"]
price_scale = 2
qty_scale = 4
[instruments."ETH/USDT".venues]
x_spot = { tick = "0.01", lot = "0.0001" }
"""
CONFIG = config.parse(CONFIGURATION)


def test_it_hears_the_venues_own_symbols_of_what_it_was_asked_for() -> None:
    assert build(CONFIG, ("BTC/USDT",)).hears == (
        "bestex.v1.md.book.x_perp.BTC-USDT-USDT",
        "bestex.v1.md.book.x_spot.BTC-USDT",
        "bestex.v1.md.mark.x_perp.BTC-USDT-USDT",
        "bestex.v1.md.trade.x_perp.BTC-USDT-USDT",
        "bestex.v1.md.trade.x_spot.BTC-USDT",
    )


@pytest.mark.parametrize("names", [(), ("all",), ("BTC-USDT", "ETH/USDT"), ("BTC/USDT", "BTC-USDT", "all")])
def test_all_means_every_instrument(names: tuple[str, ...]) -> None:
    assert len(build(CONFIG, names).hears) == 7


def test_an_unknown_symbol_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no instrument is called DOGE; there are BTC/USDT, ETH/USDT"):
        build(CONFIG, ("DOGE",))
