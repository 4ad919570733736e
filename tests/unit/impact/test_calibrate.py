"""What is planted into made-up data is found again, with its confidence; what is not in them is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bestex import config
from bestex.background import ASK, BackgroundEvent, BackgroundTrade, LevelSet
from bestex.clock import MS, SECOND
from bestex.errors import UsageError
from bestex.impact import calibrate as of
from bestex.impact import statistics
from bestex.impact.figures import NO_METAORDERS, Calibration, Estimate, Figure, Refused, Why
from bestex.impact.observe import STEP_NS, STEPS_MAX, WARM_UP_STEPS, Observer, Series, of_events, of_messages
from bestex.impact.report import rows, toml
from bestex.instruments import Instrument, Listing
from bestex.market import simulate
from bestex.messages import MarketTrade, VenueBook
from bestex.recording import open_recording

AB = Instrument(
    symbol="X/Y",
    price_scale=2,
    qty_scale=3,
    listings=(Listing(venue="a", symbol="X/Y"), Listing(venue="b", symbol="X/Y")),
)
ALONE = Instrument(symbol="X/Y", price_scale=2, qty_scale=3, listings=(Listing(venue="a", symbol="X/Y"),))


def figure(estimate: Estimate) -> Figure:
    assert isinstance(estimate, Figure), estimate
    return estimate


def refused(estimate: Estimate) -> Refused:
    assert isinstance(estimate, Refused), estimate
    return estimate


# -- the square root -------------------------------------------------------------------------------


def planted(
    prefactor: float, exponent: float, count: int = 2_000, seed: int = 1
) -> tuple[statistics.Floats, statistics.Floats, statistics.Floats]:
    """Returns of unit variance that follow the law, with noise for what it does not explain."""
    rng = np.random.default_rng(seed)
    volume = rng.lognormal(3, 1, count)
    flow = volume * rng.uniform(-1, 1, count)
    moved = prefactor * np.sign(flow) * (np.abs(flow) / volume.mean()) ** exponent
    noise = np.sqrt(max(1 - float(np.mean(moved**2)), 0.01))
    return moved + noise * rng.standard_normal(count), flow, volume


@pytest.mark.parametrize(("prefactor", "exponent"), [(0.5, 0.5), (0.9, 0.5), (0.6, 0.8)])
def test_a_planted_law_is_found_within_its_confidence(prefactor: float, exponent: float) -> None:
    y, delta = map(figure, of.square_root(*planted(prefactor, exponent)))
    assert delta.low <= exponent <= delta.high
    assert 0 < y.low < y.value < y.high
    if exponent == 0.5:
        assert y.low <= prefactor <= y.high
        assert y.standard_error < 0.05


def test_the_interval_gets_narrower_with_the_square_root_of_the_data() -> None:
    few, many = (figure(of.square_root(*planted(0.8, 0.5, count))[0]) for count in (250, 4_000))
    assert few.standard_error / many.standard_error == pytest.approx(4, rel=0.35)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(40):
        y = figure(of.square_root(*planted(0.6, 0.5, 300, seed))[0])
        held += y.low <= 0.6 <= y.high
    assert 30 <= held <= 40


def test_flow_that_moves_nothing_is_no_law() -> None:
    returns, flow, volume = planted(0.0, 0.5)
    assert refused(of.square_root(returns, flow, volume)[0]).why is Why.NOT_IDENTIFIED


def test_too_few_buckets_are_said_and_not_fitted() -> None:
    y, _ = of.square_root(*planted(0.9, 0.5, of.BUCKETS_MIN - 1))
    assert refused(y).why is Why.TOO_FEW
    assert refused(y).text == "59 buckets with taker flow; 60 are the least"


def test_a_price_that_stands_still_tells_nothing() -> None:
    _, flow, volume = planted(0.9, 0.5)
    assert refused(of.square_root(np.zeros(len(flow)), flow, volume)[0]).why is Why.NOT_IDENTIFIED


def test_a_day_is_as_its_buckets() -> None:
    rng = np.random.default_rng(3)
    returns, volume = 2 * rng.standard_normal(5_000), np.full(5_000, 7.0)
    sigma, per_day = map(figure, of.daily(returns, volume, bucket_s=5.0, day_s=86_400.0))
    assert sigma.value == pytest.approx(2 * np.sqrt(17_280), rel=0.03)
    assert per_day.value == pytest.approx(7 * 17_280)


def test_a_bucket_holds_the_flow_between_its_two_mids() -> None:
    series = Series()
    for step in range(7):
        series.mid.append(100.0 * np.exp(step / 1e4))
        series.bought.append(float(step))
        series.sold.append(1.0)
        series.volume.append(10.0 * step)
    returns, flow, volume = of.buckets(series, 3)
    assert list(returns) == pytest.approx([3.0, 3.0])
    assert list(flow) == [1 + 2 + 3 - 3, 4 + 5 + 6 - 3]
    assert list(volume) == [60, 150]


# -- resilience ------------------------------------------------------------------------------------


def refilling(tau: float, events: int = 80, noise: float = 0.02, depletion: float = 0.5) -> Series:
    """Size near the ask that is halved every fifteen seconds and comes back with time constant tau (seconds)."""
    rng = np.random.default_rng(4)
    series, missing = Series(), 0.0
    for step in range(events * 150):
        taken = depletion * 1_000 if step % 150 == 149 else 0.0
        missing = missing * np.exp(-0.1 / tau) + taken
        series.near_ask.append(1_000 - missing + noise * 1_000 * rng.standard_normal())
        series.near_bid.append(1_000.0)
        series.bought.append(taken)
        series.sold.append(0.0)
    return series


@pytest.mark.parametrize("tau", [0.4, 1.0, 3.0])
def test_a_planted_half_life_is_found_within_its_confidence(tau: float) -> None:
    found = figure(of.half_life(refilling(tau)))
    assert found.value == pytest.approx(tau * np.log(2), rel=0.1)
    assert found.low * 0.9 <= tau * np.log(2) <= found.high * 1.1


def test_what_refills_at_once_or_not_at_all_is_not_given_a_number() -> None:
    assert refused(of.half_life(refilling(0.01))).text == (
        "the size near the touch is not visibly less after takers took from it"
    )
    assert refused(of.half_life(refilling(30.0, depletion=0.3))).text.startswith("it is more than")


def test_too_few_depletions_are_said() -> None:
    found = refused(of.half_life(refilling(1.0, events=10)))
    assert found.why is Why.TOO_FEW
    assert found.text.startswith("takers took 30% of the size near the touch 9 times")


# -- what is looked at -----------------------------------------------------------------------------

DEEP = ([99_95, 99_00], [1_000, 9_000]), ([100_05, 101_00], [3_000, 9_000])


def test_a_step_holds_what_stands_at_its_end_and_what_was_traded_in_it() -> None:
    observer = Observer(ALONE)
    observer.book(0, "a", *DEEP)
    observer.trade(10 * MS, "a", 7, 1)
    observer.trade(20 * MS, "a", 5, -1)
    observer.trade(30 * MS, "a", 2, 0)
    observer.trade(STEP_NS + 1, "a", 100, 1)
    series = observer.series["a"]
    assert (list(series.mid), list(series.bought)) == ([100_00.0], [7.0])
    assert (list(series.sold), list(series.volume)) == ([5.0], [14.0])
    assert [list(column) for column in series.depths] == [[0.0], [0.0], [2_000.0], [2_000.0]]


def test_a_depth_that_the_levels_do_not_reach_is_not_known() -> None:
    observer = Observer(ALONE)
    observer.book(0, "a", ([99_95], [1_000]), ([100_05], [3_000]))
    observer.trade(STEP_NS, "a", 1, 1)
    assert np.isnan(observer.series["a"].depths[-1][0])


def test_a_feed_that_is_away_is_not_looked_at() -> None:
    observer = Observer(ALONE)
    observer.book(0, "a", *DEEP)
    observer.trade(20 * SECOND, "a", 1, 1)
    mids = np.asarray(observer.series["a"].mid)
    assert len(mids) == 200
    assert np.isfinite(mids[:100]).all()
    assert np.isnan(mids[100:]).all()


def test_what_is_near_is_counted_from_the_other_side() -> None:
    observer = Observer(ALONE)
    observer.book(0, "a", ([100_00, 90_00], [1_000, 1]), ([100_02, 100_03, 100_05], [10, 20, 40]))
    observer.book((WARM_UP_STEPS + 1) * STEP_NS - 1, "a", ([100_01, 90_00], [1_000, 1]), DEEP[1])
    observer.trade((WARM_UP_STEPS + 1) * STEP_NS, "a", 1, 1)
    series = observer.series["a"]
    assert np.isnan(series.near_ask[0])
    assert series.near_ask[WARM_UP_STEPS - 1] == 30  # twice the spread of 2 from 100.00: up to 100.04
    assert series.near_ask[WARM_UP_STEPS] == 3_000  # and from 100.01: up to 100.05


def test_all_venues_together_have_the_best_mid_and_all_the_flow() -> None:
    observer = Observer(AB)
    observer.book(0, "a", ([99_90], [1]), ([100_10], [1]))
    observer.book(0, "b", ([99_80], [1]), ([100_00], [1]))
    observer.trade(1, "a", 5, 1)
    observer.trade(1, "b", 7, -1)
    observer.trade(STEP_NS, "b", 1, 0)
    assert list(observer.together.mid) == [99_95.0]
    assert (list(observer.together.bought), list(observer.together.sold)) == ([5.0], [7.0])


def test_memory_has_an_end() -> None:
    observer = Observer(ALONE)
    observer.trade(0, "a", 1, 1)
    observer.together.mid.extend([1.0] * STEPS_MAX)
    observer.trade(SECOND, "a", 1, 1)
    assert len(observer.together) == STEPS_MAX


def test_finer_data_than_the_instrument_are_refused() -> None:
    trade = MarketTrade("a", "X/Y", "t", 0, 0, 3, 3, 1, 1, 1)
    with pytest.raises(UsageError, match="finer"):
        of_messages([ALONE], [trade])


def test_messages_come_in_the_instruments_units() -> None:
    book = VenueBook("a", "X/Y", 1, 0, 0, 1, 2, [999], [1], [1001], [1])
    trade = MarketTrade("a", "X/Y", "t", 0, STEP_NS - 1, 1, 2, 1001, 3, 1)
    [observer] = of_messages([ALONE], [book, trade, trade])
    observer.trade(STEP_NS, "a", 1, 0)
    assert (observer.series["a"].mid[0], observer.series["a"].bought[0]) == (100_00.0, 60.0)


def test_events_are_looked_at_between_changes_and_not_within() -> None:
    events: list[BackgroundEvent] = [
        LevelSet(0, "a", 1, 99_00, 5),
        LevelSet(0, "a", ASK, 101_00, 5),
        LevelSet(STEP_NS + 1, "a", ASK, 101_00, 0),
        LevelSet(STEP_NS + 1, "a", ASK, 103_00, 5),
        BackgroundTrade(2 * STEP_NS, "a", 103_00, 1, 1, "t"),
    ]
    assert list(of_events(ALONE, events).series["a"].mid) == [100_00.0, 101_00.0]


# -- the whole -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def modelled() -> Calibration:
    instrument = config.load(None, {}).make_instruments().all[0]
    events = simulate(instrument, "crypto", 1, 240, 60_000_00)
    return of.calibrate(of_events(instrument, events), bucket_s=1.0, day_s=86_400.0)


def test_the_market_model_follows_about_the_square_root(modelled: Calibration) -> None:
    y = figure(modelled.together.prefactor)
    assert 0.4 < y.low < y.high < 1.0
    assert 150 < figure(modelled.together.daily_volatility_bps).value < 500


def test_the_same_data_give_the_same_figures(modelled: Calibration) -> None:
    instrument = config.load(None, {}).make_instruments().all[0]
    events = simulate(instrument, "crypto", 1, 240, 60_000_00)
    assert of.calibrate(of_events(instrument, events), bucket_s=1.0, day_s=86_400.0) == modelled


def test_a_calibration_is_a_configuration(modelled: Calibration) -> None:
    text = toml(modelled)
    made = config.parse(DEFAULT + text).impact["BTC/USDT"]
    assert made.prefactor == pytest.approx(figure(modelled.together.prefactor).value, rel=1e-3)
    assert made.daily_volume is not None
    assert float(made.daily_volume) == pytest.approx(figure(modelled.together.daily_volume).value, rel=1e-3)
    assert made.daily_volatility == pytest.approx(
        figure(modelled.together.daily_volatility_bps).value / 1e4, rel=1e-3
    )
    assert set(made.venues) == {"sim_a", "sim_b", "sim_c", "sim_d"}
    assert len({venue.depth_bps for venue in made.venues.values()}) == 1
    assert "# half_life: takers took 30%" in text


def test_a_table_has_a_row_a_figure_and_the_reason_where_there_is_none(modelled: Calibration) -> None:
    found = list(rows(modelled))
    assert {name for name, *_ in found} == {"sim_a", "sim_b", "sim_c", "sim_d", "all"}
    assert any("±" in value for _, _, value, _, _ in found)
    assert found[-1][2:4] == ("–", NO_METAORDERS.text)


DEFAULT = (Path(config.__file__).parent / "default.toml").read_text()


def recorded(data_dir: Path, *names: str) -> Calibration:
    recording = open_recording(*(data_dir / "binance" / name for name in names))
    [observer] = of_messages(recording.instruments, recording.books(200))
    return of.calibrate(observer, bucket_s=1.0, day_s=86_400.0)


def test_recorded_bitcoin_follows_about_the_square_root(data_dir: Path) -> None:
    found = recorded(data_dir, "spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz")
    [venue] = found.venues
    y, exponent, life = figure(venue.prefactor), figure(venue.exponent), figure(venue.half_life_s)
    assert y.value == pytest.approx(0.69, abs=0.02)
    assert y.low == pytest.approx(0.49, abs=0.05)
    assert y.high == pytest.approx(0.85, abs=0.05)
    assert exponent.low < 0.5 < exponent.high
    assert life.value == pytest.approx(1.15, abs=0.1)
    assert life.high > 4 * life.low  # ninety depletions say no more than the order of it
    five = next(each for each in venue.depths if each.bps == 5)
    assert figure(five.qty).value == pytest.approx(22.7, abs=0.3)


def test_resampled_blocks_keep_neighbours_together() -> None:
    indices = statistics.blocks(100, 10, np.random.default_rng(1))
    assert len(indices) == 100
    assert np.mean(np.diff(indices) == 1) >= 0.9
    assert indices.min() >= 0
    assert indices.max() < 100
