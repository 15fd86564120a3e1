"""From a fitted recipe, the engine that serves, and held-out golden samples to thresholds that somebody can sign."""

from __future__ import annotations

import getpass
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from calibrate.thresholds.held_out import Picture, held_out_samples, known_rejects
from calibrate.thresholds.limits import Floats, choose_area, choose_score, cut, method, promise, scale_of
from calibrate.thresholds.scorer import Scorer
from engines.common.errors import ImageError, RecipeError
from engines.common.files import decode_json
from engines.pictures.geometry import Pixels
from engines.pictures.images import png_bytes, read_image
from engines.pictures.scores import SCORES
from engines.pictures.synthetic_defects import with_defect
from engines.proof.admission import describe
from engines.proof.build import verify_engine
from engines.recipe.bundle import Recipe
from engines.recipe.golden_samples import read_samples
from engines.recipe.ignore_mask import ignored_map
from engines.recipe.thresholds import (
    FILE,
    Candidate,
    Scored,
    Thresholds,
    kept_mask,
    load_history,
    need_unedited,
    save_thresholds,
    thresholds_as_written,
)
from engines.targets import TARGETS

TYPICAL = 60  # fitted samples, at most, that tell what is typical and which score is best
AREAS = (4, 12, 36)  # map pixels: what the least area of a region is chosen from
FEWEST = 2  # held-out samples: of one alone no spread can be told
SYNTHETIC = 36  # defects drawn onto them where there are no known rejects
Say = Callable[[str], None]
Tell = Callable[[int, int], None]


class ThresholdsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for."""

    recipe: Recipe
    golden: Path  # folder that the fit used
    target: str
    precision: str
    known_good: Path | None = None  # more pictures of good parts that took no part in the fit
    rejects: Path | None = None
    ignore: Path | None = None
    max_false_reject: float = 0.005
    confidence: float = 0.95
    minimum_area: int | None = None  # map pixels; None: chosen by measurement
    by: str = ""
    note: str = ""


def calibrate_thresholds(request: ThresholdsRequest, say: Say, tell: Tell) -> Thresholds:
    """Measure good parts with the engine that serves, derive thresholds, write them, and prove the engine for them.

    Raises UserError kinds for all that the user can mend; until the thresholds are written, nothing is changed.
    """
    recipe = request.recipe
    manifest = recipe.manifest
    version = _next_version(recipe)
    mask = read_image(request.ignore) if request.ignore is not None else None
    ignored = ignored_map(mask, manifest.geometry, str(request.ignore)) if mask is not None else None
    fitted = read_samples(request.golden, manifest, held_out=False)
    rng = np.random.default_rng(manifest.seed)
    typical = [fitted[i] for i in sorted(rng.permutation(len(fitted))[:TYPICAL])]
    held_out = held_out_samples(request.golden, request.known_good, manifest, say)
    if len(held_out) < FEWEST:
        raise ImageError(
            f"{request.golden}: {len(held_out)} good picture that took no part in the fit, and thresholds need {FEWEST} at "
            "least; give a folder of more with --known-good"
        )
    rejects = known_rejects(request.rejects, manifest) if request.rejects is not None else []
    defects = [one.image for one in rejects] or [
        with_defect(typical[i % len(typical)], rng, i, manifest.geometry.region) for i in range(SYNTHETIC)
    ]
    images = [*typical, *defects, *(one.image for one in held_out)]
    areas = AREAS if request.minimum_area is None else (request.minimum_area,)
    with Scorer(recipe, request.target, request.precision, ignored=ignored) as scorer:
        engine, (scores, levels) = scorer.engine, _measure(scorer, images, areas, recipe, tell)
    of_typical, of_defects = np.s_[: len(typical)], np.s_[len(typical) : len(typical) + len(defects)]
    score, candidates = choose_score(scores[of_typical], scores[of_defects])
    area = areas[choose_area(levels[of_typical], levels[of_defects])]
    values, regions = scores[:, SCORES.index(score)], levels[:, areas.index(area)]
    scale = scale_of(values[of_typical], regions[of_typical])
    measured = list(zip(values, regions, scale.deviations(values, regions), strict=True))
    samples = _scored(held_out, measured[len(typical) + len(defects) :])
    deviations = np.array([one.deviation for one in samples])
    defect_deviations = np.array([deviation for *_, deviation in measured[of_defects]])
    limit, guarantee = cut(deviations, defect_deviations, request.max_false_reject, request.confidence, manifest.seed)
    score_threshold, pixel_threshold = scale.thresholds(limit)
    shown = "known rejects" if rejects else "synthetic defects"
    thresholds = Thresholds(
        version=version,
        recipe_digest=recipe.digest,
        engine=engine,
        score=score,
        score_threshold=score_threshold,
        pixel_threshold=pixel_threshold,
        minimum_area=area,
        scale=scale,
        limit=limit,
        guarantee=guarantee,
        method=method(guarantee),
        promise=promise(guarantee),
        samples=samples,
        rejects=_scored(rejects, measured[of_defects]) if rejects else (),
        candidates=candidates,
        choice=_choice(candidates[score], len(typical), f"{len(defects)} {shown}", None if request.minimum_area else area),
        ignore_mask=None if mask is None else hashlib.sha256(png_bytes(mask)).hexdigest(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        created_by=request.by or getpass.getuser(),
        note=request.note,
    )
    _write(recipe, thresholds, None if mask is None else png_bytes(mask))
    prove_again(recipe, request.target, request.precision, request.golden, say, tell)
    return thresholds


def restore_thresholds(recipe: Recipe, version: int | None, by: str, note: str) -> Thresholds:
    """Take up an earlier version again, as a new one; None: the one before the present one.

    Raises RecipeError when there is no such version of this recipe.
    """
    present = thresholds_as_written(recipe)  # one that was edited can be left for what was signed
    history = {one.version: one for one in load_history(recipe) if one.recipe_digest == recipe.digest}
    before = [one for one in history if present is None or one < (present.restores or present.version)]
    wanted = version if version is not None else max(before, default=None)
    if wanted is None or wanted not in history:
        there = ", ".join(map(str, history)) or "none"
        what = "earlier version" if wanted is None else f"version {wanted}"
        raise RecipeError(f"{recipe.folder}: its thresholds have no {what} to go back to; there are: {there}")
    need_unedited(recipe, history[wanted])
    restored = msgspec.structs.replace(
        history[wanted],
        version=_next_version(recipe),
        restores=history[wanted].restores or wanted,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        created_by=by or getpass.getuser(),
        note=note,
    )
    _write(recipe, restored, kept_mask(recipe.folder, history[wanted]))
    return restored


def prove_again(recipe: Recipe, target: str, precision: str, golden: Path, say: Say, tell: Tell) -> None:
    """Prove an engine for the recipe's new thresholds. Raises RecipeError when it gives other verdicts than the reference."""
    if TARGETS[target].reference == precision:
        say(f"{target} {precision} is the reference itself: there is nothing to prove")
        return
    say(f"comparing the verdicts of {target} {precision} with the reference's")
    parity = verify_engine(recipe, target, precision, golden, None, say, tell).parity  # type: ignore[arg-type]  # it was loaded
    assert parity is not None, "it was compared just now"
    told = f"thresholds version {parity.thresholds_version} ({describe(parity)})"
    if not parity.passed:
        raise RecipeError(
            f"{recipe.folder}: {target} {precision} has not passed the parity gate for {told}, so that no line will load it; "
            "choose another precision, or go back with: "
            f"{recipe.naming.command('calibrate thresholds --rollback', target, precision)}"
        )
    say(f"{target} {precision} has passed the parity gate for {told}")


