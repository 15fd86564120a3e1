"""The photographs of a calibration report: golden samples, and parts with their anomaly maps."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from calibrate.thresholds.held_out import known_rejects
from calibrate.thresholds.scorer import Scorer
from engines.judgement import judge
from engines.pictures.geometry import Pixels
from engines.pictures.images import png_bytes
from engines.pictures.overlay import overlay, rgb
from engines.pictures.synthetic_defects import with_defect
from engines.recipe.bundle import Recipe
from engines.recipe.golden_samples import read_samples
from engines.recipe.thresholds import Thresholds

STRIP, STRIP_SIDE = 12, 150  # golden samples shown, and their side in pixels
SIDE = 420  # of an example's part
SYNTHETIC = ("a scratch", "a stain", "a misplaced piece")  # the kinds of `engines.pictures.synthetic_defects`, in its order


class Example(NamedTuple):
    """A part beside its map."""

    what: str
    deviation: float
    passed: bool
    png: bytes


def golden_strip(recipe: Recipe, golden: Path) -> bytes:
    """Some golden samples in two rows, as PNG."""
    samples = read_samples(golden, recipe.manifest, held_out=False)
    chosen = [samples[i] for i in np.linspace(0, len(samples) - 1, min(STRIP, len(samples))).astype(int)]
    cells = [_fitted(rgb(one), STRIP_SIDE) for one in chosen]
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (len(cells) % 2)
    half = len(cells) // 2
    return png_bytes(np.concatenate([np.concatenate(row, axis=1) for row in (cells[:half], cells[half:])]))


def examples(
    recipe: Recipe, thresholds: Thresholds, golden: Path, rejects: Path | None, target: str, precision: str
) -> list[Example]:
    """A typical held-out good part and the two nearest to the limit; the same of known rejects, or else synthetic defects."""
    held_out = read_samples(golden, recipe.manifest, held_out=True)
    names = [sample.name for sample in recipe.manifest.golden if sample.held_out]
    deviations = {one.name: one.deviation for one in thresholds.samples}
    order = sorted((name for name in names if name in deviations), key=lambda name: deviations[name])
    pictures = {f"good: {name}": held_out[names.index(name)] for name in dict.fromkeys((order[len(order) // 2], *order[-2:]))}
    if rejects is not None:
        known = {one.sha256: one for one in known_rejects(rejects, recipe.manifest)}
        weakest = sorted((one for one in thresholds.rejects if one.sha256 in known), key=lambda one: one.deviation)[:3]
        pictures |= {f"known reject: {one.name}": known[one.sha256].image for one in weakest}
    else:
        rng = np.random.default_rng(recipe.manifest.seed + 2)
        pictures |= {
            f"synthetic: {kind}": with_defect(held_out[0], rng, i, recipe.manifest.geometry.region)
            for i, kind in enumerate(SYNTHETIC)
        }
    shown = []
    with Scorer.judging(recipe, thresholds, target, precision) as scorer:
        for what, picture in pictures.items():
            judgement = judge(scorer.measure(picture), thresholds)
            drawn = _beside(picture, judgement.measured.frame_map, recipe, thresholds)
            deviation = thresholds.deviation(judgement.score, judgement.level())
            shown.append(Example(what, deviation, judgement.passed, drawn))
    return shown


def _beside(picture: Pixels, frame_map: npt.NDArray[np.float32], recipe: Recipe, thresholds: Thresholds) -> bytes:
    """The part, and the map over it in colours that end at twice the pixel threshold."""
    part = rgb(picture)
    heat = overlay(part, frame_map, recipe.manifest.geometry.region, 2 * thresholds.pixel_threshold)
    return png_bytes(np.concatenate([_fitted(part, SIDE), _fitted(heat, SIDE)], axis=1))


def _fitted(picture: Pixels, side: int) -> Pixels:
    """The picture within a square of this side, in its own shape."""
    scale = side / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
