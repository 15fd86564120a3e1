"""The templates of a recipe: golden samples that a network compares parts with, and what people see of them.

A recipe has either one pinned template, `template.png`, or a bank of them, `bank.safetensors`: half-precision features, and
for each template a small picture (JPEG).  Free of torch, so that a line can show a template.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors import SafetensorError, safe_open

from engines.common.errors import RecipeError
from engines.pictures.geometry import Pixels
from engines.pictures.images import decode_image, png_bytes
from engines.recipe.bundle import Recipe

PICTURE = "picture."  # and the template's index: its tensor in a bank
PICTURE_SIDE, PICTURE_QUALITY = 640, 90


@dataclass(frozen=True)
class Templates:
    """What a recipe keeps of its templates."""

    pictures: tuple[bytes, ...]  # encoded
    features: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)  # of a bank; see `Network.bank`

    @classmethod
    def pinned(cls, picture: Pixels) -> Templates:
        """One template, a whole frame."""
        return cls((png_bytes(picture),))

    def picture(self, index: int) -> Pixels:
        """A template's picture, (H, W) grey or (H, W, 3) RGB; a pinned template's is the whole frame."""
        return decode_image(self.pictures[index], f"template {index}")


def read_templates(recipe: Recipe, features: bool = True) -> Templates:
    """A recipe's templates; a line needs their pictures only. Raises RecipeError for a bank that cannot be read."""
    file = recipe.folder / recipe.manifest.model.templates_file
    if file.suffix == ".png":
        return Templates((file.read_bytes(),))
    try:
        with safe_open(file, framework="np") as bank:
            names = set(bank.keys())
            pictures = tuple(bank.get_tensor(_name(i)).tobytes() for i in range(len(recipe.manifest.templates)))
            wanted = sorted(name for name in names if not name.startswith(PICTURE)) if features else []
            return Templates(pictures, {name: bank.get_tensor(name) for name in wanted})
    except (OSError, SafetensorError) as error:
        raise RecipeError(f"{file}: cannot be read as a bank ({error}); make it again with: calibrate bank") from error


def bank_bytes(templates: Templates) -> bytes:
    """Content of `bank.safetensors`."""
    from safetensors.numpy import save

    pictures = {_name(i): np.frombuffer(picture, np.uint8) for i, picture in enumerate(templates.pictures)}
    content: bytes = save({**templates.features, **pictures})
    return content


def small_picture(image: Pixels) -> bytes:
    """A picture for people (JPEG), at most 640 pixels long."""
    shown, buffer = Image.fromarray(image), io.BytesIO()
    shown.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    shown.save(buffer, format="JPEG", quality=PICTURE_QUALITY)
    return buffer.getvalue()


def write_templates(folder: Path, name: str, templates: Templates) -> None:
    """Write the templates' file into a bundle."""
    content = templates.pictures[0] if name.endswith(".png") else bank_bytes(templates)
    (folder / name).write_bytes(content)


def _name(index: int) -> str:
    return f"{PICTURE}{index:04d}"
