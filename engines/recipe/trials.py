"""`trials.json` of a recipe: which parts of its network were tried on golden samples, what they gained, and which were kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from engines.common.files import decode_json, write_file
from engines.recipe.bundle import Recipe

FILE = "trials.json"


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One part, with it and without it: errors are 1 - AUROC of the pixels of faint synthetic defects on golden samples."""

    part: str
    kept: bool
    error_without: float
    error_with: float
    low: Annotated[
        float | None,
        msgspec.Meta(description="of the 90 % interval of the errors' difference, without less with; null: there was one draw"),
    ]
    high: float | None
    samples: Annotated[int, msgspec.Meta(description="golden samples, or draws of them, that the interval rests on")]

    @property
    def told(self) -> str:
        """In words and figures."""
        outcome = "kept" if self.kept else "left out: no gain beyond chance"
        if self.low is None or self.high is None:
            return (
                f"{self.part}: {outcome} (errors in one draw {self.error_without:.4f} without, {self.error_with:.4f} with it)"
            )
        return (
            f"{self.part}: {outcome} (errors on faint synthetic defects {self.error_without:.4f} without, "
            f"{self.error_with:.4f} with it; difference {self.low:+.4f} to {self.high:+.4f})"
        )


class Trials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    recipe_digest: str
    trials: tuple[Trial, ...]


def save_trials(recipe: Recipe, trials: tuple[Trial, ...]) -> None:
    """Write them into the recipe's folder, beside what its digest covers: a part can be tried after it was sealed."""
    content = msgspec.json.encode(Trials(recipe.digest, trials))
    write_file(recipe.folder / FILE, msgspec.json.format(content, indent=2) + b"\n")


def load_trials(recipe: Recipe) -> tuple[Trial, ...]:
    """What was tried when this recipe was fitted; nothing where no file is, or where it is another fit's.

    Raises RecipeError when the file cannot be read.
    """
    file: Path = recipe.folder / FILE
    if not file.is_file():
        return ()
    kept = decode_json(file.read_bytes(), Trials, file)
    return kept.trials if kept.recipe_digest == recipe.digest else ()
