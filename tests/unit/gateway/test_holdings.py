"""Holdings: what is not held is not sent, and what the venue says is compared, taken over and said."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bestex import messages as m
from bestex.clock import DAY, SECOND, US, Time
from bestex.errors import Code
from services.gateway import port as p
from services.gateway.holdings import difference
from services.gateway.reconcile import AGAIN_NS, LOOK_EVERY_NS
from tests.unit.gateway.account_bench import HELD, HOLDS, SELL, Account, D, config
from tests.unit.gateway.bench import (
    SYMBOL,
    VENUE,
    Bench,
    accepted,
    child_cancel,
    child_new,
    closed,
    fill,
)

# -- before the send ---------------------------------------------------------------------------------------------


def test_a_sell_of_more_than_is_held_is_refused_with_the_numbers() -> None:
    bench = Account()
    said = bench.first(qty=D("0.0501"), **SELL)
    assert (type(said), said.code) == (m.ExecRejected, Code.NOT_HELD)
    assert said.text == "it would use 0.0501 BTC; sim_a holds 0.05, of which open orders may use 0"
    assert bench.asked(p.Submit) == []
    assert bench.code("c2", qty=D("0.05"), **SELL) is None


def test_a_buy_needs_its_limit_value_and_its_fee() -> None:
    with_fee = config(listing=', taker_bps = "10", ticket_fee = "1"')
    assert Account(with_fee, USDT="601.59").code() is Code.NOT_HELD
    assert Account(with_fee, USDT="601.6").code() is None, "600, 10 bps of it, and a ticket"


def test_where_the_fee_is_taken_of_what_was_bought_a_buy_needs_no_more_than_its_value() -> None:
    takes = msgspec.structs.replace(HOLDS, fee_of_received=True)
    assert Account(config(listing=', taker_bps = "10"'), takes, USDT="600").code() is None


def test_what_open_orders_may_still_use_is_not_there_for_another() -> None:
    bench = Account()
    assert bench.code("c1") is None
    assert bench.code("c2") is Code.NOT_HELD, "1,000 are held, and each would use 600"
    bench.hear(accepted("c1"), child_cancel("c1"), closed("canceled", 0, "c1"))
    assert bench.code("c3") is None


def test_an_unknown_order_keeps_what_it_may_use() -> None:
    bench = Account()
    bench.code("c1")
    bench.hear(p.VenueUnknown(child_id="c1", code=Code.TIMEOUT, text="nobody knows"))
    assert bench.code("c2") is Code.NOT_HELD


def test_what_fills_is_held_or_spent_at_once_and_no_more_reserved() -> None:
    bench = Account()
    bench.code("c1")
    bench.trade("t1", 400)
    assert (bench.ours("BTC"), bench.ours("USDT")) == (D("0.054"), D(760))
    assert bench.core.holdings.by_venue[VENUE].reserved["USDT"] == 360 * 10**15, "the rest of it"
    assert bench.code("c2", qty=D("0.0066")) is None, "396 of the 400 that are free"


def test_a_replace_needs_only_what_it_adds() -> None:
    bench = Account()
    bench.code("c1")
    bench.hear(accepted("c1"))

    def replaced(qty: str) -> Any:
        order = m.ChildReplace(
            child_id="c1",
            parent_id="p1",
            venue=VENUE,
            symbol=SYMBOL,
            qty=D(qty),
            price=D(60_000),
            expires_at=Time(bench.now + SECOND),
        )
        return bench.hear(order)[0]

    assert isinstance(replaced("0.0166"), m.ExecReplacing), "996 of 1,000, of which it had 600"
    other = Account()
    other.code("c1")
    other.hear(accepted("c1"))
    bench = other
    refused = replaced("0.0167")
    assert (type(refused), refused.code) == (m.ExecReplaceRejected, Code.NOT_HELD)


def test_where_the_venue_or_the_configuration_counts_no_holdings_nothing_is_refused() -> None:
    for bench in (Bench(config()).ready(), Bench(config("holdings = false"), HOLDS).ready()):
        assert isinstance(bench.hear(child_new("c1", qty=D(5), **SELL))[0], m.ExecSubmitting)
        assert bench.core.holdings.accounts == {}


def test_fees_are_taken_in_their_currency() -> None:
    bench = Account()
    bench.works("c1")
    bench.trade("t1", 400, fee=D("0.24"))
    bench.trade("t2", 300, fee=D("0.18"), fee_currency="BTC", fee_amount=D("0.000003"))
    bench.trade("t3", 100, fee=D("0.06"), fee_currency="BNB", fee_amount=D("0.0001"))
    assert bench.ours("USDT") == D(1_000) - 480 - D("0.24")
    assert bench.ours("BTC") == D("0.058") - D("0.000003")
    assert bench.ours("BNB") == D("-0.0001")
    bench.pass_time(3 * LOOK_EVERY_NS)
    assert [type(event) for event in bench.events()] == [m.HoldingsOpened], "as the venue has it"


# -- the venue's word ----------------------------------------------------------------------------------------------


def test_nothing_is_sent_before_the_account_is_known_and_cancels_pass() -> None:
    bench = Account()
    bench.code("c1")
    bench.hear(accepted("c1"))
    bench.hear(p.SessionState(VENUE, p.Session.DOWN), p.SessionState(VENUE, p.Session.UP))
    # As if the session were good without a word: it is not enough.
    bench.hear(p.SessionState(VENUE, p.Session.RECONCILED))
    assert bench.code("c2", qty=D("0.001")) is Code.NOT_READY
    bench.calls.clear()
    bench.hear(child_cancel("c1"))
    assert len(bench.asked(p.Cancel)) == 1
    bench.connect()
    assert bench.code("c3", qty=D("0.001")) is None


def test_the_first_word_opens_the_account_in_its_own_history() -> None:
    bench = Account()
    [opened] = bench.events()
    assert isinstance(opened, m.HoldingsOpened)
    assert (opened.venue, opened.account, opened.what, opened.amounts) == (VENUE, VENUE, "balances", HELD)


def test_a_deposit_is_noticed_said_and_then_used() -> None:
    bench = Account()
    bench.held["USDT"] += 5_000
    bench.pass_time(LOOK_EVERY_NS + SECOND)
    assert bench.ours("USDT") == 1_000, "not before it has been seen twice"
    bench.pass_time(AGAIN_NS + SECOND)
    adjusted = bench.events()[-1]
    assert isinstance(adjusted, m.HoldingsAdjusted)
    assert (adjusted.differences, adjusted.code) == ({"USDT": D(5_000)}, Code.HOLDINGS_DIFFER)
    assert "USDT +5000" in adjusted.text
    assert [alarm.code for alarm in bench.alarms] == [Code.HOLDINGS_DIFFER]
    assert bench.alarms[0].subject == "bestex.v1.holdings.sim_a.sim_a.adjusted"
    assert bench.code("c1", qty=D("0.09")) is None, "it goes on with what is there now"
    bench.pass_time(2 * LOOK_EVERY_NS)
    assert len(bench.events()) == 2, "said once"


def test_less_than_ours_counts_at_once() -> None:
    bench = Account()
    bench.held["USDT"] -= 900
    bench.pass_time(LOOK_EVERY_NS + SECOND)
    assert len(bench.events()) == 1
    assert bench.code("c1", qty=D("0.002")) is Code.NOT_HELD, "though it is not certain yet"


def test_a_difference_stops_where_the_configuration_says_so_until_a_person_has_looked() -> None:
    bench = Account(config('on_difference = "stop"'))
    bench.held["USDT"] += 5
    bench.pass_time(LOOK_EVERY_NS + 2 * AGAIN_NS)
    said = bench.first("c1", qty=D("0.001"))
    assert said.code is Code.HOLDINGS_DIFFER
    assert "bestex unhalt venue:sim_a" in said.text
    word = {"scope": "venue-sim_a", "halted": False, "reason": "a deposit", "by": "desk"}
    bench.hear(m.Halt(at=Time(bench.now + 1), **word))  # type: ignore[arg-type]
    assert bench.code("c2", qty=D("0.001")) is None


def test_a_word_that_is_ahead_of_the_trades_is_no_difference() -> None:
    bench = Account()
    bench.works("c1")
    bench.trade("t1", 400, told=False)
    hidden, bench.trades = bench.trades, []
    bench.pass_time(LOOK_EVERY_NS + SECOND)
    bench.trades = hidden
    bench.pass_time(3 * LOOK_EVERY_NS)
    assert bench.ours("BTC") == D("0.054")
    assert [type(event) for event in bench.events()] == [m.HoldingsOpened]


def test_a_word_that_is_behind_the_trades_is_no_difference() -> None:
    bench = Account()
    bench.works("c1")
    bench.pass_time(LOOK_EVERY_NS - SECOND)
    before = dict(bench.held)
    bench.trade("t1", 400)
    now, bench.held = bench.held, before
    bench.pass_time(2 * SECOND)
    bench.held = now
    assert bench.core.holdings.by_venue[VENUE].leaning == {}
    bench.pass_time(3 * LOOK_EVERY_NS)
    assert bench.ours("BTC") == D("0.054")
    assert [type(event) for event in bench.events()] == [m.HoldingsOpened]


def test_nothing_is_taken_over_while_an_order_is_unknown() -> None:
    bench = Account()
    bench.code("c1")
    bench.hear(p.VenueUnknown(child_id="c1", code=Code.TIMEOUT, text="nobody knows"))
    bench.trade("t1", 400, told=False)
    bench.trades.clear()
    bench.pass_time(2 * LOOK_EVERY_NS)
    assert len(bench.events()) == 1
    bench.hear(accepted("c1"), closed("canceled", 0, "c1"))
    bench.pass_time(2 * LOOK_EVERY_NS)
    assert isinstance(bench.events()[-1], m.HoldingsAdjusted)


@pytest.mark.parametrize("who", ["venue", "ourselves"])
def test_a_refusal_for_funds_looks_at_the_account_at_once(who: str) -> None:
    bench = Account()
    bench.pass_time(10 * SECOND)
    if who == "venue":
        bench.hear(child_new("c1", bench.now))
        bench.hear(p.VenueRejected(child_id="c1", code=Code.INSUFFICIENT_FUNDS, text="no"))
    else:
        bench.code("c1", qty=D(5))
    bench.sleep(0)
    assert len(bench.asked(p.AskHoldings)) == 1
    bench.code("c2", qty=D(6))
    bench.sleep(0)
    assert bench.asked(p.AskHoldings) == [], "a storm of refusals is no storm of questions"


def test_a_restart_knows_what_was_held_and_notices_what_happened_meanwhile() -> None:
    bench = Account()
    bench.works("c1")
    bench.trade("t1", 400)
    bench.held["BTC"] += 1
    bench.crash()
    assert bench.ours("BTC") == D("0.054"), "by the journal"
    assert bench.code("c2", qty=D("0.001")) is Code.NOT_READY
    bench.connect()
    bench.pass_time(2 * AGAIN_NS)
    assert bench.ours("BTC") == D("1.054")
    assert [type(event) for event in bench.events()] == [m.HoldingsOpened, m.HoldingsAdjusted]


def test_what_is_open_is_reserved_after_a_restart_too() -> None:
    for checkpoint_at in range(3):
        bench = Account()
        bench.code("c1")
        bench.crash(checkpoint_at)
        assert bench.core.holdings.by_venue[VENUE].reserved["USDT"] == 600 * 10**15
        bench.connect()
        assert bench.code("c2") is Code.NOT_HELD


def test_a_word_is_written_again_before_its_stream_forgets_it() -> None:
    bench = Account()
    bench.now += DAY
    bench.pass_time(LOOK_EVERY_NS)
    assert [type(event) for event in bench.events()] == [m.HoldingsOpened, m.HoldingsOpened]


def test_fills_are_in_a_word_by_their_time_and_not_by_their_place_in_the_journal() -> None:
    """Lanes are stored side by side, so a restart may read a fill before the word that it followed."""
    bench = Account()
    bench.works("c1")
    bench.trade("t1", 100)
    bench.held["USDT"] += 7
    bench.pass_time(LOOK_EVERY_NS + 2 * AGAIN_NS)
    bench.trade("t2", 200)
    bench.trade("t3", 300)
    before = bench.ours("BTC"), bench.ours("USDT")
    adjusted = bench.events()[-1]
    assert isinstance(adjusted, m.HoldingsAdjusted)
    bench.journal.remove(adjusted)
    bench.journal.append(adjusted)
    bench.crash()
    assert (bench.ours("BTC"), bench.ours("USDT")) == before


def test_numbers_that_came_through_a_float_differ_by_more_than_its_digits_or_not_at_all() -> None:
    exact = D("123456.123456789012345678")
    assert difference({"X": D(str(float(exact)))}, {"X": exact}) == {}
    assert difference({"X": exact + D("0.0001")}, {"X": exact}) == {"X": D("0.0001")}
    assert difference({}, {"X": D("1E-15")}) == {}
    assert difference({"X": D(0)}, {}) == {}


# -- perpetuals, and accounts of several venues -------------------------------------------------------------------

PERP = ', kind = "perp", symbol = "BTC/USDT:USDT"'


def test_a_perpetual_needs_no_inventory_and_its_position_is_compared() -> None:
    bench = Account(config(listing=PERP), BTC=0)
    assert [event.what for event in bench.events()] == ["balances", "positions"]
    bench.works("c1", qty=D("0.1"), **SELL)
    bench.now += US
    bench.trades.append(msgspec.structs.replace(fill("t1", 4_000), venue_ns=bench.now))
    bench.hear(bench.trades[-1])
    bench.positions = {SYMBOL: -4_000}
    account = bench.core.holdings.by_venue[VENUE]
    assert account.perps[VENUE].of(SYMBOL) == D("-0.04")
    bench.held["USDT"] += D("12.3")  # gained, or funding: only the venue knows
    bench.pass_time(2 * LOOK_EVERY_NS)
    assert len(bench.events()) == 2
    assert bench.ours("USDT") == D("1012.3"), "as the venue says while the position is open"
    bench.positions = {SYMBOL: -5_000}
    bench.pass_time(2 * LOOK_EVERY_NS)
    adjusted = bench.events()[-1]
    assert isinstance(adjusted, m.HoldingsAdjusted)
    assert (adjusted.what, adjusted.differences) == ("positions", {SYMBOL: D("-0.01")})
    assert adjusted.code is Code.HOLDINGS_DIFFER


def test_what_a_closed_perpetual_has_moved_is_taken_over_without_an_alarm() -> None:
    bench = Account(config(listing=PERP), BTC=0)
    bench.code("c1")
    bench.now += US
    bench.trades.append(msgspec.structs.replace(fill("t1", 1_000), venue_ns=bench.now))
    bench.hear(bench.trades[-1])
    bench.code("c2", **SELL)
    bench.now += US
    back = msgspec.structs.replace(fill("t2", 1_000, child_id="c2"), venue_ns=bench.now)
    bench.trades.append(back)
    bench.hear(back)
    bench.held["USDT"] += 10
    bench.pass_time(2 * LOOK_EVERY_NS)
    adjusted = bench.events()[-1]
    assert isinstance(adjusted, m.HoldingsAdjusted)
    assert (adjusted.what, adjusted.code) == ("balances", None)
    assert bench.alarms == []
