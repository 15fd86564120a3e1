"""The command `inspect sensitivity`: an operator's bounded offset to the calibrated thresholds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from appliance.cli.options import By, ConfigDir, LineName, Note, account

if TYPE_CHECKING:
    from appliance.config.line import Line

sensitivity_app = typer.Typer()
console = Console(soft_wrap=True, highlight=False)


# Negative values look like options: what is no option is the argument, and refused there if it is neither.
@sensitivity_app.command(
    epilog="Example:  inspect sensitivity --line 3 +5% --by anna --note 'scratches of batch 1234 must be found'",
    context_settings={"ignore_unknown_options": True},
)
def sensitivity(
    line: LineName,
    change: Annotated[
        str | None,
        typer.Argument(help="+5%: thresholds 5 % below the calibrated ones, rejects more; -5%: rejects fewer. None: show it."),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Compare with the calibrated thresholds again.")] = False,
    by: By = None,
    note: Note = "",
    config_dir: ConfigDir = None,
) -> None:
    """Move a line's thresholds a little, within bounds; a running line takes it over at once, the next calibration ends it."""
    from appliance.config.line import load_line
    from engines.common.errors import ConfigError

    loaded = load_line(line, config_dir)
    if reset and change is not None:
        raise ConfigError(f"{change} and --reset: give one of them")
    if reset or change is not None:
        from appliance.line.recipe_at_work import recipe_of
        from appliance.line.threshold_offset import Bound, set_sensitivity
        from appliance.messages.orders import ask_for_recipe, orders_address

        address = orders_address(line, loaded.config.publish)
        offset = 0.0 if change is None else _offset(change)
        outcome = set_sensitivity(
            recipe_of(loaded),
            Bound.of(loaded),
            offset,
            by or account(),
            note,
            lambda folder: ask_for_recipe(address, folder, lambda text: console.print(text, style="dim"), again=True),
        )
        console.print(outcome, markup=False)
    _show(loaded)


def _offset(text: str) -> float:
    """`+5%` as 0.05. Raises ConfigError for anything else."""
    from engines.common.errors import ConfigError
    from engines.recipe.sensitivity_changes import MOST, per_cent

    match = re.fullmatch(r"([+-]\d{1,3}(?:\.\d+)?) ?%?", text)
    if match is None:
        raise ConfigError(f"{text}: give a sensitivity such as +5% (rejects more) or -5% (rejects fewer); see --help")
    offset = float(match[1]) / 100
    if abs(offset) > MOST:
        raise ConfigError(f"{text}: at most {per_cent(-MOST)} to {per_cent(MOST)}; beyond that, calibrate the thresholds again")
    return offset


def _show(line: Line) -> None:
    from appliance.line.recipe_at_work import recipe_of
    from appliance.line.threshold_offset import Bound, compared_with
    from engines.common.errors import RecipeError
    from engines.recipe.sensitivity_changes import consequence, load_changes, per_cent, told
    from engines.recipe.thresholds import load_thresholds

    recipe = recipe_of(line)
    thresholds = load_thresholds(recipe)
    if thresholds is None:
        raise RecipeError(f"{recipe.folder}: no thresholds to move yet; run: {recipe.naming.command('calibrate thresholds')}")
    moved, now = compared_with(recipe, thresholds, Bound.of(line))
    assert moved is not None, "there are thresholds"
    table = Table("", "calibrated", "compared with", title=f"line {line.name}: sensitivity {per_cent(now.offset)}")
    table.add_row("score threshold", f"{thresholds.score_threshold:.6g}", f"{moved.score_threshold:.6g}")
    table.add_row("pixel threshold", f"{thresholds.pixel_threshold:.6g}", f"{moved.pixel_threshold:.6g}")
    console.print(table)
    console.print(f"promise of version {thresholds.version}: {thresholds.promise}", markup=False)
    if now.change is not None:
        console.print(f"[yellow]with this sensitivity {consequence(now.offset)}[/]")
    if now.ended is not None:
        console.print(f"[yellow]not in force any more, as the thresholds are others now:[/] {escape(told(now.ended))}")
    if changes := load_changes(recipe.folder):
        history = Table("changed (UTC)", "sensitivity", "thresholds", "by", "note", title="history")
        for one in reversed(changes):
            version = f"version {one.thresholds_version}"
            history.add_row(one.changed[:19], per_cent(one.offset), version, escape(one.by), escape(one.note))
        console.print(history)


def add_to(app: typer.Typer) -> None:
    """Put this command among the others."""
    app.add_typer(sensitivity_app)
