"""A gateway's core on a bench: what it stores, asks for and sets timers for, with the test as the venue."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

from bestex import codec, fleet, subjects
from bestex import messages as m
from bestex.clock import DAY, SECOND, Time
from bestex.config import Config, parse
from bestex.core import Alarm, BusBack, BusLost, Call, Fact, Recovered, Wake, Wakeup
from bestex.errors import Code
from bestex.instruments import Instruments
from bestex.messages import Side, Tif
from services.gateway import port as p
from services.gateway.core import GatewayCore

START = 1_700_000_000 * SECOND
VENUE = "sim_a"
SYMBOL = "BTC/USDT"
CAPABILITIES = p.Capabilities(
    tifs=frozenset({Tif.IOC, Tif.FOK, Tif.GTC}), post_only=True, client_id_length=36, native_replace=True
)
CONFIG = parse(
    """
    [venues.sim_a]
    [instruments."BTC/USDT"]
    price_scale = 2
    qty_scale = 5
    [instruments."BTC/USDT".venues]
    sim_a = { tick = "0.1", lot = "0.0001", min_qty = "0.001", max_qty = "10", min_notional = "5" }
    [execution]
    timeout = "2s"
    """
)

M = TypeVar("M")


def child_new(child_id: str = "c1", now_ns: int = START, **changed: Any) -> m.ChildNew:
    usual: dict[str, Any] = {
        "child_id": child_id,
        "parent_id": "p1",
        "slice_no": 1,
        "venue": VENUE,
        "symbol": SYMBOL,
        "side": Side.BUY,
        "qty": Decimal("0.01"),
        "price": Decimal("60000"),
        "tif": Tif.IOC,
        "expires_at": Time(now_ns + SECOND),
        "good_till": Time(now_ns + 60 * SECOND),
        "parent_qty": Decimal(1_000),
        "build": fleet.build(),
        "slice_build": fleet.build(),
    }
    return m.ChildNew(**{**usual, **changed})


def book(at_ns: int = START, bid: int = 5_999_000, ask: int = 6_001_000, venue: str = VENUE) -> Any:
    """The consolidated book of one venue, in units; its mid is the usual child's price."""
    column = m.VenueColumn(venue, m.BookStatus.LIVE, 0, at_ns, at_ns, [bid], [1], [ask], [1])
    return m.ConsolidatedBook(SYMBOL, 1, at_ns, 2, 5, False, False, [column])


def child_cancel(child_id: str = "c1", reason: Code = Code.CANCELED) -> m.ChildCancel:
    return m.ChildCancel(child_id=child_id, parent_id="p1", venue=VENUE, symbol=SYMBOL, reason=reason)


def accepted(child_id: str = "c1", **more: Any) -> p.VenueAccepted:
    return p.VenueAccepted(child_id=child_id, venue_order_id="v1", **more)


def fill(trade_id: str, qty: int, price: int = 6_000_000, child_id: str = "c1") -> p.VenueFill:
    return p.VenueFill(
        child_id=child_id,
        trade_id=trade_id,
        venue_order_id="v1",
        price=price,
        qty=qty,
        fee=Decimal(qty) / 1000,
        venue_ns=START,
    )


def closed(how: Any, cum_qty: int, child_id: str = "c1", **more: Any) -> p.VenueClosed:
    return p.VenueClosed(child_id=child_id, how=how, cum_qty=cum_qty, **more)


QTY = 1_000  # the usual child's quantity in units


