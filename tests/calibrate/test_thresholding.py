"""Limits of good parts: the right order statistic, the published tolerance factor, and the choice of the score."""

from __future__ import annotations

import math

import numpy as np
import pytest

from calibrate.thresholding import choose_score, upper_limit
from engines.scores import SCORES


@pytest.mark.parametrize(
    ("count", "rate", "rank"), [(99, 0.01, 99), (199, 0.01, 198), (199, 0.005, 199), (19, 0.1, 18), (9, 0.5, 5)]
)
def test_with_enough_samples_the_limit_is_the_conformal_order_statistic(count: int, rate: float, rank: int) -> None:
    values = np.random.default_rng(1).permutation(np.arange(1.0, count + 1))
    limit = upper_limit(values, rate)
    assert limit.value == rank
    assert f"the {rank}. smallest of {count}" in limit.method
    assert "on average" in limit.promise


@pytest.mark.parametrize(
    ("count", "rate", "factor"),
    [(10, 0.05, 2.911), (8, 0.1, 2.582), (10, 0.01, 3.981), (5, 0.05, 4.203), (3, 0.05, 7.656), (15, 0.01, 3.520)],
)
def test_with_few_samples_the_limit_is_the_published_one_sided_tolerance_limit(count: int, rate: float, factor: float) -> None:
    logs = np.random.default_rng(2).normal(1.5, 0.3, count)
    limit = upper_limit(np.exp(logs), rate)
    assert (math.log(limit.value) - logs.mean()) / logs.std(ddof=1) == pytest.approx(factor, abs=0.002)
    assert f"tolerance limit from {count} held-out scores" in limit.method
    assert "if their scores are log-normal" in limit.promise


@pytest.mark.parametrize(("count", "rate"), [(3, 0.05), (12, 0.02), (60, 0.05)])
def test_the_promise_holds_over_many_calibrations(count: int, rate: float) -> None:
    draw = np.random.default_rng(3)
    exceeded = []
    for _ in range(1500):
        limit = math.log(upper_limit(np.exp(draw.normal(0, 0.4, count)), rate).value)
        exceeded.append(0.5 * math.erfc(limit / 0.4 / math.sqrt(2)))
    if math.ceil((count + 1) * (1 - rate)) <= count:
        assert np.mean(exceeded) <= rate * 1.1
    else:
        assert np.mean(np.array(exceeded) <= rate) == pytest.approx(0.95, abs=0.02)


def test_equal_scores_give_that_score() -> None:
    assert upper_limit(np.full(10, 0.3), 0.01).value == pytest.approx(0.3)


@pytest.mark.parametrize("telling", range(3))
def test_the_score_that_separates_gets_the_largest_margin(telling: int) -> None:
    draw = np.random.default_rng(4)
    good, defect = draw.lognormal(0, 0.1, (20, 3)), draw.lognormal(0, 0.1, (30, 3))
    defect[:, telling] *= 4
    margins = choose_score(good, defect, 0.01)
    assert tuple(margins) == SCORES
    assert max(margins, key=lambda name: margins[name]) == SCORES[telling]
    assert margins[SCORES[telling]] > 0 > min(margins.values())


def test_the_margin_is_that_of_the_weakest_tenth_in_spreads_of_good_parts() -> None:
    draw = np.random.default_rng(5)
    good, defect = draw.lognormal(0, 0.1, (200, 3)), draw.lognormal(1, 0.1, (41, 3))
    margins = choose_score(good, defect, 0.01)
    for i, name in enumerate(SCORES):
        limit = np.sort(good[:, i])[198]
        weakest = np.sort(defect[:, i])[4]
        expected = (math.log(weakest) - math.log(limit)) / np.log(good[:, i]).std(ddof=1)
        assert margins[name] == pytest.approx(expected, abs=1e-3)
