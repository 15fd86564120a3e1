"""From a camera's frame to the network's input and back: region of interest, tile grid, stitching.

A frame's region of interest is cut into ``rows x columns`` tiles that overlap by a fixed share of a tile.  Every
tile is resampled to the network's square input; the tiles of one frame are one batch.  Maps go the other way: the tiles'
maps are laid onto one canvas, blended in the overlap by weights that fall off linearly, so that no seam is left.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from engines.common.errors import ImageError
from engines.pictures.picture_kind import Channels, channels_of, need_kind, need_picture

Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]  # x, y, width, height

MAX_SIDE = 65_535
MAX_GRID = 16


class Geometry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Where in a frame the product lies and how it is cut; all lengths in pixels.

    ``frame`` is (width, height) of the camera's frame; ``region`` the inspected (x, y, width, height) in it; ``channels`` what
    the frame is: 1 grey, 3 colour, None in recipes that were made before it was recorded.
    """

    frame: tuple[Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE)], Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE)]]
    region: Box
    rows: Annotated[int, msgspec.Meta(ge=1, le=MAX_GRID)] = 1
    columns: Annotated[int, msgspec.Meta(ge=1, le=MAX_GRID)] = 1
    overlap: Annotated[float, msgspec.Meta(ge=0.0, le=0.5)] = 0.125
    input_side: Annotated[int, msgspec.Meta(ge=64, le=1024, multiple_of=64)] = 256
    channels: Channels | None = None

    def __post_init__(self) -> None:
        """Refuse a region that leaves the frame or has no area."""
        x, y, width, height = self.region
        if min(x, y) < 0 or min(width, height) < 8 or x + width > self.frame[0] or y + height > self.frame[1]:
            raise ValueError(
                f"region {x},{y},{width},{height} does not lie within the frame of {self.frame[0]} x {self.frame[1]} "
                "pixels (x,y,width,height; at least 8 x 8)"
            )
        if min(width // self.columns, height // self.rows) < 8:
            raise ValueError(f"a grid of {self.rows} x {self.columns} tiles is too fine for a region of {width} x {height}")

    @property
    def tiles(self) -> int:
        """Tiles in one frame."""
        return self.rows * self.columns

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """Every tile's (x, y, width, height) in the frame, row by row."""
        x, y, width, height = self.region
        return tuple(
            (x + left, y + top, tile_width, tile_height)
            for top, tile_height in _spans(height, self.rows, self.overlap)
            for left, tile_width in _spans(width, self.columns, self.overlap)
        )

    @property
    def map_shape(self) -> tuple[int, int]:
        """(height, width) of a frame's stitched map, in map pixels."""
        return _canvas(self.input_side, self.rows, self.overlap), _canvas(self.input_side, self.columns, self.overlap)

    def need(self, image: Pixels) -> None:
        """Raise ImageError, with the mend, unless ``image`` is a frame as the recipe was made for: in type, size and kind."""
        need_picture(image)
        if image.shape[:2] != (self.frame[1], self.frame[0]):
            raise ImageError(
                f"the frame is {image.shape[1]} x {image.shape[0]} pixels, the recipe was made for "
                f"{self.frame[0]} x {self.frame[1]}: set the camera's width and height, or fit a new recipe"
            )
        self.need_kind(image)

    def need_kind(self, image: Pixels) -> None:
        """The same for its kind alone, grey or colour: for pictures that are still to be brought to the frame's size."""
        if self.channels is not None:
            need_kind(channels_of(image), self.channels)

    def cut(self, image: Pixels, out: Pixels) -> None:
        """Cut a frame into ``out``, (tiles, side, side, 3) uint8 RGB; ``image`` is (H, W) grey or (H, W, 3) RGB uint8.

        Raises ImageError for any other frame than `need` takes, and for an ``out`` that would not hold all of it: then it has
        not been changed, or not wholly, and must not be looked at.
        """
        self.need(image)
        shape = (self.tiles, self.input_side, self.input_side, 3)
        if out.dtype != np.uint8 or out.shape != shape or not out.flags.c_contiguous:
            raise ImageError(
                f"the tiles to fill are {out.dtype} of {' x '.join(map(str, out.shape))}, not uint8 of "
                f"{' x '.join(map(str, shape))} in one piece: the engine is of another recipe, build it again"
            )
        side = (self.input_side, self.input_side)
        for target, (x, y, width, height) in zip(out, self.boxes, strict=True):
            part = image[y : y + height, x : x + width]
            # INTER_AREA averages when shrinking (no aliasing of fine texture); it does not apply when enlarging.
            shrinks = width >= self.input_side and height >= self.input_side
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            if part.ndim == 3:
                filled = cv2.resize(part, side, dst=target, interpolation=method)
            else:
                filled = cv2.cvtColor(cv2.resize(part, side, interpolation=method), cv2.COLOR_GRAY2RGB, dst=target)
            # OpenCV makes an array of its own where this one does not suit, and the part before would be inspected.
            if filled is not target:
                raise ImageError("a tile was not filled: OpenCV did not take the engine's buffer; build the engine again")

    def cut_new(self, image: Pixels) -> Pixels:
        """Like `cut`, into a new array."""
        out = np.empty((self.tiles, self.input_side, self.input_side, 3), np.uint8)
        self.cut(image, out)
        return out

    def placements(self) -> tuple[tuple[int, int], ...]:
        """(top, left) of every tile's map on the stitched map, in map pixels."""
        step = _step(self.input_side, self.overlap)
        return tuple((row * step, column * step) for row in range(self.rows) for column in range(self.columns))

    def blend_weights(self) -> npt.NDArray[np.float32]:
        """(tiles, side, side) weights that sum to 1 at every pixel of the stitched map."""
        side, overlap = self.input_side, self.input_side - _step(self.input_side, self.overlap)
        # Rising over the overlap, never 0: the outermost pixel of a frame has only one tile.
        ramp = np.minimum(np.arange(1, side + 1) / (overlap + 1), 1.0)
        edge = np.minimum(ramp, ramp[::-1])
        window = np.outer(edge, edge)
        total = np.zeros(self.map_shape)
        for top, left in self.placements():
            total[top : top + side, left : left + side] += window
        return np.stack([window / total[t : t + side, left : left + side] for t, left in self.placements()]).astype(np.float32)

    def to_frame(self, x: float, y: float) -> tuple[float, float]:
        """A point of the stitched map in frame pixels."""
        height, width = self.map_shape
        return self.region[0] + x * self.region[2] / width, self.region[1] + y * self.region[3] / height


def _step(side: int, overlap: float) -> int:
    return side - round(side * overlap)


def _canvas(side: int, count: int, overlap: float) -> int:
    return side + (count - 1) * _step(side, overlap)


def _spans(length: int, count: int, overlap: float) -> list[tuple[int, int]]:
    """(start, length) of `count` equal spans that cover `length` and overlap by the given share of a span."""
    span = min(length, round(length / (1 + (count - 1) * (1 - overlap))))
    starts = [round(i * (length - span) / max(count - 1, 1)) for i in range(count)]
    return [(start, span) for start in starts]
