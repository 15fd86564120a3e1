"""How a frame is measured and judged: the one place where it is written what passes.

The line, the parity gate, calibration, replay and challenge all come here, so that a picture has one answer everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.pictures.regions import Map, MapRegion, find_regions, region_level
from engines.pictures.scores import SCORES, ScoreName, all_finite, frame_scores
from engines.recipe.thresholds import Thresholds


@dataclass(slots=True)
class Measured:
    """What an engine says of one frame, without what is ignored. The map is the engine's own: its next frame overwrites it."""

    frame_map: Map  # (H, W)
    scores: npt.NDArray[np.float32]  # (3,), in the order of SCORES
    finite: bool  # the whole map

    def score(self, name: ScoreName) -> float:
        """One of the scores."""
        return float(self.scores[SCORES.index(name)])

    def level(self, minimum_area: int, about: float | None = None) -> float:
        """See `region_level`; NaN when a pixel is not finite. It takes a dozen searches for regions."""
        return region_level(self.frame_map, minimum_area, about) if self.finite else math.nan


@dataclass(slots=True)
class Judgement:
    """A measured frame beside thresholds. ``passed`` is true only when every check was made and held."""

    passed: bool
    fault: str  # why there is nothing to compare; empty: there is
    score: float  # of the kind that the thresholds are for
    regions: list[MapRegion]  # over the pixel threshold, of the minimum area and more
    measured: Measured
    thresholds: Thresholds

    def level(self) -> float:
        """The highest pixel threshold at which it would still have a region; searched for, while the map is there."""
        return self.measured.level(self.thresholds.minimum_area, self.thresholds.pixel_threshold)

    def margin(self) -> float:
        """How near to its limits it is: over 1 it is rejected, at 1 and below it passes; NaN where there is nothing to compare.

        The larger of score over score threshold and `level` over pixel threshold.
        """
        if self.fault:
            return math.nan
        return max(self.score / self.thresholds.score_threshold, self.level() / self.thresholds.pixel_threshold)

    def touches(self, mask: npt.NDArray[np.bool_]) -> bool:
        """Whether a region lies on some pixel of the mask (H, W); asked while the map is there."""
        boxes = (np.s_[one.top : one.top + one.height, one.left : one.left + one.width] for one in self.regions)
        return any(bool((mask[box] & (self.measured.frame_map[box] > self.thresholds.pixel_threshold)).any()) for box in boxes)


def measure(frame_map: Map, scores: npt.NDArray[np.float32], ignored: npt.NDArray[np.bool_] | None) -> Measured:
    """An engine's map (H, W) and scores (3,) without the pixels in ``ignored`` (H, W), which are set to 0 in the map itself."""
    if ignored is None:
        return Measured(frame_map, scores, all_finite(frame_map))
    frame_map[ignored] = 0
    scores = frame_scores(frame_map)
    return Measured(frame_map, scores, not math.isnan(scores[0]))  # so they are where a pixel is not finite


def judge(measured: Measured, thresholds: Thresholds, over: npt.NDArray[np.uint8] | None = None) -> Judgement:
    """Compare a frame with thresholds; ``over`` (H, W) is a buffer to use."""
    score = measured.score(thresholds.score)
    if not (measured.finite and math.isfinite(score)):
        return Judgement(False, "the score or the map is not finite", score, [], measured, thresholds)
    regions = find_regions(measured.frame_map, thresholds.pixel_threshold, thresholds.minimum_area, over)
    # Written so that whatever compares as false is a reject.
    passed = score <= thresholds.score_threshold and not regions
    return Judgement(passed, "", score, regions, measured, thresholds)
