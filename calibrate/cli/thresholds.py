"""The command `calibrate thresholds`: derive, show, and take up again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from calibrate.cli.options import share
from engines.cli.options import ConfigDir, GoldenDir, LineName, PrecisionName, RecipeDir, Target, console
from engines.cli.subject import subject
from engines.common.progress import Steps

if TYPE_CHECKING:
    from engines.recipe.bundle import Recipe
    from engines.recipe.thresholds import Thresholds

thresholds = typer.Typer()
MOST_ROWS = 6  # of the trade-off


@thresholds.command("thresholds", epilog="Example:  calibrate thresholds --line 3 --max-false-reject 0.5% --confidence 95%")
def calibrate(
    line: LineName = None,
    recipe: RecipeDir = None,
    golden: GoldenDir = None,
    known_good: Annotated[
        Path | None,
        typer.Option(
            help="Folder of more good parts' pictures that took no part in the fit, for a better guarantee. Default: none."
        ),
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(help="Folder of known rejects, to choose the score and to tell what is detected. Default: drawn defects."),
    ] = None,
    ignore: Annotated[
        Path | None, typer.Option(help="Picture of the frame's size, white where the frame is not inspected. Default: all is.")
    ] = None,
    max_false_reject: Annotated[str, typer.Option(help="Share of good parts that may be rejected.")] = "0.5%",
    confidence: Annotated[str, typer.Option(help="How sure that must be.")] = "95%",
    minimum_area: Annotated[
        int | None,
        typer.Option(min=1, help="Map pixels; smaller regions over the pixel threshold do not count. Default: measured."),
    ] = None,
    by: Annotated[str, typer.Option(help="Who signs; default: this account's name.")] = "",
    note: Annotated[str, typer.Option(help="Why; kept with the thresholds. Default: empty.")] = "",
    rollback: Annotated[bool, typer.Option("--rollback", help="Take up the version before the present one again.")] = False,
    version: Annotated[int | None, typer.Option(min=1, help="With --rollback: this version. Default: the one before.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Only list the versions there have been.")] = False,
    target: Target = None,
    precision: PrecisionName = None,
    config_dir: ConfigDir = None,
) -> None:
    """Set thresholds from golden samples that took no part in the fit, with a statement of what they guarantee."""
    about = subject(line, recipe, golden, config_dir, target, precision)
    rate, sure = share("--max-false-reject", max_false_reject), share("--confidence", confidence)
    from calibrate.thresholds.calibration import ThresholdsRequest, calibrate_thresholds, prove_again, restore_thresholds

    if history:
        _show_history(about.load())
        return
    with Steps(console, "measuring").shown() as steps:
        if rollback:
            loaded, samples = about.load(), about.need_golden()
            result = restore_thresholds(loaded, version, by, note)
            prove_again(loaded, about.target, about.precision, samples, steps.say, steps.tell)
        else:
            request = ThresholdsRequest(
                recipe=about.load(),
                golden=about.need_golden(),
                target=about.target,
                precision=about.precision,
                known_good=known_good,
                rejects=rejects,
                ignore=ignore,
                max_false_reject=rate,
                confidence=sure,
                minimum_area=minimum_area,
                by=by,
                note=note,
            )
            result = calibrate_thresholds(request, steps.say, steps.tell)
    _show(about.recipe, result)


def _show(recipe: Path, result: Thresholds) -> None:
    from engines.recipe.sensitivity_changes import ended, load_changes, told

    scores = result.held_out_scores
    table = Table("what", "value", title=f"thresholds of {recipe}, version {result.version}", title_justify="left")
    if result.restores is not None:
        table.add_row("restores", f"version {result.restores}")
    table.add_row("signed", Text(f"{result.created_by}, {result.created}{': ' + result.note if result.note else ''}"))
    table.add_row("engine", result.engine)
    margins = ", ".join(f"{name} {one.margin:.1f}" for name, one in result.candidates.items())
    table.add_row("score", f"{result.score}: {result.choice} (in spreads: {margins})")
    table.add_row("score threshold", f"{result.score_threshold:.4g}")
    table.add_row("held-out scores", f"{min(scores):.4g} to {max(scores):.4g} ({len(scores)})")
    highest = ", ".join(f"{one.name} {one.deviation:.1f}" for one in sorted(result.samples, key=lambda one: -one.deviation)[:3])
    advice = "one that is no good part makes the limit too high: set it aside (calibrate review) and fit anew"
    table.add_row("highest of them", Text(f"{highest} spreads from typical; {advice}"))
    table.add_row("pixel threshold", f"{result.pixel_threshold:.4g}, regions of {result.minimum_area} map pixels and more")
    table.add_row("method", result.method)
    table.add_row("guarantee", result.promise)
    estimate = result.guarantee.estimate
    if estimate is not None and estimate.low is not None:
        table.add_row(
            "estimate",
            f"limit {estimate.limit:.2f} spreads from typical, 90 % interval {estimate.low:.2f} to {estimate.high:.2f}",
        )
    console.print(table)
    if change := ended(load_changes(recipe), result):
        console.print(f"{told(change)} ends with this; a line that runs goes on with it until it starts anew", markup=False)
    if result.rejects:
        _show_rejects(result)


def _show_rejects(result: Thresholds) -> None:
    """What is detected of the known rejects, and what other limits would detect."""
    from calibrate.thresholds.trade_off import detection, trade_off

    detected = detection(result)
    console.print(
        f"known rejects detected: {detected.found} of {detected.of} "
        f"({detected.share:.1%}; 95 % interval {detected.low:.1%} to {detected.high:.1%})"
    )
    table = Table("limit (spreads)", "held-out parts rejected", "guaranteed at most", "rejects detected", title_justify="left")
    table.title = "other limits"
    for row in trade_off(result)[:MOST_ROWS]:
        table.add_row(f"{row.limit:.2f}", str(row.rejected), f"{row.guaranteed:.2%}", f"{row.detected:.1%}")
    console.print(table)


def _show_history(recipe: Recipe) -> None:
    from engines.recipe.thresholds import load_history, load_thresholds

    present = load_thresholds(recipe)
    table = Table("version", "signed", "when", "engine", "score", "threshold", "guarantee", "note", title_justify="left")
    for one in load_history(recipe):
        mark = " (present)" if present is not None and one.version == present.version else ""
        note = f"restores {one.restores}. {one.note}" if one.restores is not None else one.note
        of = "" if one.recipe_digest == recipe.digest else " (of another fit)"
        table.add_row(
            f"{one.version}{mark}",
            Text(one.created_by),
            one.created,
            one.engine + of,
            one.score,
            f"{one.score_threshold:.4g}",
            f"at most {one.guarantee.rate:.2%} at {one.guarantee.confidence:.0%}",
            Text(note.strip()),
        )
    console.print(table)


def add_to(app: typer.Typer) -> None:
    """Put the command into an app."""
    app.add_typer(thresholds)
