"""`thresholds.json`: what a frame's score and its map are compared with, and what that promises.

It lives in the bundle but is versioned apart from the engine: a quality engineer signs it, and it can be renewed without
a new fit.  It is bound to one recipe by that recipe's digest.  Every version that ever held stays in `thresholds-history/`.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import msgspec

from engines.common.errors import RecipeError
from engines.common.files import check_digest, decode_json, write_file
from engines.recipe.bundle import Recipe
from engines.recipe.threshold_checks import DIGEST, contradiction, digest_line, need_as_kept, need_own_digest
from engines.recipe.threshold_terms import ROUNDING, Candidate, Estimate, Guarantee, Scale, Scored, Thresholds

__all__ = ["ROUNDING", "Candidate", "Estimate", "Guarantee", "Scale", "Scored", "Thresholds"]  # from here for everybody

FILE, IGNORE_MASK, HISTORY = "thresholds.json", "ignore.png", "thresholds-history"


def load_thresholds(recipe: Recipe) -> Thresholds | None:
    """A recipe's thresholds; None when it was not calibrated yet.

    Raises RecipeError when they are damaged, belong to another fit, or are not what a calibration wrote.
    """
    thresholds = thresholds_as_written(recipe)
    if thresholds is None:
        return None
    if thresholds.recipe_digest != recipe.digest:
        raise RecipeError(
            f"{recipe.folder / FILE}: belongs to another fit of this recipe; calibrate again with: "
            f"{recipe.naming.command('calibrate thresholds')}"
        )
    _need_as_kept(recipe, thresholds)
    if thresholds.ignore_mask is not None:
        check_digest(recipe.folder / IGNORE_MASK, thresholds.ignore_mask)
    return thresholds


def thresholds_that_hold(recipe: Recipe) -> Thresholds | None:
    """The same, but None also when they belong to another fit, or were edited.

    New ones are to be got then, and an engine is built before thresholds are got from it.
    """
    present = thresholds_as_written(recipe)
    if present is None or present.recipe_digest != recipe.digest:
        return None
    try:
        _need_as_kept(recipe, present)
    except RecipeError:
        return None
    return load_thresholds(recipe)


def thresholds_as_written(recipe: Recipe) -> Thresholds | None:
    """What stands in the file, whatever it belongs to, and whoever wrote it."""
    file = recipe.folder / FILE
    return decode_json(file.read_bytes(), Thresholds, file) if file.exists() else None


def save_thresholds(folder: Path, thresholds: Thresholds, ignore_mask: bytes | None = None) -> None:
    """Write `thresholds.json`, its ignore-mask (PNG), and the history's copies of both, each whole or not at all."""
    content = msgspec.json.format(msgspec.json.encode(thresholds), indent=2) + b"\n"
    history = _copy(folder, thresholds.version)
    history.parent.mkdir(exist_ok=True)
    if ignore_mask is not None:
        write_file(history.with_suffix(".png"), ignore_mask)
        write_file(folder / IGNORE_MASK, ignore_mask)
    write_file(history.with_suffix(DIGEST), digest_line(history.name, content))
    write_file(history, content)
    write_file(folder / FILE, content)


def kept_mask(folder: Path, thresholds: Thresholds) -> bytes | None:
    """The ignore-mask of thresholds in the history; None where nothing is ignored."""
    if thresholds.ignore_mask is None:
        return None
    file = _copy(folder, thresholds.version).with_suffix(".png")
    check_digest(file, thresholds.ignore_mask)
    return file.read_bytes()


def need_unedited(recipe: Recipe, thresholds: Thresholds) -> None:
    """Raise RecipeError when thresholds of the history are not what a calibration wrote."""
    copy, again = _copy(recipe.folder, thresholds.version), recipe.naming.command("calibrate thresholds")
    need_own_digest(copy, again)
    if told := contradiction(thresholds):
        raise RecipeError(f"{copy}: {told}; nobody has signed that: calibrate again with: {again}")


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


def _need_as_kept(recipe: Recipe, thresholds: Thresholds) -> None:
    copy = _copy(recipe.folder, thresholds.version)
    kept = decode_json(copy.read_bytes(), Thresholds, copy) if copy.exists() else None
    need_as_kept(thresholds, recipe.folder / FILE, copy, kept, recipe.naming.command("calibrate thresholds"))


def _copy(folder: Path, version: int) -> Path:
    """Where the history keeps a version."""
    return folder / HISTORY / f"{version:04d}.json"
