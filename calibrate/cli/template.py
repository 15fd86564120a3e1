"""The command of `calibrate` that compares and changes the template of a recipe with one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engines.cli.options import ConfigDir, GoldenDir, LineName, RecipeDir, console
from engines.cli.subject import subject

if TYPE_CHECKING:
    from calibrate.template.choice import TemplateChoice
    from engines.recipe.bundle import Recipe

commands = typer.Typer()


@commands.command(epilog="Example:  calibrate template --line 3 --write")
def template(
    line: LineName = None,
    recipe: RecipeDir = None,
    golden: GoldenDir = None,
    choose: Annotated[
        str | None, typer.Option("--choose", help="Judge this golden sample, too, and write it into the recipe.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the best candidate into the recipe.")] = False,
    recent: Annotated[
        Path | None,
        typer.Option(help="Folder of parts that passed lately: has the template aged? Default: the line's archive."),
    ] = None,
    defects: Annotated[
        int, typer.Option(min=24, max=10_000, help="Defects to draw; more of them tell finer differences.")
    ] = 96,
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file, too.")] = None,
    config_dir: ConfigDir = None,
) -> None:
    """Compare golden samples as the template of a fitted recipe, and tell when the pinned one has aged.

    Each candidate is judged with the recipe's weights on golden samples that were fitted and on drawn defects; those that were
    held out are left to the thresholds. Nothing is changed without --choose or --write.
    """
    import msgspec

    from calibrate.fit.recipe_renewal import renew
    from calibrate.template.aging import archived_passes, passes_in, read_passes
    from calibrate.template.candidate_sheet import contact_sheet
    from calibrate.template.choice import JSON, PICTURE, judge_templates
    from engines.common.errors import ConfigError
    from engines.common.files import write_file
    from engines.common.progress import Steps
    from engines.recipe.golden_samples import read_samples
    from engines.recipe.model_config import TEMPLATE
    from engines.recipe.templates import Templates

    if choose is not None and write:
        raise ConfigError("--choose and --write: give one of them; --write takes the best candidate")
    about = subject(line, recipe, golden, config_dir)
    loaded, samples = about.load(), about.need_golden()
    manifest = loaded.manifest
    if manifest.model.templates_file != TEMPLATE:
        raise ConfigError(
            f"{about.recipe}: there is nothing to choose: its network keeps a bank of golden samples and takes the most "
            f"similar one for each part; keep more with: {about.naming.command('calibrate bank')} --ratio 25"
        )
    names = [sample.name for sample in manifest.golden if not sample.held_out]
    if choose is not None and choose not in names and choose != manifest.templates[0]:
        held_out = any(sample.name == choose for sample in manifest.golden)
        why = "is held out, and the thresholds' guarantee rests on it" if held_out else f"is no golden sample in {samples}"
        raise ConfigError(f"--choose {choose}: {why}; give the name of a fitted one such as {names[0]}")
    files = passes_in(recent) if recent is not None else archived_passes(line, config_dir) if line is not None else []
    fitted = read_samples(samples, manifest, held_out=False)
    with Steps(console, "judging templates").shown() as shown:
        choice, pictures = judge_templates(loaded, fitted, choose, read_passes(files, manifest), shown.tell, defects)
    _print(choice, len(files))
    chosen = choose if choose is not None else choice.best if write else choice.pinned
    written = loaded
    if chosen != choice.pinned:
        written = renew(loaded, manifest.model, (chosen,), Templates.pinned(fitted[names.index(chosen)]))
    content = msgspec.json.format(msgspec.json.encode(choice), indent=2) + b"\n"
    report = written.folder / "report"
    report.mkdir(exist_ok=True)
    write_file(report / JSON, content)
    write_file(report / PICTURE, contact_sheet(choice, pictures))
    if json is not None:
        write_file(json, content)
    console.print(f"contact sheet: {report / PICTURE}", highlight=False, markup=False)
    if choose is not None or write:
        _print_written(choice, chosen, written, samples)


def _print(choice: TemplateChoice, recent: int) -> None:
    from rich.table import Table

    from calibrate.template.aging import FEWEST
    from calibrate.template.candidate_sheet import aged_text, verdict

    console.print(
        f"candidates, by score {choice.score} on {choice.samples} fitted golden samples and {choice.defects} drawn defects",
        highlight=False,
    )
    table = Table("template", "why", "spread", "defects detected", "against the pinned one")
    for one in choice.candidates:
        compared = "" if one.name == choice.pinned else f"{one.gained} gained, {one.lost} lost"
        best = "[green]*[/] " if one.name == choice.best else "  "
        table.add_row(
            f"{best}{one.name}", ", ".join(one.roles), f"{one.spread:.3f}", f"{one.detected} of {choice.defects}", compared
        )
    console.print(table)
    aging = choice.aging
    if aging is None:
        console.print(
            f"aging: not checked: {recent or 'no'} recent passes, {FEWEST} are needed from --recent DIR or the line's archive"
        )
    elif aging.aged:
        console.print(f"[yellow]warning:[/] {aged_text(choice)}; fit anew on golden samples of today, or see --choose")
    else:
        console.print(
            f"aging: none; {aging.recent} recent passes are {aging.pinned - aging.nearest:.3g} farther from {choice.pinned} "
            f"than from {aging.nearest_name}, and golden samples themselves up to {aging.allowed:.3g}",
            highlight=False,
        )
    if aging is None or not aging.aged:
        console.print(verdict(choice)[0], highlight=False, markup=False)


def _print_written(choice: TemplateChoice, chosen: str, written: Recipe, golden: Path) -> None:
    """What was written, and what must follow."""
    if chosen == choice.pinned:
        console.print(f"nothing was changed: {chosen} is the template already", highlight=False, markup=False)
        return
    lines = [
        f"recipe written: {written.folder} (digest {written.digest[:12]}), template: {chosen}",
        f"next: {written.naming.command('engines build')}, then {written.naming.command('calibrate thresholds')}",
        "The weights are still those of the fit with another template. Where there is time, fit anew with this one:",
        f"  {fit_command(written, golden)}",
    ]
    for text in lines:
        console.print(text, highlight=False, markup=False)


def fit_command(recipe: Recipe, golden: Path) -> str:
    """The command that fits a recipe's network anew with its present template, all else being as it was."""
    manifest, geometry = recipe.manifest, recipe.manifest.geometry
    words = ["calibrate fit", f"--golden {golden}", f"--recipe {recipe.folder}", f"--template {manifest.templates[0]}"]
    steps = f"--steps {manifest.steps}" if manifest.steps else "--then-stop"
    words += [f"--profile {manifest.profile}", steps, f"--seed {manifest.seed}"]
    words.append(f"--contrast {manifest.model.contrast}")
    if geometry.region != (0, 0, *geometry.frame):
        words.append(f"--region {','.join(map(str, geometry.region))}")
    if geometry.tiles > 1:
        words.append(f"--grid {geometry.rows}x{geometry.columns} --overlap {geometry.overlap}")
    return " ".join([*words, "--replace"])


def add_to(app: typer.Typer) -> None:
    """Put this command among the others."""
    app.add_typer(commands)
