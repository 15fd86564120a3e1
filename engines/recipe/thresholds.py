"""`thresholds.json`: what a frame's score and its map are compared with, and what that promises.

It lives in the bundle but is versioned apart from the engine: a quality engineer signs it, and it can be renewed without
a new fit.  It is bound to one recipe by that recipe's digest.  Every version that ever held stays in `thresholds-history/`.
"""

from __future__ import annotations

import hashlib
import math
import re
import shutil
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from engines.common.errors import RecipeError
from engines.common.files import Sha256, check_digest, decode_json, write_file
from engines.pictures.scores import ScoreName
from engines.recipe.bundle import Recipe

FILE, IGNORE_MASK, HISTORY = "thresholds.json", "ignore.png", "thresholds-history"
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Floats = npt.NDArray[np.float64]
ROUNDING = 1e-6  # relative: thresholds lie this much above the sample that sets them


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logarithms of scores and region levels of typical good parts: centres and spreads (standard deviations)."""

    score_centre: float
    score_spread: Positive
    level_centre: float
    level_spread: Positive

    def deviations(self, scores: Floats, levels: Floats) -> Floats:
        """How far parts with these scores and region levels (n,) > 0 are from typical; NaN where one of them is."""
        by_score = (np.log(scores) - self.score_centre) / self.score_spread
        by_level = (np.log(levels) - self.level_centre) / self.level_spread
        return np.maximum(by_score, by_level)

    def thresholds(self, limit: float) -> tuple[float, float]:
        """Score threshold and pixel threshold that reject just the parts of a larger deviation."""
        score = math.exp(self.score_centre + limit * self.score_spread)
        level = math.exp(self.level_centre + limit * self.level_spread)
        return score * (1 + ROUNDING), level * (1 + ROUNDING)


class Scored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture that thresholds were got from, and what the engine says of it."""

    name: str
    sha256: Sha256  # of the file
    score: float
    level: Annotated[float, Meta(description="the highest pixel threshold at which it would still have a region")]
    deviation: Annotated[float, Meta(description="from typical good parts: what thresholds are cut by")]


