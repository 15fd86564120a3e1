"""A frame's scores from its anomaly map, on the host; the graph computes the same ones on its device."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

ScoreName = Literal["std", "max", "top-k mean"]
SCORES: tuple[ScoreName, ...] = ("std", "max", "top-k mean")  # the order of a frame's scores everywhere


def top_k(pixels: int) -> int:
    """How many pixels the top-k mean averages: 1 in 256 of the map."""
    return max(1, pixels // 256)


def all_finite(values: npt.NDArray[np.float32]) -> bool:
    """Whether no value is NaN or infinite: their sum is, then."""
    with np.errstate(invalid="ignore"):  # infinities of both signs add up to NaN, which is as telling
        return math.isfinite(np.add.reduce(values, axis=None, dtype=np.float64))


def frame_scores(frame_map: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Stitched map (H, W) -> scores (3,) in the order of `SCORES`; all NaN when any pixel is not finite."""
    flat = frame_map.reshape(-1)
    if not all_finite(flat):
        return np.full(len(SCORES), np.nan, np.float32)
    k = top_k(flat.size)
    top = np.partition(flat, flat.size - k)[-k:]
    return np.array([flat.std(dtype=np.float64), flat.max(), top.mean(dtype=np.float64)], np.float32)
