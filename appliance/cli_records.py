"""The commands of `inspect` that look back at what a line has decided."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from appliance.cli_options import AsJson, ConfigDir, LineName

records = typer.Typer()
console = Console()


@records.command(epilog="Example:  inspect history --line 3 --rejects --since 2026-11-22T06:00")
def history(
    line: LineName,
    rejects: Annotated[bool, typer.Option("--rejects", help="Only rejects.")] = False,
    since: Annotated[str | None, typer.Option(help="Only from this time on, UTC: 2026-11-22 or 2026-11-22T06:00.")] = None,
    part: Annotated[int | None, typer.Option(min=1, help="Only parts of this number.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """Search the journal of a line's verdicts, also while it runs; the newest come first."""
    from datetime import UTC, datetime

    from appliance.config import load_line, need_journal
    from appliance.console_log import EventLog
    from appliance.journal import search
    from engines.errors import ConfigError

    try:
        moment = datetime.fromisoformat(since) if since else None
    except ValueError as error:
        raise ConfigError(f"--since {since}: give a date or a time, UTC, such as 2026-11-22T06:00") from error
    begin = None
    if moment is not None:
        begin = (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    log = EventLog(console, as_json)
    for verdict in search(need_journal(load_line(line, config_dir)), rejects, begin, part, limit):
        log.verdict(verdict)


@records.command(epilog="Example:  inspect audit --line 3")
def audit(line: LineName, config_dir: ConfigDir = None) -> None:
    """Examine the whole journal: exit status 1 when a row was changed or removed after it was written."""
    from appliance.config import load_line, need_journal
    from appliance.journal import audit as examine

    file = need_journal(load_line(line, config_dir))
    found = examine(file)
    for fault in found.faults:
        console.print(f"[bold red]changed[/] {file}: {fault}", soft_wrap=True)
    if found.missing:
        console.print(
            f"[yellow]missing[/] {found.missing} verdicts were given but not written (a killed line, or a full disk)",
            soft_wrap=True,
        )
    if found.faults:
        raise typer.Exit(1)
    console.print(f"{file}: {found.rows} verdicts, the chain holds", soft_wrap=True)


def add_to(app: typer.Typer) -> None:
    """Put these commands among the others."""
    app.add_typer(records)
