"""The parity gate: what counts as a flipped verdict, and how near a frame is to its limits."""

from __future__ import annotations

import numpy as np
import pytest

from engines.regions import find_regions, reject_margin
from engines.thresholds import Thresholds
from tests.appliance.conftest import make_thresholds


@pytest.fixture
def thresholds() -> Thresholds:
    return make_thresholds(score="max", score_threshold=2.0, pixel_threshold=1.0, minimum_area=4)


def _map(level: float, side: int) -> np.ndarray:
    frame_map = np.full((32, 32), 0.1, np.float32)
    frame_map[4 : 4 + side, 4 : 4 + side] = level
    return frame_map


def _scores(frame_map: np.ndarray) -> np.ndarray:
    return np.array([0, frame_map.max(), 0], np.float32)


@pytest.mark.parametrize(("level", "side", "rejected"), [(1.5, 3, True), (0.9, 3, False), (1.5, 1, False), (2.5, 1, True)])
def test_the_margin_says_what_the_decision_says(thresholds: Thresholds, level: float, side: int, rejected: bool) -> None:
    frame_map = _map(level, side)
    by_score = frame_map.max() > thresholds.score_threshold
    by_region = bool(find_regions(frame_map, thresholds.pixel_threshold, thresholds.minimum_area))
    assert (by_score or by_region) == rejected
    assert (reject_margin(frame_map, _scores(frame_map), thresholds) > 1) == rejected


def test_the_margin_is_the_regions_level_over_the_pixel_threshold(thresholds: Thresholds) -> None:
    frame_map = _map(1.5, 3)
    assert reject_margin(frame_map, _scores(frame_map), thresholds) == pytest.approx(1.5, rel=2e-3)


def test_a_map_or_score_that_is_not_finite_has_no_margin(thresholds: Thresholds) -> None:
    frame_map = _map(0.5, 3)
    assert np.isnan(reject_margin(frame_map, np.full(3, np.nan, np.float32), thresholds))
    scores = _scores(frame_map)
    frame_map[0, 0] = np.nan
    assert np.isnan(reject_margin(frame_map, scores, thresholds))
