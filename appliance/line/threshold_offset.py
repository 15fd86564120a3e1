"""A line's sensitivity: what it compares with in place of the calibrated thresholds, and how an operator changes that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from appliance.config.line import Line
from appliance.messages.clock import utc_now
from appliance.messages.notices import Notify
from appliance.messages.schema import RecipeAnswer
from engines.common.errors import ConfigError, EngineError, RecipeError
from engines.recipe.bundle import Recipe
from engines.recipe.sensitivity_changes import (
    FILE,
    Change,
    adjusted,
    consequence,
    damaged_name,
    ended,
    in_force,
    load_changes,
    per_cent,
    save_changes,
    told,
)
from engines.recipe.thresholds import Thresholds, load_thresholds

Ask = Callable[[Path], RecipeAnswer | None]  # has the running line load a recipe's folder; None: none runs


class Sensitivity(NamedTuple):
    """What a recipe's thresholds are moved by on a line."""

    change: Change | None = None  # in force
    ended: Change | None = None  # with the calibration before this one

    @property
    def offset(self) -> float:
        """The share that the calibrated thresholds are lowered by."""
        return self.change.offset if self.change else 0.0


class Bound(NamedTuple):
    """How far a line's file lets an operator move its thresholds."""

    line: str
    file: Path
    most: float  # share

    @classmethod
    def of(cls, line: Line) -> Bound:
        """What a line's file says."""
        return cls(line.name, line.file, line.config.decision.max_sensitivity)

    def check(self, change: Change | None) -> None:
        """Raise ConfigError when this change is beyond it."""
        if change is not None and abs(change.offset) > self.most:
            allowed = f"{per_cent(-self.most)} to {per_cent(self.most)}"
            raise ConfigError(
                f"{self.file}: decision.max_sensitivity = {self.most:g} allows {allowed}, "
                f"and not {told(change)}; choose less, or end it: inspect sensitivity --line {self.line} --reset"
            )


def compared_with(recipe: Recipe, thresholds: Thresholds | None, bound: Bound) -> tuple[Thresholds | None, Sensitivity]:
    """The thresholds that a line's parts are compared with, from the calibrated ones: the one place where they are moved.

    Built engines have proven that their verdicts at the calibrated thresholds are the reference's.  The offset asks nothing
    more of them: thresholds are got from the scores of the very engine that serves, and are moved on its own scale, which the
    gate's limits tie to the reference's at every level (float32: 1e-3 of the map).  Near a threshold that was moved, a coarser
    precision may decide otherwise than the reference would; but what was promised there has ended with the offset.

    Raises RecipeError for a damaged file, ConfigError for more than the line's file allows.
    """
    changes = load_changes(recipe.folder)
    change = in_force(changes, thresholds)
    bound.check(change)
    moved = None if thresholds is None else adjusted(thresholds, change)
    return moved, Sensitivity(change, None if thresholds is None else ended(changes, thresholds))


def tell(now: Sensitivity, before: Sensitivity, notify: Notify) -> None:
    """Have a line tell what has begun or ended with the recipe that it has taken on."""
    if now.change is not None:
        notify("warning", f"{told(now.change)}: {consequence(now.offset)}", "sensitivity")
    elif now.ended is not None:
        notify("info", f"as calibrated: {told(now.ended)} was for other thresholds, and has ended with them", "sensitivity")
    elif before.change is not None:
        notify("info", f"the thresholds are as calibrated again, after {told(before.change)}", "sensitivity")


def set_sensitivity(recipe: Recipe, bound: Bound, offset: float, by: str, note: str, ask: Ask) -> str:
    """Write a change into a line's recipe, and have the line take it over if it runs; returns what has come of it.

    A running line that refuses leaves everything as it was.  Raises UserError kinds.
    """
    thresholds = load_thresholds(recipe)
    if thresholds is None:
        raise RecipeError(f"{recipe.folder}: no thresholds to move yet; run: {recipe.naming.command('calibrate thresholds')}")
    change = Change(offset, thresholds.version, recipe.digest, by, note, utc_now())
    bound.check(change)
    file, aside = recipe.folder / FILE, None
    try:
        before = load_changes(recipe.folder)
    except RecipeError:
        if offset:
            raise
        before, aside = (), damaged_name(recipe.folder)  # a reset is what mends it
        file.rename(aside)
    save_changes(recipe.folder, (*before, change))
    answer = ask(recipe.folder)
    if answer is None:
        return f"line {bound.line} does not run; it will start with this"
    if answer.state == "failed":
        save_changes(recipe.folder, before)
        if aside is not None:
            aside.rename(file)
        raise EngineError(f"line {bound.line} goes on as it was, and nothing was written: {answer.text}")
    if answer.state == "loading":
        return f"written, but {answer.text}"
    return f"line {bound.line} has taken it over"
