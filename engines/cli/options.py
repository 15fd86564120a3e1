"""What the commands of `engines` share, and those of `calibrate` with them: options, and where they print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from engines.common.errors import ConfigError
from engines.targets import PRECISION_NAMES, TARGET_NAMES

console = Console(soft_wrap=True)

LineName = Annotated[
    str | None,
    typer.Option("--line", help="Line whose recipe is meant; its file names recipe, golden samples and engine. Or: --recipe."),
]
RecipeDir = Annotated[Path | None, typer.Option("--recipe", help="Recipe folder. Default: the line's.")]
GoldenDir = Annotated[
    Path | None, typer.Option("--golden", help="Folder of golden samples that the fit used. Default: the line's.")
]
Rejects = Annotated[Path | None, typer.Option(help="Folder of known rejects to compare on, too. Default: none.")]
Target = Annotated[str | None, typer.Option("--target", help=f"{TARGET_NAMES}. Default: the line's, or else openvino.")]
PrecisionName = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help=f"{PRECISION_NAMES}; a target has some of them. "
        "Default: with --target its first one; else the line's, or else float32.",
    ),
]
ConfigDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the line files. Default: $INSPECT_CONFIG_DIR, ./lines, /etc/inspect/lines, in this order."),
]


def need_folder(file: Path) -> None:
    """Refuse a file that cannot be written before anything is computed for it."""
    if not file.parent.is_dir():
        raise ConfigError(f"{file}: there is no folder {file.parent}; make it, or choose another file")
