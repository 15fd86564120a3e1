"""Options that several commands of `inspect` have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LineName = Annotated[str, typer.Option("--line", help="Name of the line: its file is <line>.toml.")]
ConfigDir = Annotated[
    Path | None, typer.Option(help="Folder of the line files; default: $INSPECT_CONFIG_DIR, ./lines, /etc/inspect/lines.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, also on a terminal.")]
