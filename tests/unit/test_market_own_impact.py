"""The market model answers what our own takers take, where it is told to, and comes back."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bestex import config as configuration
from bestex import messages as m
from bestex import sim_wire as w
from bestex.background import LevelSet
from bestex.clock import SECOND, US, AffineClock
from bestex.config import ExchangeConfig
from bestex.errors import ConfigError
from bestex.human import Duration, Ratio
from bestex.impact import Exponential, Trade, Transient
from bestex.impact.settings import OwnImpact
from bestex.instruments import Instrument, Listing
from bestex.market import MarketModel
from bestex.market.pushed import Pushed
from bestex.messages import Side
from services.backtester.session import VirtualSession
from services.exchange.background import ModelBackground
from services.exchange.happening import Happening
from services.exchange.shell import Exchange

PRICE = 6_000_000
START_NS = 1_760_000_000 * SECOND
BTC = Instrument(
    symbol="BTC/USDT",
    price_scale=2,
    qty_scale=5,
    listings=tuple(Listing(venue=venue, symbol="BTC/USDT") for venue in ("sim_a", "sim_b")),
)
BEST_NOTIONAL_UNITS = 60_000 * 10**7  # the preset's, in price units x quantity units
OWN = OwnImpact(move_bps=10.0, permanent=Ratio(0.3), half_life=Duration(4 * SECOND))


class Twin:
    """A model and the books that it shows."""

    def __init__(self, own: OwnImpact | None, seed: int = 1) -> None:
        self.model = MarketModel(BTC, "crypto", seed, PRICE, START_NS, own)
        self.levels: dict[tuple[str, int], dict[int, int]] = {}
        self.events: list[Any] = []
        self.to(0)

    def to(self, seconds: float) -> float:
        """The mean of the venues' mids then."""
        for event in self.model.step_until(START_NS + int(seconds * SECOND)):
            self.events.append(event)
            if isinstance(event, LevelSet):
                side = self.levels.setdefault((event.venue, event.side), {})
                side[event.price] = event.qty
                if not event.qty:
                    del side[event.price]
        return sum(max(self.levels[v, 1]) + min(self.levels[v, -1]) for v in ("sim_a", "sim_b")) / 4

    def push(self, seconds: float, side: int, best_sizes: int) -> None:
        self.to(seconds)
        self.model.hear(START_NS + int(seconds * SECOND), side, best_sizes * BEST_NOTIONAL_UNITS)


def test_by_default_nothing_that_we_do_changes_the_market() -> None:
    alone, off, none = Twin(None), Twin(OwnImpact()), Twin(None)
    off.push(5, 1, 100)
    none.push(5, 1, 100)
    assert alone.to(20) == off.to(20) == none.to(20)
    assert alone.events == off.events == none.events


@pytest.mark.parametrize("side", [1, -1])
def test_makers_follow_what_we_took_and_most_of_it_comes_back(side: int) -> None:
    pushed = Twin(OWN)
    before = pushed.to(5)
    pushed.push(5, side, 20)  # 200 bps, of which 60 stay; a minute of the model's own moves is some 10
    at_once = (pushed.to(5.5) / before - 1) * 1e4 * side
    assert at_once == pytest.approx(60 + 140 * 0.5 ** (0.5 / 4), abs=12)
    later = (pushed.to(9) / before - 1) * 1e4 * side
    assert later == pytest.approx(60 + 70, abs=15)
    in_the_end = (pushed.to(60) / before - 1) * 1e4 * side
    assert in_the_end == pytest.approx(60, abs=25)


def test_a_market_that_was_pushed_rests_again() -> None:
    pushed = Twin(OWN)
    pushed.push(5, 1, 20)
    assert pushed.model._relaxing
    pushed.to(120)
    assert not pushed.model._relaxing


def test_the_books_never_cross_however_we_push() -> None:
    rng, twin = random.Random(3), Twin(OWN)
    for second in range(1, 30):
        twin.push(second, rng.choice((1, -1)), rng.randint(1, 5))
        for venue in ("sim_a", "sim_b"):
            assert max(twin.levels[venue, 1]) < min(twin.levels[venue, -1])


