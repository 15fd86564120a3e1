"""Image files: which ones count, and reading them whole or refusing them by name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from engines.common.errors import ImageError
from engines.pictures.geometry import Pixels

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
GREY_MODES = frozenset({"L", "1"})
DEEP_MODES = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


def list_images(folder: Path) -> list[Path]:
    """The image files right in a folder, in name order. Raises ImageError when there is no such folder."""
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder; give the folder that holds the images")
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))


def read_image(file: Path) -> Pixels:
    """Read an 8-bit picture as (H, W) grey or (H, W, 3) RGB uint8.

    Raises ImageError for a file that is missing, truncated, no image, or deeper than 8 bits (Pillow would cut that down
    without a word).
    """
    return decode_image(read_content(file), str(file))


def read_content(file: Path) -> bytes:
    """A file's content. Raises ImageError that names it."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ImageError(f"{file}: cannot be read ({error.strerror or error})") from error


def decode_image(content: bytes, name: str) -> Pixels:
    """`read_image` for a file's content."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            # A decoder's raw mode tells the depth in the file, where the mode tells only Pillow's choice for it.
            raw_modes = " ".join(str(tile.args) for tile in image.tile)
            if image.mode in DEEP_MODES or ";16" in raw_modes:
                raise ImageError(f"{name}: more than 8 bits a channel; save it as 8-bit grey or colour")
            image.info.pop("transparency", None)  # alpha is left out; Pillow would warn of that for a palette
            return np.array(image.convert("L" if image.mode in GREY_MODES else "RGB"))
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image, or of a format that is not supported; remove it or save it as PNG") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # SyntaxError: Pillow, on broken PNG
        raise ImageError(f"{name}: damaged image ({error}); remove it or save it again") from error


def png_bytes(image: Pixels) -> bytes:
    """An image (H, W) or (H, W, 3) RGB as a PNG file's content; lossless."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()
