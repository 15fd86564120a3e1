"""Recipes without a fit, for what reads a recipe's numbers and digests and leaves its weights to the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engines.pictures.geometry import Geometry
from engines.pictures.images import png_bytes
from engines.recipe.bundle import FORMAT, WEIGHTS, Manifest, Recipe, load_recipe, seal
from engines.recipe.model_config import TFANetConfig


def made_manifest(geometry: Geometry, files: dict[str, str] | None = None) -> Manifest:
    """A manifest of frames that are cut so."""
    return Manifest(
        format=FORMAT,
        product="made",
        profile="small",
        model=TFANetConfig(),
        geometry=geometry,
        golden=(),
        templates=("a.png",),
        seed=0,
        steps=0,
        held_out_loss=0.0,
        curve=(),
        created="2024-01-01T00:00:00+00:00",
        versions={},
        files=files or {},
    )


def made_recipe(folder: Path, geometry: Geometry) -> Recipe:
    """A bundle in a new folder, whose weights are empty."""
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(b"")
    (folder / TFANetConfig.templates_file).write_bytes(png_bytes(np.zeros((*geometry.frame[::-1], 3), np.uint8)))
    seal(folder, lambda files: made_manifest(geometry, files))
    return load_recipe(folder)
