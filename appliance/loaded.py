"""A recipe at work on a line: its engine with slots, and what its measurements are judged by."""

from __future__ import annotations

from pathlib import Path

from appliance.config import Line
from appliance.decision import Decider
from appliance.pipeline import Station
from appliance.sensitivity import compared_with
from engines.built import load_engine
from engines.ignore_mask import ignored_by
from engines.recipe import load_recipe
from engines.templates import read_templates
from engines.thresholds import load_thresholds


class LoadedRecipe(Station):
    """Loaded whole or not at all; verdicts of its frames are made with its own thresholds, also after a change-over."""

    def __init__(self, line: Line, folder: Path) -> None:
        """Raises UserError kinds that name what to mend."""
        self.recipe = load_recipe(folder)
        geometry = self.recipe.manifest.geometry
        thresholds = load_thresholds(self.recipe)
        compared, self.sensitivity = compared_with(line, self.recipe, thresholds)
        self.calibrated = thresholds is not None
        self.thresholds_version = thresholds.version if thresholds else None
        self.held_out_scores = thresholds.held_out_scores if thresholds else ()
        self.templates = read_templates(self.recipe, features=False)
        self.decider = Decider(compared, geometry, ignored_by(self.recipe, thresholds))
        config = line.config.engine
        super().__init__(load_engine(self.recipe, config.target, config.precision, config.streams), geometry, config.slots)
