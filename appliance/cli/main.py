"""The command `inspect`: run a line, watch it, bridge it to its PLC, and find out what is wrong with it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from appliance.cli import challenge, plc, records, sensitivity
from appliance.cli.options import AsJson, ConfigDir, LineName
from appliance.host.service_manager import ServiceManager, Stop, Watched
from engines.common.console import new_app, run_app
from engines.common.stop_signal import StopSignal

if TYPE_CHECKING:
    from appliance.line.running_line import RunningLine

app = new_app("Inspect a line's parts: camera to verdict to PLC.")
console = Console()
LOOK_S = 0.05  # between two looks at what a line has told, and at whether it should stop


@app.command(epilog="Example:  inspect run --line 3 --parts 100")
def run(
    line: LineName,
    parts: Annotated[int | None, typer.Option(min=1, help="Stop after so many parts; default: run until told to stop.")] = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """Inspect a line's parts until stopped (Ctrl-C or SIGTERM): every trigger gets one verdict."""
    from appliance.config.line import load_line
    from appliance.line.running_line import RunningLine

    loaded = load_line(line, config_dir)
    manager = ServiceManager()
    with StopSignal() as signalled:
        # A service waits for a camera that starts later than the box; a person is told at once.
        running = RunningLine(loaded, parts, wait_for_camera=manager.present)
        stop = Watched(signalled, manager, lambda: running.moving)
        try:
            running.start()
            manager.ready(f"recipe {running.recipe_name} on {running.engine_target}")
            if as_json or not sys.stdout.isatty():
                _log_events(running, stop)
            else:
                _show_live(line, running, stop)
        finally:
            running.close()


@app.command(epilog="Example:  inspect recipe --line 3 bracket")
def recipe(
    line: LineName,
    name: Annotated[str, typer.Argument(help="A recipe beside the line's present one, or the path of a recipe folder.")],
    config_dir: ConfigDir = None,
) -> None:
    """Change a line over to another recipe, between two parts if it runs, and write that into the line's file."""
    from appliance.config.line import load_line
    from appliance.line.recipe_at_work import recipe_of
    from appliance.messages.orders import ask_for_recipe, orders_address
    from engines.common.errors import EngineError
    from engines.common.line_file import write_line_recipe
    from engines.recipe.bundle import MANIFEST

    loaded = load_line(line, config_dir)
    beside = loaded.config.recipe.parent
    folder = Path(name) if "/" in name else beside / name
    if not (folder / MANIFEST).is_file():
        there = sorted(file.parent.name for file in beside.glob(f"*/{MANIFEST}"))
        raise EngineError(f"{folder}: no recipe there; recipes in {beside}: {', '.join(there) or 'none'}")
    recipe_of(loaded, folder)
    address = orders_address(line, loaded.config.publish)
    answer = ask_for_recipe(address, folder, lambda text: console.print(text, style="dim"))
    if answer is not None and answer.state != "changed":
        raise EngineError(f"line {line} goes on with the recipe it has: {answer.text}")
    write_line_recipe(loaded.file, folder)
    console.print(
        answer.text if answer else f"line {line} does not run; it will start with recipe {folder.name}", soft_wrap=True
    )
    if loaded.config.golden:
        console.print(
            f"{loaded.file}: golden, {loaded.config.golden}, is as before: see that it fits this recipe", soft_wrap=True
        )


@app.command(epilog="Example:  inspect watch --line 3 --rejects")
def watch(
    line: LineName,
    rejects: Annotated[bool, typer.Option("--rejects", help="Only rejects and alarms.")] = False,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    client: Annotated[str, typer.Option(help="Whose key to use, where the line uses keys.")] = "watch",
) -> None:
    """Print a line's verdicts as they come."""
    from appliance.cli.event_log import EventLog
    from appliance.config.line import load_line
    from appliance.messages.schema import Alarm, Verdict
    from appliance.messages.subscriber import Subscriber

    log = EventLog(console, as_json)
    with StopSignal() as stop:
        subscriber = Subscriber(line, load_line(line, config_dir).config.publish, client, rejects_only=rejects)
        lost = 0
        try:
            while not stop.is_set():
                message = subscriber.receive(0.2)
                if subscriber.lost > lost:
                    log.say("error", "verdicts were lost on the way here", {"lost": subscriber.lost - lost})
                    lost = subscriber.lost
                if isinstance(message, Verdict):
                    log.verdict(message)
                elif isinstance(message, Alarm):
                    log.notice(message)
        finally:
            subscriber.close()


@app.command(epilog="Example:  inspect doctor --line 3")
def doctor(line: LineName, config_dir: ConfigDir = None) -> None:
    """Check all that a line needs, and say what to mend; exit status 1 when something failed."""
    from appliance.checks.doctor import examine
    from appliance.config.line import load_line

    table = Table("check", "", "what was found", title=f"line {line}", title_justify="left")
    colours = {"ok": "green", "warning": "yellow", "failed": "bold red"}
    failed = False
    for finding in examine(load_line(line, config_dir)):
        table.add_row(finding.check, Text(finding.outcome, colours[finding.outcome]), Text(finding.text))
        failed = failed or finding.outcome == "failed"
    console.print(table)
    if failed:
        raise typer.Exit(1)


@app.command(epilog="Example:  inspect schema > messages.schema.json")
def schema() -> None:
    """Print the JSON Schema of every message."""
    import msgspec

    from appliance.messages.schema import MESSAGES

    roots, components = msgspec.json.schema_components(MESSAGES, ref_template="#/$defs/{name}")
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "anyOf": roots, "$defs": components}
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


@app.command(epilog="Example:  inspect keys lines/keys --client plc --client watch")
def keys(
    folder: Annotated[Path, typer.Argument(help="Folder for the keys; name it in the line's file as publish.keys.")],
    client: Annotated[list[str] | None, typer.Option(help="Name of a client to let in; may be given more than once.")] = None,
) -> None:
    """Make the keys that a line needs when it publishes beyond this box; existing keys are kept."""
    from appliance.messages.curve_keys import make_keys

    for pair in make_keys(folder, client or ["plc", "watch"]):
        console.print(f"{'made' if pair.made else 'kept'} {pair.public} and {pair.public}_secret", soft_wrap=True)


def _log_events(running: RunningLine, stop: Stop) -> None:
    from appliance.cli.event_log import EventLog
    from appliance.messages.schema import Verdict

    log = EventLog(console, as_json=True, goes_on=True)
    log.say("info", "the line runs", {"recipe": running.recipe_name, "engine": running.engine_target})
    while True:
        last_round = not running.running
        while running.events:
            event = running.events.popleft()
            log.verdict(event) if isinstance(event, Verdict) else log.notice(event)
        if last_round:
            break
        time.sleep(LOOK_S)
        if stop.is_set():
            running.stop()
    passed, rejected = running.counts
    log.say(
        "info",
        "the line has stopped",
        {"passed": passed, "rejected": rejected, "late_results": running.late_results},
    )


def _show_live(name: str, running: RunningLine, stop: Stop) -> None:
    from rich.live import Live

    from appliance.cli.live_view import LiveView

    view = LiveView(name, running)
    with Live(view, console=console, refresh_per_second=5):
        while running.running or running.events:
            while running.events:
                view.take(running.events.popleft())
            time.sleep(LOOK_S)
            if stop.is_set():
                running.stop()


challenge.add_to(app)
sensitivity.add_to(app)
records.add_to(app)
plc.add_to(app)


def main() -> None:
    """Entry point."""
    run_app(app)
