"""Impact coefficients from public data, and what public data cannot say.

What is estimated, per venue and over all venues together:

- depth: size on one side within some distance of the mid, a time average;
- half life: after takers took much of what stood near the touch, what was missing m(t) is fitted by
  m(t) = c + a e^(-t/tau), the resilience of Obizhaeva and Wang (2013); half life = tau ln 2. Near is counted from
  the other side's best price, so that a move of the whole book is no depletion;
- prefactor Y and exponent of r = Y sigma sign(X) (|X|/V)^delta over buckets, X being what takers bought less what
  they sold, V the mean volume and sigma the root mean square return of a bucket. With square-root scaling of sigma
  the length of the bucket cancels, so Y is that of the law for a day;
- volatility and volume of a day, from those of the recording.

X is everybody's flow. It follows the price as well as it moves it, and it is correlated in time, so Y holds for
flow that is anonymous and part of the market's; metaorders, their own impact and its permanent part cannot be told
apart in trades without owners. Almgren's gamma and eta need such orders: they are refused, always.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bestex.clock import SECOND
from bestex.impact import statistics as st
from bestex.impact.figures import Calibration, DepthAt, Estimate, Figure, Refused, VenueCalibration, Why
from bestex.impact.observe import BPS, DEPTHS_BPS, STEP_NS, Observer, Series
from bestex.instruments import Instrument

STEPS_PER_S = SECOND // STEP_NS
BLOCK_S = 10  # what is farther apart is taken for independent
BUCKETS_MIN = 60  # with flow: below that the interval of Y spans everything
EXPONENTS = np.arange(1, 31) / 20
DEPLETION = 0.3  # of the median size near the touch: taking less is not seen among ordinary changes
DEPLETIONS_MIN = 30
HORIZON = 10 * STEPS_PER_S  # ten seconds: what has not come back then is for another model
APART = STEPS_PER_S  # one depletion a second and side: a burst is one
DECAYS = np.geomspace(0.5, HORIZON, 60)  # tau, in steps


def calibrate(observer: Observer, bucket_s: float, day_s: float) -> Calibration:
    """All that the observed market says. `bucket_s` is rounded to whole steps; `day_s`: trading time of a day."""
    of = observer.instrument
    venues = tuple(_market(of, name, series, bucket_s, day_s) for name, series in observer.series.items())
    together = _market(of, "", observer.together, bucket_s, day_s)
    seconds = len(observer.together) / STEPS_PER_S
    return Calibration(
        symbol=of.symbol, seconds=seconds, bucket_s=bucket_s, day_s=day_s, venues=venues, together=together
    )


def _market(of: Instrument, venue: str, series: Series, bucket_s: float, day_s: float) -> VenueCalibration:
    listings = [item for item in of.listings if item.venue == venue] if venue else list(of.listings)
    inverse = any(item.inverse for item in listings)
    one = 10.0**of.qty_scale
    returns, flow, volume = buckets(series, max(1, round(bucket_s * STEPS_PER_S)))
    sigma, per_day = daily(returns, volume / one, bucket_s, day_s)
    prefactor, exponent = square_root(returns, flow, volume)
    spread = np.asarray(series.spread_bps)
    return VenueCalibration(
        venue=venue,
        unit="contracts" if inverse else "base",
        spread_bps=float(np.nanmean(spread)) if np.isfinite(spread).any() else None,
        depths=tuple(
            DepthAt(bps=bps, qty=depth(np.asarray(column) / one))
            for bps, column in zip(DEPTHS_BPS, series.depths, strict=True)
        )
        if venue
        else (),
        half_life_s=half_life(series) if venue else _REFILL_OF_EACH,
        prefactor=prefactor,
        exponent=exponent,
        daily_volatility_bps=sigma,
        daily_volume=per_day,
    )


_REFILL_OF_EACH = Refused(why=Why.NOT_IDENTIFIED, text="each venue refills its own touch")


# -- the square root -------------------------------------------------------------------------------


def buckets(series: Series, steps: int) -> tuple[st.Floats, st.Floats, st.Floats]:
    """Return in bps, taker flow (bought less sold) and volume of each whole bucket whose mids are known."""
    mid = np.asarray(series.mid)
    ends = np.arange(0, len(mid), steps)
    if len(ends) < 2:
        return np.empty(0), np.empty(0), np.empty(0)
    signed = np.asarray(series.bought) - np.asarray(series.sold)
    sums = [np.concatenate(([0.0], np.cumsum(column))) for column in (signed, np.asarray(series.volume))]
    # A row is the end of its step: the bucket after row i is rows i + 1 to i + steps.
    flow, volume = (total[ends[1:] + 1] - total[ends[:-1] + 1] for total in sums)
    returns = np.log(mid[ends[1:]] / mid[ends[:-1]]) * BPS
    known = np.isfinite(returns)
    return returns[known], flow[known], volume[known]


def square_root(returns: st.Floats, flow: st.Floats, volume: st.Floats) -> tuple[Estimate, Estimate]:
    """Y at the exponent one half, and the exponent that fits best; equal lengths, one entry a bucket."""
    with_flow = int(np.count_nonzero(flow))
    if with_flow < BUCKETS_MIN:
        text = f"{with_flow} buckets with taker flow; {BUCKETS_MIN} are the least"
        refused = Refused(why=Why.TOO_FEW, text=text)
        return refused, refused
    sigma = float(np.sqrt(np.mean(returns**2)))
    if not sigma:
        refused = Refused(why=Why.NOT_IDENTIFIED, text="the mid never moved from bucket to bucket")
        return refused, refused
    share = np.abs(flow) / volume.mean()
    response = returns / sigma * np.sign(flow)
    block = max(
        1, round(len(returns) ** (1 / 3))
    )  # the usual order of length: grows, but slower than the data
    prefactor = st.bootstrap(
        lambda rows: st.through_origin(np.sqrt(share[rows]), response[rows]), len(returns), block
    )
    if prefactor.low <= 0:
        text = f"Y = {prefactor.value:.2f} ({prefactor.low:.2f} to {prefactor.high:.2f}) may be none at all"
        refused = Refused(why=Why.NOT_IDENTIFIED, text=text)
        return refused, refused
    powers = np.where(share[:, None] > 0, np.maximum(share, 1e-300)[:, None] ** EXPONENTS[None, :], 0.0)

    def best(rows: st.Indices) -> float:
        x, y = powers[rows], response[rows]
        explained = (x.T @ y) ** 2 / np.maximum(np.sum(x * x, axis=0), 1e-300)
        return float(EXPONENTS[np.argmax(explained)])

    exponent = st.bootstrap(best, len(returns), block)
    if not EXPONENTS[0] < exponent.value < EXPONENTS[-1]:
        text = f"the best fit is at the edge of what was tried, {EXPONENTS[0]:g} to {EXPONENTS[-1]:g}"
        return prefactor, Refused(why=Why.NOT_IDENTIFIED, text=text)
    return prefactor, exponent


def daily(returns: st.Floats, volume: st.Floats, bucket_s: float, day_s: float) -> tuple[Estimate, Estimate]:
    """Volatility in bps and volume of a day that goes on as the buckets did."""
    if len(returns) < BUCKETS_MIN:
        text = f"{len(returns)} buckets; {BUCKETS_MIN} are the least"
        refused = Refused(why=Why.TOO_FEW, text=text)
        return refused, refused
    per_day = day_s / bucket_s
    block = max(1, round(BLOCK_S / bucket_s))
    sigma = st.bootstrap(
        lambda rows: float(np.sqrt(np.mean(returns[rows] ** 2) * per_day)), len(returns), block
    )
    return sigma, st.bootstrap(lambda rows: float(np.mean(volume[rows]) * per_day), len(volume), block)


# -- depth and resilience --------------------------------------------------------------------------


def depth(sizes: st.Floats) -> Estimate:
    """The mean of `sizes`, one a step; refused where the books mostly do not reach so far."""
    known = np.flatnonzero(np.isfinite(sizes))
    if len(known) < max(len(sizes) / 2, BLOCK_S * STEPS_PER_S):
        text = f"the books reach so far in {len(known)} of {len(sizes)} steps only"
        return Refused(why=Why.TOO_FEW, text=text)
    values = sizes[known]
    return st.bootstrap(lambda rows: float(values[rows].mean()), len(values), BLOCK_S * STEPS_PER_S)


def half_life(series: Series) -> Estimate:
    """In seconds, over the depletions of both sides. An upper end of 6.9 s is that of HORIZON: it may be more."""
    paths = [
        _depletions(np.asarray(near), np.asarray(taken))
        for near, taken in ((series.near_ask, series.bought), (series.near_bid, series.sold))
    ]
    missing = np.concatenate(paths)
    if len(missing) < DEPLETIONS_MIN:
        text = f"takers took {DEPLETION:.0%} of the size near the touch {len(missing)} times; "
        return Refused(why=Why.TOO_FEW, text=f"{text}{DEPLETIONS_MIN} are the least")
    fitted = _decay_fits(len(missing[0]))
    found = st.bootstrap(lambda rows: _fit(missing[rows].mean(axis=0), fitted)[0], len(missing), 1)
    gone = st.bootstrap(lambda rows: _fit(missing[rows].mean(axis=0), fitted)[1], len(missing), 1)
    if not gone.low > 0:
        text = "the size near the touch is not visibly less after takers took from it"
        return Refused(why=Why.NOT_IDENTIFIED, text=text)
    scale = np.log(2) / STEPS_PER_S
    if found.value <= DECAYS[0] or found.value >= DECAYS[-1]:
        bound = "less" if found.value <= DECAYS[0] else "more"
        text = f"it is {bound} than {found.value * scale:.2g} s, which steps of 0.1 s over 10 s cannot show"
        return Refused(why=Why.NOT_IDENTIFIED, text=text)
    return Figure(
        value=found.value * scale,
        standard_error=found.standard_error * scale,
        low=found.low * scale,
        high=found.high * scale,
        count=found.count,
    )


def _depletions(near: st.Floats, taken: st.Floats) -> st.Floats:
    """What is missing of the size near the touch, as a share of its median, by event and step 1 to HORIZON.

    The step of the trade itself (0) is left out: a depth feed may show it only in the next.
    """
    usual = float(np.nanmedian(near)) if np.isfinite(near).any() else 0.0
    if usual <= 0:
        return np.empty((0, HORIZON))
    rows: list[st.Floats] = []
    last = -APART
    for at in np.flatnonzero(taken >= DEPLETION * usual):
        after = near[at + 1 : at + 1 + HORIZON]
        if at - last < APART or at < 1 or len(after) < HORIZON:
            continue
        last = int(at)
        row = (near[at - 1] - after) / usual
        if np.isfinite(row).all():
            rows.append(row)
    return np.array(rows).reshape(-1, HORIZON)


def _decay_fits(length: int) -> list[tuple[float, st.Floats, st.Floats]]:
    """For each tau: the design (1, e^(-t/tau)) and its pseudo-inverse."""
    steps = np.arange(1, length + 1)
    designs = [(float(tau), np.column_stack((np.ones(length), np.exp(-steps / tau)))) for tau in DECAYS]
    return [(tau, design, np.linalg.pinv(design)) for tau, design in designs]


def _fit(mean: st.Floats, fits: Sequence[tuple[float, st.Floats, st.Floats]]) -> tuple[float, float]:
    """tau in steps and the amplitude a of the best c + a e^(-t/tau)."""
    best = (float("inf"), float("nan"), float("nan"))
    for tau, design, inverse in fits:
        coefficients = inverse @ mean
        error = float(np.sum((mean - design @ coefficients) ** 2))
        if error < best[0]:
            best = (error, tau, float(coefficients[1]))
    return best[1], best[2]
