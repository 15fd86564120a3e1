"""Scoring pictures with a recipe's reference engine, and deriving thresholds from the scores."""

from __future__ import annotations

import getpass
import hashlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calibrate.thresholding import choose_score, upper_limit
from engines.errors import ImageError, RecipeError
from engines.geometry import Pixels
from engines.golden_samples import read_samples, resize
from engines.ignore_mask import ignored_map
from engines.images import list_images, png_bytes, read_image
from engines.recipe import Recipe, decode_json, write_file
from engines.scores import SCORES, frame_scores
from engines.synthetic import with_defect
from engines.targets import load_reference, run_once
from engines.thresholds import FILE, IGNORE_MASK, Thresholds, save_thresholds

SYNTHETIC = 36  # defects drawn where there are no known rejects
Maps = list[npt.NDArray[np.float32]]


def calibrate_thresholds(
    recipe: Recipe,
    golden: Path,
    rejects: Path | None,
    ignore: Path | None,
    false_reject_rate: float,
    minimum_area: int,
    tell: Callable[[int, int], None],
) -> Thresholds:
    """Score the held-out golden samples, derive thresholds, and write them into the bundle.

    ``rejects`` is a folder of known rejects, for the choice of the score only; synthetic defects stand in for it.  A part has
    two ways to fail (score, region), so each gets half of ``false_reject_rate``.
    """
    geometry, manifest = recipe.manifest.geometry, recipe.manifest
    good = read_samples(golden, manifest, held_out=True)
    if rejects is not None:
        defect = [resize(read_image(file), *geometry.frame) for file in list_images(rejects)]
        if not defect:
            raise ImageError(f"{rejects}: no image of a known reject there; give another folder or leave --rejects out")
    else:
        rng = np.random.default_rng(manifest.seed)
        defect = [with_defect(good[i % len(good)], rng, i) for i in range(SYNTHETIC)]
    mask = read_image(ignore) if ignore is not None else None
    ignored = ignored_map(mask, geometry, str(ignore)) if mask is not None else None
    total = len(good) + len(defect)
    maps = list(_maps(recipe, good + defect, ignored, lambda done: tell(done, total)))
    scores = np.array([frame_scores(one) for one in maps], np.float64)
    if not np.isfinite(scores).all() or not (scores > 0).all():
        raise RecipeError(f"{recipe.folder}: the network gives scores that are no positive numbers; fit the recipe again")
    good_scores, defect_scores = scores[: len(good)], scores[len(good) :]
    margins = choose_score(good_scores, defect_scores, false_reject_rate / 2)
    chosen = max(SCORES, key=lambda name: margins[name])
    column = good_scores[:, SCORES.index(chosen)]
    limit = upper_limit(column, false_reject_rate / 2)
    pixel_limit = upper_limit(good_scores[:, SCORES.index("max")], false_reject_rate / 2)
    thresholds = Thresholds(
        version=_next_version(recipe),
        recipe_digest=recipe.digest,
        score=chosen,
        score_threshold=limit.value,
        pixel_threshold=pixel_limit.value,
        minimum_area=minimum_area,
        method=f"{limit.method}; the pixel threshold likewise, from each map's maximum",
        promise=f"{limit.promise}; the same for the pixel threshold, at most {false_reject_rate:.2%} rejected in all",
        false_reject_rate=false_reject_rate,
        held_out_scores=tuple(float(value) for value in column),
        score_choice=margins,
        ignore_mask=None if mask is None else hashlib.sha256(png_bytes(mask)).hexdigest(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        created_by=getpass.getuser(),
    )
    try:
        if mask is not None:
            write_file(recipe.folder / IGNORE_MASK, png_bytes(mask))
        save_thresholds(recipe.folder, thresholds)
    except OSError as error:
        raise RecipeError(
            f"{recipe.folder}: the thresholds cannot be written ({error.strerror or error}); "
            "make room, then run the same command again"
        ) from error
    return thresholds


def _maps(
    recipe: Recipe, images: list[Pixels], ignored: npt.NDArray[np.bool_] | None, tell: Callable[[int], None]
) -> Iterable[npt.NDArray[np.float32]]:
    slot = load_reference(recipe).new_slot()
    for done, image in enumerate(images, start=1):
        run_once(slot, image, recipe.manifest.geometry)
        if ignored is not None:
            slot.frame_map[ignored] = 0
        yield slot.frame_map.copy()
        tell(done)


def _next_version(recipe: Recipe) -> int:
    file = recipe.folder / FILE
    try:
        return decode_json(file.read_bytes(), Thresholds, file).version + 1 if file.exists() else 1
    except RecipeError as error:  # not overwritten: somebody signed it
        raise RecipeError(f"{error}; if it is of no use any more, delete it and run the same command again") from error
