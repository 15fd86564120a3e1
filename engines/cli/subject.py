"""Which recipe and which engine a command of `engines` or `calibrate` is about."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from engines.common.errors import ConfigError
from engines.common.line_file import EngineConfig, LineRecipe, line_file
from engines.common.typed_toml import decode_toml
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.naming import Naming, by_line


class Subject(NamedTuple):
    """What a command is about."""

    recipe: Path
    golden: Path | None
    target: str
    precision: str
    naming: Naming  # for advice

    def load(self) -> Recipe:
        """The recipe. Raises RecipeError."""
        return load_recipe(self.recipe, self.naming)

    def need_golden(self) -> Path:
        """The folder of golden samples. Raises ConfigError when none was named."""
        if self.golden is None:
            raise ConfigError('where are the golden samples? give --golden DIR, or set golden = "..." in the line\'s file')
        return self.golden


def subject(
    line: str | None,
    recipe: Path | None = None,
    golden: Path | None = None,
    config_dir: Path | None = None,
    target: str | None = None,
    precision: str | None = None,
) -> Subject:
    """Recipe, golden samples and engine, from the options or else the line's file, or else the default engine.

    Raises ConfigError without any recipe.
    """
    served = EngineConfig()
    naming = Naming(recipe, golden) if recipe is not None else None
    if line is not None:
        file = line_file(line, config_dir)
        of_line = decode_toml(file, LineRecipe)
        naming = by_line(file, of_line, recipe, golden)
        recipe, golden, served = recipe or of_line.recipe, golden or of_line.golden, of_line.engine
    if recipe is None or naming is None:
        raise ConfigError("which recipe? give --line 3, or --recipe DIR with --golden DIR")
    if target is None:
        return Subject(recipe, golden, served.target, precision or served.precision, naming)
    from engines.targets import default_precision

    return Subject(recipe, golden, target, precision or default_precision(target), naming)
