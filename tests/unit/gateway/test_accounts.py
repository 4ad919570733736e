"""Accounts of several venues: one purse, one count of it, and what other processes do in it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from bestex import codec, fleet
from bestex import messages as m
from bestex.clock import DAY, SECOND, US
from bestex.config import Config, parse
from bestex.errors import Code
from bestex.messages import Tif
from services.gateway import port as p
from services.gateway.answers import answer_holdings
from services.gateway.core import GatewayCore
from services.gateway.holdings import account_of
from services.gateway.reconcile import AGAIN_NS, LOOK_EVERY_NS
from tests.unit.gateway.bench import CAPABILITIES, Bench, accepted, book, child_new, fill

D = Decimal
HOLDS = msgspec.structs.replace(CAPABILITIES, holdings=True)
KRX, NXT = "kis_krx", "kis_nxt"


def config(krx: str = 'account = "kis"', nxt: str = 'account = "kis"') -> Config:
    return parse(
        f"""
        [venues.kis_krx]
        {krx}
        [venues.kis_nxt]
        {nxt}
        [instruments."BTC/USDT"]
        price_scale = 2
        qty_scale = 5
        [instruments."BTC/USDT".venues]
        kis_krx = {{ tick = "0.1", lot = "0.0001" }}
        kis_nxt = {{ tick = "0.1", lot = "0.0001" }}
        [limits.collar]
        enabled = false
        """
    )


class Both(Bench):
    """A gateway of some venues whose accounts hold 1,000 USDT; each is connected in turn."""

    def __init__(self, given: Config, *served: str, capabilities: p.Capabilities = HOLDS) -> None:
        self.served = served or (KRX, NXT)
        self.held = {"USDT": D(1_000)}
        self.may = capabilities
        super().__init__(given, capabilities)
        for venue in self.served:
            self.hear(p.SessionState(venue, p.Session.UP))
            self.hear(self.word(venue), p.VenuePulled(venue, self.now))
            self.hear(p.SessionState(venue, p.Session.RECONCILED))
        self.hear(book(at_ns=self.now + DAY))
        self.answer()

    def _new_core(self) -> GatewayCore:
        venues = dict.fromkeys(self.served, self.may)
        return GatewayCore(venues, self.config.make_instruments(), self.config, fleet.build())

    def word(self, venue: str) -> p.VenueHoldings:
        moment = {"asked_ns": self.now, "answered_ns": self.now}
        return p.VenueHoldings(venue=venue, balances=dict(self.held), positions={}, **moment)

    def answer(self, *silent: str) -> None:
        while self.calls:
            request = self.calls.pop(0)
            if request.venue in silent:
                continue
            if isinstance(request, p.AskHoldings):
                self.hear(self.word(request.venue))
            elif isinstance(request, p.PullFills):
                self.hear(p.VenuePulled(request.venue, self.now))

    def pass_time(self, duration_ns: int, *silent: str) -> None:
        for _ in range(duration_ns // SECOND):
            self.sleep(SECOND)
            self.answer(*silent)

    def first(self, child_id: str, venue: str, **changed: Any) -> Any:
        return self.hear(child_new(child_id, self.now, venue=venue, tif=Tif.GTC, **changed))[0]

    def words(self) -> list[m.HoldingsEvent]:
        return [event for event in self.journal if isinstance(event, m.HoldingsEvent)]


def test_venues_of_one_account_spend_from_one_purse() -> None:
    bench = Both(config())
    assert isinstance(bench.first("c1", KRX), m.ExecSubmitting)
    refused = bench.first("c2", NXT)
    assert (type(refused), refused.code) == (m.ExecRejected, Code.NOT_HELD)
    assert "of which open orders may use 600" in refused.text
    assert list(bench.core.holdings.accounts) == ["kis"]


def test_venues_of_their_own_accounts_do_not() -> None:
    bench = Both(config("", ""))
    assert isinstance(bench.first("c1", KRX), m.ExecSubmitting)
    assert isinstance(bench.first("c2", NXT), m.ExecSubmitting)


def test_a_purse_is_opened_once_under_its_first_venue() -> None:
    [opened] = Both(config()).words()
    assert (opened.venue, opened.account) == (KRX, "kis")


def test_a_word_waits_for_the_trades_of_every_venue_of_its_account() -> None:
    bench = Both(config())
    bench.first("c1", NXT)
    bench.hear(accepted("c1"))
    bench.held["USDT"] -= 60
    bench.pass_time(LOOK_EVERY_NS + 3 * AGAIN_NS, NXT)
    assert len(bench.words()) == 1, "one has not told its trades"
    bench.now += US
    bench.hear(msgspec.structs.replace(fill("t1", 100), fee=D(0), venue_ns=bench.now))
    bench.held["BTC"] = D("0.001")
    bench.pass_time(2 * LOOK_EVERY_NS)
    assert len(bench.words()) == 1, "and it was a trade"


def test_a_venue_without_orders_that_is_down_does_not_keep_the_others_waiting() -> None:
    bench = Both(config())
    bench.hear(p.SessionState(NXT, p.Session.DOWN))
    bench.held["USDT"] += 5
    bench.pass_time(LOOK_EVERY_NS + 3 * AGAIN_NS, NXT)
    assert len(bench.words()) == 2
    assert isinstance(bench.first("c1", KRX), m.ExecSubmitting)
    assert bench.first("c2", NXT).code is Code.NOT_READY


def test_what_another_process_does_in_the_account_is_taken_over_and_no_alarm() -> None:
    bench = Both(config('account = "kis"\non_difference = "stop"'), KRX)
    bench.held["USDT"] -= 300
    bench.pass_time(LOOK_EVERY_NS + 3 * AGAIN_NS)
    adjusted = bench.words()[-1]
    assert isinstance(adjusted, m.HoldingsAdjusted)
    assert adjusted.code is None
    assert "kis_nxt of the same account are worked elsewhere" in adjusted.text
    assert bench.alarms == []
    assert isinstance(bench.first("c1", KRX), m.ExecSubmitting), "600 of 700, and nothing is stopped"


def test_an_exchange_with_one_wallet_has_one_account() -> None:
    given = config("", "")
    assert account_of(KRX, given, HOLDS) == KRX
    assert account_of(KRX, given, msgspec.structs.replace(HOLDS, one_wallet=True)) == "kis"
    named = config('account = "mine"')
    assert account_of(KRX, named, msgspec.structs.replace(HOLDS, one_wallet=True)) == "mine"


def test_people_are_told_what_is_held_and_what_of_it_is_reserved() -> None:
    bench = Both(config())
    bench.first("c1", KRX)
    bench.held["BTC"] = D(2)
    bench.pass_time(LOOK_EVERY_NS)
    answer = codec.from_json(answer_holdings(b"", 0, core=bench.core), m.HoldingsAnswer)
    assert answer.venues == [KRX, NXT]
    [one] = answer.accounts
    assert (one.account, one.venues, one.known) == ("kis", [KRX, NXT], True)
    assert (one.balances, one.reserved) == ({"USDT": D(1_000)}, {"USDT": D(600)})


def test_a_restart_reads_the_venues_one_after_the_other_and_comes_to_the_same() -> None:
    """Fills of one venue stand in another stream than the word that they came before or after."""
    bench = Both(config())
    bench.held["USDT"] += 1
    for number, venue in enumerate((NXT, KRX, NXT)):
        bench.first(f"c{number}", venue, qty=D("0.001"), price=D(60_000 - number))
        bench.hear(accepted(f"c{number}"))
        bench.now += US
        made = fill(f"t{number}", 100, child_id=f"c{number}")
        bench.hear(msgspec.structs.replace(made, fee=D(1), venue_ns=bench.now))
        bench.held["USDT"] -= 61
        bench.held["BTC"] = bench.held.get("BTC", D(0)) + D("0.001")
        bench.pass_time(LOOK_EVERY_NS + 3 * AGAIN_NS)
    assert len(bench.words()) == 2, "opened, and the one that came by hand"
    before = bench.core.holdings.accounts["kis"].wallet.amounts
    bench.journal.sort(key=lambda event: event.venue != KRX)  # the stream of the account's words comes first
    bench.crash()
    assert bench.core.holdings.accounts["kis"].wallet.amounts == before


def test_a_word_of_an_account_that_is_not_counted_any_more_is_passed_over() -> None:
    bench = Both(config())
    bench.config = config("holdings = false", "holdings = false")
    bench.crash()
    assert bench.core.holdings.accounts == {}
