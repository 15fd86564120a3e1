"""The commands of `engines` that show what a recipe has: its engines, and its graph for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from engines.cli.options import ConfigDir, LineName, RecipeDir, console, need_folder
from engines.cli.subject import subject
from engines.common.errors import ConfigError, EngineError

commands = typer.Typer()


@commands.command("list", epilog="Example:  engines list --line 3")
def list_engines(line: LineName = None, recipe: RecipeDir = None, config_dir: ConfigDir = None) -> None:
    """Show the engines that a recipe has, and whether a line would load them; those of other environments wait for those."""
    from engines.proof.admission import built_engines, need_proven, runs_here

    loaded = subject(line, recipe, None, config_dir).load()
    table = Table("engine", "a line would", "one frame", "map error", "correlation", "flips", title_justify="left")
    table.title = f"engines of {loaded.folder}"
    table.add_row("torch float32", "[green]load it[/]: the reference")
    below = []
    for folder, record in built_engines(loaded).items():
        parity = record.parity
        answer = "[green]load it[/]"
        if not runs_here(record):
            answer = "[yellow]not load it here[/]: of another environment"
            made_for = ", ".join(f"{name} {version}" for name, version in record.versions.items())
            below.append((f"{folder}: for {made_for}", "yellow"))
        else:
            try:
                need_proven(loaded, record.target, record.precision)
            except EngineError as error:
                answer = "[bold red]refuse it[/]"
                below.append((str(error), "red"))
        figures = ("", "", "", "")
        if parity is not None:
            figures = (
                f"{parity.latency_ms:.1f} ms",
                f"{parity.map_error:.2g} (<= {parity.limits.map_error:g})",
                f"{parity.correlation:.4f} (>= {parity.limits.correlation:g})",
                str(parity.flips),
            )
        table.add_row(f"{record.target} {record.precision}", answer, *figures)
    console.print(table)
    for text, colour in below:
        console.print(text, style=colour, soft_wrap=True, markup=False)


@commands.command(epilog="Example:  engines export --recipe recipes/bracket --precision float16 bracket.pt2")
def export(
    file: Annotated[Path, typer.Argument(help="File to write, for tools that read torch.export programs.")],
    recipe: RecipeDir = None,
    line: LineName = None,
    precision: Annotated[str, typer.Option(help="float32 or float16.")] = "float32",
    config_dir: ConfigDir = None,
) -> None:
    """Write the inspection graph, with its casts, for inspection by other tools."""
    if precision not in ("float32", "float16"):
        raise ConfigError(
            f"--precision {precision}: the graph is written in float32 or float16; other precisions come from a target"
        )
    need_folder(file)
    from engines.graph.assembly import load_graph
    from engines.graph.export import export_graph, save_program
    from engines.graph.half_precision import to_half

    graph = load_graph(subject(line, recipe, None, config_dir).load())
    save_program(export_graph(to_half(graph) if precision == "float16" else graph), file)
    console.print(f"written: {file}")


def add_to(app: typer.Typer) -> None:
    """Put these commands among the others."""
    app.add_typer(commands)
