"""Connected regions of an anomaly map, and how far a frame is from being rejected."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engines.scores import SCORES
from engines.thresholds import Thresholds

Map = npt.NDArray[np.float32]
BISECTIONS = 12  # of a region's level: to 1 part in 4096 of the map's maximum


@dataclass(frozen=True, slots=True)
class MapRegion:
    """A connected area over a level, in map pixels."""

    left: int
    top: int
    width: int
    height: int
    area: int
    peak: float


def find_regions(frame_map: Map, level: float, minimum_area: int, over: npt.NDArray[np.uint8] | None = None) -> list[MapRegion]:
    """Areas of the map (H, W) over ``level`` of ``minimum_area`` pixels and more, 8-connected; ``over`` is a buffer to use."""
    over = np.empty(frame_map.shape, np.uint8) if over is None else over
    np.greater(frame_map, level, out=over.view(np.bool_))
    x, y, columns, rows = cv2.boundingRect(over)
    if not columns:
        return []
    # Only where there is something: labelling is the dearest step, and defects are small.
    part = frame_map[y : y + rows, x : x + columns]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(over[y : y + rows, x : x + columns], connectivity=8)
    regions = []
    for label in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[label])
        if area >= minimum_area:
            box = np.s_[top : top + height, left : left + width]
            regions.append(MapRegion(x + left, y + top, width, height, area, float(part[box][labels[box] == label].max())))
    return regions


def reject_margin(frame_map: Map, scores: npt.NDArray[np.float32], thresholds: Thresholds) -> float:
    """How near to its limits a frame is: over 1 it is rejected, at 1 and below it passes; NaN where a number is not finite.

    The larger of score over score threshold, and of the highest level that a region of the minimum area exceeds over
    the pixel threshold.
    """
    score = float(scores[SCORES.index(thresholds.score)])
    if not (np.isfinite(score) and np.isfinite(frame_map.sum(dtype=np.float64))):
        return float("nan")
    return max(score / thresholds.score_threshold, _region_level(frame_map, thresholds) / thresholds.pixel_threshold)


def _region_level(frame_map: Map, thresholds: Thresholds) -> float:
    """The highest level that some region of the minimum area exceeds, by bisection; exact about the pixel threshold itself."""
    low, high = 0.0, float(frame_map.max())
    limit, area = thresholds.pixel_threshold, thresholds.minimum_area
    if find_regions(frame_map, limit, area):
        low = limit
    else:
        high = min(high, limit)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if find_regions(frame_map, middle, area):
            low = middle
        else:
            high = middle
    return high if low >= limit else low
