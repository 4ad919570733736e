"""An order played on the virtual clock: a market by a script, and a router that fills by a rule.

Every algorithm is tested by it: whether it follows its planned curve, and whether it goes on exactly after being
killed at any event. All is a function of the script and the clock, so two plays of one order give the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

from bestex import messages as m
from bestex.clock import MS, SECOND, Time
from bestex.errors import Code
from services.scheduler.curve import Curve, of_schedule
from services.scheduler.market import Market
from tests.unit.scheduler.bench_core import START, Bench

SYMBOL = "BTC/USDT"
ID = "p1"


@dataclass(frozen=True)
class Moment:
    """The market at one time, in the instrument's units; `traded` is all that it has traded since the play began.
    None for a price: that side is empty."""

    bid: int | None = 59_999_00
    ask: int | None = 60_001_00
    bid_qty: int = 10**8
    ask_qty: int = 10**8
    traded: int = 0
    volatility_bps: float | None = 1.0
    extra: dict[str, Any] = field(default_factory=dict)  # of the statistics


Script = Callable[[int], Moment]  # by the time since the beginning, in ns
Fill = Callable[[m.ParentSliced, Moment], int | None]  # what it fills, in units; None: it is not back yet


def steady(per_s: int = 10**6, **moment: Any) -> Script:
    """A market that stands still and trades evenly."""
    return lambda at_ns: Moment(traded=per_s * at_ns // SECOND, **moment)


def all_of_it(sliced: m.ParentSliced, moment: Moment) -> int | None:
    """The router of these plays: what crosses is filled whole, what rests waits for the market to come."""
    price = moment.ask if sliced.side is m.Side.BUY else moment.bid
    if price is None:
        return None if sliced.tif is not m.Tif.IOC else 0
    reached = sliced.limit_price is None or (price - units(sliced.limit_price)) * sliced.side.sign <= 0
    if sliced.tif is m.Tif.IOC:
        return size(sliced) if reached else 0
    return size(sliced) if reached and not sliced.post_only else None


def usually(
    spread_bps: float | None,
    depth: str | None,
    hidden_share: float | None = None,
    refill_s: float | None = None,
) -> dict[str, Any]:
    """A moment's `extra`: what the spread and either side's depth have been of late, and what stands behind them."""
    known = None if depth is None else Decimal(depth)
    queue = m.QueueStats(outflow=0.0, outflow_sd=0.0, traded=0.0, seconds=60.0, refill_s=refill_s)
    venue = m.VenueStats(
        venue="sim_a", status=m.BookStatus.LIVE, age_ms=0.0, hidden_share=hidden_share, bid_queue=queue,
        ask_queue=queue, usual_bid_depth=known, usual_ask_depth=known,
    )  # fmt: skip
    return {"usual_spread_bps": spread_bps, "venues": [venue]}


def units(price: Decimal) -> int:
    return int(price.scaleb(2))


def size(sliced: m.ParentSliced) -> int:
    return int(sliced.qty.scaleb(5))


class Play:
    """One order of `BTC/USDT` (prices in cents, quantities in 1e-5). `step_ns`: how often the book is heard; the
    statistics come once a second. A slice comes back `delay_ns` after it went out, or later by the rule's word.
    `volumes`: what is known of the days before."""

    def __init__(
        self,
        script: Script | None = None,
        fill: Fill = all_of_it,
        delay_ns: int = 50 * MS,
        step_ns: int = 250 * MS,
        bench: Bench | None = None,
        volumes: Sequence[m.VolumeDay] = (),
    ) -> None:
        self.script = script or steady()
        self.fill = fill
        self.delay_ns = delay_ns
        self.step_ns = step_ns
        self.bench = bench or Bench(with_book=False)
        self.settled: set[int] = set()
        self.volumes = volumes
        for day in volumes:
            self.bench.feed(day)
        self.hear()

    @property
    def at_ns(self) -> int:
        """Since the beginning."""
        return self.bench.now_ns - START

    @property
    def moment(self) -> Moment:
        return self.script(self.at_ns)

    @property
    def instrument(self) -> Any:
        return self.bench.config.make_instruments().by_symbol[SYMBOL]

    def order(self, algo: str, qty: str = "1", side: str = "buy", **params: Any) -> list[Any]:
        """Hand it in. `limit_price`, `strategy` and `venues` are the order's own, all else are parameters."""
        body: dict[str, Any] = {"side": side, "qty": qty, "parent_id": ID}
        for name in ("limit_price", "strategy", "strategy_params", "venues"):
            if name in params:
                body[name] = params.pop(name)
        self.algo = algo
        return self.bench.order({**body, "params": params}, algo=algo)

    def request(self, verb: str, **body: Any) -> list[Any]:
        return self.bench.request(verb, ID, algo=self.algo, **body)

    # -- time ------------------------------------------------------------------------------------------------

    def hear(self) -> None:
        """The market as it is now: its book, and on the whole second its statistics."""
        moment, now_ns = self.moment, self.bench.now_ns
        stats = [stats_of(moment, now_ns)] if self.at_ns % SECOND == 0 else []
        self.bench.feed(book_of(moment, now_ns), *stats)

    def until(self, at_ns: int) -> Play:
        """Let time pass, to `at_ns` since the beginning."""
        while self.at_ns < at_ns:
            next_ns = min(at_ns, (self.at_ns // self.step_ns + 1) * self.step_ns)
            self.bench.advance(START + next_ns - 1)
            self.bench.now_ns = START + next_ns
            # At one instant the market is heard first, as it is after a restart.
            if next_ns % self.step_ns == 0:
                self.hear()
            self.bench.advance(START + next_ns)
            self.come_back()
        return self

    def to_end(self, seconds: int = 100_000) -> Play:
        """Until it is done, or so long."""
        last_ns = self.at_ns + seconds * SECOND
        while not self.done and self.at_ns < last_ns:
            self.until(self.at_ns + SECOND)
        return self

    def come_back(self) -> None:
        """Settle what is due to come back, as the rule says."""
        sent = self.of(m.ParentSliced)
        if len(sent) == len(self.settled):
            return
        recalled = {event.slice_no for event in self.of(m.ParentRecalled)}
        for sliced in sent:
            if sliced.slice_no in self.settled or self.bench.now_ns < sliced.at + self.delay_ns:
                continue
            filled = self.fill(sliced, self.moment)
            reason = Code.FILLED if filled == size(sliced) else Code.NO_LIQUIDITY
            if filled and reason is not Code.FILLED and sliced.display_qty is not None:
                reason = Code.DISPLAYED
            if filled is None:
                if sliced.slice_no in recalled:
                    filled, reason = 0, Code.REPLACED
                elif self.bench.now_ns >= sliced.expires_at:
                    filled, reason = 0, Code.EXPIRED
                else:
                    continue
            self.settled.add(sliced.slice_no)
            self.settle(sliced, filled, reason)

    def settle(self, sliced: m.ParentSliced, filled: int, reason: Code) -> None:
        price = self.moment.ask if sliced.side is m.Side.BUY else self.moment.bid
        at = sliced.limit_price if price is None else Decimal(price).scaleb(-2)
        qty = Decimal(filled).scaleb(-5)
        self.bench.feed(
            m.RouteDone(
                symbol=SYMBOL, parent_id=ID, slice_no=sliced.slice_no, at=Time(self.bench.now_ns),
                qty=sliced.qty, filled_qty=qty, notional=qty * (at or 0), fees=Decimal(0), reason=reason,
            )
        )  # fmt: skip

    def killed(self) -> Self:
        """The same play with a scheduler that has only read the journal; this one is over."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.settled = set(self.settled)
        other.bench = self.bench.recovered()
        for day in self.volumes:  # settings are read before anything is decided
            other.bench.core.decide(day, other.bench.now_ns)
        # It hears the market before its timers ring, as a process does that waits for the first book.
        other.bench.core.decide(book_of(self.moment, other.bench.now_ns), other.bench.now_ns)
        whole_s = self.at_ns // SECOND * SECOND
        other.bench.core.decide(stats_of(self.script(whole_s), START + whole_s), other.bench.now_ns)
        other.bench.advance(other.bench.now_ns)
        return other

    # -- what came of it -------------------------------------------------------------------------------------

    def of(self, kind: type[Any]) -> list[Any]:
        return self.bench.of(kind)

    @property
    def facts(self) -> list[Any]:
        return self.bench.facts

    @property
    def done(self) -> m.ParentDone | None:
        return next(iter(self.of(m.ParentDone)), None)

    @property
    def sizes(self) -> list[int]:
        """Of the slices, in units."""
        return [size(sliced) for sliced in self.of(m.ParentSliced)]

    def plan(self) -> Curve:
        """The planned curve in force."""
        planned = [event for event in self.facts if getattr(event, "schedule", None)]
        return of_schedule(planned[-1].schedule, self.instrument)

    def sent(self) -> list[tuple[int, int]]:
        """(time, total sent by then and not given back), after every slice and settlement; ns and units."""
        open_: dict[int, int] = {}
        filled, found = 0, []
        for event in self.facts:
            if isinstance(event, m.ParentSliced):
                open_[event.slice_no] = size(event)
            elif isinstance(event, m.ParentSettled):
                del open_[event.slice_no]
                filled += int(event.filled_qty.scaleb(5))
            else:
                continue
            found.append((int(event.at), filled + sum(open_.values())))
        return found

    def beyond_plan(self) -> int:
        """By how much, in units, what was sent ever left the bounds of the plan that was in force then."""
        worst, plan = 0, None
        sent = dict(self.sent())
        for event in self.facts:
            if getattr(event, "schedule", None):
                plan = of_schedule(event.schedule, self.instrument)
            total = sent.get(int(event.at))
            if plan is not None and total is not None and plan.start_ns <= event.at <= plan.end_ns:
                point = plan.at(int(event.at))
                worst = max(worst, point.low - total, total - point.high)
        return worst


def book_of(moment: Moment, now_ns: int) -> m.ConsolidatedBook:
    column = m.VenueColumn(
        "sim_a", m.BookStatus.LIVE, 0, now_ns, now_ns,
        [] if moment.bid is None else [moment.bid],
        [] if moment.bid is None else [moment.bid_qty],
        [] if moment.ask is None else [moment.ask],
        [] if moment.ask is None else [moment.ask_qty],
    )  # fmt: skip
    return m.ConsolidatedBook(SYMBOL, 1, now_ns, 2, 5, False, False, [column])


def stats_of(moment: Moment, now_ns: int) -> m.Stats:
    return m.Stats(
        symbol=SYMBOL,
        at=Time(now_ns),
        volatility_bps=moment.volatility_bps,
        traded=Decimal(moment.traded).scaleb(-5),
        counting_since=Time(START - SECOND),
        **moment.extra,
    )


def market_of(moment: Moment, instrument: Any, now_ns: int = START) -> Market:
    return Market(instrument, book_of(moment, now_ns), stats_of(moment, now_ns))
