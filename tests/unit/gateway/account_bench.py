"""A gateway's core whose venue has an account."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from bestex import messages as m
from bestex.clock import DAY, SECOND, US
from bestex.config import Config, parse
from bestex.errors import Code
from bestex.messages import Side, Tif
from services.gateway import port as p
from services.gateway.reconcile import LOOK_EVERY_NS
from tests.unit.gateway.bench import (
    CAPABILITIES,
    VENUE,
    Bench,
    accepted,
    book,
    child_new,
    fill,
)

D = Decimal
HOLDS = msgspec.structs.replace(CAPABILITIES, holdings=True)
QUICK = "[limits.repeats]\nduplicate_window = '0s'\nmax_same = 1000\n"
HELD = {"USDT": D(1_000), "BTC": D("0.05")}


def config(venue: str = "", listing: str = "", more: str = QUICK) -> Config:
    return parse(
        f"""
        [venues.sim_a]
        {venue}
        [instruments."BTC/USDT"]
        price_scale = 2
        qty_scale = 5
        [instruments."BTC/USDT".venues]
        sim_a = {{ tick = "0.1", lot = "0.0001"{listing} }}
        {more}
        """
    )


class Account(Bench):
    """A bench whose venue holds `held` and says so when it is asked. `lie` is added to what it says."""

    def __init__(
        self, given: Config | None = None, capabilities: p.Capabilities = HOLDS, **held: Any
    ) -> None:
        self.held: dict[str, Decimal] = dict(HELD) | {name: D(amount) for name, amount in held.items()}
        self.positions: dict[str, int] = {}
        self.trades: list[p.VenueFill] = []
        super().__init__(given or config(), capabilities)
        self.connect()

    def connect(self) -> Account:
        self.hear(p.SessionState(VENUE, p.Session.UP))
        self.calls.clear()
        self.hear(self.word(), *self.trades, p.VenuePulled(VENUE, self.now))
        self.hear(p.SessionState(VENUE, p.Session.RECONCILED), book(at_ns=self.now + DAY))
        self.calls.clear()
        return self

    def word(self) -> p.VenueHoldings:
        return p.VenueHoldings(
            venue=VENUE,
            asked_ns=self.now,
            answered_ns=self.now,
            balances=dict(self.held),
            positions=dict(self.positions),
        )

    def answer(self) -> None:
        """The venue answers whatever it has been asked of its account and of trades."""
        while self.calls:
            request = self.calls.pop(0)
            if isinstance(request, p.AskHoldings):
                self.hear(self.word())
            elif isinstance(request, p.PullFills):
                self.hear(*self.trades, p.VenuePulled(VENUE, self.now))

    def pass_time(self, duration_ns: int = LOOK_EVERY_NS) -> None:
        until = self.now + duration_ns
        while self.now < until:
            self.sleep(min(SECOND, until - self.now))
            self.answer()

    def trade(
        self, trade_id: str, qty: int, side: Side = Side.BUY, *, told: bool = True, **more: Any
    ) -> None:
        """One at 60,000 without a fee, unless it says otherwise."""
        self.now += US
        made = msgspec.structs.replace(fill(trade_id, qty), fee=D(0), venue_ns=self.now)
        made = msgspec.structs.replace(made, **more)
        self.trades.append(made)
        amount = D(qty) / 10**5 * side.sign
        self.held["BTC"] += amount
        self.held["USDT"] -= amount * made.price / 100
        currency = made.fee_currency or "USDT"
        paid = made.fee if made.fee_amount is None else made.fee_amount
        self.held[currency] = self.held.get(currency, D(0)) - paid
        if told:
            self.hear(made)

    def first(self, child_id: str = "c1", **changed: Any) -> Any:
        """What the gateway says of a new order."""
        return self.hear(child_new(child_id, self.now, **{"tif": Tif.GTC, **changed}))[0]

    def works(self, child_id: str = "c1", **changed: Any) -> None:
        assert self.code(child_id, **changed) is None
        self.hear(accepted(child_id))
        self.calls.clear()

    def code(self, child_id: str = "c1", **changed: Any) -> Code | None:
        said = self.first(child_id, **changed)
        return said.code if isinstance(said, m.ExecRejected) else None

    def ours(self, name: str) -> Decimal:
        return self.core.holdings.by_venue[VENUE].held(name)

    def events(self) -> list[m.HoldingsEvent]:
        return [event for event in self.journal if isinstance(event, m.HoldingsEvent)]


SELL: dict[str, Any] = {"side": Side.SELL, "price": D(61_000)}
