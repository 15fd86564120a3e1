"""The command `engines prepare`: what every line needs to start after an upgrade, before the upgrade."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from engines.cli.options import ConfigDir, console
from engines.common.errors import UserError
from engines.common.line_file import LineRecipe, line_file, line_files
from engines.common.progress import Steps
from engines.common.typed_toml import decode_toml

if TYPE_CHECKING:
    from engines.proof.upgrade import Prepared

commands = typer.Typer()


@commands.command(epilog="Example:  /opt/inspect-next/bin/engines prepare")
def prepare(
    line: Annotated[
        list[str] | None,
        typer.Option(help="Line to prepare; may be given several times. Default: every line that has a file."),
    ] = None,
    config_dir: ConfigDir = None,
) -> None:
    """See that lines would start in this environment, and build and prove the engines that they lack here.

    Run it with the environment that is to be: a new OpenVINO or torch, a new version. The engines of the environment that
    serves are not touched. Exit status 1 if a line would not start.
    """
    files = {name: line_file(name, config_dir) for name in line} if line else line_files(config_dir)
    table = Table("line", "here", "engine and recipe, or why it would not start", title_justify="left")
    failed = False
    for name, file in files.items():
        try:
            outcome, told = _prepare(name, file)
            table.add_row(name, f"[green]{outcome}[/]", escape(told))
            continue
        except UserError as error:
            why = str(error)
        except OSError as error:  # the others may lie elsewhere
            why = f"{error.filename}: {error.strerror}; run this as who owns the recipe, or make room"
        failed = True
        table.add_row(name, "[bold red]failed[/]", escape(why))
    console.print(table)
    if failed:
        raise typer.Exit(1)


def _prepare(name: str, file: Path) -> tuple[Prepared, str]:
    from engines.proof.upgrade import prepare as prepare_engine
    from engines.recipe.bundle import load_recipe
    from engines.recipe.naming import by_line

    config = decode_toml(file, LineRecipe)
    recipe = load_recipe(config.recipe, by_line(file, config))
    with Steps(console, f"line {name}: comparing").shown() as steps:
        outcome = prepare_engine(
            recipe, config.engine, config.golden, lambda text: steps.say(f"line {name}: {text}"), steps.tell
        )
    return outcome, f"{config.engine.target} {config.engine.precision} of {recipe.folder}"


def add_to(app: typer.Typer) -> None:
    """Put this command among the others."""
    app.add_typer(commands)
