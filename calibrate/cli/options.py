"""What the commands of `calibrate` share: their options, and where they print."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from engines.common.errors import ConfigError

console = Console(soft_wrap=True)

LineName = Annotated[
    str | None,
    typer.Option("--line", help="Line whose recipe is meant; its file names recipe, golden samples and engine. Or: --recipe."),
]
RecipeDir = Annotated[Path | None, typer.Option("--recipe", help="Recipe folder. Default: the line's.")]
GoldenDir = Annotated[
    Path | None, typer.Option("--golden", help="Folder of golden samples that the fit used. Default: the line's.")
]
Target = Annotated[
    str | None, typer.Option("--target", help="torch, openvino or tensorrt. Default: the line's, or else openvino.")
]
PrecisionName = Annotated[
    str | None,
    typer.Option("--precision", help="Of the target. Default: with --target its first one; else the line's, or else float32."),
]
Grid = Annotated[
    str,
    typer.Option(
        help="Tiles that the region is cut into, ROWSxCOLUMNS; more tiles see smaller defects. "
        "auto: one, or more along a side that is at least twice as long as the other."
    ),
]
ConfigDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the line files. Default: $INSPECT_CONFIG_DIR, ./lines, /etc/inspect/lines, in this order."),
]


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
