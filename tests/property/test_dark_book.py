"""What holds for the dark book whatever comes: sums, minimums, limits, the mid, and nothing without a reference."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bestex import sim_wire as w
from bestex.background import ASK, BID, HiddenOrder, LevelSet
from bestex.instruments import Instrument, Instruments, Listing
from bestex.matching import SimExchange
from bestex.messages import Side, Tif

SYMBOL = "X/Y"
LISTINGS = (
    Listing(venue="lit", symbol=SYMBOL),
    Listing(venue="other", symbol=SYMBOL),
    Listing(venue="dark", symbol=SYMBOL, kind="dark", taker_fee_e8=10_000, maker_fee_e8=10_000),
)
ACTS = st.one_of(
    st.tuples(st.just("level"), st.sampled_from(["lit", "other"]), st.sampled_from([BID, ASK]),
              st.integers(95, 105), st.sampled_from([0, 10])),
    st.tuples(st.just("submit"), st.sampled_from(list(Side)), st.integers(1, 30), st.integers(94, 106),
              st.integers(0, 30), st.sampled_from([Tif.GTC, Tif.GTC, Tif.IOC]), st.booleans()),
    st.tuples(st.just("hide"), st.sampled_from([BID, ASK]), st.integers(1, 30), st.integers(0, 15),
              st.integers(1, 20)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("firm"), st.integers(0, 30)),
    st.tuples(st.just("replace"), st.integers(0, 30), st.integers(1, 40), st.integers(94, 106)),
    st.tuples(st.just("wait"), st.integers(1, 5)),
)  # fmt: skip


def made() -> SimExchange:
    one = Instrument(symbol=SYMBOL, price_scale=0, qty_scale=0, listings=LISTINGS)
    return SimExchange(Instruments((one,)), ["lit", "other", "dark"])


def mid_doubled(exchange: SimExchange) -> int | None:
    """Written down again: the best of each lit venue's displayed book."""
    books = [exchange.market(venue, SYMBOL).book(50) for venue in ("lit", "other")]
    bids, asks = [p for book in books for p in book[0]], [p for book in books for p in book[2]]
    if not bids or not asks or max(bids) > min(asks):
        return None
    return max(bids) + min(asks)


class Watched:
    """The exchange, and every trade looked at in the step in which it happened."""

    def __init__(self) -> None:
        self.exchange = made()
        self.entries: list[w.JournalEntry] = []
        self.now_ns = 1
        self.number = 0

    def step(self, act: tuple[Any, ...]) -> None:
        exchange, what = self.exchange, act[0]
        match what:
            case "level":
                exchange.background(SYMBOL, LevelSet(self.now_ns, *act[1:]))
                exchange.advance(self.now_ns)
            case "submit":
                _, side, qty, price, least, tif, conditional = act
                self.number += 1
                exchange.submit(
                    w.Submit(
                        venue="dark", symbol=SYMBOL, client_id=str(self.number), side=side, qty=qty, price=price,
                        tif=tif, min_qty=least, conditional=conditional, account="ab"[self.number % 2],
                    ),
                    self.now_ns,
                )  # fmt: skip
            case "hide":
                _, side, qty, least, life = act
                event = HiddenOrder(self.now_ns, "dark", side, qty, min(least, qty), self.now_ns + life)
                exchange.background(SYMBOL, event)
            case "wait":
                self.now_ns += act[1] * 300_000_000
                exchange.advance(self.now_ns)
            case _:
                self.request(what, *act[1:])
        self.look()

    def request(self, what: str, number: int, *terms: int) -> None:
        base: dict[str, Any] = {"venue": "dark", "client_id": str(number), "account": "ab"[number % 2]}
        request: w.AnyRequest
        if what == "cancel":
            request = w.Cancel(**base)
        elif what == "firm":
            request = w.Firm(**base)
        else:
            request = w.Replace(**base, qty=terms[0], price=terms[1])
        self.exchange.handle(request, self.now_ns)

    def look(self) -> None:
        doubled = mid_doubled(self.exchange)
        for entry in self.exchange.drain():
            self.entries.append(entry)
            before = Counter[str]()
            for trade in entry.trades:
                assert doubled is not None, "nothing meets without a reference, or on a crossed one"
                assert abs(2 * trade.price - doubled) <= 1
                order = next(o for o in entry.orders if o.client_id == trade.client_id)
                assert (order.price - trade.price) * trade.side.sign >= 0
                assert not order.conditional
                mine = [t.qty for t in entry.trades if t.client_id == trade.client_id]
                left = order.qty - order.cum_qty + sum(mine) - before[trade.client_id]
                assert trade.qty >= min(order.min_qty, left)
                before[trade.client_id] += trade.qty


@settings(max_examples=150, deadline=None)
@given(st.lists(ACTS, max_size=60))
def test_every_trade_is_at_the_mid_within_limits_and_minimums_and_conserves(acts: list[Any]) -> None:
    watched = Watched()
    for act in acts:
        watched.step(act)
    trades = [trade for entry in watched.entries for trade in entry.trades]
    filled = Counter[str]()
    sides: dict[int, list[w.Trade]] = {}
    for trade in trades:
        filled[trade.client_id] += trade.qty
        sides.setdefault(trade.trade_id, []).append(trade)
    for pair in sides.values():
        assert len(pair) in (1, 2)
        if len(pair) == 2:
            assert {trade.side for trade in pair} == set(Side)
            assert len({(trade.price, trade.qty) for trade in pair}) == 1
    last = {state.client_id: state for entry in watched.entries for state in entry.orders}
    for client_id, state in last.items():
        assert state.cum_qty == filled[client_id] <= state.qty
        assert state.notional == sum(t.price * t.qty for t in trades if t.client_id == client_id)
    for account in "ab":
        mine = [trade for trade in trades if trade.account == account]
        found = watched.exchange.balances("dark", account).balances
        assert found.get("X", Decimal(0)) == sum(trade.qty * trade.side.sign for trade in mine)
        cash = sum((-trade.side.sign * trade.price * trade.qty - trade.fee for trade in mine), Decimal(0))
        assert found.get("Y", Decimal(0)) == cash


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTS, max_size=40))
def test_nobody_who_could_meet_is_left_apart(acts: list[Any]) -> None:
    """By an oracle that looks at every pair of open orders of ours."""
    watched = Watched()
    for act in acts:
        watched.step(act)
    watched.exchange.advance(watched.now_ns)
    doubled = mid_doubled(watched.exchange)
    if doubled is None:
        return
    opened = [o for account in "ab" for o in watched.exchange.open_orders("dark", account)]
    for buy in opened:
        for sell in opened:
            if (buy.side, sell.side) != (Side.BUY, Side.SELL) or buy.conditional or sell.conditional:
                continue
            qty = min(buy.leaves_qty, sell.leaves_qty)
            least = max(min(o.min_qty, o.leaves_qty) for o in (buy, sell))
            within = 2 * sell.price <= doubled <= 2 * buy.price
            assert not within or qty < least


@settings(max_examples=40, deadline=None)
@given(st.lists(ACTS, max_size=40))
def test_the_same_acts_give_the_same_journal(acts: list[Any]) -> None:
    one, other = Watched(), Watched()
    for act in acts:
        one.step(act)
        other.step(act)
    assert one.entries == other.entries
