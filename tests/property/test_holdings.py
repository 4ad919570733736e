"""What a gateway believes to hold, against the venue's own account: whatever is lost, late, doubled or killed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from bestex import messages as m
from bestex.clock import MS, SECOND, US, Time
from bestex.config import parse
from bestex.errors import Code
from bestex.limits import SelfTradeLimits
from bestex.messages import Side, Tif
from services.gateway import port as p
from services.gateway.reconcile import AGAIN_NS, LOOK_EVERY_NS
from tests.property.gateway_world import CONTROLS, PARENT_QTY, PARENTS, Order, World
from tests.unit.gateway.bench import CAPABILITIES, VENUE, Bench, book, child_new

D = Decimal
DEPOSITS = {"USDT": D(1_000), "BTC": D("0.015")}
TAKER = D("0.001")
CONFIG = msgspec.structs.replace(
    parse(
        """
        [venues.sim_a]
        [instruments."BTC/USDT"]
        price_scale = 2
        qty_scale = 5
        [instruments."BTC/USDT".venues]
        sim_a = { tick = "0.1", lot = "0.0001", min_qty = "0.001", taker_bps = "10" }
        [execution]
        timeout = "2s"
        """
    ),
    limits=msgspec.structs.replace(CONTROLS, self_trade=SelfTradeLimits(policy="off")),
)
HOLDS = msgspec.structs.replace(CAPABILITIES, holdings=True)
BEHIND_NS_MAX = 3 * SECOND  # of the replica that answers for the account

RARE = ["sleep", "sleep", "again", "cancel", "replace", "close", "sleep", "crash", "reconnect", "long_sleep"]
USUAL = 2 * ["new", "trade"] + 4 * ["perform", "listen"]
ACTS = 2 * USUAL + RARE


class HeldWorld(World):
    """A venue with an account that holds little. What is asked of it is answered as of some moment ago."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, Bench(CONFIG, HOLDS))
        self.moved: list[tuple[int, dict[str, Decimal]]] = [(0, DEPOSITS)]  # when, and by what
        self.hear(p.SessionState(VENUE, p.Session.UP))
        self.requests.clear()
        self.look(0)
        self.hear(p.SessionState(VENUE, p.Session.RECONCILED), book(at_ns=self.bench.now + 86_400 * SECOND))

    def held(self, at_ns: int) -> dict[str, Decimal]:
        """The venue's truth at a moment."""
        sums: dict[str, Decimal] = {}
        for when_ns, amounts in self.moved:
            for name, amount in amounts.items() if when_ns <= at_ns else ():
                sums[name] = sums.get(name, D(0)) + amount
        return sums

    # -- what may happen -----------------------------------------------------------------------------------------

    def new(self) -> None:
        child_id = f"c{len(self.commands)}"
        more: dict[str, Any] = {
            "side": self.random.choice(list(Side)),
            "qty": D(self.random.randint(2, 20)) / 1000,
            "tif": self.random.choice([Tif.IOC, Tif.GTC]),
            "parent_id": self.random.choice(PARENTS),
            "good_till": Time(self.bench.now + 40 * SECOND),
            "parent_qty": D(100 * PARENT_QTY) / 10**5,
        }
        self.commands[child_id] = [child_new(child_id, self.bench.now, **more)]
        self.hear(self.commands[child_id][0])

    def trade(self, order: Order | None = None) -> None:
        self.bench.now += US  # no two trades at one moment
        before = self.count
        super().trade(order)
        if self.count == before:
            return
        made = next(t for o in self.orders.values() for t in o.trades if t.trade_id == str(self.count))
        side = self.commands[made.child_id][0].side
        qty, price = D(made.qty) / 10**5, D(made.price) / 100
        amounts = {"BTC": side.sign * qty, "USDT": -side.sign * qty * price}
        paid = made.fee if made.fee_amount is None else made.fee_amount
        currency = made.fee_currency or "USDT"
        amounts[currency] = amounts.get(currency, D(0)) - paid
        self.moved.append((made.venue_ns, amounts))

    def fee(self, value: int) -> dict[str, Any]:
        fee = D(value) / 10**7 * TAKER * self.random.choice([-1, 0, 1])
        if self.random.random() < 0.2:
            return {"fee": fee, "fee_currency": "BNB", "fee_amount": fee / 500}
        return {"fee": fee}

    def long_sleep(self) -> None:
        self.arrive()
        self.bench.sleep(LOOK_EVERY_NS // 4)
        self.collect()

    def deposit(self) -> None:
        """By hand, or a withdrawal; seldom enough that one is seen before the next."""
        self.bench.now += US
        amount = D(self.random.randint(1, 500))
        self.moved.append((self.bench.now, {self.random.choice(["USDT", "EUR"]): amount}))

    # -- the account ---------------------------------------------------------------------------------------------

    def answer(self, request: Any) -> None:
        match request:
            case p.AskHoldings():
                if self.random.random() < 0.8:
                    self.hear(self.word())
            case p.PullFills():
                self.pull(request.since_ns)
            case _:
                super().answer(request)

    def word(self) -> p.VenueHoldings:
        now_ns = self.bench.now
        known_ns = now_ns - self.random.choice([0, 0, 10 * MS, BEHIND_NS_MAX])
        held = {name: amount for name, amount in self.held(known_ns).items() if amount}
        return p.VenueHoldings(venue=VENUE, asked_ns=now_ns, answered_ns=now_ns, balances=held, positions={})

    def pull(self, since_ns: int) -> None:
        trades = [trade for order in self.orders.values() for trade in order.trades]
        self.hear(*(trade for trade in trades if trade.venue_ns >= since_ns))
        self.hear(p.VenuePulled(VENUE, self.bench.now))

    def look(self, since_ns: int) -> None:
        self.hear(self.word())
        self.pull(since_ns)

    def settle(self) -> None:
        """All ends, and the account is looked at often enough."""
        super().settle()
        for _ in range(8):
            self.bench.sleep((LOOK_EVERY_NS if not self.requests else AGAIN_NS) + SECOND)
            self.collect()
            while self.requests or self.words:
                if self.words:
                    self.hear(self.words.pop(0))
                else:
                    self.answer(self.requests.pop(0))

    # -- what the gateway believes -------------------------------------------------------------------------------

    def ours(self) -> dict[str, Decimal]:
        amounts = self.bench.core.holdings.accounts[VENUE].wallet.amounts
        return {name: amount for name, amount in amounts.items() if amount}

    def adjusted(self) -> list[m.HoldingsAdjusted]:
        return [event for event in self.bench.journal if isinstance(event, m.HoldingsAdjusted)]


def nonzero(amounts: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: amount for name, amount in amounts.items() if amount}


def check_is_the_word_and_all_fills(world: HeldWorld) -> None:
    """A slow look at the journal: the venue's last word, and every fill that is not in it."""
    words = [event for event in world.bench.journal if isinstance(event, m.HoldingsEvent)]
    last = words[-1]
    sums = dict(last.amounts)
    for fill in world.bench.journal:
        if isinstance(fill, m.Fill) and fill.venue_at > last.until.get(VENUE, 0):
            paid = fill.fee if fill.fee_amount is None else fill.fee_amount
            moves = (
                ("BTC", fill.side.sign * fill.qty),
                ("USDT", -fill.side.sign * fill.qty * fill.price),
                (fill.fee_currency or "USDT", -paid),
            )
            for name, amount in moves:
                sums[name] = sums.get(name, D(0)) + amount
    assert nonzero(sums) == world.ours()


def check_reserved(world: HeldWorld) -> None:
    """Everything that an open order may still use, unknown ones whole."""
    account, sums = world.bench.core.holdings.accounts[VENUE], {"BTC": D(0), "USDT": D(0)}
    for child in world.bench.core.memory.open[VENUE].values():
        if child.side is Side.SELL:
            sums["BTC"] += D(child.reserved) / 10**5
        else:
            sums["USDT"] += D(child.reserved_value) / 10**7 * (1 + TAKER)
    assert {name: account.shown(name, account.reserved.get(name, 0)) for name in sums} == sums


@given(st.integers(0, 2**32), st.lists(st.sampled_from(ACTS), min_size=40, max_size=150))
@settings(max_examples=100, deadline=None)
def test_what_is_held_is_the_venues_own_and_the_account_never_owes(seed: int, acts: list[str]) -> None:
    world = HeldWorld(seed)
    for act in acts:
        getattr(world, act)()
        check_is_the_word_and_all_fills(world)
        check_reserved(world)
        truth = world.held(world.bench.now)
        assert min(truth["USDT"], truth["BTC"]) >= 0, "it has spent what it had not"
    world.settle()
    assert world.ours() == nonzero(world.held(world.bench.now))
    assert world.adjusted() == [], "whatever replicas said in between"
    assert world.bench.alarms == []


@given(st.integers(0, 2**32), st.lists(st.sampled_from([*ACTS, "deposit"]), min_size=40, max_size=120))
@settings(max_examples=60, deadline=None)
def test_what_comes_by_hand_is_found_whole_and_said(seed: int, acts: list[str]) -> None:
    world = HeldWorld(seed)
    for act in acts:
        getattr(world, act)()
        check_is_the_word_and_all_fills(world)
        check_reserved(world)
    world.settle()
    assert world.ours() == nonzero(world.held(world.bench.now))
    by_hand = sum(sum(amounts.values()) for _, amounts in world.moved[1:] if len(amounts) == 1)
    said = sum(sum(event.differences.values()) for event in world.adjusted())
    assert said == by_hand
    assert all(event.code is Code.HOLDINGS_DIFFER for event in world.adjusted())
    alarms = [a for a in world.bench.alarms if a.code is Code.HOLDINGS_DIFFER]
    assert len(alarms) == len(world.adjusted())
