"""All controls behind one question: why must this order not go out? And the journal that some of them rest on.

`check` gives the first refusal. The cheap and the certain come first; the rate comes last, because only what goes
out is counted. All but the collar's books is a function of the journal and of the operators' words, so a restart
changes no answer.
"""

from __future__ import annotations

from typing import Any

from bestex import messages as m
from bestex.halts import Halts
from bestex.instruments import Instrument, Instruments
from bestex.limits import LimitsConfig
from services.gateway.controls import parent_cap, restricted
from services.gateway.controls.collar import Collar
from services.gateway.controls.exposure import Exposure
from services.gateway.controls.ledger import Ledger
from services.gateway.controls.rate import Rate
from services.gateway.controls.repeats import Repeats
from services.gateway.controls.self_trade import SelfTrade
from services.gateway.controls.wanted import Refusal, Wanted
from services.gateway.holdings import Holdings
from services.gateway.orders import Child

_WORKED = m.ExecAccepted | m.ExecFilled | m.ExecExpired


class Controls:
    def __init__(
        self, limits: LimitsConfig, instruments: Instruments, halts: Halts, holdings: Holdings
    ) -> None:
        self._limits = limits
        self._halts, self._holdings = halts, holdings
        self.ledger = Ledger()
        self.collar = Collar(limits.collar)
        self._rate = Rate(limits)
        self._repeats = Repeats(limits.repeats)
        self._self_trade = SelfTrade(limits.self_trade)
        scales = {one.symbol: one.price_scale + one.qty_scale for one in instruments.all}
        self._exposure = Exposure(limits.exposure, scales)

    # -- before a send -----------------------------------------------------------------------------------------

    def check(self, wanted: Wanted, now_ns: int) -> Refusal | None:
        return (
            restricted.check(wanted, self._limits.restricted, self.ledger)
            or self._repeated(wanted, now_ns)
            or self.collar.check(wanted, now_ns)
            or parent_cap.check(wanted, self.ledger, self._limits.parent)
            or self._exposure.check(wanted, self.ledger)
            or self._holdings.check(wanted, self._released_ns(wanted))
            or self._self_trade.check(wanted)
            or self._rate.check(wanted, now_ns)
        )

    def to_cancel(self, wanted: Wanted) -> list[Child]:
        """Our own orders that make way for one that was refused because of them."""
        return self._self_trade.to_cancel(wanted)

    def _repeated(self, wanted: Wanted, now_ns: int) -> Refusal | None:
        if wanted.replaces:
            return None
        return self._repeats.check(wanted, now_ns, self._released_ns(wanted))

    def _released_ns(self, wanted: Wanted) -> int:
        return self._halts.released_ns(wanted.venue, wanted.account, wanted.algo, wanted.parent_id)

    # -- from the journal --------------------------------------------------------------------------------------

    def submitted(self, child: Child) -> None:
        self.ledger.submitted(child)
        self._holdings.moved(child)
        self._repeats.submitted(child)
        self._self_trade.submitted(child)
        self._rate.sent(child.venue, child.account, child.submitted_at)

    def advanced(self, child: Child, event: m.ExecEvent) -> None:
        """One event of the child's history has been made part of it."""
        self.ledger.moved(child)
        self._holdings.moved(child)
        if child.ended:
            self._self_trade.ended(child)
            self._repeats.ended(child)
        if isinstance(event, m.ExecRejected):
            self._repeats.rejected(event)
        elif isinstance(event, _WORKED):
            self._repeats.worked(child)
        elif isinstance(event, m.ExecReplacing):
            self._rate.sent(child.venue, child.account, event.at)

    def refused(self, event: m.ExecRejected) -> None:
        """A child that was never sent."""
        self._repeats.rejected(event)

    def filled(self, fill: m.Fill, instrument: Instrument, child: Child | None) -> None:
        """A trade that has not been counted before; its child, where that is still kept."""
        self.ledger.filled(fill, instrument)
        self._holdings.filled(fill)
        if child is not None:
            self.ledger.moved(child)
            self._holdings.moved(child)

    # -- checkpoints -------------------------------------------------------------------------------------------

    def durable(self) -> tuple[Any, ...]:
        """All that comes from the journal."""
        return self.ledger, self._rate.drained_ns, self._repeats.seen, self._self_trade.resting

    def restore(self, durable: tuple[Any, ...]) -> None:
        self.ledger, self._rate.drained_ns, self._repeats.seen, self._self_trade.resting = durable
