"""Ignore-masks: parts of the frame that are not inspected, such as a fixture that moves.

A mask belongs to the thresholds, not to the line: what is ignored changes the scores, so that thresholds got without
the mask would promise something else.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from engines.common.errors import ImageError
from engines.pictures.geometry import Geometry, Pixels
from engines.pictures.images import read_image
from engines.recipe.bundle import Recipe
from engines.recipe.thresholds import IGNORE_MASK, Thresholds


def ignored_map(mask: Pixels, geometry: Geometry, name: str) -> npt.NDArray[np.bool_]:
    """Which pixels of the stitched map (H, W) are ignored, from a mask of the frame's size that is white there.

    A map pixel is ignored when more than half of its area is.  Raises ImageError when the mask has another size or
    leaves nothing to inspect.
    """
    if mask.shape[:2] != (geometry.frame[1], geometry.frame[0]):
        raise ImageError(
            f"{name}: the ignore-mask is {mask.shape[1]} x {mask.shape[0]} pixels, the frame is "
            f"{geometry.frame[0]} x {geometry.frame[1]}; draw it on a picture of the line's own camera"
        )
    grey = mask if mask.ndim == 2 else mask.max(axis=2)
    x, y, width, height = geometry.region
    map_height, map_width = geometry.map_shape
    resized = cv2.resize(grey[y : y + height, x : x + width], (map_width, map_height), interpolation=cv2.INTER_AREA)
    ignored = np.asarray(resized) > 127
    if ignored.all():
        raise ImageError(f"{name}: the ignore-mask covers all that is inspected; leave something black")
    return ignored


def ignored_by(recipe: Recipe, thresholds: Thresholds | None) -> npt.NDArray[np.bool_] | None:
    """Which pixels of the recipe's stitched map (H, W) its thresholds ignore; None: none are."""
    if thresholds is None or thresholds.ignore_mask is None:
        return None
    file = recipe.folder / IGNORE_MASK
    return ignored_map(read_image(file), recipe.manifest.geometry, str(file))
