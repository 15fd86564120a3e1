"""How a command is told which recipe is meant: by its line where that is known, so that advice can be typed as it stands."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import msgspec

from engines.common.line_file import LineRecipe, line_options

UNKNOWN = "DIR"  # stands for a folder that only the reader knows


class Naming(msgspec.Struct, frozen=True):
    """What commands need to be told of a recipe."""

    recipe: Path
    golden: Path | None = None
    line: str = ""  # options that name its line, such as `--line 3`; empty: only its folders are known

    def command(self, words: str, target: str | None = None, precision: str | None = None) -> str:
        """A command about this recipe, and about one of its engines where that is named."""
        engine = f" --target {target} --precision {precision}" if target and precision else ""
        return f"{words} {self.line or self._folders}{engine}"

    @property
    def fit(self) -> str:
        """The command that makes the recipe; it knows of no line."""
        return f"calibrate fit {self._folders}"

    @property
    def _folders(self) -> str:
        return f"--recipe {_word(self.recipe)} --golden {_word(self.golden)}"


def by_line(file: Path, config: LineRecipe, recipe: Path | None = None, golden: Path | None = None) -> Naming:
    """The naming of a line's recipe by the line's file; of another recipe or other golden samples, where they are given."""
    words = [line_options(file)]
    other = recipe is not None and recipe != config.recipe
    if other:
        words.append(f"--recipe {_word(recipe)}")
        config = msgspec.structs.replace(config, golden=None)  # those are of the line's own recipe
    if golden is not None and golden != config.golden:
        words.append(f"--golden {_word(golden)}")
    elif config.golden is None:
        words.append(f"--golden {UNKNOWN}")
    return Naming(recipe or config.recipe, golden or config.golden, " ".join(words))


def _word(folder: Path | None) -> str:
    return UNKNOWN if folder is None else quote(str(folder))
