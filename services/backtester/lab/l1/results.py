"""What the level-1 exercise answers: one JSON object."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from services.backtester.lab.statistics import Estimate


class Strategy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one way came to: cash paid (received by a sale) with fees and rebates, its average, what was filled and in
    how many fills; of the honest rules also how much of it had rested and how much was forced at a horizon."""

    cash: Decimal
    avg_px: Decimal | None
    filled: Decimal
    fills: int
    rested: Decimal | None = None
    forced: Decimal | None = None
    sold_back: Decimal | None = None


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """One block of time that was tested with what was chosen before it. Savings are means over its children."""

    since: str
    until: str
    children: int
    params: dict[str, float]
    savings_bps: dict[str, float | None]


class CrossValidation(msgspec.Struct, frozen=True, kw_only=True):
    scheme: str
    folds: list[Fold]
    savings_bps: dict[str, Estimate]
    savings_without_drift_bps: dict[str, Estimate] | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    best_params: dict[str, float]
    router: Strategy
    baselines: dict[str, Strategy]
    savings_bps: dict[str, float | None]
    cross_validation: CrossValidation
    notes: list[str]


class Data(msgspec.Struct, frozen=True, kw_only=True):
    file: str
    rows: int
    publishers: list[str]
    sha256: str
    since: str
    until: str
    notes: list[str]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    side: str
    qty: Decimal
    lot: Decimal
    fee: Decimal
    rebate: Decimal
    trials: int
    seed: int
    horizon_s: float
    decisions: int
    children: int
    child_qty: Decimal
    episodes: int
    trade_share: float
    ranges: dict[str, tuple[float, float]]


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """`as_published` is by the rules that others report, `honest` by ours."""

    as_published: Report
    honest: Report
    config: Config
    data: Data
