"""Calibrating thresholds: versions, known rejects, ignore-masks, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calibrate.scoring import calibrate_thresholds
from engines.errors import ImageError, RecipeError
from engines.images import png_bytes
from engines.recipe import Recipe, load_recipe
from engines.scores import SCORES
from engines.thresholds import FILE, IGNORE_MASK, Thresholds, load_thresholds
from tests.virtual_line.product import render

Calibrate = Callable[..., Thresholds]


@pytest.fixture
def own(recipe: Recipe, tmp_path: Path) -> Recipe:
    """A copy without thresholds."""
    folder = Path(shutil.copytree(recipe.folder, tmp_path / "assembly"))
    (folder / FILE).unlink()
    return load_recipe(folder)


@pytest.fixture
def rejects(tmp_path: Path) -> Path:
    """Three known rejects, one of them of another size."""
    folder = tmp_path / "rejects"
    folder.mkdir()
    for i, defect in enumerate(("stain", "missing piece", "misplaced piece")):
        (folder / f"{i}.png").write_bytes(png_bytes(render(700 + i, defect).image[: 512 - 8 * i]))
    return folder


@pytest.fixture
def calibrate(own: Recipe, golden_folder: Path, rejects: Path) -> Calibrate:
    def run(ignore: Path | None = None, rate: float = 0.01) -> Thresholds:
        return calibrate_thresholds(own, golden_folder, rejects, ignore, rate, 12, lambda _done, _total: None)

    return run


def test_each_calibration_is_a_new_version_bound_to_the_recipe(own: Recipe, calibrate: Calibrate) -> None:
    first = calibrate()
    assert load_thresholds(own) == first
    second = calibrate(rate=0.1)
    assert load_thresholds(own) == second
    assert (first.version, second.version) == (1, 2)
    assert first.recipe_digest == own.digest
    assert first.held_out_scores == second.held_out_scores or first.score != second.score
    assert set(first.score_choice) == set(SCORES)
    assert first.score == max(first.score_choice, key=lambda name: first.score_choice[name])
    assert len(first.held_out_scores) == 3
    assert first.score_threshold > max(first.held_out_scores)
    assert second.pixel_threshold < first.pixel_threshold  # more good parts may be rejected


def test_synthetic_defects_stand_in_for_rejects_and_progress_is_told(recipe: Recipe, own: Recipe, golden_folder: Path) -> None:
    told: list[tuple[int, int]] = []
    made = calibrate_thresholds(own, golden_folder, None, None, 0.01, 12, lambda done, total: told.append((done, total)))
    assert told == [(i, 39) for i in range(1, 40)]
    before = load_thresholds(recipe)
    assert before is not None
    assert made.score_choice == pytest.approx(before.score_choice, rel=1e-3)  # the same samples give the same numbers
    assert made.score_threshold == pytest.approx(before.score_threshold, rel=1e-4)


def test_an_ignore_mask_changes_the_scores_and_is_kept_with_them(own: Recipe, calibrate: Calibrate, tmp_path: Path) -> None:
    mask = np.full((512, 512), 255, np.uint8)
    mask[200:300, 100:300] = 0
    (tmp_path / "mask.png").write_bytes(png_bytes(mask))
    with_mask = calibrate(tmp_path / "mask.png")
    assert with_mask.ignore_mask == hashlib.sha256((own.folder / IGNORE_MASK).read_bytes()).hexdigest()
    assert load_thresholds(own) == with_mask
    without = calibrate()
    assert without.ignore_mask is None
    assert load_thresholds(own) == without
    assert with_mask.pixel_threshold != without.pixel_threshold


def test_an_ignore_mask_of_another_size_is_refused_and_nothing_is_written(
    own: Recipe, calibrate: Calibrate, tmp_path: Path
) -> None:
    (tmp_path / "mask.png").write_bytes(png_bytes(np.zeros((256, 512), np.uint8)))
    with pytest.raises(ImageError, match=r"mask\.png: the ignore-mask is 512 x 256 pixels, the frame is 512 x 512"):
        calibrate(tmp_path / "mask.png")
    assert not (own.folder / FILE).exists()
    assert not (own.folder / IGNORE_MASK).exists()


def test_a_folder_without_rejects_or_with_a_damaged_one_is_refused(calibrate: Calibrate, rejects: Path) -> None:
    (rejects / "1.png").write_bytes((rejects / "1.png").read_bytes()[:5000])
    with pytest.raises(ImageError, match=r"rejects/1\.png: damaged image"):
        calibrate()
    for file in rejects.iterdir():
        file.unlink()
    with pytest.raises(ImageError, match="rejects: no image of a known reject there"):
        calibrate()


def test_golden_samples_of_another_fit_are_refused(own: Recipe, rejects: Path) -> None:
    with pytest.raises(RecipeError, match="this golden sample is missing"):
        calibrate_thresholds(own, rejects, None, None, 0.01, 12, pytest.fail)


def test_damaged_thresholds_are_not_overwritten(own: Recipe, calibrate: Calibrate) -> None:
    (own.folder / FILE).write_text('{"version": ')
    with pytest.raises(RecipeError, match=r"thresholds\.json: .*truncated"):
        calibrate()
    assert (own.folder / FILE).read_text() == '{"version": '
