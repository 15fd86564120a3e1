"""Guarantees from held-out good parts: the exact law, checked against counting; and the fitted tail."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from calibrate.thresholds.guarantee import TAIL_FEWEST, TAIL_SHARE, estimate_tail, rank_within, rate_beyond, samples_needed


@pytest.mark.parametrize(
    ("rate", "confidence", "expected"), [(0.005, 0.95, 598), (0.01, 0.95, 299), (0.05, 0.95, 59), (0.1, 0.9, 22)]
)
def test_samples_needed(rate: float, confidence: float, expected: int) -> None:
    """Figures of every table of one-sided tolerance limits."""
    assert samples_needed(rate, confidence) == expected
    assert rank_within(expected, rate, confidence) == expected
    assert rank_within(expected - 1, rate, confidence) is None


def test_the_largest_of_a_few_guarantees_what_it_can() -> None:
    assert rate_beyond(42, 42, 0.95) == pytest.approx(1 - 0.05 ** (1 / 42))
    assert rate_beyond(299, 299, 0.95) == pytest.approx(0.01, rel=0.01)
    assert rate_beyond(100, 90, 0.5) == pytest.approx(0.107, abs=0.002), "the median of Beta(11, 90)"


@pytest.mark.parametrize(("n", "rate", "confidence"), [(80, 0.05, 0.95), (700, 0.01, 0.9), (1_000, 0.02, 0.99)])
def test_the_guarantee_holds_as_often_as_it_says(n: int, rate: float, confidence: float) -> None:
    """For uniform scores the share beyond a value is 1 less the value; by the law any other distribution gives the same."""
    rank = rank_within(n, rate, confidence)
    assert rank is not None
    trials = 4_000
    drawn = np.random.default_rng(5).random((trials, n))
    beyond = 1 - np.partition(drawn, rank - 1, axis=1)[:, rank - 1]
    kept = int((beyond <= rate).sum())
    assert stats.binomtest(kept, trials, confidence, alternative="less").pvalue > 1e-3
    sharper = 1 - np.partition(drawn, rank - 2, axis=1)[:, rank - 2]
    assert (sharper <= rate).mean() < confidence + 0.01, "the next smaller value would promise too much"


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3])
def test_a_tail_finds_the_quantile_of_its_own_distribution(shape: float) -> None:
    rng = np.random.default_rng(7)
    true = float(stats.genpareto.ppf(0.995, shape))
    inside, values = 0, []
    for i in range(40):
        tail = estimate_tail(stats.genpareto.rvs(shape, size=400, random_state=rng), 0.005, seed=i)
        assert tail is not None
        values.append(tail.value)
        inside += tail.low <= true <= tail.high
        assert tail.fitted == 100
    assert np.median(values) == pytest.approx(true, rel=0.12)
    assert inside >= 30, "nominally 90 %; a heavy tail's falls somewhat short"


def test_a_tail_that_does_not_fit_says_so() -> None:
    rng = np.random.default_rng(3)
    fits = estimate_tail(rng.exponential(size=400), 0.005, seed=0)
    two_heaps = np.concatenate([rng.normal(1, 0.01, 340), rng.normal(2, 0.01, 60)])
    broken = estimate_tail(two_heaps, 0.005, seed=0)
    assert fits is not None
    assert broken is not None
    assert fits.goodness > 0.05
    assert broken.goodness < 0.01


def test_too_few_scores_have_no_tail_and_equal_ones_a_plain_one() -> None:
    assert estimate_tail(np.arange(TAIL_FEWEST / TAIL_SHARE - 4), 0.01, seed=0) is None
    flat = estimate_tail(np.full(40, 2.5), 0.01, seed=0)
    assert flat is not None
    assert (flat.value, flat.low, flat.high) == (2.5, 2.5, 2.5)
