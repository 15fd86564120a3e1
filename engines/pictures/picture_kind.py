"""What kind of picture an array is: whether it is one at all, and whether it is grey or in colour.

A recipe's network has seen one kind only.  What it says of the other kind means nothing: pictures without colour were found to
pass where the golden samples had some.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from engines.common.errors import ImageError

Channels = Literal[1, 3]
NAMES: dict[Channels, str] = {1: "grey", 3: "in colour"}
OF: dict[Channels, str] = {1: "without colour", 3: "in colour"}
FORMATS: dict[Channels, str] = {1: "Mono8", 3: "RGB8"}  # of a camera, such as give this kind
STRIPE = 64  # rows looked at together


def channels_of(image: npt.NDArray[np.uint8]) -> Channels:
    """1 for a grey picture, 3 for one in colour; ``image`` is (H, W) or (H, W, 3) uint8.

    Three channels that are equal everywhere are grey: so a grey camera's picture looks that some program saved as RGB, and the
    network is given the same numbers either way.  A colour camera gives no such picture, since its noise alone has colour.
    But one flat shade (a covered lens, a lamp that is out) tells nothing, and counts by its shape.
    """
    if image.ndim == 2:
        return 1
    # Colour is nearly everywhere or nowhere: one row settles it for a colour camera's pictures, in microseconds.
    if _has_colour(image[len(image) // 2]) or any(_has_colour(image[i : i + STRIPE]) for i in range(0, len(image), STRIPE)):
        return 3
    return 3 if (image == image[0, 0]).all() else 1


def need_picture(image: npt.NDArray[np.uint8]) -> None:
    """Raise ImageError unless this is (H, W) grey or (H, W, 3) RGB, uint8, and lies in memory without gaps.

    For all else OpenCV would compute, if at all, into an array of its own, and leave the part before in the caller's.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = getattr(image, "dtype", type(image).__name__)
        raise ImageError(
            f"the picture's values are of type {found}, and 8 bits a channel (uint8) are needed: set "
            "camera.features.PixelFormat to Mono8 or RGB8"
        )
    if image.ndim != 2 and (image.ndim != 3 or image.shape[2] != 3):
        raise ImageError(
            f"the picture is an array of {' x '.join(map(str, image.shape))}, and height x width (grey) or height x width x 3 "
            "(RGB) is needed: set camera.features.PixelFormat to Mono8 or RGB8"
        )
    if not image.flags.c_contiguous:
        raise ImageError(
            "the picture's rows do not lie one after the other in memory: whoever hands it over must copy it "
            "(numpy.ascontiguousarray)"
        )


def need_kind(found: Channels, wanted: Channels | None) -> None:
    """Raise ImageError where a recipe was fitted on the other kind of picture; ``wanted`` None: it does not tell."""
    if wanted is not None and found != wanted:
        raise ImageError(
            f"the picture is {NAMES[found]}, the recipe was made from pictures {OF[wanted]}: set camera.features.PixelFormat "
            f"to a format such as {FORMATS[wanted]}, or fit a new recipe"
        )


def _has_colour(part: npt.NDArray[np.uint8]) -> bool:
    red, green, blue = part[..., 0], part[..., 1], part[..., 2]
    return bool((red != green).any() or (green != blue).any())
