"""The command `inspect challenge`: known good and known bad parts before a shift, signed into the journal."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from appliance.cli.options import AsJson, By, ConfigDir, LineName, Note, account
from engines.common import good_neighbour

if TYPE_CHECKING:
    from appliance.records.challenge_record import Challenge, Shown

challenge_app = typer.Typer()
console = Console(soft_wrap=True, highlight=False)
guide = Console(stderr=True, soft_wrap=True, highlight=False)  # for the person at the camera


@challenge_app.command(epilog="Example:  inspect challenge --line 3 --by anna")
def challenge(
    line: LineName,
    parts: Annotated[bool, typer.Option("--parts", help="Parts under the line's camera, instead of pictures.")] = False,
    each: Annotated[int, typer.Option(min=1, help="With --parts: so many good parts, and so many bad ones.")] = 3,
    by: By = None,
    note: Note = "",
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """Show a line known good and known bad pictures or parts; exit status 1 unless all come out right.

    The result is signed into the line's journal. Pictures can be shown while the line runs, parts only while it stands.
    """
    from itertools import count

    from appliance.checks.known_parts import known_pictures, show_parts, show_pictures, take
    from appliance.cli.event_log import EventLog
    from appliance.config.line import load_line, need_journal
    from appliance.line.recipe_at_work import LoadedRecipe, recipe_of
    from appliance.line.threshold_offset import Bound
    from appliance.records.challenge_record import sign
    from engines.common.progress import Steps

    loaded_line = load_line(line, config_dir)
    journal = need_journal(loaded_line)
    pictures = [] if parts else known_pictures(loaded_line.config.challenge, loaded_line.file)
    whose = (by or account(), note)
    config = loaded_line.config
    with closing(LoadedRecipe(recipe_of(loaded_line), config.engine, Bound.of(loaded_line))) as loaded:
        if parts:
            outcomes = show_parts(loaded_line, loaded, each, _ask)
            record = take(journal, loaded, outcomes, "parts", *whose, _tell)
        else:
            good_neighbour.give_way()
            outcomes, done = show_pictures(loaded, pictures), count(1)
            with Steps(Console(stderr=True), "challenge").shown() as steps:
                record = take(journal, loaded, outcomes, "pictures", *whose, lambda _: steps.tell(next(done), len(pictures)))
        fitted = {sample.sha256 for sample in loaded.recipe.manifest.golden}
    if as_json:
        EventLog(console, as_json=True).challenge(record)
    else:
        _print(record)
        if seen := sum(one.sha256 in fitted for one in record.shown):
            console.print(f"[yellow]{seen} of these pictures are golden samples of the recipe: others would say more[/]")
    row = sign(journal, record)
    if not as_json:
        _say(console, f"{record.summary}; signed by {record.by} as row {row} of {journal}", record.passed)
    if not record.passed:
        raise typer.Exit(1)


def _print(record: Challenge) -> None:
    table = Table("picture", "must be", "verdict", title=f"challenge of {record.conditions}", title_justify="left")
    for heading in ("score", "threshold", "margin"):
        table.add_column(heading, justify="right")
    for one in record.shown:
        margin = "-" if one.margin is None else f"{one.margin:+.1%}"
        expected = "pass" if one.expected == "pass" else "reject defect"
        verdict = f"[{'green' if one.right else 'bold red'}]{escape(_verdict(one))}[/]"
        table.add_row(escape(one.name), expected, verdict, _number(one.score), _number(one.threshold), margin)
    console.print(table)
    console.print("margin: how far from the other verdict, of the limit; below 0 it came out wrong", style="dim")


def _verdict(one: Shown) -> str:
    detail = f" ({one.detail})" if one.detail else ""
    return f"{one.verdict} {one.reason}".strip() + detail


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _say(to: Console, text: str, good: bool) -> None:
    to.print(escape(text), style="green" if good else "bold red")


def _tell(one: Shown) -> None:
    _say(guide, f"{one.name}: {_verdict(one)}", one.right)


def _ask(text: str, wait: bool) -> None:
    from engines.common.errors import ConfigError

    if not wait:
        guide.print(escape(text))
        return
    try:
        guide.input(f"{escape(text)}, then press Enter ")
    except EOFError:
        raise ConfigError("--parts: needs a person who presses Enter; run it on a terminal") from None


def add_to(app: typer.Typer) -> None:
    """Put this command among the others."""
    app.add_typer(challenge_app)
