"""The command of `calibrate` that shows what a line can see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engines.cli.options import ConfigDir, GoldenDir, LineName, PrecisionName, RecipeDir, Target, console
from engines.cli.subject import subject

commands = typer.Typer()


@commands.command(epilog="Example:  calibrate detectability --line 3")
def detectability(
    line: LineName = None,
    recipe: RecipeDir = None,
    golden: GoldenDir = None,
    target: Target = None,
    precision: PrecisionName = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file, too.")] = None,
    contrast: Annotated[
        list[int] | None,
        typer.Option(min=4, max=127, help="Grey levels of 255 to try; may be given several times. Default: 64, 32, 16 and 8."),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, max=1000, help="Defects of each size; four times as many about the size that is found.")
    ] = 12,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same defects.")] = 0,
    config_dir: ConfigDir = None,
) -> None:
    """Draw defects onto held-out golden samples, and report the smallest that are found with 95 % probability.

    Figures and the picture "what this line can see" go into the recipe's folder `report`. About 2 minutes at 40 ms a frame.
    """
    import msgspec

    from calibrate.detection.detectability import CONTRASTS, JSON, PICTURE, measure_detectability
    from calibrate.detection.detectability_picture import detectability_png
    from calibrate.detection.injection import inspected
    from calibrate.thresholds.scorer import Scorer
    from engines.common.errors import RecipeError
    from engines.common.files import write_file
    from engines.common.progress import Steps
    from engines.recipe.golden_samples import read_samples
    from engines.recipe.ignore_mask import ignored_by
    from engines.recipe.thresholds import load_thresholds

    about = subject(line, recipe, golden, config_dir, target, precision)
    loaded, samples = about.load(), about.need_golden()
    thresholds = load_thresholds(loaded)
    if thresholds is None:
        raise RecipeError(
            f"{about.recipe}: has no thresholds yet; calibrate them with: "
            f"{about.naming.command('calibrate thresholds', about.target, about.precision)}"
        )
    held_out = read_samples(samples, loaded.manifest, held_out=True)
    ignored = ignored_by(loaded, thresholds)
    with (
        Scorer.judging(loaded, thresholds, about.target, about.precision) as scorer,
        Steps(console, "drawing defects").shown() as shown,
    ):
        contrasts = sorted(set(contrast or CONTRASTS), reverse=True)
        seen, passing = measure_detectability(
            loaded, thresholds, scorer, held_out, ignored, shown.tell, contrasts=contrasts, trials=trials, seed=seed
        )
    content = msgspec.json.format(msgspec.json.encode(seen), indent=2) + b"\n"
    report = loaded.folder / "report"
    report.mkdir(exist_ok=True)
    write_file(report / JSON, content)
    write_file(report / PICTURE, detectability_png(seen, passing, inspected(loaded.manifest.geometry, ignored)))
    if json is not None:
        write_file(json, content)
    _print(seen)
    console.print(f"picture: {report / PICTURE}", highlight=False, markup=False)


def _print(seen: object) -> None:
    from rich.table import Table

    from calibrate.detection.detectability import Detectability
    from calibrate.detection.detectability_picture import size_text

    assert isinstance(seen, Detectability)
    contrasts = sorted({curve.contrast for curve in seen.curves}, reverse=True)
    console.print(
        f"smallest size found with {seen.probability * 100:.0f} % probability; "
        f"in brackets with {seen.confidence * 100:.0f} % confidence",
        highlight=False,
    )
    table = Table("defect", *(f"{contrast} grey levels" for contrast in contrasts))
    for kind in dict.fromkeys(curve.kind for curve in seen.curves):
        texts = {
            curve.contrast: f"{size_text(seen, curve.smallest)}\n\\[{size_text(seen, curve.smallest_bound)}]"
            if curve.cells
            else "no place"
            for curve in seen.curves
            if curve.kind == kind
        }
        table.add_row(kind, *(texts[contrast] for contrast in contrasts))
    console.print(table)
    found = sum(cell.found for curve in seen.curves for cell in curve.cells)
    located = sum(cell.located for curve in seen.curves for cell in curve.cells)
    lines = [
        f"sizes: longest extent in pixels of the frame, and per cent of the region's shorter side ({seen.region_px} px)",
        f"{seen.frames} frames judged by {seen.engine}, thresholds version {seen.thresholds_version}; "
        f"drawn onto {seen.samples} held-out golden samples; {located} of {found} found defects have a region on them",
    ]
    if seen.rejected_samples:
        lines.append(f"{seen.rejected_samples} held-out golden samples are rejected as they are, and were not used")
    if seen.engine != seen.thresholds_engine:
        lines.append(f"the thresholds are of {seen.thresholds_engine}, the verdicts here of {seen.engine}")
    for text in lines:
        console.print(text, highlight=False, markup=False)


def add_to(app: typer.Typer) -> None:
    """Put this command among the others."""
    app.add_typer(commands)
