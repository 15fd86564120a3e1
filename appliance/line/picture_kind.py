"""Whether a line's camera gives the kind of picture, grey or colour, that its recipe was made from."""

from __future__ import annotations

from pathlib import Path

from engines.common.errors import ConfigError
from engines.pictures.geometry import Geometry
from engines.pictures.picture_kind import FORMATS, NAMES, OF


def need_kind(channels: int | None, geometry: Geometry, file: Path) -> None:
    """Raise ConfigError when a camera's ``channels`` (see `appliance.capture.Camera`) are not those of the recipe.

    ``file`` is the line's.  What one of them does not tell is seen at its first picture, which is refused then.
    """
    wanted = geometry.channels
    if channels is None or wanted is None or channels == wanted:
        return
    found = NAMES[1 if channels == 1 else 3]
    raise ConfigError(
        f"{file}: camera.features.PixelFormat: the camera's pictures are {found}, and the recipe was made from pictures "
        f"{OF[wanted]}: set it to a format such as {FORMATS[wanted]}, or fit a new recipe"
    )
