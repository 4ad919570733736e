"""Shadow routing: for a sample of slices, what every other strategy would have done, priced when the slice has ended.

What a strategy would have taken costs what the book asked at the decision. What it would have posted is filled at its
price if the market has been offered through it since, and else taken at the end, as is what it would have left. The
real route is priced in the same way, by what it has paid. All is only heard: a restart loses the samples under way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bestex import ids
from bestex import messages as m
from bestex.config import Config
from bestex.contained import PluginFailed, asked
from bestex.instruments import FEE_ONE
from bestex.ladder import Ladder
from services.router.routing import Ask, make_strategy, make_task
from services.router.state import key_of
from services.router.strategies.base import RouteTask, Strategy

BPS = 10_000
SAMPLES_MAX = 200  # under way at once
ONE = 10_000  # parts of a share


@dataclass(frozen=True, slots=True)
class _Would:
    """`paid` in price units x quantity units for what was taken; `posted`: price there, price to compare, quantity,
    maker fee as a factor."""

    paid: float
    taken: int
    posted: tuple[tuple[int, int, int, float], ...]


@dataclass(slots=True)
class _Sample:
    """`nearest`: the best price at which somebody has offered to trade with what was posted, since the decision."""

    ask: Ask
    mid: float
    strategy: str
    others: dict[str, _Would]
    nearest: int


class Shadows:
    def __init__(self, config: Config, strategies: Mapping[str, type[Strategy]]) -> None:
        self._config = config
        self._strategies = strategies
        self._share = round(config.execution.shadow_share * ONE)
        self._under_way: dict[str, _Sample] = {}

    def begin(self, key: str, ask: Ask, strategy: str) -> list[PluginFailed]:
        """A slice was routed for the first time. It is a sample by its name, the same wherever it is looked at.
        Those that have failed cast no shadow."""
        if ids.digest("shadow", key) % ONE >= self._share or len(self._under_way) >= SAMPLES_MAX:
            return []
        others: dict[str, _Would] = {}
        failures: list[PluginFailed] = []
        mid, nearest = None, 0
        for name, kind in self._strategies.items():
            try:
                chosen = asked(kind, make_strategy, self._strategies, self._config, name, {})
                task, _ = make_task(chosen, ask)
                if task is None or task.ladder.mid is None:
                    return failures
                mid, nearest = task.ladder.mid, _offer(task.ladder, ask.side)
                if name != strategy:
                    others[name] = asked(chosen, _would, chosen, task)
            except PluginFailed as failed:
                failures.append(failed)
        if mid is not None:
            self._under_way[key] = _Sample(ask, mid, strategy, others, nearest)
        return failures

    def book(self, book: m.ConsolidatedBook) -> None:
        for sample in self._under_way.values():
            if sample.ask.instrument.symbol == book.symbol and (
                offer := _offer(Ladder(book), sample.ask.side)
            ):
                sign = sample.ask.side.sign
                sample.nearest = offer if (offer - sample.nearest) * sign < 0 else sample.nearest

    def end(self, done: m.RouteDone, book: m.ConsolidatedBook | None) -> list[m.ShadowCost]:
        """The costs by strategy, the real one's first; nothing where the slice was no sample."""
        sample = self._under_way.pop(key_of(done.symbol, done.parent_id, done.slice_no), None)
        offer = 0 if book is None or sample is None else _offer(Ladder(book), sample.ask.side)
        if sample is None or not offer:
            return []
        ask = sample.ask
        qty, sign = ask.qty, ask.side.sign
        fee = max((listing.taker_fee_e8 for listing in ask.instrument.listings), default=0) / FEE_ONE
        at_the_end = offer * (1 + sign * fee)

        def bps(paid: float, left: int) -> float:
            return sign * ((paid + left * at_the_end) / qty / sample.mid - 1) * BPS

        filled = ask.instrument.qty_units(done.filled_qty)
        spent = ask.instrument.cash_units(done.notional) + sign * float(done.fees) * 10.0 ** (
            ask.instrument.price_scale + ask.instrument.qty_scale
        )
        found = [m.ShadowCost(sample.strategy, bps(spent, qty - filled))]
        for name, would in sample.others.items():
            paid, left = would.paid, qty - would.taken
            for own, compared, size, factor in would.posted:
                if (sample.nearest - compared) * sign <= 0:
                    paid, left = paid + own * size * factor, left - size
            found.append(m.ShadowCost(name, bps(paid, left)))
        return found


def _would(strategy: Strategy, task: RouteTask) -> _Would:
    route, sign = strategy.route(task), task.side.sign
    basis = {column.venue: column.basis for _, column in task.ladder.columns}
    taken = [part for part in route.allocations if not part.rests]
    posted = []
    for part in route.allocations:
        if part.rests:
            factor = 1 + sign * task.terms[part.venue].listing.maker_fee_e8 / FEE_ONE
            posted.append((part.price, part.price - basis[part.venue], part.qty, factor))
    paid = sum(part.notional * task.fee_factor(part.venue) / FEE_ONE for part in taken)
    return _Would(paid, sum(part.qty for part in taken), tuple(posted))


def _offer(ladder: Ladder, side: m.Side) -> int:
    """The best price on the other side; 0 where there is none."""
    return (ladder.best_ask if side is m.Side.BUY else ladder.best_bid) or 0
