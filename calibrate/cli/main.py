"""The command `calibrate`: from golden samples to a recipe with thresholds."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from calibrate.cli import collect, detectability, evaluate, report, study, template, thresholds
from calibrate.cli.options import Grid, grid_numbers
from engines.cli.options import ConfigDir, GoldenDir, LineName, RecipeDir, console
from engines.cli.subject import subject
from engines.common import good_neighbour
from engines.common.console import new_app, run_app
from engines.common.errors import ConfigError
from engines.common.progress import Steps
from engines.recipe.model_config import BANK, PROFILES, BankRatio

app = new_app("Make and calibrate recipes: golden samples in, a recipe bundle with thresholds out.")


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
    grid: Grid = "auto",
    overlap: Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of a tile that overlaps the next one.")] = 0.125,
    template: Annotated[
        str | None,
        typer.Option(help="tfa-net: file name of the golden sample to use as template; default: the most typical."),
    ] = None,
    bank_ratio: Annotated[
        str | None, typer.Option(help="thfr: per cent of the fitted golden samples to keep as templates: 10, 25, 50 or 100.")
    ] = None,
    contrast: Annotated[
        float | None,
        typer.Option(
            help="Contrast of the input, 0.1 to 8 times what the backbone was trained with. Default: for tfa-net small 1.5, or "
            "1 or 0.67 where faint defects drawn onto golden samples are told better; else 1.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=10, help="Fitting steps; default: 800 (tfa-net) or 600 (thfr) for small; 20000 or 5000 for base."),
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
    rows, columns = grid_numbers(grid)
    box = _numbers(region, ",", 4, "--region", "x,y,width,height such as 200,100,1600,1200") if region is not None else None
    ratio = None if bank_ratio is None else _ratio(bank_ratio, "--bank-ratio")
    from calibrate.fit.recipe_fit import FitRequest, make_recipe  # torch: only where it is used

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
        contrast=contrast,
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
    console.print(f"next: {made.naming.command('engines build')}, then {made.naming.command('calibrate thresholds')}")


@app.command(epilog="Example:  calibrate bank --line 3 --ratio 25")
def bank(
    ratio: Annotated[str, typer.Option(help="Per cent of the fitted golden samples to keep: 10, 25, 50 or 100.")],
    line: LineName = None,
    recipe: RecipeDir = None,
    golden: GoldenDir = None,
    config_dir: ConfigDir = None,
) -> None:
    """Keep more or fewer templates in a recipe of the network thfr, without a new fit; then renew thresholds and engines."""
    about = subject(line, recipe, golden, config_dir)
    kept = _ratio(ratio, "--ratio")

    before = about.load()
    if before.manifest.model.templates_file != BANK:
        raise ConfigError(
            f"{about.recipe}: its network has one template and no bank; fit one with: calibrate fit --network thfr"
        )
    from calibrate.fit.bank_change import remake_bank
    from calibrate.fit.recipe_fit import told

    made = remake_bank(before, about.need_golden(), kept)
    console.print(f"recipe written: {made.folder} (digest {made.digest[:12]}), {told(made.manifest.templates)}")
    console.print(f"next: {made.naming.command('engines build')}, then {made.naming.command('calibrate thresholds')}")


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


collect.add_to(app)
thresholds.add_to(app)
evaluate.add_to(app)
detectability.add_to(app)
template.add_to(app)
report.add_to(app)
study.add_to(app)


def main() -> None:
    """Entry point."""
    if sys.argv[1:2] not in (["collect"], ["study"]):  # they keep pace with a camera
        good_neighbour.give_way()
    run_app(app)
