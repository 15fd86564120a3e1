"""Pictures for people: an anomaly map in colours over its part."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from engines.pictures.geometry import Box, Pixels


def rgb(image: Pixels) -> Pixels:
    """A copy of a picture, (H, W) grey or (H, W, 3) RGB, in colour."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image.copy(), np.uint8)


def overlay(part: Pixels, frame_map: npt.NDArray[np.float32], region: Box, top: float) -> Pixels:
    """The map over the inspected region of a part (H, W, 3), in colours that end at the level ``top``; NaN stays bare."""
    x, y, width, height = region
    level = np.clip(np.nan_to_num(frame_map) / max(top, 1e-12), 0, 1)
    level = np.asarray(cv2.resize(level.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))
    colours = cv2.cvtColor(cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    alpha = np.clip(level * 1.5, 0, 0.75)[..., None]  # what is normal stays visible
    result = part.copy()
    inside = result[y : y + height, x : x + width]
    inside[:] = (inside * (1 - alpha) + colours * alpha).astype(np.uint8)
    return result
