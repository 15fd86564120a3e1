"""The decision: only a finite score at or below the threshold, over a map without regions, passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.line.decision import MOST_REGIONS, Decider
from appliance.messages.schema import Region
from engines.pictures.geometry import Geometry
from engines.recipe.bundle import Recipe
from engines.recipe.naming import Naming
from tests.appliance.conftest import Floats, make_thresholds
from tests.engines.made_recipe import made_manifest

# A region of 128 x 256 frame pixels on a map of 64 x 64: a map pixel is 2 wide and 4 high.
GEOMETRY = Geometry(frame=(300, 400), region=(10, 20, 128, 256), input_side=64)
RECIPE = Recipe(Path("made"), made_manifest(GEOMETRY), "0" * 64, Naming(Path("made")))


def decider(ignored: np.ndarray | None = None, **changes: Any) -> Decider:
    return Decider(RECIPE, make_thresholds(**changes), ignored)


def empty_map() -> Floats:
    return np.zeros(GEOMETRY.map_shape, np.float32)


def scores(of_max: float, std: float = 0.0, top: float = 0.0) -> Floats:
    return np.array([std, of_max, top], np.float32)


@pytest.mark.parametrize("score", [0.0, 0.25, 0.5])
def test_a_score_at_most_at_the_threshold_passes(score: float) -> None:
    decision = decider().decide(empty_map(), scores(score))
    assert (decision.passed, decision.reason, decision.score, decision.regions) == (True, "", score, ())


def test_a_score_just_above_the_threshold_rejects() -> None:
    decision = decider().decide(empty_map(), scores(float(np.nextafter(np.float32(0.5), np.float32(1)))))
    assert (decision.passed, decision.reason) == (False, "defect")


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_rejects(score: float) -> None:
    decision = decider().decide(empty_map(), scores(score))
    assert (decision.passed, decision.reason, decision.score) == (False, "engine-fault", None)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_map_pixel_that_is_not_finite_rejects(value: float) -> None:
    frame_map = empty_map()
    frame_map[63, 0] = value
    decision = decider().decide(frame_map, scores(0.1))
    assert (decision.passed, decision.reason, decision.score) == (False, "engine-fault", None)


def test_infinities_that_cancel_out_still_reject() -> None:
    frame_map = empty_map()
    frame_map[0, :2] = np.inf, -np.inf
    assert decider().decide(frame_map, scores(0.1)).reason == "engine-fault"


def test_without_thresholds_nothing_passes() -> None:
    uncalibrated = Decider(RECIPE, None, None)
    decision = uncalibrated.decide(empty_map(), scores(0.0))
    assert (decision.passed, decision.reason) == (False, "not-calibrated")
    assert uncalibrated.score_threshold is None


@pytest.mark.parametrize(("name", "expected"), [("std", 0.1), ("max", 0.2), ("top-k mean", 0.3)])
def test_the_score_that_the_thresholds_name_is_compared(name: str, expected: float) -> None:
    decision = decider(score=name).decide(empty_map(), scores(of_max=0.2, std=0.1, top=0.3))
    assert decision.score == pytest.approx(expected)


def test_a_region_rejects_although_the_score_is_low_and_lies_in_frame_pixels() -> None:
    frame_map = empty_map()
    frame_map[10:13, 20:25] = 0.75
    decision = decider().decide(frame_map, scores(0.1))
    assert (decision.passed, decision.reason) == (False, "defect")
    assert decision.regions == (Region(x=10 + 40, y=20 + 40, w=10, h=12, area=15 * 8.0, peak=0.75),)


def test_a_region_smaller_than_the_minimum_area_is_no_defect() -> None:
    frame_map = empty_map()
    frame_map[5, 5:8] = 0.75
    frame_map[30, 30:34] = 0.75
    regions = decider(minimum_area=4).decide(frame_map, scores(0.1)).regions
    assert [region.w for region in regions] == [8], "four map pixels wide; the one of three is left out"
    assert decider(minimum_area=5).decide(frame_map, scores(0.1)).passed


def test_a_pixel_at_the_threshold_makes_no_region() -> None:
    assert decider().decide(np.full(GEOMETRY.map_shape, 0.5, np.float32), scores(0.5)).passed


def test_pixels_that_touch_at_a_corner_are_one_region() -> None:
    frame_map = empty_map()
    frame_map[5, 5] = frame_map[6, 6] = 0.75
    assert len(decider(minimum_area=2).decide(frame_map, scores(0.1)).regions) == 1


def test_regions_come_with_the_highest_peak_first_and_do_not_mix_their_peaks() -> None:
    frame_map = empty_map()
    frame_map[2:30, 2] = frame_map[2, 2:30] = 0.75  # an L whose bounding box holds the other region
    frame_map[10:12, 10:12] = 0.625
    frame_map[50, 50] = 0.875
    regions = decider().decide(frame_map, scores(0.1)).regions
    assert [region.peak for region in regions] == [0.875, 0.75, 0.625]
    assert [(region.x, region.y) for region in regions] == [(110, 220), (14, 28), (30, 60)]


def test_a_verdict_carries_the_highest_regions_only() -> None:
    frame_map = empty_map()
    peaks = np.linspace(0.6, 0.9, 25, dtype=np.float32).reshape(5, 5)
    frame_map[::13, ::13] = peaks
    regions = decider().decide(frame_map, scores(0.9)).regions
    assert [region.peak for region in regions] == sorted((float(peak) for peak in peaks.flat), reverse=True)[:MOST_REGIONS]


def test_ignored_pixels_do_not_count() -> None:
    ignored = np.zeros(GEOMETRY.map_shape, np.bool_)
    ignored[:32] = True
    frame_map = empty_map()
    frame_map[10, 10] = 0.9
    frame_map[40, 40] = 0.25
    decision = decider(ignored).decide(frame_map.copy(), scores(0.9))
    assert (decision.passed, decision.score) == (True, 0.25), "the score is that of the inspected pixels"
    frame_map[40, 40] = 0.75
    (region,) = decider(ignored).decide(frame_map, scores(0.9)).regions
    assert (region.x, region.y) == (10 + 80, 20 + 160)


def test_a_decider_keeps_nothing_of_the_part_before() -> None:
    one = decider()
    bad = np.full(GEOMETRY.map_shape, 0.75, np.float32)
    assert not one.decide(bad, scores(0.75)).passed
    assert one.decide(empty_map(), scores(0.1)).passed
