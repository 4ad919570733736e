"""The comparison as it is kept: what was asked, on which data, by which code, and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from bestex.clock import MINUTE
from services.backtester.lab.compare.analysis import Analysis, Worked
from services.backtester.lab.compare.variants import Variant

FORMAT, VERSION = "bestex-comparison", 1
TOLD_MAX = 3  # differences in the headline; the table has all


class DataFile(msgspec.Struct, frozen=True, kw_only=True):
    """A recording that was traded on, as it was named."""

    file: str
    sha256: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was to be compared. Times in ns; `preset` is the market model's where there are no recordings."""

    symbol: str
    sides: list[str]
    sizes: list[Decimal]
    duration_ns: int
    every_ns: int
    warm_up_ns: int
    starts_ns: list[int]
    baseline: str
    variants: list[Variant]
    seed: int
    level: float
    preset: str = ""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `build` is the code's (`bestex.fleet`), `config` the text that every session ran with.

    Equal data, code, configuration and seed give an equal comparison: nothing in it depends on the machine.
    """

    format: str = FORMAT
    version: int = VERSION
    build: str
    data: list[DataFile]
    config: str
    config_sha256: str
    asked: Asked
    analysis: Analysis
    headline: str
    parents: list[Worked]


def headline(analysis: Analysis) -> str:
    """The result in a sentence or two."""
    figures = analysis.overall.groups[0].figures
    others = [one for one in figures if one.difference_bps is not None]
    told = [
        (found.mean, one, found)
        for one in others
        if one.verdict in ("cheaper", "dearer") and (found := one.difference_bps) and found.mean is not None
    ]
    if not told:
        names = ", ".join(one.variant for one in others)
        verdicts = sorted({one.verdict for one in others})
        return f"{names} against {analysis.baseline}: {'; '.join(verdicts)}."
    more = len(told) - TOLD_MAX
    rest = f" {more} more differ." if more > 0 else ""
    said = sorted(told, key=lambda each: -abs(each[0]))[:TOLD_MAX]
    texts = (
        f"{one.variant} is {one.verdict} than {analysis.baseline} by {abs(mean):.2f} bps "
        f"({found.level:.0%} interval {found.low:+.2f} to {found.high:+.2f}, {one.pairs} pairs, "
        f"p {p_text(one.p_holm)} after Holm)."
        for mean, one, found in said
    )
    return " ".join(texts) + rest


def signed(value: float, digits: int = 2) -> str:
    """With its sign, unless it shows as nothing."""
    text = f"{value:+.{digits}f}"
    return text if text.strip("+-0.") else text[1:]


def p_text(p: float | None) -> str:
    if p is None:
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def cumulative(parents: Sequence[Worked], variant: str) -> list[tuple[float, float]]:
    """The running sum of total cost in quote after each start time: (minutes since the first one, sum)."""
    at: dict[int, Decimal] = {one.start_ns: Decimal(0) for one in parents}
    for one in parents:
        if one.variant == variant and one.costs is not None:
            at[one.start_ns] += one.costs.total
    found, sum_so_far = [], Decimal(0)
    for start_ns in sorted(at):
        sum_so_far += at[start_ns]
        found.append(((start_ns - min(at)) / MINUTE, float(sum_so_far)))
    return found
