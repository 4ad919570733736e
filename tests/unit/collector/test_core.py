from __future__ import annotations

import pytest

from bestex import subjects
from bestex.clock import SECOND
from bestex.core import Emit, Recovered
from bestex.errors import VenueError
from bestex.feed import DepthUpdate
from bestex.messages import Bbo, MarketTrade, MarkPrice, VenueBook
from services.collector.core import CollectorCore, SourceFailed

NOW = 1_700_000_000 * SECOND


def update(bids: list[tuple[int, int]], *, whole: bool = False, at_ns: int = NOW) -> DepthUpdate:
    return DepthUpdate("binance_perp", "BTC/USDT:USDT", 9, at_ns, at_ns, 1, 3, whole, bids, [(200, 1)])


def emitted(core: CollectorCore, message: object) -> Emit:
    (effect,) = core.decide(message, NOW)
    assert isinstance(effect, Emit)
    return effect


def test_each_update_becomes_the_whole_book_on_the_venues_own_symbol() -> None:
    core = CollectorCore(levels=2, max_age_ns=SECOND)
    emitted(core, update([(100, 1), (99, 2), (98, 3)], whole=True))
    second = emitted(core, update([(100, 0)]))
    assert second.subject == "bestex.v1.md.book.binance_perp.BTC-USDT-USDT"
    assert isinstance(second.message, VenueBook)
    assert (second.message.bid_px, second.message.bid_qty) == ([99, 98], [2, 3])
    assert second.message.seq == 2


def test_a_book_that_became_unknown_is_published_empty() -> None:
    core = CollectorCore(levels=2, max_age_ns=SECOND)
    emitted(core, update([(100, 1)], whole=True))
    gone = DepthUpdate("binance_perp", "BTC/USDT:USDT", 9, NOW, NOW, 1, 3, True, [], [])
    assert emitted(core, gone).message.bid_px == []


def test_a_whole_book_is_renumbered_and_a_trade_passes_as_it_is() -> None:
    core = CollectorCore(levels=2, max_age_ns=SECOND)
    book = VenueBook("sim_a", "BTC/USDT", 77, NOW, NOW, 2, 5, [1], [1], [2], [1])
    assert emitted(core, book).message.seq == 1
    trade = MarketTrade("sim_a", "BTC/USDT", "5", NOW, NOW, 2, 5, 100, 1, 1)
    effect = emitted(core, trade)
    assert (effect.subject, effect.message) == ("bestex.v1.md.trade.sim_a.BTC-USDT", trade)


def test_the_past_changes_the_book_but_is_not_published() -> None:
    core = CollectorCore(levels=2, max_age_ns=SECOND)
    assert core.decide(update([(100, 1)], whole=True, at_ns=NOW - 2 * SECOND), NOW) == ()
    assert emitted(core, update([(99, 1)])).message.bid_px == [100, 99]


def test_a_failed_source_ends_the_process_and_other_inputs_do_nothing() -> None:
    core = CollectorCore(levels=2, max_age_ns=SECOND)
    assert core.decide(Recovered(), NOW) == ()
    with pytest.raises(VenueError, match="sim_a: boom"):
        core.decide(SourceFailed("sim_a", "boom"), NOW)


def test_a_mark_price_is_published_as_it_is() -> None:
    mark = MarkPrice("binance_perp", "BTC/USDT:USDT", 1, 2, 8, 3, 4, 0.0001, 5)
    (effect,) = CollectorCore(20, 10 * SECOND).decide(mark, 2)
    assert isinstance(effect, Emit)
    assert (effect.subject, effect.message) == ("bestex.v1.md.mark.binance_perp.BTC-USDT-USDT", mark)


def test_the_venues_own_best_prices_are_published_as_they_are() -> None:
    best = Bbo("okx_spot", "BTC/USDT", 7, 1, 2, 1, 8, 100, 5, 101, 6)
    (effect,) = CollectorCore(20, 10 * SECOND).decide(best, 2)
    assert isinstance(effect, Emit)
    assert (effect.subject, effect.message) == ("bestex.v1.md.bbo.okx_spot.BTC-USDT", best)
    kind = subjects.kind_of(effect.subject)
    assert (kind.message, kind.is_msgpack) == (Bbo, True)
