"""How a measured frame is judged by thresholds; the one place where that is written."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engines.common.regions import Map, region_level
from engines.common.scores import SCORES
from engines.recipe.thresholds import Thresholds


def reject_margin(frame_map: Map, scores: npt.NDArray[np.float32], thresholds: Thresholds) -> float:
    """How near to its limits a frame is: over 1 it is rejected, at 1 and below it passes; NaN where a number is not finite.

    The larger of score over score threshold, and of the highest level that a region of the minimum area exceeds over
    the pixel threshold.
    """
    score = float(scores[SCORES.index(thresholds.score)])
    if not (np.isfinite(score) and np.isfinite(frame_map.sum(dtype=np.float64))):
        return float("nan")
    level = region_level(frame_map, thresholds.minimum_area, thresholds.pixel_threshold)
    return max(score / thresholds.score_threshold, level / thresholds.pixel_threshold)
