"""The contact sheet of `calibrate review`: each picture beside itself with what deviates in colour."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from calibrate.collection.review import Review, Reviewed
from calibrate.pages.contact_sheet import Thumbnail, shrink
from engines.common.errors import ImageError
from engines.pictures.geometry import Box, Pixels
from engines.pictures.images import read_image
from engines.pictures.overlay import overlay

SIDE, BETWEEN = 300, 4
FROM, TO = 1.5, 4.0  # times the usual: where colour begins, and where it is at its strongest; the same for all pictures
Floats = npt.NDArray[np.float32]


def thumbnail_of(folder: Path, review: Review, picture: Reviewed) -> Thumbnail:
    """One picture of a review; one that cannot be read is a grey field."""
    try:
        image = read_image(folder / picture.name)
    except ImageError:
        return Thumbnail(np.full((SIDE // 2, SIDE, 3), 200, np.uint8), picture.name, picture.note, marked=True)
    small = shrink(image, SIDE)
    frame = review.geometry.frame if review.geometry else (image.shape[1], image.shape[0])
    heated = heat(small, review.maps[picture.name], review.boxes(frame), frame)
    gap = np.full((len(small), BETWEEN, 3), 255, np.uint8)
    note = f"z {picture.z:.1f}" + (f", {picture.note}" if picture.note else "")
    return Thumbnail(np.concatenate([small, gap, heated], axis=1), picture.name, note, picture.marked)


def heat(small: Pixels, maps: Floats, boxes: tuple[Box, ...], frame: tuple[int, int]) -> Pixels:
    """A small picture (h, w, 3) with its maps (tiles, ...) in colour over it; boxes are the tiles' in the whole frame."""
    height, width = small.shape[:2]
    scale = (width / frame[0], height / frame[1])
    level = np.zeros((height, width), np.float32)
    for tile, (x, y, box_width, box_height) in zip(maps, boxes, strict=True):
        left, right = round(x * scale[0]), round((x + box_width) * scale[0])
        top, bottom = round(y * scale[1]), round((y + box_height) * scale[1])
        inside = level[top:bottom, left:right]
        if inside.size == 0:  # too small to be seen here
            continue
        sized = cv2.resize(tile, (inside.shape[1], inside.shape[0]), interpolation=cv2.INTER_LINEAR)
        np.maximum(inside, np.clip((sized - FROM) / (TO - FROM), 0, 1), out=inside)
    return overlay(small, level, (0, 0, width, height), 1.0)
