"""Laws of the outflow against scipy's, and scenarios that move together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from services.router.models.outflow import (
    Empirical,
    Exponential,
    Outflow,
    Poisson,
    common_factor,
    independent,
)

LAWS = [
    (Exponential(2_200), stats.expon(scale=2_200)),
    (Poisson(2_200), stats.poisson(2_200)),
    (Poisson(0.3), stats.poisson(0.3)),
]
IDS = ["exponential", "poisson", "rare"]
SAMPLES = [3.0, 1.0, 2.0, 2.0, 9.0]


@pytest.mark.parametrize(("law", "known"), LAWS, ids=IDS)
def test_a_law_is_the_known_one(law: Outflow, known: stats.rv_frozen) -> None:
    mean, deviation = known.mean(), known.std()
    for quantity in [-1.0, 0.0, 0.5, mean - 2 * deviation, mean, mean + 0.4, mean + 5 * deviation, 1e9]:
        assert law.cdf(quantity) == pytest.approx(known.cdf(quantity), abs=1e-10)
    for chance in (1e-6, 0.05, 0.5, 0.77, 0.999):
        assert law.quantile(chance) == pytest.approx(known.ppf(chance), rel=1e-12)


@pytest.mark.parametrize("law", [law for law, _ in LAWS], ids=IDS)
def test_samples_follow_their_law(law: Outflow) -> None:
    drawn = law.sample(20_000, np.random.default_rng(5))
    for chance in (0.1, 0.5, 0.9):
        at = law.quantile(chance)
        assert np.mean(drawn <= at) == pytest.approx(law.cdf(at), abs=0.015)


def test_what_was_seen_is_a_law_of_steps() -> None:
    law = Empirical.of(SAMPLES)
    assert [law.cdf(quantity) for quantity in (0.9, 1.0, 2.0, 8.9, 9.0)] == [0.0, 0.2, 0.6, 0.8, 1.0]
    assert [law.quantile(chance) for chance in (0.1, 0.2, 0.21, 0.6, 0.61, 0.99)] == [1, 1, 2, 2, 3, 9]
    assert set(law.sample(100, np.random.default_rng(1))) == set(SAMPLES)
    hundred = Empirical.of(np.arange(1.0, 101.0))
    assert [hundred.quantile(rank / 100) for rank in range(1, 100)] == list(range(1, 100))


def test_nothing_seen_is_no_law() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        Empirical.of([])


def test_a_seed_gives_the_same_scenarios() -> None:
    laws: list[Outflow] = [Exponential(5), Poisson(7)]
    first, second = (independent(laws, 10, np.random.default_rng(3)) for _ in range(2))
    assert first.shape == (10, 2)
    assert np.array_equal(first, second)


def test_a_common_part_correlates_the_venues() -> None:
    drawn = common_factor(Poisson(2_200), [Poisson(2_200)] * 3, 0.6, 50_000, np.random.default_rng(2))
    expected = 0.6**2 / (0.6**2 + 0.4**2)
    assert np.asarray(np.corrcoef(drawn.T))[np.triu_indices(3, 1)] == pytest.approx(expected, abs=0.02)
    assert drawn.mean(axis=0) == pytest.approx(2_200, abs=1)
