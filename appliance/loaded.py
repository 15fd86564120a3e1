"""A recipe at work on a line: its engine with slots, and what its measurements are judged by."""

from __future__ import annotations

from pathlib import Path

from appliance.config import Line
from appliance.decision import Decider
from appliance.pipeline import Station
from engines.built import load_engine
from engines.ignore_mask import ignored_map
from engines.images import read_image
from engines.recipe import load_recipe
from engines.templates import read_templates
from engines.thresholds import IGNORE_MASK, load_thresholds


class LoadedRecipe(Station):
    """Loaded whole or not at all; verdicts of its frames are made with its own thresholds, also after a change-over."""

    def __init__(self, line: Line, folder: Path) -> None:
        """Raises UserError kinds that name what to mend."""
        self.recipe = load_recipe(folder)
        geometry = self.recipe.manifest.geometry
        thresholds = load_thresholds(self.recipe)
        ignored = None
        if thresholds is not None and thresholds.ignore_mask is not None:
            mask_file = folder / IGNORE_MASK
            ignored = ignored_map(read_image(mask_file), geometry, str(mask_file))
        self.calibrated = thresholds is not None
        self.held_out_scores = thresholds.held_out_scores if thresholds else ()
        self.templates = read_templates(self.recipe, features=False)
        self.decider = Decider(thresholds, geometry, ignored)
        config = line.config.engine
        super().__init__(load_engine(self.recipe, config.target, config.precision, config.streams), geometry, config.slots)
