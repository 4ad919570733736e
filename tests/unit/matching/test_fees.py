"""Fees by what an account has traded at the venue before."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bestex import sim_wire as w
from bestex.background import ASK, BackgroundTrade, LevelSet
from bestex.config_fills import FillsConfig
from bestex.config_terms import FeeTier
from bestex.errors import ConfigError
from bestex.instruments import Instrument, Instruments, Listing
from bestex.matching import SimExchange
from bestex.messages import Side, Tif
from tests.unit.matching.test_latency import parsed

VENUE, SYMBOL = "sim_a", "X/Y"
TIERS = [
    FeeTier(volume=Decimal(1_000), taker_bps=Decimal(5), maker_bps=Decimal(1)),
    FeeTier(volume=Decimal(5_000), taker_bps=Decimal(2), maker_bps=Decimal(-1)),
]


def exchange() -> SimExchange:
    listing = Listing(venue=VENUE, symbol=SYMBOL, taker_fee_e8=100_000, maker_fee_e8=20_000)
    made = Instrument(symbol=SYMBOL, price_scale=0, qty_scale=0, listings=(listing,))
    return SimExchange(Instruments((made,)), [VENUE], fills=FillsConfig(fee_tiers=TIERS))


def feed(sim: SimExchange) -> None:
    sim.background(SYMBOL, LevelSet(1, VENUE, ASK, 100, 10_000))


def taken(sim: SimExchange, number: int, qty: int, account: str = "default") -> Decimal:
    """The fee in bps."""
    order = w.Submit(
        venue=VENUE,
        symbol=SYMBOL,
        account=account,
        client_id=str(number),
        side=Side.BUY,
        qty=qty,
        price=100,
        tif=Tif.IOC,
    )
    [trade] = sim.submit(order, number).trades
    state = sim.query(VENUE, str(number), account)
    assert state is not None
    assert state.fees == trade.fee, "the order and its trade say the same"
    return trade.fee / (100 * qty) * 10_000


def test_a_tier_holds_from_the_order_after_its_volume_was_reached() -> None:
    sim = exchange()
    feed(sim)
    assert taken(sim, 1, 9) == 10  # the listing's
    assert taken(sim, 2, 30) == 10  # 900 traded before it, though it passes 1,000 itself
    assert taken(sim, 3, 20) == 5  # 3,900
    assert taken(sim, 4, 1) == 2  # 5,900
    assert taken(sim, 5, 1, account="another") == 10


def test_makers_have_tiers_too_and_a_restart_knows_what_was_traded() -> None:
    sim = exchange()
    feed(sim)
    taken(sim, 1, 60)
    again = exchange()
    for entry in sim.drain():
        again.restore(entry)
    feed(again)
    bid = w.Submit(venue=VENUE, symbol=SYMBOL, client_id="2", side=Side.BUY, qty=10, price=99)
    again.submit(bid, 2)
    again.background(SYMBOL, BackgroundTrade(3, VENUE, 99, 10, -1, "t"))
    trade = again.trades_since(VENUE)[-1]
    assert (trade.liquidity, trade.fee) == ("maker", Decimal("-0.099"))  # 990 x -1 bps
    assert taken(again, 4, 1) == 2


@pytest.mark.parametrize("tier", ['volume = "-1"\ntaker_bps = "1"', 'volume = "1"\ntaker_bps = "1.00001"'])
def test_a_tier_that_makes_no_sense_is_refused(tier: str) -> None:
    with pytest.raises(ConfigError, match=r"exchange\.fills\.fee_tiers: tier 1"):
        parsed(f'[[exchange.fills.fee_tiers]]\n{tier}\nmaker_bps = "0"')
