"""Options that several commands of `inspect` have."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

LineName = Annotated[str, typer.Option("--line", help="Name of the line: its file is <line>.toml.")]
ConfigDir = Annotated[
    Path | None, typer.Option(help="Folder of the line files; default: $INSPECT_CONFIG_DIR, ./lines, /etc/inspect/lines.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, also on a terminal.")]
By = Annotated[str | None, typer.Option("--by", help="Who does this; default: the account.")]
Note = Annotated[str, typer.Option("--note", help="Why, in a few words.")]


def account() -> str:
    """Who is at work, where nobody has said so."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return f"user {os.getuid()}"
