"""The decision: a measured frame against its thresholds. Only a finite, in-time score at or below the threshold is a pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.messages.schema import Reason, Region
from engines.common.geometry import Geometry
from engines.common.regions import MapRegion, find_regions
from engines.common.scores import SCORES, frame_scores
from engines.judgement import reject_margin
from engines.recipe.thresholds import Thresholds

MOST_REGIONS = 16  # in a verdict: the highest peaks


@dataclass(frozen=True, slots=True)
class Decision:
    """What a frame's map and scores say. ``passed`` is true only when every check was made and held."""

    passed: bool
    reason: Reason
    detail: str
    score: float | None
    regions: tuple[Region, ...]


class Decider:
    """Decides with one recipe's thresholds; ``thresholds`` None rejects every part."""

    def __init__(self, thresholds: Thresholds | None, geometry: Geometry, ignored: npt.NDArray[np.bool_] | None) -> None:
        """``ignored`` (H, W) marks map pixels that are not inspected."""
        self._thresholds, self._geometry, self._ignored = thresholds, geometry, ignored
        self._score_index = SCORES.index(thresholds.score) if thresholds else 0
        self._over = np.zeros(geometry.map_shape, np.uint8)
        self._pixel_area = geometry.region[2] * geometry.region[3] / (geometry.map_shape[0] * geometry.map_shape[1])

    @property
    def score_threshold(self) -> float | None:
        """What scores are compared with."""
        return self._thresholds.score_threshold if self._thresholds else None

    def decide(self, frame_map: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> Decision:
        """Judge a map (H, W) and its scores (3,); the map's ignored pixels are set to 0."""
        if self._thresholds is None:
            return Decision(False, "not-calibrated", "the recipe has no thresholds", None, ())
        if self._ignored is not None:
            frame_map[self._ignored] = 0
            scores = frame_scores(frame_map)
        score = float(scores[self._score_index])
        with np.errstate(invalid="ignore"):  # infinities of both signs add up to NaN, which is as telling
            total = float(frame_map.sum(dtype=np.float64))
        if not (math.isfinite(score) and math.isfinite(total)):
            return Decision(False, "engine-fault", "the score or the map is not finite", None, ())
        regions = self._regions(frame_map)
        # Written so that whatever compares as false is a reject.
        passed = score <= self._thresholds.score_threshold and not regions
        return Decision(passed, "" if passed else "defect", "", score, regions)

    def reject_margin(self, frame_map: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> float | None:
        """How near to its limits a frame is that `decide` has judged: over 1 it was rejected; None: nothing can be said."""
        if self._thresholds is None:
            return None
        margin = reject_margin(frame_map, scores if self._ignored is None else frame_scores(frame_map), self._thresholds)
        return margin if math.isfinite(margin) else None

    def _regions(self, frame_map: npt.NDArray[np.float32]) -> tuple[Region, ...]:
        """Connected areas over the pixel threshold, of the minimum area and more, highest peak first."""
        assert self._thresholds is not None, "decide() returns before this without thresholds"
        found = find_regions(frame_map, self._thresholds.pixel_threshold, self._thresholds.minimum_area, self._over)
        found.sort(key=lambda region: -region.peak)
        return tuple(self._in_frame(region) for region in found[:MOST_REGIONS])

    def _in_frame(self, region: MapRegion) -> Region:
        """A region of the map in frame pixels."""
        x0, y0 = self._geometry.to_frame(region.left, region.top)
        x1, y1 = self._geometry.to_frame(region.left + region.width, region.top + region.height)
        area = round(region.area * self._pixel_area, 1)
        return Region(round(x0), round(y0), round(x1 - x0), round(y1 - y0), area, region.peak)
