"""What the commands of `calibrate` share: which recipe, which golden samples, which engine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console

from engines.common.errors import ConfigError
from engines.common.line_file import read_line_recipe
from engines.targets import TARGET_NAMES, default_precision

console = Console(soft_wrap=True)

LineName = Annotated[
    str | None, typer.Option("--line", help="Line whose recipe is meant; its file names recipe, golden samples and engine.")
]
RecipeDir = Annotated[Path | None, typer.Option("--recipe", help="Recipe folder, instead of --line.")]
GoldenDir = Annotated[Path | None, typer.Option("--golden", help="Folder of golden samples that the fit used.")]
Target = Annotated[str | None, typer.Option("--target", help=f"{TARGET_NAMES}. Default: the line's, or else torch.")]
PrecisionName = Annotated[
    str | None, typer.Option("--precision", help="Of the target. Default: the line's, or else the target's first one.")
]
Grid = Annotated[
    str,
    typer.Option(
        help="Tiles that the region is cut into, ROWSxCOLUMNS; more tiles see smaller defects. "
        "auto: one, or more along a side that is at least twice as long as the other."
    ),
]
ConfigDir = Annotated[Path | None, typer.Option(help="Folder of the line files.")]


class Subject(NamedTuple):
    """What a command is about."""

    recipe: Path
    golden: Path | None
    target: str
    precision: str

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
    """Recipe, golden samples and engine, from the options or else the line's file. Raises ConfigError without any recipe."""
    served = ("torch", "float32")
    if line is not None:
        of_line = read_line_recipe(line, config_dir)
        recipe, golden = recipe or of_line.recipe, golden or of_line.golden
        served = (of_line.engine.target, of_line.engine.precision)
    if recipe is None:
        raise ConfigError("which recipe? give --line 3, or --recipe DIR with --golden DIR")
    if target is None:
        return Subject(recipe, golden, served[0], precision or served[1])
    return Subject(recipe, golden, target, precision or default_precision(target))


def share(option: str, text: str) -> float:
    """A share such as 0.5% or 0.005. Raises ConfigError for any other text, and for what is not between 0 and 1."""
    number, percent = (text[:-1], True) if text.endswith("%") else (text, False)
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise ConfigError(f"{option} {text}: give a share such as 0.5% or 0.005, more than 0 and less than 1")
    return value


def grid_numbers(text: str) -> tuple[int | None, int | None]:
    """Rows and columns of --grid; None for auto. Raises ConfigError for any other text."""
    if text == "auto":
        return None, None
    rows, _, columns = text.lower().partition("x")
    if not (rows.isdecimal() and columns.isdecimal() and int(rows) and int(columns)):
        raise ConfigError(f"--grid {text}: give auto, or ROWSxCOLUMNS such as 2x3")
    return int(rows), int(columns)
