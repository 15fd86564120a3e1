"""`calibrate fit`: golden samples in, a recipe out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calibrate.cli.options import Grid, grid_numbers
from calibrate.cli.options import bank_ratio as share
from engines.cli.options import console
from engines.common.errors import ConfigError
from engines.common.line_file import EngineConfig
from engines.common.progress import Steps
from engines.recipe.model_config import PROFILES

if TYPE_CHECKING:
    from calibrate.fit.fit_request import FitRequest
    from calibrate.fit.training import Progress
    from engines.recipe.bundle import Recipe

commands = typer.Typer()
LOOK = "look at the thresholds first, and sign them: calibrate report"


@commands.command(
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
    then_stop: Annotated[
        bool,
        typer.Option(
            "--then-stop",
            help="tfa-net small: end with the first recipe, which a line can run on; do not try whether restoration pays.",
        ),
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an existing recipe.")] = False,
) -> None:
    """Fit a network on golden samples and write the recipe; run it again to go on after an interruption.

    Of tfa-net small in two steps: in seconds a recipe with thresholds; then restoration is fitted and tried on golden samples,
    and a second recipe, NAME-restored, is written if it tells faint defects better.
    """
    if network not in PROFILES or profile not in PROFILES[network]:
        known = "; ".join(f"{name}: {', '.join(profiles)}" for name, profiles in PROFILES.items())
        raise ConfigError(f"--network {network} --profile {profile}: there is no such pair; choose from {known}")
    rows, columns = grid_numbers(grid)
    box = _numbers(region, ",", 4, "--region", "x,y,width,height such as 200,100,1600,1200") if region is not None else None
    ratio = None if bank_ratio is None else share(bank_ratio, "--bank-ratio")
    from calibrate.fit.fit_request import FitRequest, config_of, has_memory  # torch: only where it is used

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
    in_two_steps = has_memory(config_of(request))
    if then_stop and not in_two_steps:
        raise ConfigError(f"--then-stop: {network} {profile} has no memory that a line could run on first; leave it out")
    if then_stop and steps is not None:
        raise ConfigError("--steps: only restoration is fitted in steps, and --then-stop ends before it; leave one of them out")
    with Steps(console, "fit").shown() as shown:
        if in_two_steps:
            _fit_in_two_steps(request, then_stop, shown)
        else:
            from calibrate.fit.recipe_fit import make_recipe

            made = make_recipe(request, shown.say, _tell(shown))
            shown.say(f"recipe written: {made.folder} (digest {made.digest[:12]})")
            shown.say(f"next: {made.naming.command('engines build')}, then {made.naming.command('calibrate thresholds')}")


def _fit_in_two_steps(request: FitRequest, then_stop: bool, shown: Steps) -> None:
    """A recipe with a memory and its thresholds, on which a line can run; then, if it pays, a second one with restoration."""
    from calibrate.fit.fit_request import need_new, state_folder
    from calibrate.fit.recipe_fit import RecipeFit

    interrupted = request.recipe.exists() and state_folder(request.recipe).exists() and not (request.replace or then_stop)
    if not interrupted:
        need_new(request)
    fit = RecipeFit(request, shown.say)
    if interrupted:
        shown.say(f"{request.recipe}: was made before; going on with its second step")
    else:
        first = fit.remember()
        shown.say(f"recipe written: {first.folder} (digest {first.digest[:12]})")
        _calibrate(first, request.golden, shown)
        shown.say(f"a line can run on it: name it in the line's file, then run: inspect run --line N; {LOOK}")
    if then_stop:
        return
    second_folder = request.recipe.with_name(f"{request.recipe.name}-restored")
    shown.say("fitting restoration, to see whether it tells defects better; the recipe can be used meanwhile")
    second = fit.try_restoring(second_folder, _tell(shown))
    if second is None:
        shown.say(f"{request.recipe} stays as it is: restoration would cost each part time and tell no more")
        return
    shown.say(f"second recipe written: {second.folder} (digest {second.digest[:12]})")
    _calibrate(second, request.golden, shown)
    shown.say(
        f"next, on a line that runs: inspect replay --line N --recipe {second.folder}; where its verdicts are as they should "
        f"be: inspect recipe --line N {second.name}"
    )


def _calibrate(recipe: Recipe, golden: Path, shown: Steps) -> None:
    """Build the default engine of a recipe, and get thresholds with it."""
    from calibrate.thresholds.calibration import ThresholdsRequest, calibrate_thresholds
    from engines.proof.build import build_engine

    served = EngineConfig()
    build_engine(recipe, served.target, served.precision, golden, None, shown.say, lambda _done, _total: None)  # type: ignore[arg-type]  # the default
    asked = ThresholdsRequest(
        recipe=recipe, golden=golden, target=served.target, precision=served.precision, note="by calibrate fit"
    )
    thresholds = calibrate_thresholds(asked, shown.say, lambda _done, _total: None)
    shown.say(f"thresholds version {thresholds.version}, for {thresholds.engine}: {thresholds.promise}")


def _tell(shown: Steps) -> Callable[[Progress], None]:
    return lambda p: shown.tell(p.step, p.steps, f"loss {p.loss:.3f}  {_clock(p.eta_seconds)} left")


def _numbers(text: str, separator: str, count: int, option: str, form: str) -> tuple[int, ...]:
    parts = text.lower().split(separator)
    if len(parts) != count or not all(re.fullmatch(r"\s*\d{1,5}\s*", part) for part in parts):
        raise ConfigError(f"{option} {text}: give {form}")
    return tuple(int(part) for part in parts)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def add_to(app: typer.Typer) -> None:
    """Put the command into an app."""
    app.add_typer(commands)
