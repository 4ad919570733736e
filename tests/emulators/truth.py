"""An emulated exchange's journal as an audit reads a venue's: under our name for it, in the exchange's own terms.

The engine counts every fee in quote and numbers its trades; the exchange tells rounded fees in its own currencies,
and trades by names of its own. A client id that was used again stands in the engine's journal under another; here it
is what was asked for, so that an order that was sent twice is seen to have been.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from msgspec.structs import replace

from bestex import codec
from bestex import sim_wire as w
from bestex.sim_journal import read_journal
from tests.emulators.engine import Engine, Market
from tests.emulators.unified import Fee


class Exchange(Protocol):
    """How it names a trade, and what it takes for one."""

    engine: Engine

    def trade_id(self, trade: w.Trade) -> str: ...

    def fee_of(self, trade: w.Trade) -> Fee: ...


def told(exchange: Exchange, venue: str, kind: str) -> Iterator[bytes]:
    """Lines of JSON: what happened to the orders in markets of that kind, spot or perp."""
    engine = exchange.engine
    markets = {symbol: one for symbol, one in engine.markets.items() if one.listing.kind == kind}
    for line in read_journal(engine.journal):
        if isinstance(line, w.JournalHeader):
            infos = [replace(info, venue=venue) for info in line.markets if info.symbol in markets]
            yield _line(replace(line, venue=venue, markets=infos))
            continue
        request = line.request
        if isinstance(request, w.Submit):
            mine = request.symbol in markets
            request = replace(request, client_id=_asked(request.client_id)) if mine else None
        orders = [
            replace(order, venue=venue, client_id=_asked(order.client_id))
            for order in line.orders
            if order.symbol in markets
        ]
        trades = [
            _trade(trade, exchange, venue, markets[trade.symbol])
            for trade in line.trades
            if trade.symbol in markets
        ]
        if orders or trades or isinstance(request, w.Submit):
            yield _line(replace(line, venue=venue, request=request, orders=orders, trades=trades))


def _trade(trade: w.Trade, exchange: Exchange, venue: str, market: Market) -> w.Trade:
    fee = exchange.fee_of(trade)
    in_quote = fee.amount if fee.currency == market.quote else fee.amount * market.price(trade.price)
    client_id = _asked(trade.client_id)
    return replace(trade, venue=venue, client_id=client_id, fee=in_quote, told_as=exchange.trade_id(trade))


def _asked(client_id: str) -> str:
    return client_id.partition("~")[0]


def _line(line: w.JournalLine) -> bytes:
    return codec.to_json(line) + b"\n"
