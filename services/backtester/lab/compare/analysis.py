"""From what every combination paid for the same parents to what may be said of it. Pure.

A pair is one parent as the baseline and as another combination worked it: same market, side, size and time. What is
compared is the total cost in basis points of the order's value on arrival, each parent counting once, so that a
negative difference is a saving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import numpy as np

from bestex.messages import Side
from bestex.shortfall import PARTS, Costs
from services.backtester.lab.statistics import LEVEL, TIMES_MIN, Estimate, holm, mean_interval

REGIMES = ("calm", "middle", "rough")
FILL_GAP = 0.01  # a difference of fill rates that is worth a word


Interval = Callable[[Sequence[float], Sequence[int]], Estimate]  # of values and their times in ns


class Worked(msgspec.Struct, frozen=True, kw_only=True):
    """One parent as one combination worked it. Times in ns, prices in quote, quantities in base.

    `costs` is None where the order was refused (`reason` and `text` say why), or where no book was known on its
    arrival, or at its end with something left. `beyond`: what is left that no book showed, priced at the last level.
    `volatility_bps`: of the mid before the start, a second's.
    """

    variant: str
    start_ns: int
    side: Side
    size: Decimal
    reason: str
    text: str = ""
    fill_rate: float = 0.0
    maker_share: float = 0.0
    duration_s: float = 0.0
    slices: int = 0
    fills: int = 0
    avg_px: Decimal | None = None
    arrival_px: Decimal | None = None
    costs: Costs | None = None
    beyond: Decimal = Decimal(0)
    volatility_bps: float | None = None

    @property
    def key(self) -> tuple[int, Side, Decimal]:
        return self.start_ns, self.side, self.size


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One combination over the parents of one group: the means of its parts in bps (positive is cost), and its
    total against the baseline's over `pairs`. `p_holm` is corrected for all differences of its table; `cheaper`: the
    share of pairs in which it was. `cost` is the sum of totals in quote. `verdict`: what may be said after the
    correction, at the interval's level."""

    variant: str
    n: int
    pairs: int
    refused: int
    fill_rate: float | None
    maker_share: float | None
    parts_bps: dict[str, float]
    basis_bps: float | None
    total_bps: Estimate
    cost: Decimal
    difference_bps: Estimate | None = None
    p_holm: float | None = None
    cheaper: float | None = None
    verdict: str = "baseline"


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The parents that have something in common."""

    label: str
    figures: list[Figures]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Groups by one criterion, and how many differences were tested in all of them."""

    title: str
    groups: list[Group]
    tests: int


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """`notes` are the cautions, a sentence each."""

    baseline: str
    overall: Table
    by_size: Table | None
    by_volatility: Table | None
    by_side: Table | None
    notes: list[str]


def analyse(
    worked: Sequence[Worked],
    variants: Sequence[str],
    baseline: str,
    *,
    seed: int,
    block: float | None = None,
    block_min: float = 1.0,
    level: float = LEVEL,
) -> Analysis:
    """`worked` holds every parent once for each of `variants`. As in `statistics.mean_interval`, `block`: 1 where
    each start time is a market of its own; `block_min`: how many neighbouring ones share a part of theirs."""
    assert baseline in variants, "the baseline is one of those that are compared"

    interval = partial(mean_interval, seed=seed, block=block, block_min=block_min, level=level)

    def table(title: str, groups: Iterable[tuple[str, Sequence[Worked]]]) -> Table:
        found = [(label, _figures(members, variants, baseline, interval)) for label, members in groups]
        return _corrected(title, found)

    sizes = sorted({one.size for one in worked})
    sides = sorted({one.side for one in worked})
    regimes = _regimes(worked)
    overall = table("all parents", [("all", worked)])
    return Analysis(
        baseline=baseline,
        overall=overall,
        by_size=table(
            "by size", _split(worked, [(f"{size:f}", size) for size in sizes], lambda one: one.size)
        )
        if len(sizes) > 1
        else None,
        by_volatility=table("by volatility before the start", regimes) if regimes else None,
        by_side=table("by side", _split(worked, [(str(side), side) for side in sides], lambda one: one.side))
        if len(sides) > 1
        else None,
        notes=_notes(overall.groups[0].figures, worked, baseline, level),
    )


def _split(
    worked: Sequence[Worked], keys: Sequence[tuple[str, Any]], of: Callable[[Worked], Any]
) -> list[tuple[str, list[Worked]]]:
    return [(label, [one for one in worked if of(one) == key]) for label, key in keys]


def _regimes(worked: Sequence[Worked]) -> list[tuple[str, list[Worked]]]:
    """Terciles of the start times by volatility; none where there are not three different ones."""
    known: dict[int, float] = {}
    for one in worked:
        if one.volatility_bps is not None:
            known.setdefault(one.start_ns, one.volatility_bps)
    if len(set(known.values())) < len(REGIMES):
        return []
    low, high = (float(edge) for edge in np.quantile(list(known.values()), (1 / 3, 2 / 3)))
    if low == high:
        return []
    edges = ((-np.inf, low), (low, high), (high, np.inf))
    said = (f"up to {low:.2f} bps a second", f"{low:.2f} to {high:.2f}", f"above {high:.2f}")
    return [
        (
            f"{name}: {text}",
            [one for one in worked if one.start_ns in known and first < known[one.start_ns] <= last],
        )
        for name, text, (first, last) in zip(REGIMES, said, edges, strict=True)
    ]


