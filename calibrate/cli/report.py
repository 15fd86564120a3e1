"""The command `calibrate report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engines.cli.options import ConfigDir, GoldenDir, LineName, PrecisionName, RecipeDir, Target, console
from engines.cli.subject import subject

report = typer.Typer()


@report.command("report", epilog="Example:  calibrate report --line 3")
def write(
    line: LineName = None,
    recipe: RecipeDir = None,
    golden: GoldenDir = None,
    rejects: Annotated[Path | None, typer.Option(help="Folder of known rejects, for examples. Default: drawn defects.")] = None,
    target: Target = None,
    precision: PrecisionName = None,
    config_dir: ConfigDir = None,
) -> None:
    """Write the calibration report into the recipe: one HTML file to hand on, print and sign, and its pictures as PNG."""
    about = subject(line, recipe, golden, config_dir, target, precision)
    from calibrate.reporting.report import ReportRequest, make_report

    request = ReportRequest(
        recipe=about.load(), golden=about.need_golden(), target=about.target, precision=about.precision, rejects=rejects
    )
    console.print(f"written: {make_report(request)}")


def add_to(app: typer.Typer) -> None:
    """Put the command among the others."""
    app.add_typer(report)
