"""The statistics of a market as a table: what it holds, and how it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bestex.clock import MINUTE, MS, SECOND

if TYPE_CHECKING:
    from rich.table import Table

MARK_OUTS_NS = (50 * MS, SECOND, 10 * SECOND, MINUTE)


class VenueFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One venue. Shares are of 1; sizes in units of the first venue's median best size; None without data.

    - `peak_updates_per_s`: in the busiest second of the clock. `moving_best`: share of updates that move a
      best price.
    - `spread_bps`, and the median sizes at the best ask (`best_size`) and at levels 2 to 5 of it against the
      best (`depth`), are weighted by time. `at_best`, `alone_at_best`: shares of time at the consolidated
      best ask.
    - `at_touch`: share of trades at the venue's own best price just before. `at_mid`: at the consolidated
      mid; such trades have no direction, and count in neither of the next two.
    - `effective_half_spread_bps`: price against the consolidated mid just before, positive for the taker's
      cost. `mark_outs_bps`: that mid's change until MARK_OUTS_NS later, positive in the trade's direction.
    - `correlations`: of 100 ms changes of the venue's mid with the first venue's at the same time, one step
      later and one step earlier.
    """

    venue: str
    updates_per_s: float
    peak_updates_per_s: int
    moving_best: float | None
    spread_bps: float | None
    best_size: float | None
    depth: float | None
    at_best: float
    alone_at_best: float
    trades_per_min: float
    trade_size_p50: float | None
    trade_size_mean: float | None
    trade_size_p90: float | None
    at_touch: float | None
    at_mid: float | None
    effective_half_spread_bps: float | None
    mark_outs_bps: tuple[float | None, ...]
    correlations: tuple[float | None, ...]


class MarketTable(msgspec.Struct, frozen=True, kw_only=True):
    """`best_size_qty` is the first venue's median size at the best ask, in base: the unit of all sizes."""

    symbol: str
    seconds: float
    venues: tuple[VenueFigures, ...]
    best_size_qty: float | None
    updates_per_s: float
    trades_per_min: float
    spread_bps: float | None
    spread_ticks: float | None
    locked: float
    crossed: float
    volatility_bps_per_s: float | None
    volatility_bps_per_min: float | None
    seconds_with_move: float | None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.3g} %"


def _several(values: tuple[float | None, ...]) -> str:
    return " / ".join("–" if value is None else f"{value:.2f}" for value in values)


def _venue_rows(venue: VenueFigures) -> list[tuple[str, str]]:
    sizes = (venue.trade_size_p50, venue.trade_size_mean, venue.trade_size_p90)
    return [
        ("book updates a second (peak)", f"{_number(venue.updates_per_s)} ({venue.peak_updates_per_s})"),
        ("updates that move a best price", _percent(venue.moving_best)),
        ("spread, time-weighted, bps", _number(venue.spread_bps)),
        ("median size at the best ask, first venue = 1", _number(venue.best_size)),
        ("median size at levels 2 to 5 against the best", _number(venue.depth)),
        ("time at the consolidated best ask", _percent(venue.at_best)),
        ("time alone there", _percent(venue.alone_at_best)),
        ("trades a minute", _number(venue.trades_per_min)),
        ("trade size, median / mean / 90th percentile", _several(sizes)),
        ("trades at the touch / at the mid", f"{_percent(venue.at_touch)} / {_percent(venue.at_mid)}"),
        ("effective half spread, bps", _number(venue.effective_half_spread_bps)),
        ("mid after the trade, bps, 50 ms / 1 s / 10 s / 60 s", _several(venue.mark_outs_bps)),
        ("100 ms correlation with the first, 0 / +1 / -1", _several(venue.correlations)),
    ]


def render(table: MarketTable) -> Table:
    """For a terminal: a row a figure, a column a venue, and what belongs to all venues in the caption."""
    from rich.box import SIMPLE  # only a command that shows a table pays for the import
    from rich.table import Table

    title = f"{table.symbol}, {table.seconds:,.0f} s"
    shown = Table(title=title, caption=caption(table), box=SIMPLE, pad_edge=False)
    shown.add_column("figure", no_wrap=True)
    for venue in table.venues:
        shown.add_column(venue.venue, justify="right")
    for row in zip(*(_venue_rows(venue) for venue in table.venues), strict=True):
        shown.add_row(row[0][0], *(value for _, value in row))
    return shown


def caption(table: MarketTable) -> str:
    """The consolidated figures, a sentence each."""
    ticks, moves = _number(table.spread_ticks), _percent(table.seconds_with_move)
    return (
        f"All: {_number(table.updates_per_s)} updates a second, "
        f"{_number(table.trades_per_min)} trades a minute. "
        f"Consolidated spread {_number(table.spread_bps)} bps, {ticks} ticks; "
        f"locked {_percent(table.locked)}, crossed {_percent(table.crossed)} of the time. "
        f"Volatility {_number(table.volatility_bps_per_s)} bps a second, "
        f"{_number(table.volatility_bps_per_min)} a minute; the mid moves in {moves} of seconds. "
        f"Sizes are against {_number(table.best_size_qty)}."
    )