def _measure(
    scorer: Scorer, images: Sequence[Pixels], areas: Sequence[int], recipe: Recipe, tell: Tell
) -> tuple[Floats, Floats]:
    """Scores (n, 3) of the pictures, and for each area the highest level that a region so large exceeds, (n, areas)."""
    scores, levels = [], []
    for done, image in enumerate(images, start=1):
        measured = scorer.measure(image)
        scores.append(measured.scores.astype(np.float64))
        levels.append([measured.level(area) for area in areas])
        if not (np.isfinite([*scores[-1], *levels[-1]]).all() and min(*scores[-1], *levels[-1]) > 0):
            raise RecipeError(f"{recipe.folder}: the network gives scores that are no positive numbers; fit the recipe again")
        tell(done, len(images))
    return np.array(scores), np.array(levels)


def _choice(chosen: Candidate, good: int, defects: str, area: int | None) -> str:
    """Why this score, and this least area where it was chosen, too."""
    text = (
        f"the weakest tenth of {defects} lies {chosen.margin:+.1f} spreads from the highest of {good} good parts, the widest "
        "margin of the three scores"
    )
    of = ", ".join(map(str, AREAS))
    return text if area is None else f"{text}; so it is with regions of {area} map pixels and more, of {of}"


def _scored(pictures: Sequence[Picture], measured: Sequence[tuple[float, float, float]]) -> tuple[Scored, ...]:
    return tuple(
        Scored(picture.name, picture.sha256, float(score), float(level), float(deviation))
        for picture, (score, level, deviation) in zip(pictures, measured, strict=True)
    )


def _write(recipe: Recipe, thresholds: Thresholds, mask: bytes | None) -> None:
    try:
        save_thresholds(recipe.folder, thresholds, mask)
    except OSError as error:
        raise RecipeError(
            f"{recipe.folder}: the thresholds cannot be written ({error.strerror or error}); "
            "make room, then run the same command again"
        ) from error


def _next_version(recipe: Recipe) -> int:
    file = recipe.folder / FILE
    try:
        present = decode_json(file.read_bytes(), Thresholds, file).version if file.exists() else 0
        return max([present, *(one.version for one in load_history(recipe))]) + 1
    except RecipeError as error:  # not overwritten: somebody signed it
        raise RecipeError(f"{error}; if it is of no use any more, delete it and run the same command again") from error
