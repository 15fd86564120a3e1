"""A recipe's golden samples, read again by the names and digests in its manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np

from engines.common.errors import ImageError, RecipeError
from engines.pictures.geometry import Geometry, Pixels
from engines.pictures.images import decode_image, read_content
from engines.recipe.bundle import Manifest


def read_samples(folder: Path, manifest: Manifest, held_out: bool) -> list[Pixels]:
    """The golden samples that were held out, or those that were fitted, from the folder that the fit was given.

    Raises RecipeError when one is missing or is another file now.
    """
    return [_read(folder / sample.name, sample.sha256, manifest) for sample in manifest.golden if sample.held_out == held_out]


def resize(image: Pixels, width: int, height: int) -> Pixels:
    """The picture at another size, unless it has it."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def need_kind(image: Pixels, geometry: Geometry, name: str) -> None:
    """Raise ImageError that names a picture of the other kind, grey or colour, than the recipe was fitted on."""
    try:
        geometry.need_kind(image)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error


def fitting(image: Pixels, geometry: Geometry, name: str) -> Pixels:
    """A picture at the recipe's frame size, once it has passed `need_kind`."""
    need_kind(image, geometry, name)
    return resize(image, *geometry.frame)


def _read(file: Path, sha256: str, manifest: Manifest) -> Pixels:
    if not file.is_file():
        raise RecipeError(
            f"{file}: this golden sample is missing; give the folder that the fit used with --golden, or fit again"
        )
    content = read_content(file)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RecipeError(f"{file}: this golden sample has changed since the fit; restore the file or fit again")
    return fitting(decode_image(content, str(file)), manifest.geometry, str(file))
