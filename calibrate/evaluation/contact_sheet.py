"""Many small pictures with a line of text each, on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engines.geometry import Pixels

SIDE = 216  # pixels; a thumbnail has the area of such a square, whatever its shape
WIDTH = 1280  # of a sheet
GAP, TEXT, HEADING = 12, 13, 18  # pixels
NARROWEST = 80  # pixels that a label has, below however narrow a thumbnail
PAPER, INK, PALE = (255, 255, 255), (25, 28, 33), (95, 100, 108)


class Thumbnail(NamedTuple):
    """A picture (H, W) grey or (H, W, 3) RGB of any size, and what stands below it."""

    picture: Pixels
    label: str


class Section(NamedTuple):
    """Thumbnails under a heading; without any, the heading stands alone."""

    heading: str
    thumbnails: Sequence[Thumbnail] = ()


def contact_sheet(sections: Sequence[Section], side: int = SIDE, width: int = WIDTH) -> Pixels:
    """One picture (H, W, 3) RGB of all sections, one below the other, their thumbnails in rows.

    Large pictures are made as small as a square of this side, by area; small ones stay as they are.
    """
    parts = [_section(section, side, width) for section in sections]
    height = sum(part.height for part in parts) + GAP
    sheet = Image.new("RGB", (max(part.width for part in parts), height), PAPER)
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    return np.asarray(sheet)


def reduced(picture: Pixels, side: int = SIDE) -> Pixels:
    """The picture with the area of a square of this side at most, in its own shape."""
    height, width = picture.shape[:2]
    scale = side / math.sqrt(height * width)
    if scale >= 1:
        return picture
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _section(section: Section, side: int, width: int) -> Image.Image:
    small = [Image.fromarray(reduced(one.picture, side)).convert("RGB") for one in section.thumbnails]
    places: list[tuple[int, int]] = []
    x, y, row_height = GAP, GAP + 2 * HEADING, 0
    for picture in small:
        cell = max(picture.width, NARROWEST)
        if x > GAP and x + cell + GAP > width:
            x, y, row_height = GAP, y + row_height + 2 * TEXT + GAP // 2, 0
        places.append((x, y))
        x, row_height = x + cell + GAP, max(row_height, picture.height)
    bottom = y + (row_height + 2 * TEXT + GAP // 2 if small else 0)
    sheet = Image.new("RGB", (max([width, *(one.width + 2 * GAP for one in small)]), bottom), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), _fitted(section.heading, HEADING, sheet.width - 2 * GAP), INK, ImageFont.load_default(HEADING))
    for picture, (left, top), thumbnail in zip(small, places, section.thumbnails, strict=True):
        sheet.paste(picture, (left, top))
        label = _fitted(thumbnail.label, TEXT, max(picture.width, NARROWEST))
        draw.text((left, top + picture.height + 3), label, PALE, ImageFont.load_default(TEXT))
    return sheet


def _fitted(text: str, size: int, width: int) -> str:
    """The text, without its middle where it is wider than so many pixels: the ends tell more."""
    font = ImageFont.load_default(size)
    kept, shown = len(text), text
    while font.getlength(shown) > width and kept > 1:
        kept -= 1
        shown = f"{text[: kept // 2]}...{text[len(text) - (kept - kept // 2) :]}"
    return shown
