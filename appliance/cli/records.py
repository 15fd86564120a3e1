"""The commands of `inspect` that look back at what a line has decided."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from appliance.cli.options import AsJson, ConfigDir, LineName
from engines.common import good_neighbour
from engines.common.errors import ConfigError

if TYPE_CHECKING:
    from engines.common.line_file import EngineConfig

records = typer.Typer()
console = Console()
Since = Annotated[str | None, typer.Option(help="Only from this time on, UTC: 2026-11-22 or 2026-11-22T06:00.")]
Until = Annotated[str | None, typer.Option(help="Only before this time, UTC.")]


@records.command(epilog="Example:  inspect history --line 3 --rejects --since 2026-11-22T06:00")
def history(
    line: LineName,
    rejects: Annotated[bool, typer.Option("--rejects", help="Only rejects.")] = False,
    since: Since = None,
    until: Until = None,
    part: Annotated[int | None, typer.Option(min=1, help="Only parts of this number.")] = None,
    of_challenges: Annotated[bool, typer.Option("--challenges", help="Challenges instead of verdicts.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """Search the journal of a line's verdicts, also while it runs; the newest come first."""
    from itertools import islice

    from appliance.cli.event_log import EventLog
    from appliance.config.line import load_line, need_journal
    from appliance.records.challenge_record import challenges
    from appliance.records.journal import Query, search

    query = Query(rejects=rejects, since=_moment("--since", since), until=_moment("--until", until), part=part)
    log = EventLog(console, as_json)
    journal = need_journal(load_line(line, config_dir))
    if of_challenges:
        if rejects or part is not None:
            raise ConfigError("--rejects and --part are of verdicts; leave them out with --challenges")
        since_then = (one for one in challenges(journal) if (query.since or "") <= one.time < (query.until or "~"))
        for challenge in islice(since_then, limit):
            log.challenge(challenge)
        return
    for verdict in search(journal, query, limit):
        log.verdict(verdict)


@records.command(epilog="Example:  inspect show --line 3 1234 --output scratch.png")
def show(
    line: LineName,
    part: Annotated[int, typer.Argument(min=1, help="The part's number; of several starts of the line, the newest part.")],
    epoch: Annotated[int | None, typer.Option(help="Which start of the line, as verdicts tell it.")] = None,
    output: Annotated[Path | None, typer.Option(help="The picture's file; default: part-PART.png in this folder.")] = None,
    config_dir: ConfigDir = None,
) -> None:
    """Write an archived part's picture: the part with its regions, the anomaly map over it, and the template beside them."""
    from appliance.cli.event_log import verdict_line
    from appliance.config.line import load_line, need_archive, need_journal
    from appliance.records.part_picture import part_picture
    from engines.pictures.images import png_bytes

    file = output or Path(f"part-{part}.png")
    if file.suffix.lower() != ".png":
        raise ConfigError(f"--output {file}: pictures are written as PNG; give a name that ends in .png")
    loaded = load_line(line, config_dir)
    verdict, picture = part_picture(line, need_archive(loaded), need_journal(loaded), loaded.config.recipe, part, epoch)
    file.write_bytes(png_bytes(picture))
    console.print(verdict_line(verdict), soft_wrap=True, highlight=False)
    console.print(str(file), soft_wrap=True, highlight=False, markup=False)


