"""`thresholds.json`: bound to one fit, checked with its ignore-mask, and absent before calibration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engines.common.errors import RecipeError
from engines.pictures.images import png_bytes
from engines.recipe.bundle import MANIFEST, Recipe, load_recipe
from engines.recipe.thresholds import FILE, IGNORE_MASK, load_thresholds, save_thresholds
from tests.engines.made_thresholds import consistent


@pytest.fixture
def own(recipe: Recipe, tmp_path: Path) -> Recipe:
    """A copy that a test may spoil."""
    return load_recipe(Path(shutil.copytree(recipe.folder, tmp_path / "assembly")))


def test_saved_thresholds_are_read_back(own: Recipe) -> None:
    thresholds = load_thresholds(own)
    assert thresholds is not None
    renewed = consistent(msgspec.structs.replace(thresholds, version=7, score_threshold=0.1 + 0.2))
    save_thresholds(own.folder, renewed)
    assert load_thresholds(own) == renewed


def test_a_recipe_that_was_never_calibrated_has_none(own: Recipe) -> None:
    (own.folder / FILE).unlink()
    assert load_thresholds(own) is None


def test_thresholds_of_another_fit_are_refused_with_the_command_that_mends_it(own: Recipe) -> None:
    manifest = json.loads((own.folder / MANIFEST).read_bytes()) | {"seed": 99}
    (own.folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(RecipeError, match=r"belongs to another fit .* calibrate thresholds --recipe"):
        load_thresholds(load_recipe(own.folder))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("score_threshold", float("nan")),
        ("score_threshold", 0),
        ("score_threshold", "1.0"),
        ("pixel_threshold", -1.0),
        ("minimum_area", 0),
        ("score", "median"),
        ("tolerance", 1.0),
    ],
)
def test_values_that_could_pass_anything_are_refused_by_name(own: Recipe, key: str, value: object) -> None:
    content = json.loads((own.folder / FILE).read_bytes()) | {key: value}
    (own.folder / FILE).write_text(json.dumps(content))
    with pytest.raises(RecipeError) as caught:
        load_thresholds(own)
    assert str(caught.value).startswith(f"{own.folder / FILE}: ")
    assert key in str(caught.value) or value != value  # JSON has no NaN: refused before there is a key


def test_a_changed_ignore_mask_is_refused(own: Recipe) -> None:
    thresholds = load_thresholds(own)
    assert thresholds is not None
    save_thresholds(own.folder, msgspec.structs.replace(thresholds, ignore_mask="0" * 64))
    with pytest.raises(RecipeError, match=r"ignore\.png: cannot be read"):
        load_thresholds(own)
    (own.folder / IGNORE_MASK).write_bytes(png_bytes(np.zeros((512, 512), np.uint8)))
    with pytest.raises(RecipeError, match=r"ignore\.png: changed since it was written"):
        load_thresholds(own)
