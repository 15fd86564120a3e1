"""`sensitivity.json`: an operator's offset to the calibrated thresholds, kept apart from them, bounded, with its history.

`thresholds.json` is what the quality engineer has signed, and stays as it is.  A change holds for the thresholds that it was
made for only: a new calibration, or a version taken up again, ends it.  The last change of the file is the one that counts.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from engines.common.errors import RecipeError
from engines.common.files import Sha256, decode_json, write_file

if TYPE_CHECKING:  # a line's file, which takes its bound from here, is read without libraries for pictures
    from engines.recipe.thresholds import Thresholds

FILE = "sensitivity.json"
MOST = 0.2  # beyond a fifth the thresholds are no longer those that were calibrated: calibrate again
FEWER_PROMISED = "more good parts may be rejected than the thresholds promise"
LESS_FOUND = "defects may pass that these thresholds are known to find; figures of detection do not hold"


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator has set, for which thresholds."""

    offset: Annotated[float, Meta(ge=-MOST, le=MOST, description="share that both thresholds are lowered by; 0: calibrated")]
    thresholds_version: Annotated[int, Meta(ge=1)]
    recipe_digest: Sha256
    by: str
    note: str
    changed: str  # UTC, ISO 8601


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    changes: Annotated[tuple[Change, ...], Meta(min_length=1)]  # the oldest first
    sha256: Sha256  # of the changes: whoever edits one leaves its author's name below it


def load_changes(folder: Path) -> tuple[Change, ...]:
    """Every change of a recipe's sensitivity, the oldest first.

    Raises RecipeError, with the mend, for a file that is damaged or was edited.
    """
    file = folder / FILE
    try:
        read = decode_json(file.read_bytes(), _File, file)
        if read.sha256 != _digest(read.changes):
            raise RecipeError(f"{file}: changes: edited by hand, which nobody has signed")
        return read.changes
    except FileNotFoundError:
        return ()
    except (OSError, RecipeError) as error:
        raise RecipeError(
            f"{file}: the sensitivity cannot be read ({error}); go back to the calibrated thresholds, the file is kept aside: "
            "inspect sensitivity --line LINE --reset"
        ) from error


def save_changes(folder: Path, changes: tuple[Change, ...]) -> None:
    """Write the file whole or not at all; without changes there is none."""
    file = folder / FILE
    if changes:
        write_file(file, msgspec.json.format(msgspec.json.encode(_File(changes, _digest(changes))), indent=2) + b"\n")
    else:
        file.unlink(missing_ok=True)


def keep_changes(folder: Path, renewed: Path) -> None:
    """Copy the file into a recipe that takes another's place; what it says has ended there, and stays on record."""
    if (folder / FILE).exists():
        shutil.copy2(folder / FILE, renewed)


def in_force(changes: tuple[Change, ...], thresholds: Thresholds | None) -> Change | None:
    """The change that moves these thresholds; None when they are compared with as calibrated."""
    last = changes[-1] if changes else None
    return last if last is not None and last.offset and _is_for(last, thresholds) else None


def ended(changes: tuple[Change, ...], thresholds: Thresholds | None) -> Change | None:
    """A change that moved earlier thresholds, and ended when these came."""
    last = changes[-1] if changes else None
    return last if last is not None and last.offset and not _is_for(last, thresholds) else None


def adjusted(thresholds: Thresholds, change: Change | None) -> Thresholds:
    """The thresholds that parts are compared with."""
    if change is None:
        return thresholds
    factor = 1 - change.offset
    return replace(
        thresholds,
        score_threshold=thresholds.score_threshold * factor,
        pixel_threshold=thresholds.pixel_threshold * factor,
    )


def per_cent(offset: float) -> str:
    """An offset for people, such as `+5 %`."""
    return f"{offset * 100:+.4g} %" if offset else "0 %"


def consequence(offset: float) -> str:
    """What no longer holds of the thresholds' promise."""
    return "" if not offset else FEWER_PROMISED if offset > 0 else LESS_FOUND


def told(change: Change) -> str:
    """A change in one line, for a log."""
    note = f" ({change.note})" if change.note else ""
    return f"sensitivity {per_cent(change.offset)} set by {change.by} at {change.changed[:19]}{note}"


def damaged_name(folder: Path) -> Path:
    """A free name for a file that cannot be read, to keep it aside."""
    return next(name for i in range(1, 10_000) if not (name := folder / f"sensitivity.damaged-{i}.json").exists())


def _digest(changes: tuple[Change, ...]) -> Sha256:
    return hashlib.sha256(msgspec.json.encode(changes)).hexdigest()


def _is_for(change: Change, thresholds: Thresholds | None) -> bool:
    return thresholds is not None and (change.thresholds_version, change.recipe_digest) == (
        thresholds.version,
        thresholds.recipe_digest,
    )