class Estimate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a distribution fitted to the held-out samples puts the limit of deviations for the rate asked for: no guarantee."""

    shape: Annotated[str, Meta(description="of the distribution that is assumed")]
    limit: float
    low: Annotated[float | None, Meta(description="of its 90 % interval")]
    high: float | None
    goodness: Annotated[Share | None, Meta(description="p-value of the fit: small when the samples have no such tail")]
    fitted: Annotated[int, Meta(description="samples that it was fitted to: the largest")]
    kept: Annotated[bool, Meta(description="whether the thresholds are at it: not where too many defects would pass")] = True


class Guarantee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds of good parts with these thresholds, as long as good parts stay as they were."""

    asked_rate: Annotated[float, Meta(gt=0, lt=1, description="of false rejects, at most")]
    confidence: Annotated[float, Meta(gt=0, lt=1)]
    samples: int  # held out
    rank: Annotated[int | None, Meta(description="of the sample at the threshold; null: at or beyond the largest")]
    rate: Annotated[Share, Meta(description="of false rejects: at most this, with this confidence, whatever the distribution")]
    more_needed: Annotated[int, Meta(ge=0, description="golden samples, to guarantee what was asked for")]
    estimate: Estimate | None  # where there were too few samples


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well one kind of score does on golden samples that were fitted, and on defects drawn onto them or known rejects."""

    spread: Annotated[float, Meta(description="standard deviation of the good parts' log-scores")]
    margin: Annotated[float, Meta(description="of the weakest tenth of defects over the highest good part, in spreads")]
    detected: Annotated[Share, Meta(description="defects above every good part")]


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a part is judged by: its score and the regions of its map, see `engines.judgement`."""

    version: Annotated[int, Meta(ge=1)]
    recipe_digest: Sha256
    engine: Annotated[str, Meta(description='whose scores these are, such as "openvino float32"')]
    score: ScoreName
    score_threshold: Positive
    pixel_threshold: Positive
    minimum_area: Annotated[int, Meta(ge=1, description="map pixels; a smaller region is not a defect")]
    scale: Scale
    limit: Annotated[float, Meta(description="of deviations: both thresholds stand for this one number")]
    guarantee: Guarantee
    method: str  # how the thresholds were got
    promise: str  # the guarantee in words
    samples: tuple[Scored, ...]  # held-out golden samples
    rejects: tuple[Scored, ...]  # known ones, where they were given
    candidates: dict[ScoreName, Candidate]
    choice: str  # why this score
    ignore_mask: Sha256 | None  # of ignore.png, white where the frame is not inspected
    created: str  # UTC, ISO 8601
    created_by: str
    note: str
    restores: int | None = None  # the version that was taken up again

    @property
    def digest(self) -> Sha256:
        """SHA-256 of all that they say."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def held_out_scores(self) -> tuple[float, ...]:
        """Of the held-out golden samples."""
        return tuple(sample.score for sample in self.samples)

    def deviation(self, score: float, level: float) -> float:
        """How far such a part is from typical; beyond ``limit`` it is rejected."""
        return float(self.scale.deviations(np.array([score]), np.array([level]))[0])


def load_thresholds(recipe: Recipe) -> Thresholds | None:
    """A recipe's thresholds; None when it was not calibrated yet.

    Raises RecipeError when they are damaged or belong to another fit.
    """
    thresholds = _present(recipe)
    if thresholds is None:
        return None
    if thresholds.recipe_digest != recipe.digest:
        raise RecipeError(
            f"{recipe.folder / FILE}: belongs to another fit of this recipe; calibrate again with: "
            f"{recipe.naming.command('calibrate thresholds')}"
        )
    if thresholds.ignore_mask is not None:
        check_digest(recipe.folder / IGNORE_MASK, thresholds.ignore_mask)
    return thresholds


def thresholds_that_hold(recipe: Recipe) -> Thresholds | None:
    """The same, but None also when they belong to another fit: an engine is built before thresholds are got from it."""
    present = _present(recipe)
    return load_thresholds(recipe) if present is not None and present.recipe_digest == recipe.digest else None


def _present(recipe: Recipe) -> Thresholds | None:
    """What stands in the file, whatever it belongs to."""
    file = recipe.folder / FILE
    return decode_json(file.read_bytes(), Thresholds, file) if file.exists() else None


def save_thresholds(folder: Path, thresholds: Thresholds, ignore_mask: bytes | None = None) -> None:
    """Write `thresholds.json`, its ignore-mask (PNG), and the history's copies of both, each whole or not at all."""
    content = msgspec.json.format(msgspec.json.encode(thresholds), indent=2) + b"\n"
    history = folder / HISTORY / f"{thresholds.version:04d}.json"
    history.parent.mkdir(exist_ok=True)
    if ignore_mask is not None:
        write_file(history.with_suffix(".png"), ignore_mask)
        write_file(folder / IGNORE_MASK, ignore_mask)
    write_file(history, content)
    write_file(folder / FILE, content)


def kept_mask(folder: Path, thresholds: Thresholds) -> bytes | None:
    """The ignore-mask of thresholds in the history; None where nothing is ignored."""
    if thresholds.ignore_mask is None:
        return None
    file = folder / HISTORY / f"{thresholds.version:04d}.png"
    check_digest(file, thresholds.ignore_mask)
    return file.read_bytes()


def keep_history(folder: Path, renewed: Path) -> None:
    """Copy all thresholds there have been into a recipe that takes another's place; they do not hold there."""
    for name in (FILE, IGNORE_MASK):
        if (folder / name).exists():
            shutil.copy2(folder / name, renewed)
    if (folder / HISTORY).is_dir():
        shutil.copytree(folder / HISTORY, renewed / HISTORY)


def load_history(recipe: Recipe) -> list[Thresholds]:
    """Every version of a recipe's thresholds, the oldest first; also those of an earlier fit."""
    files = sorted((recipe.folder / HISTORY).glob("*.json"))
    return [decode_json(file.read_bytes(), Thresholds, file) for file in files if re.fullmatch(r"\d{4,}", file.stem)]
