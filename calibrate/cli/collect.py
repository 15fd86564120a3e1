"""The commands of `calibrate` that make a golden set: take its samples, and find those that do not belong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engines.cli.options import ConfigDir, LineName, RecipeDir, console

if TYPE_CHECKING:
    from calibrate.collection.collector import Collection
    from calibrate.collection.review import Review
    from engines.recipe.bundle import Recipe

golden_sets = typer.Typer()
Golden = Annotated[
    Path | None, typer.Option("--golden", help="Folder of golden samples, instead of the one that the line's file names.")
]
SHEET = "contact-sheet"  # beside the folder, not in it: there every picture is a golden sample
LISTED = 10  # doubtful samples that are told by name


@golden_sets.command(epilog="Example:  calibrate collect --line 3 --count 300")
def collect(
    line: Annotated[
        str, typer.Option("--line", help="Line whose camera takes the pictures; its file names their folder, golden.")
    ],
    count: Annotated[int, typer.Option(min=1, help="So many are taken, beside those that the folder holds already.")] = 100,
    golden: Golden = None,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", help="Keep also what is blurred, ill exposed or seen twice; it is still told.")
    ] = False,
    config_dir: ConfigDir = None,
) -> None:
    """Take golden samples with a line's camera and triggers: run known-good parts past it; the line itself must not run.

    Each picture is checked for sharpness, exposure, and whether the same part was seen before; refused ones are told and not
    kept. Exit status 1 when it was stopped (Ctrl-C keeps what was taken) or ended before the count was complete.
    """
    from appliance.capture.owner import owned
    from appliance.config.line import load_line
    from calibrate.collection.collect_view import CollectView
    from calibrate.collection.collector import Collection, golden_folder, opened_camera, recipe_size
    from calibrate.collection.collector import collect as take_all
    from engines.common.errors import UserError
    from engines.common.progress import Steps
    from engines.common.stop_signal import StopSignal

    loaded = load_line(line, config_dir)
    folder, size = golden_folder(golden, loaded.config.golden, loaded.file), recipe_size(loaded.config.recipe)
    trigger = loaded.config.camera.trigger or "replay"
    collection = Collection(folder, line, count, keep_all, size)
    view = CollectView(console, line, trigger, collection)
    with StopSignal() as stop, owned(line, loaded.config.publish, loaded.file):
        if folder.exists():
            with Steps(console, "looking at the pictures there").shown() as steps:
                collection.read_present(steps.tell, steps.say)
        try:
            with opened_camera(loaded, size, view.notice) as camera, view.shown():
                ended = take_all(camera, collection, stop, view.take)
                simulated = camera.simulated
        except UserError:
            if collection.taken:
                _say(f"{len(collection.taken)} golden samples were taken before, and are kept in {folder}")
            raise
    if ended:
        _say(f"{ended}: {len(collection.taken)} of {count} golden samples were taken; they are kept in {folder}")
    else:
        _say(f"{count} golden samples were taken into {folder}")
    refused = ", ".join(f"{reason} {times}" for reason, times in collection.refused.items()) or "none"
    _say(f"refused: {refused}" + (" (kept all the same, --keep-all)" if keep_all and collection.refused else ""))
    if simulated:
        _say("the camera is simulated: these are no pictures of real parts")
    if collection.taken:
        _sheet_of(collection, line)
        _say(f"next: move out what does not belong: calibrate review --golden {folder}")
    if ended:
        raise typer.Exit(1)


@golden_sets.command(epilog="Example:  calibrate review --line 3 --remove-to golden/set-aside")
def review(
    names: Annotated[
        list[str] | None, typer.Argument(help="With --remove-to: file names to move, instead of the marked ones.")
    ] = None,
    line: LineName = None,
    recipe: RecipeDir = None,
    golden: Golden = None,
    show: Annotated[int, typer.Option(min=1, help="So many are listed and drawn, the most deviating.")] = 24,
    json: Annotated[Path | None, typer.Option("--json", help="File to write the whole list to.")] = None,
    remove_to: Annotated[
        Path | None,
        typer.Option("--remove-to", help="Folder to move the named files to, or else the marked ones; nothing is deleted."),
    ] = None,
    config_dir: ConfigDir = None,
) -> None:
    """List the golden samples that deviate most from the others, each measured against all but itself; no fit is needed.

    Marked are those beyond 3.5 robust standard deviations: look at them. A good part that looks unusual belongs into the set.
    """
    from engines.common.errors import ConfigError
    from engines.common.line_file import read_line_recipe
    from engines.recipe.bundle import MANIFEST, load_recipe

    if line is not None:
        of_line = read_line_recipe(line, config_dir)
        recipe, golden = recipe or of_line.recipe, golden or of_line.golden
    if golden is None:
        raise ConfigError('where are the golden samples? give --golden DIR, or set golden = "..." in the line\'s file')
    if names and remove_to is None:
        raise ConfigError(f"{names[0]}: what about it? give --remove-to DIR to move it there")
    made = load_recipe(recipe) if recipe is not None and (recipe / MANIFEST).is_file() else None
    if not names:
        found = _review(golden, made, show, json)
        names = [one.name for one in found.pictures if one.marked]
    if remove_to is not None:
        _set_aside(golden, names, remove_to, made)


def _review(golden: Path, made: Recipe | None, show: int, json: Path | None) -> Review:
    from rich.table import Table
    from rich.text import Text

    from calibrate.collection.review import LIMIT, review_folder
    from calibrate.collection.review_sheet import thumbnail_of
    from calibrate.pages.contact_sheet import write_pages
    from engines.common.progress import Steps

    with Steps(console, "reviewing").shown() as steps:
        found = review_folder(golden, made.manifest.geometry if made else None, steps.tell)
    marked = sum(one.marked for one in found.pictures)
    seen = f"as recipe {made.name} cuts them" if made else "whole frames"
    title = f"{golden}: {len(found.pictures)} golden samples, {seen}; {marked} beyond z = {LIMIT}"
    table = Table("", "file", "deviation", "z", "note", title=Text(title, "table.title"), title_justify="left")
    for number, one in enumerate(found.pictures[:show], start=1):
        row = (str(number), one.name, f"{one.score:.2f}", f"{one.z:.1f}", one.note)
        table.add_row(*map(Text, row), style="bold yellow" if one.marked else "")
    console.print(table)
    drawn = [thumbnail_of(golden, found, one) for one in found.pictures[:show]]
    for file in write_pages(_beside(golden, "review"), title, drawn):
        _say(f"contact sheet: {file}")
    if json is not None:
        _write_json(json, found)
    return found


def _set_aside(golden: Path, names: list[str], to: Path, made: Recipe | None) -> None:
    from calibrate.collection.set_aside import set_aside

    if not names:
        _say("none is marked: nothing was moved")
        return
    for file in set_aside(golden, names, to):
        _say(f"moved: {file}")
    if made is not None and {sample.name for sample in made.manifest.golden} & set(names):
        _say(f"recipe {made.folder} was fitted with some of these; fit it again: calibrate fit --replace ...")


def _sheet_of(collection: Collection, line: str) -> None:
    """Tell what stands out now that all are known, and write the contact sheet of what was taken."""
    from calibrate.pages.contact_sheet import Thumbnail, write_pages

    doubtful = collection.doubtful() | {one.name: one.refusal for one in collection.taken if one.refusal is not None}
    usual = collection.checks.medians
    thumbnails = []
    for one in collection.taken:
        note = f"sharp {one.looks.sharpness / usual.sharpness:.2f}, mean {one.looks.mean / usual.mean:.2f}" if usual else ""
        if (why := doubtful.get(one.name)) is not None:
            note = f"{why.reason}: {why.text}"
        thumbnails.append(Thumbnail(one.thumbnail, one.name, note, marked=why is not None))
    for name, why in list(doubtful.items())[:LISTED]:
        _say(f"look at {name}: {why.reason}: {why.text}")
    if len(doubtful) > LISTED:
        _say(f"and at {len(doubtful) - LISTED} more, marked on the contact sheet")
    title = f"line {line}: {len(thumbnails)} golden samples taken into {collection.folder}"
    for file in write_pages(_beside(collection.folder, SHEET), title, thumbnails):
        _say(f"contact sheet: {file}")


def _write_json(file: Path, found: Review) -> None:
    import msgspec

    from calibrate.collection.review import LIMIT
    from engines.common.files import write_file

    pictures = [
        {"name": one.name, "score": one.score, "z": one.z, "marked": one.marked, "note": one.note} for one in found.pictures
    ]  # what is not measured, NaN, is null in JSON
    write_file(file, msgspec.json.format(msgspec.json.encode({"limit": LIMIT, "pictures": pictures}), indent=2) + b"\n")


def _beside(folder: Path, what: str) -> Path:
    """Pages are written beside the folder of golden samples, not into it: there every picture is a golden sample."""
    resolved = folder.resolve()
    return resolved.with_name(f"{resolved.name}-{what}")


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False)


def add_to(app: typer.Typer) -> None:
    """Put these commands among the others."""
    app.add_typer(golden_sets)
