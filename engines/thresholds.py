"""`thresholds.json`: what a frame's score and its map are compared with, and what that promises.

It lives in the bundle but is versioned apart from the engine: a quality engineer signs it, and it can be renewed without
a new fit.  It is bound to one recipe by that recipe's digest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from engines.errors import RecipeError
from engines.recipe import Recipe, Sha256, check_digest, decode_json, write_file
from engines.scores import ScoreName

FILE, IGNORE_MASK = "thresholds.json", "ignore.png"
Positive = Annotated[float, msgspec.Meta(gt=0)]


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part passes when its score is at most ``score_threshold`` and no region exceeds ``pixel_threshold``."""

    version: Annotated[int, msgspec.Meta(ge=1)]
    recipe_digest: Sha256
    score: ScoreName
    score_threshold: Positive
    pixel_threshold: Positive
    minimum_area: Annotated[int, msgspec.Meta(ge=1, description="map pixels; a smaller region is not a defect")]
    method: str  # how the thresholds were got
    promise: str  # what that guarantees, and under which assumption
    false_reject_rate: Annotated[float, msgspec.Meta(gt=0, lt=1, description="asked for, over good parts")]
    held_out_scores: tuple[float, ...]  # that the thresholds were got from
    score_choice: dict[ScoreName, float]  # every candidate score and how well it tells defects from golden samples
    ignore_mask: Sha256 | None  # of ignore.png, white where the frame is not inspected
    created: str  # UTC, ISO 8601
    created_by: str


def load_thresholds(recipe: Recipe) -> Thresholds | None:
    """A recipe's thresholds; None when it was not calibrated yet.

    Raises RecipeError when they are damaged or belong to another fit.
    """
    file = recipe.folder / FILE
    if not file.exists():
        return None
    thresholds = decode_json(file.read_bytes(), Thresholds, file)
    if thresholds.recipe_digest != recipe.digest:
        raise RecipeError(
            f"{file}: belongs to another fit of this recipe; calibrate again with: "
            f"calibrate thresholds --recipe {recipe.folder} --golden DIR"
        )
    if thresholds.ignore_mask is not None:
        check_digest(recipe.folder / IGNORE_MASK, thresholds.ignore_mask)
    return thresholds


def save_thresholds(folder: Path, thresholds: Thresholds) -> None:
    """Write `thresholds.json` whole or not at all."""
    write_file(folder / FILE, msgspec.json.format(msgspec.json.encode(thresholds), indent=2) + b"\n")
