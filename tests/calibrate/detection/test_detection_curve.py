"""The size found with 95 % probability, against simulated detectors for which it is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit

from calibrate.detection.detection_curve import PROBABILITY, Found, Tried, explore, fit_curve

SIZES = [32 / 2 ** (step / 2) for step in range(13, -1, -1)]
STUDIES = 25


def _detector(middle: float, slope: float, top: float, rng: np.random.Generator) -> Callable[[int, int], tuple[int, int]]:
    return lambda rung, trials: (
        trials,
        int(rng.binomial(trials, top * expit(slope * (math.log(SIZES[rung]) - math.log(middle))))),
    )


def _studies(middle: float, slope: float, top: float) -> list[Found]:
    rng = np.random.default_rng(5)
    detector = _detector(middle, slope, top, rng)
    return [fit_curve(explore(SIZES, int(rng.integers(4, 10)), detector, 12)) for _ in range(STUDIES)]


@pytest.mark.parametrize(("middle", "slope"), [(4.0, 4.0), (2.0, 8.0), (5.0, 20.0)])
def test_a_known_size_is_estimated_and_bounded(middle: float, slope: float) -> None:
    truth = middle * math.exp(math.log(PROBABILITY / (1 - PROBABILITY)) / slope)
    found = _studies(middle, slope, 1.0)
    sizes = [one.size for one in found if one.size is not None]
    assert len(sizes) >= STUDIES - 2
    assert float(np.median(sizes)) == pytest.approx(truth, rel=0.12)
    too_small = sum(one.bound is not None and one.bound < truth for one in found)
    assert sum(one.bound is not None for one in found) >= STUDIES // 2, "a bound is mostly there"
    assert too_small <= 4, "1.25 are expected of 25 at 95 % confidence; 5 and more come in fewer than 1 of 100"
    assert all(one.bound is None or (one.size is not None and one.bound >= one.size) for one in found)


def test_a_detector_that_misses_a_tenth_at_any_size_is_promised_no_size() -> None:
    found = _studies(3.0, 6.0, 0.9)
    assert sum(one.bound is not None for one in found) <= 2
    assert sum(one.size is not None for one in found) <= 5


def test_hits_and_misses_that_do_not_overlap_need_no_size_outside_of_them() -> None:
    found = fit_curve([Tried(2.0, 40, 0), Tried(4.0, 40, 40), Tried(8.0, 40, 40)])
    assert found.size is not None
    assert found.bound is not None
    assert 2.0 < found.size <= 4.0
    assert found.size <= found.bound < 5.0
    assert found.shares == pytest.approx([0, 1, 1], abs=0.02)


def test_no_size_beyond_those_tried_is_claimed() -> None:
    assert fit_curve([Tried(4.0, 50, 50)]).size == 4.0, "nothing smaller was tried"
    never = fit_curve([Tried(4.0, 50, 0), Tried(8.0, 50, 10)])
    assert (never.size, never.bound) == (None, None)
    few = fit_curve([Tried(4.0, 5, 5)])
    assert few.bound is None, "5 of 5 is too little for 95 % confidence"


def test_only_sizes_that_matter_are_tried() -> None:
    asked: list[int] = []

    def sharp(rung: int, trials: int) -> tuple[int, int]:
        asked.append(rung)
        return trials, trials if rung >= 6 else 0

    tried = explore(SIZES, 9, sharp, 10)
    assert asked[:6] == [9, 10, 8, 7, 6, 5]
    assert set(asked[6:]) <= {6, 7}
    assert [one.size for one in tried] == SIZES[5:11]
    assert sum(one.trials for one in tried) == 6 * 10 + 2 * 30


def test_sizes_that_cannot_be_drawn_are_left_out() -> None:
    def narrow(rung: int, trials: int) -> tuple[int, int]:
        return (trials, trials // 2) if rung in (5, 6) else (0, 0)

    assert [one.size for one in explore(SIZES, 6, narrow, 10)] == SIZES[5:7]
    assert explore(SIZES, 6, lambda _rung, _trials: (0, 0), 10) == []
