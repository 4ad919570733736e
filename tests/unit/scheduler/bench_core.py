"""A scheduler core driven by hand: facts are applied at once, timers fire when the clock passes them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

from bestex import codec, config
from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.core import Alarm, Fact, RawOrder, Wake, Wakeup
from bestex.errors import Code
from services.scheduler.core import SchedulerCore
from services.scheduler.service import build

START = 1_700_000_000 * SECOND
ROOT = "bestex.v1"


def book(
    symbol: str = "BTC/USDT", bid: int = 59_999_00, ask: int = 60_001_00, at_ns: int = START
) -> m.ConsolidatedBook:
    column = m.VenueColumn("sim_a", m.BookStatus.LIVE, 0, at_ns, at_ns, [bid], [10**8], [ask], [10**8])
    return m.ConsolidatedBook(symbol, 1, at_ns, 2, 5, False, False, [column])


@cache
def _config() -> config.Config:
    names = ("DARK_A", "DARK_B")
    return config.load(None, {f"BESTEX__VENUES__{name}__ENABLED": "true" for name in names})


class Bench:
    """Feeds a core, keeps its facts, its clock and its timers. An alarm is a bug found, and raised; a bench that
    `expects` alarms keeps them."""

    expects = False

    def __init__(self, with_book: bool = True) -> None:
        self.alarms: list[Alarm] = []
        self.config = _config()
        self.core = self.make()
        self.now_ns = START
        self.facts: list[Any] = []
        self._by_kind: dict[type[Any], list[Any]] = defaultdict(list)
        self._looked = 0
        self.wakes: dict[str, int] = {}
        self.seq = 0
        if with_book:
            self.feed(book())

    def make(self) -> SchedulerCore:
        core = build(self.config, ()).core
        assert isinstance(core, SchedulerCore)
        return core

    def feed(self, *messages: Any) -> list[Any]:
        """The facts that these inputs led to, those of timers that came due at once included."""
        before = len(self.facts)
        for message in messages:
            self._take(self.core.decide(message, self.now_ns))
        self._fire()
        return self.facts[before:]

    def order(
        self, body: Any = None, algo: str = "twap", symbol: str = "BTC-USDT", data: bytes | None = None
    ) -> list[Any]:
        self.seq += 1
        raw = json.dumps(body).encode() if data is None else data
        return self.feed(RawOrder(f"{ROOT}.order.new.{algo}.{symbol}", raw, self.seq))

    def request(
        self, verb: str, parent_id: str, algo: str = "twap", symbol: str = "BTC-USDT", **body: Any
    ) -> list[Any]:
        self.seq += 1
        raw = json.dumps(body).encode()
        return self.feed(RawOrder(f"{ROOT}.order.{verb}.{algo}.{symbol}.{parent_id}", raw, self.seq))

    def advance(self, until_ns: int) -> list[Any]:
        """Let time pass, firing timers on the way."""
        before = len(self.facts)
        while self.wakes and min(self.wakes.values()) <= until_ns:
            self.now_ns = max(self.now_ns, min(self.wakes.values()))
            self._fire()
        self.now_ns = max(self.now_ns, until_ns)
        return self.facts[before:]

    def settle(
        self, sliced: m.ParentSliced, filled: str | None = None, reason: Code = Code.FILLED
    ) -> list[Any]:
        """The router's answer to a slice: all of it filled at 60,000, or `filled`."""
        qty = sliced.qty if filled is None else Decimal(filled)
        return self.feed(
            m.RouteDone(
                symbol=sliced.symbol,
                parent_id=sliced.parent_id,
                slice_no=sliced.slice_no,
                at=Time(self.now_ns),
                qty=sliced.qty,
                filled_qty=qty,
                notional=qty * 60_000,
                fees=qty * 6,
                reason=reason,
            )
        )

    def of(self, kind: type[Any]) -> list[Any]:
        """Those of one kind. Asked at every step of long days, so each fact is looked at once."""
        for fact in self.facts[self._looked :]:
            self._by_kind[type(fact)].append(fact)
        self._looked = len(self.facts)
        return self._by_kind[kind].copy()

    def recovered(self) -> Bench:
        """A bench whose core has only read this one's journal."""
        other = type(self)(with_book=False)
        other.core.decide(book(), self.now_ns)
        other.now_ns, other.seq, other.facts = self.now_ns, self.seq, list(self.facts)
        for event in self.facts:
            stored = codec.from_json(codec.to_json(event), type(event))
            for effect in other.core.apply(stored):
                other._set(effect)
        return other

    def _take(self, outputs: Any) -> None:
        for out in outputs:
            if isinstance(out, Fact):
                self.facts.append(out.event)
                for effect in self.core.apply(out.event):
                    self._set(effect)
            else:
                self._set(out)

    def _set(self, effect: Any) -> None:
        if isinstance(effect, Alarm):
            if not self.expects:
                raise effect.error
            self.alarms.append(effect)
            return
        assert isinstance(effect, Wake)
        if effect.at_ns:
            self.wakes[effect.key] = effect.at_ns
        else:
            self.wakes.pop(effect.key, None)

    def _fire(self) -> None:
        for _ in range(1000):
            due = next(self._due(), None)
            if due is None:
                return
            del self.wakes[due]
            self._take(self.core.decide(Wakeup(due), self.now_ns))
        raise AssertionError("a core that wakes itself for ever")

    def _due(self) -> Iterator[str]:
        return (key for key, at_ns in self.wakes.items() if at_ns <= self.now_ns)
