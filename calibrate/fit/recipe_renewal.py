"""A fitted recipe with other templates: its weights stay, and what was got with the templates before holds no longer."""

from __future__ import annotations

import shutil

import msgspec

from engines.common.files import written_aside
from engines.recipe.bundle import WEIGHTS, Manifest, Recipe, load_recipe, seal
from engines.recipe.model_config import ModelConfig
from engines.recipe.sensitivity_changes import keep_changes
from engines.recipe.templates import Templates, write_templates
from engines.recipe.thresholds import keep_history


def renew(recipe: Recipe, model: ModelConfig, names: tuple[str, ...], templates: Templates) -> Recipe:
    """Write the recipe anew with these templates, from golden samples of these names.

    Its thresholds and their history stay, but hold no longer; its engines and its report are gone.
    """

    def renewed(files: dict[str, str]) -> Manifest:
        return msgspec.structs.replace(recipe.manifest, model=model, templates=names, files=files)

    with written_aside(recipe.folder) as folder:
        shutil.copy2(recipe.folder / WEIGHTS, folder)
        write_templates(folder, model.templates_file, templates)
        seal(folder, renewed)
        keep_history(recipe.folder, folder)
        keep_changes(recipe.folder, folder)
    return load_recipe(recipe.folder, recipe.naming)
