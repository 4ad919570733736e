"""Averages over an interval, against the slow way: every trade and every moment looked at."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bestex import interval as module
from bestex.clock import US, Time
from bestex.interval import Interval
from bestex.messages import MarketTrade, Stats

times = st.integers(1, 60).map(lambda i: i * US)
trades = st.lists(st.tuples(times, st.integers(1, 999), st.integers(1, 50)), max_size=20)
mids = st.lists(st.tuples(times, st.integers(1, 999)), max_size=12, unique_by=lambda item: item[0])


def trade(at_ns: int, price: int, qty: int) -> MarketTrade:
    return MarketTrade("a", "X/Y", "1", at_ns, at_ns, 1, 2, price, qty, 1)


def stats(at_ns: int, mid: int | None) -> Stats:
    return Stats(symbol="X/Y", at=Time(at_ns), mid=None if mid is None else Decimal(mid))


@given(trades, times, times)
def test_vwap_is_the_notional_over_the_quantity(
    given_trades: list[tuple[int, int, int]], a: int, b: int
) -> None:
    start, end = sorted((a, b))
    heard = Interval()
    for one in sorted(given_trades, key=lambda item: item[0]):
        heard.trade(trade(*one))
    inside = [(price / 10, qty / 100) for at, price, qty in given_trades if start <= at <= end]
    if not inside:
        assert heard.vwap(start, end) is None
    else:
        naive = sum(price * qty for price, qty in inside) / sum(qty for _, qty in inside)
        assert heard.vwap(start, end) == pytest.approx(naive)


@given(mids, times, times)
def test_twap_weighs_every_mid_by_how_long_it_stood(
    given_mids: list[tuple[int, int]], a: int, b: int
) -> None:
    start, end = sorted((a, b))
    heard = Interval()
    known = sorted(given_mids)
    for at, mid in known:
        heard.stats(stats(at, mid))
    if not known or known[0][0] > end:
        assert heard.twap(start, end) is None
        return
    moments = range(max(start, known[0][0]), end, US)
    stood = [next(mid for at, mid in reversed(known) if at <= moment) for moment in moments]
    expected = sum(stood) / len(stood) if stood else next(mid for at, mid in reversed(known) if at <= end)
    assert heard.twap(start, end) == pytest.approx(expected)


def test_a_market_without_a_mid_and_an_older_message_count_for_nothing() -> None:
    heard = Interval()
    heard.stats(stats(10 * US, None))
    heard.stats(stats(20 * US, 100))
    heard.stats(stats(15 * US, 900))
    assert heard.twap(20 * US, 40 * US) == 100


def test_trades_that_come_out_of_order_count_as_of_now() -> None:
    heard = Interval()
    heard.trade(trade(20 * US, 100, 1))
    heard.trade(trade(10 * US, 300, 1))
    assert heard.vwap(20 * US, 20 * US) == 20.0
    assert heard.vwap(1 * US, 15 * US) is None


def test_what_is_forgotten_is_not_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POINTS_MAX", 10)
    heard = Interval()
    for i in range(1, 14):
        heard.trade(trade(i * US, 10 * i, 1))
    assert heard.vwap(1 * US, 13 * US) is None
    assert heard.vwap(8 * US, 9 * US) == pytest.approx(8.5)
