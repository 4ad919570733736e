"""What exchanges with one account for spot and perpetuals have in common: the books as listeners have them, and the
wallet.

The engine counts in base and quote and takes every fee in quote. These exchanges take the fee of a spot purchase out
of what was bought, and a perpetual moves no base at all: only its fees and what was gained are paid.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from bestex import sim_wire as w
from bestex.messages import Side
from tests.emulators.engine import Engine, Levels, Market, Snapshot

TRADES_MAX = 1_000_000
FEE_STEP = Decimal("0.00000001")  # exchanges take no fraction of this
LEVERAGE = 10  # of perpetuals: what an order or a position locks is its value through this


def text(number: Decimal) -> str:
    """Without exponent and without zeros at the end."""
    plain = format(number, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def is_perp(market: Market) -> bool:
    return market.listing.kind == "perp"


class View:
    """The best `depth` levels of a book as they were last told: a level that leaves them is told as gone."""

    def __init__(self, depth: int, snapshot: Snapshot) -> None:
        self.depth = depth
        self.bids, self.asks = dict(snapshot.bids), dict(snapshot.asks)
        self.number = 1

    def update(self, snapshot: Snapshot) -> tuple[Levels, Levels]:
        """What has changed; empty for nothing."""
        bids, asks = _changed(self.bids, snapshot.bids), _changed(self.asks, snapshot.asks)
        self.bids, self.asks = dict(snapshot.bids), dict(snapshot.asks)
        return bids, asks


def _changed(old: dict[Decimal, Decimal], new: Levels) -> Levels:
    now = dict(new)
    gone = [(price, Decimal(0)) for price in old if price not in now]
    return gone + [(price, qty) for price, qty in new if old.get(price) != qty]


class Fee(NamedTuple):
    """Negative for a rebate."""

    amount: Decimal
    currency: str


def fee_of(trade: w.Trade, market: Market) -> Fee:
    """As it is taken: of what was received on spot, in quote otherwise; in whole steps, as exchanges count."""
    if not is_perp(market) and trade.side is Side.BUY and trade.fee > 0:
        return Fee((trade.fee / market.price(trade.price)).quantize(FEE_STEP), market.base)
    return Fee(trade.fee.quantize(FEE_STEP), market.quote)


class Position(NamedTuple):
    """`size` in base, negative when short; `entry` is the average price, 0 without a position."""

    size: Decimal = Decimal(0)
    entry: Decimal = Decimal(0)
    gained: Decimal = Decimal(0)

    def traded(self, qty: Decimal, price: Decimal) -> Position:
        """`qty` with sign."""
        size, entry, gained = self
        closed = min(abs(qty), abs(size)) if size * qty < 0 else Decimal(0)
        if closed:
            gained += closed * (price - entry) * (1 if size > 0 else -1)
        new = size + qty
        if new == 0:
            entry = Decimal(0)
        elif size * new <= 0:
            entry = price
        elif not closed:
            entry = (entry * abs(size) + price * abs(qty)) / abs(new)
        return Position(new, entry, gained)


class Holding(NamedTuple):
    total: Decimal
    locked: Decimal

    @property
    def free(self) -> Decimal:
        return self.total - self.locked


class Wallet:
    """An account as it stands now."""

    def __init__(self, engine: Engine, account: str) -> None:
        self.positions: dict[str, Position] = {}
        total = dict(engine.deposits or {})
        locked: dict[str, Decimal] = {}

        def move(moved: dict[str, Decimal], currency: str, amount: Decimal) -> None:
            moved[currency] = moved.get(currency, Decimal(0)) + amount

        for trade in engine.trades(account, limit=TRADES_MAX):
            market = engine.markets[trade.symbol]
            price, qty = market.price(trade.price), market.qty(trade.qty) * trade.side.sign
            if is_perp(market):
                before = self.positions.get(trade.symbol, Position())
                after = self.positions[trade.symbol] = before.traded(qty, price)
                move(total, market.quote, after.gained - before.gained)
            else:
                move(total, market.base, qty)
                move(total, market.quote, -qty * price)
            fee = fee_of(trade, market)
            move(total, fee.currency, -fee.amount)
        for order in engine.open_orders(account):
            market = engine.markets[order.symbol]
            qty, price = market.qty(order.leaves_qty), market.price(order.price)
            if is_perp(market):
                move(locked, market.quote, qty * price / LEVERAGE)
            elif order.side is Side.BUY:
                move(locked, market.quote, qty * price)
            else:
                move(locked, market.base, qty)
        for symbol, position in self.positions.items():
            move(locked, engine.markets[symbol].quote, abs(position.size) * position.entry / LEVERAGE)
        self.holdings = {
            currency: Holding(total.get(currency, Decimal(0)), locked.get(currency, Decimal(0)))
            for currency in sorted({*total, *locked})
        }

    def free(self, currency: str) -> Decimal:
        found = self.holdings.get(currency)
        return found.free if found else Decimal(0)


def affords(engine: Engine, account: str, symbol: str, side: Side, qty: Decimal, price: Decimal) -> bool:
    """Whether the account has what this order would lock; always without deposits."""
    if engine.deposits is None:
        return True
    market, wallet = engine.markets[symbol], Wallet(engine, account)
    if is_perp(market):
        position = wallet.positions.get(symbol, Position()).size * side.sign
        opened = max(Decimal(0), qty + min(position, Decimal(0)))  # what closes a position needs nothing
        return wallet.free(market.quote) >= opened * price / LEVERAGE
    if side is Side.BUY:
        return wallet.free(market.quote) >= qty * price
    return wallet.free(market.base) >= qty


def price_for_market(market: Market, side: Side) -> Decimal:
    """What an order without a price would pay for its first unit; 0 where there is nothing."""
    if side is Side.BUY:
        return market.price(min(market.asks, default=0))
    return market.price(max(market.bids, default=0))
