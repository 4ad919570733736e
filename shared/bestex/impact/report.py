"""A calibration for people, and as sections of `bestex.toml`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from statistics import median

from bestex.clock import MS, SECOND
from bestex.human import Duration
from bestex.impact.figures import Calibration, Estimate, Figure, Refused, VenueCalibration

DIGITS = 4


def rows(calibration: Calibration) -> Iterator[tuple[str, str, str, str, str]]:
    """Market, figure, estimate, 90 % interval, observations; a refusal stands in the place of the interval."""
    several = (calibration.together,) if len(calibration.venues) > 1 else ()
    for market in (*calibration.venues, *several):
        name = market.venue or "all"
        for depth in market.depths:
            yield _row(name, f"depth within {depth.bps:g} bps, {market.unit}", depth.qty)
        if market.venue:
            yield _row(name, "half life of a depletion, s", market.half_life_s)
        yield _row(name, "square-root prefactor Y", market.prefactor)
        yield _row(name, "exponent that fits best", market.exponent)
        yield _row(name, "volatility of a day, bps", market.daily_volatility_bps)
        yield _row(name, f"volume of a day, {market.unit}", market.daily_volume)
    yield _row("all", "Almgren's gamma and eta", calibration.almgren)


def _row(name: str, what: str, estimate: Estimate) -> tuple[str, str, str, str, str]:
    if isinstance(estimate, Refused):
        return name, what, "–", estimate.text, ""
    value = f"{estimate.value:.{DIGITS}g} ± {estimate.standard_error:.2g}"
    return name, what, value, _interval(estimate), str(estimate.count)


def toml(calibration: Calibration) -> str:
    """The sections `[impact."SYMBOL"]` of what is known; what is not is a comment that says why.

    Intervals are comments. Quantities of an inverse contract are not base, and are left out. Venues are compared
    by their depth, so all of them are written at one distance.
    """
    together = calibration.together
    lines = [
        f"# {calibration.seconds:g} s of market data, buckets of {calibration.bucket_s:g} s",
        f'[impact."{calibration.symbol}"]',
    ]
    lines += _setting("prefactor", together.prefactor, lambda value: f"{value:.{DIGITS}g}")
    lines += _setting(
        "daily_volatility",
        together.daily_volatility_bps,
        lambda value: f'"{value / 100:.{DIGITS}g}%"',
        " bps",
    )
    in_base = together.unit == "base"
    if in_base:
        lines += _setting("daily_volume", together.daily_volume, lambda value: f'"{_plain(value)}"')
    lives = [venue.half_life_s.value for venue in calibration.venues if isinstance(venue.half_life_s, Figure)]
    if lives:
        lines.append(f'half_life = "{_duration(median(lives))}"  # the median of the venues')
    reach_bps = _reach_bps(calibration.venues)
    for venue in calibration.venues:
        lines += _venue(calibration.symbol, venue, reach_bps) if in_base else []
    return "\n".join(lines) + "\n"


def _reach_bps(venues: Sequence[VenueCalibration]) -> float:
    """The widest distance at which the depth of all venues is known, or of any where there is none such."""
    known = [{depth.bps for depth in venue.depths if isinstance(depth.qty, Figure)} for venue in venues]
    return max(set.intersection(*known) or set.union(*known), default=0.0)


def _venue(symbol: str, venue: VenueCalibration, bps: float) -> list[str]:
    figure = next((depth.qty for depth in venue.depths if depth.bps == bps), None)
    if not isinstance(figure, Figure) or figure.value <= 0:
        return [f"# {venue.venue}: its depth is not known"]
    lines = [
        "",
        f'[impact."{symbol}".venues.{venue.venue}]',
        f'depth = "{_plain(figure.value)}"  # {_interval(figure)}',
        f"depth_bps = {bps:g}",
    ]
    return lines + _setting("half_life", venue.half_life_s, lambda value: f'"{_duration(value)}"', " s")


def _setting(name: str, estimate: Estimate, written: Callable[[float], str], unit: str = "") -> list[str]:
    if isinstance(estimate, Refused):
        return [f"# {name}: {estimate.text}"]
    return [f"{name} = {written(estimate.value)}  # {_interval(estimate)}{unit}"]


def _interval(figure: Figure) -> str:
    return f"{figure.low:.{DIGITS}g} to {figure.high:.{DIGITS}g}"


def _plain(value: float) -> str:
    """Rounded to DIGITS, without an exponent."""
    return f"{Decimal(f'{value:.{DIGITS}g}'):f}"


def _duration(seconds: float) -> Duration:
    return Duration(max(round(seconds * SECOND / MS), 1) * MS)
