"""`calibrate detectability`: what is found, told in figures and a picture, without touching the sealed recipe."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from calibrate.cli.detectability import detectability
from calibrate.detection.detectability import (
    JSON,
    PICTURE,
    Cell,
    Curve,
    Detectability,
    Inspector,
    ladder,
    measure_detectability,
)
from calibrate.detection.detectability_picture import detectability_png, size_text
from calibrate.detection.injection import KINDS, inject, inspected
from calibrate.thresholds.scorer import Scorer
from engines.common.errors import ConfigError, RecipeError
from engines.judgement import judge, measure
from engines.pictures.images import decode_image, read_image
from engines.pictures.scores import frame_scores
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.golden_samples import read_samples
from engines.recipe.thresholds import FILE, load_thresholds
from tests.virtual_line.product import render


def test_the_command_writes_figures_and_a_picture_beside_the_sealed_recipe(
    recipe: Recipe, golden_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Path(shutil.copytree(recipe.folder, tmp_path / "assembly"))
    detectability(recipe=own, golden=golden_folder, target="torch", contrast=[64], trials=1, json=tmp_path / "seen.json")
    assert load_recipe(own).digest == recipe.digest
    seen = msgspec.json.decode((own / "report" / JSON).read_bytes(), type=Detectability)
    assert (tmp_path / "seen.json").read_bytes() == (own / "report" / JSON).read_bytes()
    assert (seen.recipe_digest, seen.thresholds_version, seen.engine) == (recipe.digest, 1, "torch float32")
    assert [(curve.kind, curve.contrast) for curve in seen.curves] == [(kind, 64) for kind in KINDS]
    assert seen.samples + seen.rejected_samples == 4
    cells = [cell for curve in seen.curves for cell in curve.cells]
    assert seen.frames >= 4 + sum(cell.trials for cell in cells)
    assert all(0 <= cell.located <= cell.found <= cell.trials for cell in cells)
    assert all(cell.size_px == pytest.approx(cell.size * 5.12) for cell in cells)
    assert all(curve.cells for curve in seen.curves)
    assert decode_image((own / "report" / PICTURE).read_bytes(), PICTURE).shape[1] == 1870
    told = capsys.readouterr().out
    assert "smallest size found with 95 % probability" in told
    assert f"{seen.frames} frames judged by torch float32" in told
    assert "detectability.png" in told


def test_samples_that_are_rejected_as_they_are_are_not_used(recipe: Recipe, golden_folder: Path) -> None:
    thresholds = load_thresholds(recipe)
    assert thresholds is not None
    held_out = read_samples(golden_folder, recipe.manifest, held_out=True)
    strict = msgspec.structs.replace(thresholds, score_threshold=1e-9)
    with Scorer(recipe, "torch", "float32") as scorer:
        rejected = render(900, "missing piece").image
        inspector = Inspector(scorer, msgspec.structs.replace(thresholds, pixel_threshold=1e9), recipe.manifest.geometry)
        assert inspector.judge(held_out[0]).passed
        with pytest.raises(ConfigError, match="all 4 held-out golden samples are rejected at these thresholds"):
            measure_detectability(recipe, strict, scorer, held_out, None, lambda *_: None)
        assert not Inspector(scorer, strict, recipe.manifest.geometry).judge(rejected).passed


def test_a_defect_is_located_when_a_region_lies_on_it(recipe: Recipe) -> None:
    thresholds, geometry = load_thresholds(recipe), recipe.manifest.geometry
    assert thresholds is not None
    part = render(1).image
    drawn = inject(part, part, inspected(geometry, None), "blob", 60, 40, np.random.default_rng(0))
    assert drawn is not None
    on_map = drawn.on_map(geometry)
    over = np.float32(2 * thresholds.pixel_threshold)
    with Scorer(recipe, "torch", "float32") as scorer:
        inspector = Inspector(scorer, thresholds, geometry)

        def located(frame_map: np.ndarray) -> bool:
            return inspector.locates(judge(measure(frame_map, frame_scores(frame_map), None), thresholds), drawn)

        assert not located(np.zeros(geometry.map_shape, np.float32))
        assert not located(np.where(on_map, np.float32(0), over)), "regions elsewhere only"
        assert located(np.where(on_map, over, np.float32(0)))


def test_a_recipe_without_thresholds_is_told_the_command(recipe: Recipe, golden_folder: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(recipe.folder, tmp_path / "assembly"))
    (own / FILE).unlink()
    with pytest.raises(RecipeError, match="has no thresholds yet; calibrate them with: calibrate thresholds --recipe"):
        detectability(recipe=own, golden=golden_folder, target="torch")
    assert not (own / "report").exists()


def test_the_ladder_ends_where_the_camera_does() -> None:
    sizes = ladder(512)
    assert sizes[-1] == 32
    assert 2 <= sizes[0] * 5.12 < 2 * 2**0.5
    assert all(larger == pytest.approx(size * 2**0.5) for size, larger in itertools.pairwise(sizes))
    assert ladder(64)[0] * 0.64 >= 2


def test_the_picture_copes_with_whatever_was_measured(golden_folder: Path) -> None:
    """One kind that is found, one never found, one that the product has no place for; grey pictures."""
    sizes = ladder(512)

    def curve(kind: str, contrast: int, hits: list[int], found: float | None) -> Curve:
        cells = tuple(Cell(size, size * 5.12, 12, n, n, n / 12) for size, n in zip(sizes[5:], hits, strict=False))
        return Curve(kind, contrast, cells, found, None)

    seen = Detectability(
        recipe="assembly", recipe_digest="a" * 64, thresholds_version=1, thresholds_engine="torch float32",
        engine="torch float32", samples=2, rejected_samples=0, region_px=512, probability=0.95, confidence=0.95, frames=99,
        curves=(
            curve("scratch", 64, [0, 6, 12, 12], sizes[7]),
            curve("scratch", 32, [0, 3, 11, 12], None),
            curve("blob", 64, [0, 0], None),
            curve("texture swap", 64, [], None),
        ),
        seed=0, created="2026-11-22T06:00:00+00:00",
    )  # fmt: skip
    samples = [np.asarray(read_image(file).mean(axis=2), np.uint8) for file in sorted(golden_folder.iterdir())[:2]]
    picture = decode_image(detectability_png(seen, samples, np.ones((512, 512), np.bool_)), PICTURE)
    assert picture.shape[2] == 3
    assert (np.abs(picture.astype(int) - (11, 122, 59)).sum(axis=2) < 12).sum() > 2000, "the green frame of what is found"
    assert size_text(seen, sizes[7]) == "29 px (5.7 %)"
    assert size_text(seen, None) == "-"
