"""From what good parts show to a limit: the guarantee, the published tolerance factor, and the choice of the score."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from calibrate.thresholds.limits import choose_area, choose_score, cut, method, promise, scale_of
from engines.pictures.scores import SCORES

NONE, CLEAR = np.array([]), np.full(20, 1e6)  # deviations of defects


@pytest.mark.parametrize(
    ("count", "rate", "confidence", "rank"), [(299, 0.01, 0.95, 299), (598, 0.005, 0.95, 598), (93, 0.05, 0.95, 92)]
)
def test_with_enough_samples_the_limit_is_one_of_them(count: int, rate: float, confidence: float, rank: int) -> None:
    """The ranks are those of every table of one-sided, distribution-free tolerance limits."""
    limit, guarantee = cut(np.random.default_rng(1).permutation(np.arange(1.0, count + 1)), NONE, rate, confidence, 0)
    assert limit == rank
    assert (guarantee.rank, guarantee.more_needed, guarantee.estimate) == (rank, 0, None)
    assert guarantee.rate <= rate
    assert f"the {rank}. smallest deviation of {count}" in method(guarantee)
    assert promise(guarantee).startswith(f"at most {guarantee.rate:.2%} of good parts are rejected, with 95% confidence")
    assert "estimate" not in promise(guarantee)


def test_too_few_samples_guarantee_what_they_can_and_say_how_many_more_are_needed() -> None:
    deviations = np.random.default_rng(6).normal(size=42)
    limit, guarantee = cut(deviations, CLEAR, 0.005, 0.95, 0)
    assert guarantee.rank is None
    assert guarantee.more_needed == 598 - 42
    assert guarantee.rate == pytest.approx(1 - 0.05 ** (1 / 42))
    assert guarantee.estimate is not None
    assert limit == max(deviations.max(), guarantee.estimate.limit)
    assert guarantee.estimate.low is not None
    assert guarantee.estimate.high is not None
    assert guarantee.estimate.low <= guarantee.estimate.limit <= guarantee.estimate.high
    assert "556 more golden samples are needed" in promise(guarantee)
    assert method(guarantee).startswith("estimate: a generalised Pareto tail")


@pytest.mark.parametrize(
    ("count", "rate", "factor"), [(10, 0.05, 2.911), (8, 0.1, 2.582), (10, 0.01, 3.981), (5, 0.05, 4.203), (3, 0.05, 7.656)]
)
def test_with_very_few_samples_the_estimate_is_the_published_one_sided_tolerance_limit(
    count: int, rate: float, factor: float
) -> None:
    deviations = np.random.default_rng(2).normal(1.5, 0.3, count)
    limit, guarantee = cut(deviations, CLEAR, rate, 0.95, 0)
    assert (limit - deviations.mean()) / deviations.std(ddof=1) == pytest.approx(factor, abs=0.002)
    assert guarantee.estimate is not None
    assert guarantee.estimate.goodness is None
    assert "normal distribution's tolerance limit" in method(guarantee)


def test_an_estimate_is_not_bought_with_defects() -> None:
    """Twelve samples up to 1.5: by estimate 0.5 % lies near 5, and defects begin at 2."""
    deviations = np.linspace(-1, 1.5, 12)
    defects = np.array([0.2, 1.0, *np.linspace(2, 8, 21)])  # two are below a good part: nothing finds them
    limit, guarantee = cut(deviations, defects, 0.005, 0.95, 0)
    assert guarantee.estimate is not None
    assert not guarantee.estimate.kept
    assert guarantee.estimate.limit > 3
    assert int((defects[2:] <= limit).sum()) == 2, "a tenth of those that can be found"
    assert "than a tenth of the defects pass" in promise(guarantee)
    assert "lies higher" in method(guarantee)
    for nothing_to_lose in (NONE, np.array([0.2])):  # nothing is known to be found beyond: then nothing passes there
        assert cut(deviations, nothing_to_lose, 0.005, 0.95, 0)[0] == 1.5
    limit, guarantee = cut(deviations, CLEAR, 0.005, 0.95, 0)
    assert guarantee.estimate is not None
    assert guarantee.estimate.kept
    assert limit == guarantee.estimate.limit


@pytest.mark.parametrize(("count", "rate"), [(59, 0.05), (20, 0.2)])
def test_the_guarantee_holds_for_both_ways_to_fail_at_once(count: int, rate: float) -> None:
    """Parts whose two measures depend on each other somehow; the scale comes from other parts, as fitted samples are."""
    draw = np.random.default_rng(3)

    def parts(n: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.float64]]]:
        common = draw.gamma(2, size=n)
        return common * draw.lognormal(0, 0.2, n), common * draw.lognormal(0, 0.4, n) + 1

    scale = scale_of(*parts(30))
    new_scores, new_levels = parts(20_000)
    kept = 0
    for _ in range(400):
        limit, _ = cut(scale.deviations(*parts(count)), NONE, rate, 0.95, 0)
        score, level = scale.thresholds(limit)
        kept += float(((new_scores > score) | (new_levels > level)).mean()) <= rate
    assert stats.binomtest(kept, 400, 0.95, alternative="less").pvalue > 1e-3


def test_thresholds_reject_just_the_larger_deviations() -> None:
    draw = np.random.default_rng(4)
    scores, levels = draw.lognormal(0, 0.3, 200), draw.lognormal(1, 0.2, 200)
    scale = scale_of(scores, levels)
    deviations = scale.deviations(scores, levels)
    assert deviations.shape == (200,)
    for limit in deviations:
        score, level = scale.thresholds(float(limit))
        np.testing.assert_array_equal((scores <= score) & (levels <= level), deviations <= limit)


def test_equal_samples_give_their_own_score_and_a_level_that_is_nan_has_no_deviation() -> None:
    scale = scale_of(np.full(10, 0.3), np.full(10, 0.2))
    assert scale.thresholds(0.0) == pytest.approx((0.3, 0.2), rel=1e-5)
    assert math.isnan(scale.deviations(np.array([0.3]), np.array([np.nan]))[0])


@pytest.mark.parametrize("telling", range(3))
def test_the_score_that_separates_gets_the_largest_margin(telling: int) -> None:
    draw = np.random.default_rng(4)
    good, defect = draw.lognormal(0, 0.1, (20, 3)), draw.lognormal(0, 0.1, (30, 3))
    defect[:, telling] *= 4
    chosen, candidates = choose_score(good, defect)
    assert tuple(candidates) == SCORES
    assert chosen == SCORES[telling]
    assert candidates[chosen].margin > 0 > min(one.margin for one in candidates.values())
    assert candidates[chosen].detected == 1


def test_the_margin_is_that_of_the_weakest_tenth_in_spreads_of_good_parts() -> None:
    draw = np.random.default_rng(5)
    good, defect = draw.lognormal(0, 0.1, (200, 3)), draw.lognormal(1, 0.1, (41, 3))
    _, candidates = choose_score(good, defect)
    for i, name in enumerate(SCORES):
        spread = np.log(good[:, i]).std(ddof=1)
        expected = (math.log(np.sort(defect[:, i])[4]) - math.log(good[:, i].max())) / spread
        assert candidates[name].margin == pytest.approx(expected, abs=1e-3)
        assert candidates[name].spread == pytest.approx(spread, abs=1e-4)


def test_the_least_area_is_the_one_that_tells_defects_best() -> None:
    good = np.exp(np.linspace(-1, 1, 60))
    levels = np.stack([good, good, good], axis=1)
    defects = np.full((36, 3), 20 * good.max())
    assert choose_area(levels, defects) == 0, "the smallest of those that are alike"
    assert choose_area(levels, defects * [1, 1.2, 1.1]) == 1
    assert choose_area(levels ** [1.0, 1.0, 0.5], defects) == 2, "steadier over good parts"
