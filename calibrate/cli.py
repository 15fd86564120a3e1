"""The command `calibrate`: from golden samples to a recipe with thresholds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from calibrate import cli_study
from engines.console import new_app, run_app
from engines.errors import ConfigError
from engines.lines import read_line_recipe
from engines.model_config import BANK, PROFILES, BankRatio
from engines.progress import Steps

app = new_app("Make and calibrate recipes: golden samples in, a recipe bundle with thresholds out.")
console = Console(soft_wrap=True)


@app.command(
    epilog="Example:  calibrate fit --golden pictures/good --recipe recipes/bracket --region 200,100,1600,1200 --grid 2x2"
)
def fit(
    golden: Annotated[
        Path,
        typer.Option(
            help="Folder of known-good pictures: PNG, JPEG, BMP, TIFF or WebP, 8-bit grey or colour. "
            "Files with other endings are not looked at."
        ),
    ],
    recipe: Annotated[Path, typer.Option(help="Folder to write the recipe to.")],
    network: Annotated[str, typer.Option(help=f"Kind of network: {', '.join(PROFILES)}.")] = "tfa-net",
    profile: Annotated[str, typer.Option(help="small: for boxes without a GPU; base: the paper's size.")] = "small",
    backbone_weights: Annotated[
        Path | None,
        typer.Option(help="ImageNet weights, .safetensors or .pth. Without it: small has them built in, base downloads them."),
    ] = None,
    region: Annotated[str | None, typer.Option(help="Inspected part of the frame, x,y,width,height in pixels.")] = None,
    grid: Annotated[
        str, typer.Option(help="Tiles that the region is cut into, ROWSxCOLUMNS; more tiles see smaller defects.")
    ] = "1x1",
    overlap: Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of a tile that overlaps the next one.")] = 0.125,
    template: Annotated[
        str | None,
        typer.Option(help="tfa-net: file name of the golden sample to use as template; default: the most typical."),
    ] = None,
    bank_ratio: Annotated[
        str | None, typer.Option(help="thfr: per cent of the fitted golden samples to keep as templates: 10, 25, 50 or 100.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=10, help="Fitting steps; default: 600 for small; 20000 (tfa-net) or 5000 (thfr) for base.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same weights on the same machine.")] = 0,
    skip_damaged: Annotated[
        bool,
        typer.Option(
            "--skip-damaged",
            help="Leave out files that are truncated, deeper than 8 bits or no image, "
            "and name them. Without it such a file stops the fit.",
        ),
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an existing recipe.")] = False,
) -> None:
    """Fit a network on golden samples and write the recipe; run it again to go on after an interruption."""
    if network not in PROFILES or profile not in PROFILES[network]:
        known = "; ".join(f"{name}: {', '.join(profiles)}" for name, profiles in PROFILES.items())
        raise ConfigError(f"--network {network} --profile {profile}: there is no such pair; choose from {known}")
    rows, columns = _numbers(grid, "x", 2, "--grid", "ROWSxCOLUMNS such as 2x3")
    box = _numbers(region, ",", 4, "--region", "x,y,width,height such as 200,100,1600,1200") if region is not None else None
    ratio = None if bank_ratio is None else _ratio(bank_ratio, "--bank-ratio")
    from calibrate.making import FitRequest, make_recipe  # torch: only where it is used

    request = FitRequest(
        golden=golden,
        recipe=recipe,
        network=network,
        profile=profile,
        backbone_weights=backbone_weights,
        region=None if box is None else (box[0], box[1], box[2], box[3]),
        rows=rows,
        columns=columns,
        overlap=overlap,
        template=template,
        bank_ratio=ratio,
        steps=steps,
        seed=seed,
        skip_damaged=skip_damaged,
        replace=replace,
    )
    with Steps(console, "fit").shown() as steps_shown:
        made = make_recipe(
            request,
            steps_shown.say,
            lambda p: steps_shown.tell(p.step, p.steps, f"loss {p.loss:.3f}  {_clock(p.eta_seconds)} left"),
        )
    console.print(f"recipe written: {made.folder} (digest {made.digest[:12]})")
    console.print(f"next: calibrate thresholds --recipe {made.folder} --golden {golden}")


@app.command(epilog="Example:  calibrate bank --line 3 --ratio 25")
def bank(
    ratio: Annotated[str, typer.Option(help="Per cent of the fitted golden samples to keep: 10, 25, 50 or 100.")],
    line: Annotated[str | None, typer.Option(help="Line whose recipe it is; its file names recipe and golden samples.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="Recipe folder, instead of --line.")] = None,
    golden: Annotated[Path | None, typer.Option(help="Folder of golden samples that the fit used.")] = None,
    config_dir: Annotated[Path | None, typer.Option(help="Folder of the line files.")] = None,
) -> None:
    """Keep more or fewer templates in a recipe of the network thfr, without a new fit; then renew thresholds and engines."""
    recipe, golden = _recipe_and_golden(line, recipe, golden, config_dir)
    kept = _ratio(ratio, "--ratio")
    from engines.recipe import load_recipe

    before = load_recipe(recipe)
    if before.manifest.model.templates_file != BANK:
        raise ConfigError(f"{recipe}: its network has one template and no bank; fit one with: calibrate fit --network thfr")
    from calibrate.making import told
    from calibrate.rebanking import remake_bank

    made = remake_bank(before, golden, kept)
    console.print(f"recipe written: {made.folder} (digest {made.digest[:12]}), {told(made.manifest.templates)}")
    console.print(f"next: calibrate thresholds --recipe {made.folder} --golden {golden}, then build its engines again")


@app.command(epilog="Example:  calibrate thresholds --line 3")
def thresholds(
    line: Annotated[
        str | None, typer.Option(help="Line whose recipe to calibrate; its file names recipe and golden samples.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="Recipe folder, instead of --line.")] = None,
    golden: Annotated[Path | None, typer.Option(help="Folder of golden samples that the fit used.")] = None,
    rejects: Annotated[Path | None, typer.Option(help="Folder of known rejects; helps to choose the score.")] = None,
    ignore: Annotated[
        Path | None, typer.Option(help="Picture of the frame's size, white where the frame is not inspected.")
    ] = None,
    false_reject_rate: Annotated[
        float, typer.Option(min=0.0001, max=0.5, help="Share of good parts that may be rejected.")
    ] = 0.01,
    minimum_area: Annotated[
        int, typer.Option(min=1, help="Map pixels; smaller regions over the pixel threshold do not count.")
    ] = 12,
    config_dir: Annotated[Path | None, typer.Option(help="Folder of the line files.")] = None,
) -> None:
    """Score the golden samples that were held out from the fit and write thresholds.json into the recipe."""
    recipe, golden = _recipe_and_golden(line, recipe, golden, config_dir)
    from calibrate.scoring import calibrate_thresholds
    from engines.recipe import load_recipe

    with Steps(console, "scoring").shown() as shown:
        result = calibrate_thresholds(load_recipe(recipe), golden, rejects, ignore, false_reject_rate, minimum_area, shown.tell)
    table = Table("what", "value", title=f"thresholds of {recipe}, version {result.version}", title_justify="left")
    table.add_row(
        "score",
        f"{result.score} (margin over the limit: " + ", ".join(f"{k} {v:.1f}" for k, v in result.score_choice.items()) + ")",
    )
    table.add_row("score threshold", f"{result.score_threshold:.4g}")
    table.add_row(
        "held-out scores",
        f"{min(result.held_out_scores):.4g} to {max(result.held_out_scores):.4g} ({len(result.held_out_scores)})",
    )
    table.add_row("pixel threshold", f"{result.pixel_threshold:.4g}, regions of {result.minimum_area} map pixels and more")
    table.add_row("method", result.method)
    table.add_row("promise", result.promise)
    console.print(table)


def _recipe_and_golden(
    line: str | None, recipe: Path | None, golden: Path | None, config_dir: Path | None
) -> tuple[Path, Path]:
    """Recipe and golden folders, from the options or else the line's file."""
    if line is not None:
        line_recipe, line_golden = read_line_recipe(line, config_dir)
        recipe, golden = recipe or line_recipe, golden or line_golden
    if recipe is None:
        raise ConfigError("which recipe? give --line 3, or --recipe DIR with --golden DIR")
    if golden is None:
        raise ConfigError('where are the golden samples? give --golden DIR, or set golden = "..." in the line\'s file')
    return recipe, golden


def _ratio(text: str, option: str) -> BankRatio:
    try:
        ratio: BankRatio = msgspec.convert(text, BankRatio, strict=False)
    except msgspec.ValidationError:
        raise ConfigError(
            f"{option} {text}: give 10, 25, 50 or 100 (per cent of the golden samples that were fitted)"
        ) from None
    return ratio


def _numbers(text: str, separator: str, count: int, option: str, form: str) -> tuple[int, ...]:
    parts = text.lower().split(separator)
    if len(parts) != count or not all(re.fullmatch(r"\s*\d{1,5}\s*", part) for part in parts):
        raise ConfigError(f"{option} {text}: give {form}")
    return tuple(int(part) for part in parts)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


cli_study.add_to(app)


def main() -> None:
    """Entry point."""
    run_app(app)
