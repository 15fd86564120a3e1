"""A recipe at work on a line: its engine with slots, and what its measurements are judged by."""

from __future__ import annotations

from pathlib import Path

from appliance.config.line import Line
from appliance.line.decision import Decider
from appliance.line.pipeline import Station
from appliance.line.threshold_offset import Bound, compared_with
from engines.common.line_file import EngineConfig
from engines.proof.admission import load_engine
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.ignore_mask import ignored_by
from engines.recipe.naming import by_line
from engines.recipe.templates import read_templates
from engines.recipe.thresholds import load_thresholds
from engines.targets import caution_of


def recipe_of(line: Line, folder: Path | None = None) -> Recipe:
    """A line's recipe, or another one for it; advice about it names the line. Raises RecipeError."""
    return load_recipe(folder or line.config.recipe, by_line(line.file, line.config, folder))


class LoadedRecipe(Station):
    """Loaded whole or not at all; verdicts of its frames are made with its own thresholds, also after a change-over."""

    def __init__(self, recipe: Recipe, config: EngineConfig, bound: Bound) -> None:
        """``bound``: of the line that it works for. Raises UserError kinds that name what to mend."""
        self.line = bound.line
        self.recipe = recipe
        geometry = self.recipe.manifest.geometry
        thresholds = load_thresholds(self.recipe)
        compared, self.sensitivity = compared_with(self.recipe, thresholds, bound)
        self.calibrated = thresholds is not None
        self._calibrated_with = thresholds.engine if thresholds else ""
        self.thresholds_version = thresholds.version if thresholds else None
        self.held_out_scores = thresholds.held_out_scores if thresholds else ()
        self.templates = read_templates(self.recipe, features=False)
        self.decider = Decider(self.recipe, compared, ignored_by(self.recipe, thresholds))
        super().__init__(load_engine(self.recipe, config.target, config.precision, config.share), geometry, config.slots)

    @property
    def caution(self) -> str:
        """What a person must hear before trusting its verdicts; empty: nothing."""
        calibrate = f"calibrate with: {self.recipe.naming.command('calibrate thresholds')}"
        told = [caution_of(self.engine)]
        if not self.calibrated:
            told.append(f"{self.recipe.folder}: no thresholds, every part is rejected; {calibrate}")
        elif self._calibrated_with != self.engine.target:
            told.append(
                f"{self.recipe.folder}: its thresholds were got from scores of {self._calibrated_with}, and "
                f"{self.engine.target} serves, as near to it as the parity gate asks; {calibrate}"
            )
        return ". ".join(filter(None, told))