@given(
    trades=st.lists(st.tuples(st.integers(0, 60 * SECOND), st.integers(-50, 50)), max_size=8),
    now_ns=st.integers(60 * SECOND, 100 * SECOND),
)
def test_what_was_pushed_is_the_sum_over_all_past_trades(trades: list[tuple[int, int]], now_ns: int) -> None:
    pushed = Pushed(OWN, 1.0)
    for at_ns, notional in sorted(trades):
        pushed.push(at_ns, notional)
    passing = Transient(kernel=Exponential(half_life_ns=4 * SECOND), bps_per_unit=7.0)
    expected = passing.displacement_bps([Trade(*trade) for trade in trades], now_ns)
    assert pushed.bps(now_ns) == pytest.approx(expected + 3.0 * sum(qty for _, qty in trades), abs=1e-6)


# -- who tells it ----------------------------------------------------------------------------------


def trade(venue: str = "sim_a", symbol: str = "BTC/USDT", liquidity: Any = "taker") -> w.Trade:
    return w.Trade(
        venue=venue,
        symbol=symbol,
        trade_id=1,
        account="default",
        client_id="c",
        order_id=1,
        side=Side.SELL,
        price=PRICE,
        qty=100_000,
        fee=Decimal(0),
        fee_currency="USDT",
        liquidity=liquidity,
        at_ns=START_NS,
    )


@pytest.mark.parametrize(
    ("heard", "moves"),
    [
        (trade(), True),
        (trade(liquidity="maker"), False),
        (trade(venue="sim_x"), False),
        (trade(symbol="ETH/USDT"), False),
    ],
)
def test_only_what_our_takers_took_of_this_instrument_is_heard(heard: w.Trade, moves: bool) -> None:
    def run(trades: list[w.Trade]) -> list[Happening]:
        made = ModelBackground(BTC, ExchangeConfig(own_impact=OWN), PRICE, START_NS)
        events = list(made.step_until(START_NS))
        made.hear(trades)
        return events + list(made.step_until(START_NS + SECOND))

    assert (run([heard]) != run([])) is moves


class Listener:
    """A background that shows one ask, and keeps what it hears."""

    def __init__(self) -> None:
        self.shown, self.heard = False, list[w.Trade]()

    def step_until(self, now_ns: int) -> list[Happening]:
        events = [] if self.shown else [Happening("BTC/USDT", LevelSet(now_ns, "sim_a", -1, 100, 1_000))]
        self.shown = True
        return events

    def hear(self, trades: list[w.Trade]) -> None:
        self.heard += trades


def test_the_exchange_tells_its_market_what_was_traded(tmp_path: Path) -> None:
    settings = configuration.parse(
        f'data_dir = "{tmp_path}"\n[venues.sim_a]\n[instruments."BTC/USDT"]\nprice_scale = 2\nqty_scale = 5\n'
        'venues.sim_a = { tick = "0.01", lot = "0.00001" }\n[exchange]\nlatency = "0s"'
    )
    listener = Listener()
    logger: Any = structlog.get_logger()
    exchange = Exchange(settings, AffineClock(), logger, make_backgrounds=lambda *_: [listener])
    exchange.start()
    exchange.handle(
        w.Submit(venue="sim_a", symbol="BTC/USDT", client_id="c1", side=Side.BUY, qty=10, price=100)
    )
    for journal in exchange._journals.values():
        journal.close()
    assert [(heard.qty, heard.side) for heard in listener.heard] == [(10, Side.BUY)]


def test_a_backtest_pays_for_its_own_impact() -> None:
    def average(move: str) -> float:
        session = VirtualSession(
            configuration.load(None, {"BESTEX__EXCHANGE__OWN_IMPACT__MOVE_BPS": move}), seed=1
        )
        params = {"duration": "12s", "interval": "2s"}
        order = m.ParentOrder(symbol="BTC/USDT", side=Side.BUY, qty=Decimal(12), algo="twap", params=params)
        session.submit(order, session.now_ns + 3 * SECOND)
        assert session.finish(session.now_ns + 40 * SECOND)
        fills = session.fills()
        return float(sum(fill.price * fill.qty for fill in fills) / sum(fill.qty for fill in fills))

    assert (average("2") / average("0") - 1) * 1e4 > 3


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ('permanent = "120%"', "exchange.own_impact.permanent: 120% must be from 0% to 100%"),
        ('half_life = "0s"', "exchange.own_impact.half_life: must be longer than nothing"),
        ("move_bps = -1", "own_impact.move_bps"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_path(setting: str, wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration.parse(f"[exchange.own_impact]\n{setting}")
    assert wrong in str(caught.value)


def test_times_of_the_model_stay_whole_microseconds() -> None:
    twin = Twin(OWN)
    twin.model.hear(START_NS + 7, 1, BEST_NOTIONAL_UNITS)
    twin.to(2)
    assert all(event.at_ns % US == 0 for event in twin.events)