def _figures(
    worked: Sequence[Worked],
    variants: Sequence[str],
    baseline: str,
    interval: Interval,
) -> list[Figures]:
    by_variant = {name: [one for one in worked if one.variant == name] for name in variants}
    theirs = {one.key: one.costs.bps("total") for one in by_variant[baseline] if one.costs is not None}
    found = []
    for name, own in by_variant.items():
        priced = sorted(
            ((one, one.costs) for one in own if one.costs is not None), key=lambda each: each[0].key
        )
        pairs = [(one, costs.bps("total") - theirs[one.key]) for one, costs in priced if one.key in theirs]
        is_baseline = name == baseline
        found.append(
            Figures(
                variant=name,
                n=len(priced),
                pairs=len(pairs),
                refused=len(own) - len(priced),
                fill_rate=_mean([one.fill_rate for one, _ in priced]),
                maker_share=_mean([one.maker_share for one, _ in priced if one.fills]),
                parts_bps={part: _mean([costs.bps(part) for _, costs in priced]) or 0.0 for part in PARTS},
                basis_bps=_mean([costs.bps("basis") for _, costs in priced]),
                total_bps=interval(
                    [costs.bps("total") for _, costs in priced],
                    [one.start_ns for one, _ in priced],
                ),
                cost=sum((costs.total for _, costs in priced), Decimal(0)),
                difference_bps=None
                if is_baseline
                else interval(
                    [difference for _, difference in pairs],
                    [one.start_ns for one, _ in pairs],
                ),
                cheaper=None if is_baseline else _mean([float(difference < 0) for _, difference in pairs]),
            )
        )
    return found


def _corrected(title: str, groups: list[tuple[str, list[Figures]]]) -> Table:
    """All differences of a table are one family."""
    flat = [one for _, figures in groups for one in figures]
    corrected = iter(holm([one.difference_bps.p if one.difference_bps else None for one in flat]))
    made = [
        Group(
            label=label,
            figures=[_judged(one, next(corrected)) for one in figures],
        )
        for label, figures in groups
    ]
    tests = sum(one.difference_bps is not None and one.difference_bps.p is not None for one in flat)
    return Table(title=title, groups=made, tests=tests)


def _judged(one: Figures, p_holm: float | None) -> Figures:
    found = one.difference_bps
    if found is None:
        return one
    if found.mean is None or p_holm is None:
        verdict = f"too few times to say ({found.times})"
    elif p_holm < 1 - found.level:
        verdict = "cheaper" if found.mean < 0 else "dearer"
    elif found.low == found.high == 0:
        verdict = "identical"
    else:
        verdict = "no difference shown"
    return msgspec.structs.replace(one, p_holm=p_holm, verdict=verdict)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _notes(figures: Sequence[Figures], worked: Sequence[Worked], baseline: str, level: float) -> list[str]:
    notes = []
    times = len({one.start_ns for one in worked})
    if times < TIMES_MIN:
        notes.append(
            f"Parents start at {times} different times; below {TIMES_MIN} no interval is given. Use more data, or a "
            "shorter --every."
        )
    tests = sum(one.difference_bps is not None and one.difference_bps.p is not None for one in figures)
    if tests > 1:
        notes.append(
            f"{tests} differences were tested against {baseline}: an interval alone leaves out 0 by chance once in "
            f"{1 / (1 - level):.0f} times, so the verdicts go by p after Holm's correction for all of a table. "
            "The tables by size, volatility and side look at the same parents again, each corrected for itself."
        )
    blocks = [one.difference_bps.block for one in figures if one.difference_bps and one.difference_bps.block]
    if blocks:
        notes.append(
            f"Intervals hold {level:.0%}, by the stationary bootstrap over start times in runs of "
            f"{min(blocks):.1f} to {max(blocks):.1f} on average. Where neighbours have much in common and times are "
            "few they are too narrow: of 40 times that are correlated by 0.6, 95 % intervals hold the mean in 84 %."
        )
    base = next(one for one in figures if one.variant == baseline)
    for one in figures:
        if one.refused:
            texts = {f"{each.text} ({each.reason})" for each in worked if _is_lost(each, one.variant)}
            notes.append(
                f"{one.variant}: {one.refused} of {one.n + one.refused} have no cost: {'; '.join(sorted(texts)[:3])}."
            )
        if one.fill_rate is not None and base.fill_rate is not None:
            gap = one.fill_rate - base.fill_rate
            if abs(gap) > FILL_GAP:
                notes.append(
                    f"{one.variant} filled {one.fill_rate:.1%} and the baseline {base.fill_rate:.1%}: what is left "
                    "is counted as if taken from the books of the end, fees included."
                )
    if beyond := sum(one.beyond > 0 for one in worked):
        notes.append(
            f"Of {beyond} orders more was left than all books showed at the end; that is priced at the last level, "
            "which is too cheap."
        )
    return notes


def _is_lost(one: Worked, variant: str) -> bool:
    return one.variant == variant and one.costs is None
