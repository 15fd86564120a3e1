"""Connected regions of an anomaly map."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.float32]
MOST_SHORT_LABELS = 2**16
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
    # Of 2 x 2 pixels one label at most; where 16 bits hold them all, labelling takes half the time.
    few = (rows + 1) * (columns + 1) // 4 < MOST_SHORT_LABELS
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        over[y : y + rows, x : x + columns], connectivity=8, ltype=cv2.CV_16U if few else cv2.CV_32S
    )
    regions = []
    for label in np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= minimum_area).tolist():
        if label:  # 0 is what is not over the level
            left, top, width, height, area = stats[label].tolist()
            box = np.s_[top : top + height, left : left + width]
            regions.append(MapRegion(x + left, y + top, width, height, area, float(part[box][labels[box] == label].max())))
    return regions


def region_level(frame_map: Map, minimum_area: int, about: float | None = None) -> float:
    """The highest level that some region of the minimum area exceeds, by bisection: up to 1/4096 of the peak too high.

    Exact about the level ``about``: on the right side of it, however near.  Every pixel of the map (H, W) must be finite.
    """
    over = np.empty(frame_map.shape, np.uint8)
    low, high = 0.0, float(frame_map.max())
    if about is not None and find_regions(frame_map, about, minimum_area, over):
        low = about
    elif about is not None:
        high = min(high, about)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if find_regions(frame_map, middle, minimum_area, over):
            low = middle
        else:
            high = middle
    return high
