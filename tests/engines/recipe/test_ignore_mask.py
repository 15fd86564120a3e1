"""Ignore-masks: from the frame's pixels to the map's, and masks that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from engines.common.errors import ImageError
from engines.pictures.geometry import Geometry
from engines.recipe.ignore_mask import ignored_map

GEOMETRY = Geometry((640, 480), (64, 32, 512, 256), input_side=64)


@pytest.mark.parametrize("colour", [False, True])
def test_white_parts_of_the_region_are_ignored_in_the_map(colour: bool) -> None:
    mask = np.zeros((480, 640), np.uint8)
    mask[32 : 32 + 128, 64 : 64 + 256] = 255  # the region's upper left quarter
    mask[400:] = 255  # outside the region
    ignored = ignored_map(np.dstack([mask * 0, mask, mask * 0]) if colour else mask, GEOMETRY, "mask.png")
    assert ignored.shape == GEOMETRY.map_shape
    assert ignored[:32, :32].all()
    assert ignored.sum() == 32 * 32


def test_a_map_pixel_is_ignored_when_more_than_half_of_it_is() -> None:
    mask = np.zeros((480, 640), np.uint8)
    mask[32:288, 64 : 64 + 8 + 3] = 255  # one map pixel is 8 frame pixels wide: one whole, three eighths of the next
    assert ignored_map(mask, GEOMETRY, "mask.png").sum() == 64
    mask[32:288, 64 : 64 + 8 + 5] = 255
    assert ignored_map(mask, GEOMETRY, "mask.png").sum() == 128


def test_a_mask_of_another_size_is_refused_naming_both_sizes() -> None:
    with pytest.raises(ImageError, match=r"mask\.png: the ignore-mask is 64 x 48 pixels, the frame is 640 x 480"):
        ignored_map(np.zeros((48, 64), np.uint8), GEOMETRY, "mask.png")


def test_a_mask_that_leaves_nothing_to_inspect_is_refused() -> None:
    with pytest.raises(ImageError, match=r"mask\.png: the ignore-mask covers all"):
        ignored_map(np.full((480, 640), 255, np.uint8), GEOMETRY, "mask.png")
