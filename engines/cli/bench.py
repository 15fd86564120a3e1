"""The command `engines bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from engines.cli.options import ConfigDir, LineName, RecipeDir, console, need_folder
from engines.cli.subject import subject
from engines.common.errors import ConfigError
from engines.common.extras import import_for

commands = typer.Typer()


@commands.command(epilog="Example:  engines bench --line 3 --json bench.json --plot bench.png")
def bench(
    line: LineName = None,
    recipe: RecipeDir = None,
    frames: Annotated[int, typer.Option(min=20, help="Frames of each measurement.")] = 100,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the figures, a list of objects. Default: none.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="File for a picture of latency and throughput. Default: none.")] = None,
    config_dir: ConfigDir = None,
) -> None:
    """Measure every engine of a recipe that passed the gate, beside this machine's ceiling; run it on an idle machine."""
    for file in (json_file, plot):
        if file is not None:
            need_folder(file)
    # Asked for now, not after minutes of measuring.
    import_for("engines bench", "torch", ConfigError)
    if plot is not None:
        import_for("--plot", "matplotlib", ConfigError)
    import msgspec

    from engines.proof.bench import bench as measure
    from engines.proof.bench import draw

    loaded = subject(line, recipe, None, config_dir).load()
    rows = measure(loaded, frames, lambda text: console.print(text, style="dim"))
    columns = ("engine", "in flight", "median", "p99", "frames/s", "times torch", "of the ceiling", "memory")
    table = Table(*columns, title_justify="left")
    for row in rows:
        table.add_row(
            f"{row.target} {row.precision}",
            str(row.in_flight),
            f"{row.median_ms:.1f} ms",
            f"{row.p99_ms:.1f} ms",
            f"{row.frames_per_second:.1f}",
            f"{row.times_torch:.2f}",
            f"{row.ceiling_share:.0%}",
            f"{row.rss_mb:.0f} MB",
        )
    console.print(table)
    ceilings = {row.precision: row.ceiling_gflops for row in rows}
    told = ", ".join(f"{precision} {gflops:.0f}" for precision, gflops in ceilings.items())
    console.print(f"the ceiling, the fastest large matrix product here, GFLOP/s: {told} (int8 is compared with bfloat16's)")
    if rows[0].bank_mb:
        console.print(f"the bank of templates: {rows[0].bank_mb:.1f} MB at 2 bytes a number")
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
    if plot is not None:
        draw(rows, plot)


def add_to(app: typer.Typer) -> None:
    """Put this command among the others."""
    app.add_typer(commands)
