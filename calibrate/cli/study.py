"""The command `calibrate study`: how well the gauge repeats itself."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from engines.cli.options import ConfigDir, LineName, PrecisionName, RecipeDir, Target, console
from engines.cli.subject import subject
from engines.common.errors import ConfigError
from engines.common.progress import Steps

if TYPE_CHECKING:
    from calibrate.gauge.study import Study
    from calibrate.gauge.study_pictures import Gauge, Take
    from calibrate.gauge.study_session import Plan

studies = typer.Typer()
PARTS, REPEATS = 10, 10
COLOURS = {"acceptable": "green", "conditional": "yellow", "not acceptable": "red", None: "dim"}


@studies.command(epilog="Example:  calibrate study --line 3 --parts 10 --repeats 10")
def study(
    line: LineName = None,
    recipe: RecipeDir = None,
    parts: Annotated[int | None, typer.Option(min=2, max=99, help=f"Parts to take; default: {PARTS}.")] = None,
    repeats: Annotated[int | None, typer.Option(min=2, max=99, help=f"Takes of each part; default: {REPEATS}.")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Folder for the frames taken; default: study-LINE-DATE in this folder.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Read pictures instead of taking any: a folder for each part, its repeats inside.")
    ] = None,
    appraisers: Annotated[
        bool, typer.Option("--appraisers", help="In --folder, each part has a folder for each appraiser (person or session).")
    ] = False,
    truth: Annotated[
        Path | None,
        typer.Option(help="CSV file, part,truth with good or bad; default: truth.csv in the folder. Or in a part's name."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything found to this file.")] = None,
    form: Annotated[Path | None, typer.Option(help="The form's file, HTML; default: study-LINE-DATE.html here.")] = None,
    by: Annotated[str | None, typer.Option(help="Who studies; default: the user.")] = None,
    target: Target = None,
    precision: PrecisionName = None,
    config_dir: ConfigDir = None,
) -> None:
    """Study the gauge (MSA): repeatability of the score, agreement of verdicts, and what to mend where they are poor.

    Guides through placing each part again and again before the line's camera, the line stopped; or reads such pictures.
    """
    chosen = subject(line, recipe, None, config_dir, target, precision)
    today = datetime.now(UTC).date().isoformat()
    name = f"study-{line or chosen.recipe.name}-{today}"
    form = form or Path(f"{name}.html")
    _check(line, folder, (parts, repeats, keep), appraisers, (form, json_file))
    import msgspec

    from calibrate.gauge.study import Header, evaluate
    from calibrate.gauge.study_form import make_form
    from calibrate.gauge.study_pictures import Gauge, read_truth
    from calibrate.gauge.study_session import Plan

    with Gauge(chosen.load(), chosen.target, chosen.precision) as gauge:
        if folder is not None:
            truth, simulated = _truth_file(truth, folder), False
            takes = _read(gauge, folder, appraisers)
        else:
            assert line is not None, "checked above"
            keep = keep or Path(name)
            truth = _truth_file(truth, keep)
            plan = Plan(parts or PARTS, repeats or REPEATS, keep)
            takes, simulated = _take(gauge, line, config_dir, plan, truth)
        known = read_truth(truth, list(dict.fromkeys(take.part for take in takes)))
        thresholds = gauge.thresholds
        header = Header(
            line=line or "-",
            recipe=gauge.recipe.name,
            recipe_digest=gauge.recipe.digest,
            engine=gauge.engine,
            thresholds_version=thresholds.version,
            thresholds_engine=thresholds.engine,
            score=thresholds.score,
            pictures=str(folder or keep),
            simulated=simulated,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            created_by=by or getpass.getuser(),
        )
    result = evaluate(header, thresholds, takes, known)
    if json_file is not None:
        _write(json_file, msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n", folder or keep)
    _write(form, make_form(result).encode(), folder or keep)
    _show(result)
    console.print(f"form: {form}" + (f", JSON: {json_file}" if json_file else ""), markup=False, highlight=False)


def _check(
    line: str | None,
    folder: Path | None,
    of_taking: tuple[object, ...],
    appraisers: bool,
    files: tuple[Path | None, ...],
) -> None:
    """Refuse, before anything is taken, what could not be carried out after it."""
    if folder is None and line is None:
        raise ConfigError("which camera? give --line 3; or --folder DIR to read pictures that were taken before")
    if folder is not None and any(option is not None for option in of_taking):
        raise ConfigError("--parts, --repeats and --keep are for taking pictures; with --folder the folders tell them")
    if folder is None and appraisers:
        raise ConfigError(
            "--appraisers is for --folder: let each take a study with --keep, and put their folders together as "
            "PART/APPRAISER/pictures"
        )
    for file in files:
        if file is not None and not file.parent.is_dir():
            raise ConfigError(f"{file}: there is no folder {file.parent} to write it to; make it first")


def _truth_file(given: Path | None, folder: Path) -> Path | None:
    from calibrate.gauge.study_pictures import TRUTH_FILE

    beside = folder / TRUTH_FILE
    return given or (beside if beside.exists() else None)


def _read(gauge: Gauge, folder: Path, appraisers: bool) -> list[Take]:
    from calibrate.gauge.study_pictures import read_takes

    with Steps(console, "scoring").shown() as shown:
        return read_takes(gauge, folder, appraisers, shown.tell)


def _take(gauge: Gauge, line: str, config_dir: Path | None, plan: Plan, truth: Path | None) -> tuple[list[Take], bool]:
    from appliance.config.line import load_line
    from calibrate.gauge.study_pictures import read_truth
    from calibrate.gauge.study_session import take_study

    read_truth(truth, plan.names)  # a mistake in it is told before the work, not after it
    console.print(
        f"gauge study of line {line}: {plan.parts} parts, {plan.repeats} times each; the line must be stopped. Number the "
        f"parts 1 to {plan.parts}; each round takes all of them. Frames are kept in {plan.folder}.",
        highlight=False,
    )
    return take_study(gauge, load_line(line, config_dir), plan, truth, _ask, lambda text: console.print(text, markup=False))


def _ask(prompt: str) -> str:
    try:
        return console.input(prompt, markup=False)
    except EOFError:
        raise ConfigError("nobody is there to press Enter; run this on a terminal, or give --folder DIR") from None


def _write(file: Path, content: bytes, pictures: Path | None) -> None:
    from engines.common.files import write_file

    try:
        write_file(file, content)
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be written ({error.strerror or error}); name another place, and read the pictures again with "
            f"--folder {pictures}"
        ) from error


def _show(study: Study) -> None:
    """The form in short."""
    from calibrate.gauge.advice import LIMITS, findings
    from calibrate.gauge.study_form import told_interval, told_kappa, told_ndc

    score, ratings = study.score, study.ratings
    truth = study.truth_kappa
    people = f" x {len(study.appraisers)} appraisers" if len(study.appraisers) > 1 else ""
    table = Table(Column("figure", no_wrap=True), "found", "interval", "rating", title_justify="left")
    table.title = f"gauge study, line {study.header.line}: {study.parts_count} parts{people} x {study.repeats} repeats"

    def row(name: str, found: str, interval: str = "", limit: str | None = None) -> None:
        rating = ratings[limit] if limit else None
        table.add_row(name, found, interval, f"[{COLOURS[rating]}]{rating or ''}[/]")

    row("EV (repeatability)", f"{score.ev:.4g}", told_interval(score.ev_low, score.ev_high, ".4g"))
    if people:
        row("AV (reproducibility)", f"{score.av:.4g}")
        row("appraiser x part", f"{score.interaction:.4g}")
    row("PV (parts)", f"{score.pv:.4g}")
    row("TV (total)", f"{score.tv:.4g}")
    row(
        "%GRR of total variation",
        "-" if score.grr_percent is None else f"{score.grr_percent:.1f} %",
        told_interval(score.grr_percent_low, score.grr_percent_high, ".0f"),
        "%GRR of total variation",
    )
    row("ndc", told_ndc(score), "", "ndc")
    tolerance = "-" if study.tolerance_percent is None else f"{study.tolerance_percent:.1f} %"
    row("%GRR of tolerance", tolerance, "", "%GRR of tolerance")
    steady, kappa = study.steady, study.repeats_kappa
    row("parts with one verdict", f"{steady.count} of {steady.of}", f"{steady.low:.0%} to {steady.high:.0%}")
    row("kappa over repeats", told_kappa(kappa), told_interval(kappa.low, kappa.high), "kappa over repeats")
    row(
        "kappa against the truth",
        told_kappa(truth),
        told_interval(truth.low, truth.high) if truth else "",
        "kappa against the truth",
    )
    console.print(table)
    flips = Table("part", "truth", "verdicts", "distance (std. dev.)", "next verdict other", title_justify="left")
    flips.title = "parts that got both verdicts"
    for part in study.parts:
        if part.flips:
            distance = "-" if part.distance is None else f"{part.distance:+.1f}"
            chance = "-" if part.flip_chance is None else f"{part.flip_chance:.1%}"
            verdicts = f"{part.takes - part.rejects} pass, {part.rejects} reject"
            flips.add_row(Text(part.name), part.truth or "-", verdicts, distance, chance)
    if flips.row_count:
        console.print(flips)
    marks = {"good": "green", "note": "yellow", "mend": "red"}
    for one in findings(study):
        console.print(Text.assemble((one.kind, marks[one.kind]), f"  {one.text}"), highlight=False)
    console.print(LIMITS, style="dim", markup=False, highlight=False)


def add_to(app: typer.Typer) -> None:
    """Put this command among the others."""
    app.add_typer(studies)