class Bench:
    """`hear` gives the core one input. Facts are stored at once; `calls` are what was asked of the venue."""

    def __init__(
        self,
        config: Config = CONFIG,
        capabilities: p.Capabilities = CAPABILITIES,
        venue: str = VENUE,
        now_ns: int = START,
    ) -> None:
        self.config = config
        self.capabilities: Mapping[str, p.Capabilities] = {venue: capabilities}
        self.now = now_ns
        self.journal: list[Any] = []
        self.calls: list[Any] = []
        self.alarms: list[Alarm] = []
        self.wakes: dict[str, int] = {}
        self.bus_is_there = True
        self._waiting: list[Any] = []  # for the bus: effects of facts that are not stored, and calls in doubt
        self.core = self._new_core()
        self.hear(Recovered())

    def _new_core(self) -> GatewayCore:
        instruments: Instruments = self.config.make_instruments()
        return GatewayCore(self.capabilities, instruments, self.config, fleet.build())

    def ready(self) -> Bench:
        """A reconciled session, and a book that stays fresh."""
        self.hear(p.SessionState(VENUE, p.Session.UP), p.SessionState(VENUE, p.Session.RECONCILED))
        self.hear(book(at_ns=START + DAY))
        self.calls.clear()
        return self

    def hear(self, *messages: Any) -> list[Any]:
        """The events stored because of `messages`."""
        before = len(self.journal)
        for message in messages:
            for out in self.core.decide(message, self.now):
                if isinstance(out, Fact):
                    self._store(out)
                else:
                    self._release(out)
        return self.journal[before:]

    def _store(self, fact: Fact) -> None:
        effects = self.core.apply(fact.event)
        # As the bus would give it back.
        kind = subjects.kind_of(fact.subject).message
        self.journal.append(codec.from_json(codec.to_json(fact.event), kind))
        for effect in effects:
            if self.bus_is_there or isinstance(effect, Wake):
                self._release(effect)
            else:
                self._waiting.append(effect)

    def lose_bus(self) -> None:
        self.bus_is_there = False
        self.hear(BusLost())

    def find_bus(self) -> None:
        self.bus_is_there = True
        waiting, self._waiting = self._waiting, []
        for effect in waiting:
            self._release(effect)
        self.hear(BusBack())

    def _release(self, effect: Any) -> None:
        if isinstance(effect, Wake):
            self.wakes.pop(effect.key, None)
            if effect.at_ns:
                self.wakes[effect.key] = effect.at_ns
        elif isinstance(effect, Alarm):
            self.alarms.append(effect)
        else:
            assert isinstance(effect, Call)
            if not self.bus_is_there and not effect.always:
                self._waiting.append(effect)
                return
            self.calls.append(effect.request)

    def sleep(self, duration_ns: int) -> None:
        """Let time pass; timers fire in their order, each at its time."""
        until = self.now + duration_ns
        while due := sorted((at, key) for key, at in self.wakes.items() if at <= until):
            at, key = due[0]
            del self.wakes[key]
            self.now = max(self.now, at)
            self.hear(Wakeup(key))
        self.now = until

    def crash(self, checkpoint_at: int = 0) -> None:
        """Kill the process and start it again: the journal is applied, its effects are dropped."""
        self.reread(checkpoint_at)
        self.wakes.clear()
        self.hear(Recovered())

    def reread(self, checkpoint_at: int = 0) -> None:
        """A new core by the journal; by a checkpoint in place of what stands before `checkpoint_at`."""
        self.core = self._new_core()
        for event in self.journal[:checkpoint_at]:
            self.core.apply(event)
        if checkpoint_at:
            made = self.core.dump()
            self.core = self._new_core()
            self.core.load(made)
        for event in self.journal[checkpoint_at:]:
            self.core.apply(event)

    def asked(self, kind: type[M]) -> list[M]:
        """The requests of `kind` since the last look, which are then forgotten."""
        found = [call for call in self.calls if isinstance(call, kind)]
        self.calls = [call for call in self.calls if not isinstance(call, kind)]
        return found

    def tags(self) -> list[str]:
        """The journal by the names of its events."""
        return ["fill" if isinstance(e, m.Fill) else subjects.event_name(e) for e in self.journal]


def working(bench: Bench, **changed: Any) -> Bench:
    """The usual child, resting."""
    bench.hear(child_new(**{"tif": Tif.GTC, **changed}), accepted())
    bench.calls.clear()
    return bench