@records.command(epilog="Example:  inspect replay --line 3 --since 2026-11-22 --recipe recipes/bracket-new")
def replay(
    line: LineName,
    since: Since = None,
    until: Until = None,
    rejects: Annotated[bool, typer.Option("--rejects", help="Only rejects.")] = False,
    recipe: Annotated[Path | None, typer.Option(help="A recipe's folder; default: the line's.")] = None,
    target: Annotated[str | None, typer.Option(help="What computes; default: as the line.")] = None,
    precision: Annotated[str | None, typer.Option(help="Default: as the line; of another target, its first.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, the newest.")] = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """Run archived frames through a recipe again, and compare with the journal; exit status 1 on a difference.

    With another recipe this is the shadow comparison before a change-over: only verdicts and reasons are compared.
    """
    from appliance.checks.replay_comparison import find_archived
    from appliance.checks.replay_comparison import replay as run_again
    from appliance.cli.replay_report import ReplayReport
    from appliance.config.line import load_line, need_archive, need_journal
    from appliance.line.recipe_at_work import LoadedRecipe, recipe_of
    from appliance.line.threshold_offset import Bound
    from appliance.records.journal import Query
    from engines.common.progress import Steps

    loaded = load_line(line, config_dir)
    query = Query(rejects=rejects, since=_moment("--since", since), until=_moment("--until", until))
    parts = find_archived(line, need_archive(loaded).folder, need_journal(loaded), query, limit)
    good_neighbour.give_way()
    report = ReplayReport(console, as_json)
    engine = _engine(loaded.config.engine, target, precision)
    with (
        closing(LoadedRecipe(recipe_of(loaded, recipe), engine, Bound.of(loaded))) as now,
        Steps(Console(stderr=True), "replaying").shown() as steps,
    ):
        for done, part in enumerate(run_again(now, parts), start=1):
            report.take(part)
            steps.tell(done, len(parts))
    report.close()
    if report.tally.same < report.tally.compared:
        raise typer.Exit(1)


@records.command(epilog="Example:  inspect audit --line 3")
def audit(
    line: LineName,
    config_dir: ConfigDir = None,
    noted: Annotated[
        str | None, typer.Option(help="The end that an earlier audit told, ROW:DIGITS: it must still be there.", metavar="END")
    ] = None,
) -> None:
    """Examine the whole journal: exit status 1 when a row was changed or removed after it was written.

    Who can write the file can also write it anew with all its links, or cut off its end; that shows only beside an end that
    was noted elsewhere.
    """
    from appliance.config.line import load_line, need_journal
    from appliance.records.journal import Anchor
    from appliance.records.journal import audit as examine

    file = need_journal(load_line(line, config_dir))
    anchor = None
    if noted is not None:
        if not re.fullmatch(r"\d+:[0-9a-f]{8,64}", noted):
            raise ConfigError(f"--noted {noted}: give it as an audit told it, such as 1200:0a1b2c3d4e5f6071")
        row, digits = noted.split(":")
        anchor = Anchor(int(row), digits)
    found = examine(file, anchor)
    for fault in found.faults:
        console.print(f"[bold red]changed[/] {file}: {fault}", soft_wrap=True)
    if found.missing:
        console.print(
            f"[yellow]missing[/] {found.missing} verdicts were given but not written (a killed line, or a full disk)",
            soft_wrap=True,
        )
    if found.faults:
        raise typer.Exit(1)
    challenges = f" and {found.challenges} challenges" if found.challenges else ""
    console.print(f"{file}: {found.rows - found.challenges} verdicts{challenges}, the chain holds", soft_wrap=True)
    if found.end is not None and found.end.row:
        end = f"{found.end.row}:{found.end.chain}"
        console.print(f"its end is {end}; note that elsewhere, and audit later with --noted {end}", soft_wrap=True)


def _engine(engine: EngineConfig, target: str | None, precision: str | None) -> EngineConfig:
    """The line's engine, or another where one is asked for."""
    from msgspec.structs import replace

    from engines.common.line_file import EngineConfig as Config
    from engines.targets import default_precision

    if target is not None and target != engine.target:
        # Another may have no streams, nor cores of its own.
        engine = Config(target=target, precision=default_precision(target), slots=engine.slots)
    if precision is not None:
        engine = replace(engine, precision=precision)
    return engine


def _moment(option: str, text: str | None) -> str | None:
    """A time as the journal writes it. Raises ConfigError for what is none."""
    from datetime import UTC, datetime

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} {text}: give a date or a time, UTC, such as 2026-11-22T06:00") from error
    return (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def add_to(app: typer.Typer) -> None:
    """Put these commands among the others."""
    app.add_typer(records)
