"""The command `calibrate evaluate`: how good a recipe is, on labelled sets of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from calibrate.cli.options import Grid, grid_numbers, share
from engines.cli.options import console
from engines.common.errors import ConfigError
from engines.common.progress import Steps
from engines.targets import TARGET_NAMES

if TYPE_CHECKING:
    from calibrate.evaluation.category_result import Found, Result

evaluate = typer.Typer()
PER_MILLE = 1000  # steps of the progress bar
DETECTION = ("image AUROC", "image AP", "pixel AUROC", "pixel AP", "AUPRO 30 %", "AUPRO 5 %")
SATURATED = ("sPRO 30 %", "sPRO 5 %")


@evaluate.command("evaluate", epilog="Example:  calibrate evaluate sets/mvtec_ad --output evaluation --json evaluation.json")
def run(
    data: Annotated[
        list[Path],
        typer.Argument(help="Folders of labelled sets, or of one category each: layout of MVTec AD, MVTec LOCO AD or VisA."),
    ],
    output: Annotated[
        Path, typer.Option(help="Folder for recipes, results and contact sheets; what is finished there is not computed again.")
    ] = Path("evaluation"),
    json: Annotated[Path | None, typer.Option(help="File to write all results to.")] = None,
    network: Annotated[str, typer.Option(help="Kind of network: tfa-net or thfr.")] = "tfa-net",
    profile: Annotated[str, typer.Option(help="small or base.")] = "small",
    backbone_weights: Annotated[Path | None, typer.Option(help="As for `calibrate fit`.")] = None,
    grid: Grid = "auto",
    steps: Annotated[int | None, typer.Option(min=10, help="Fitting steps; default: the profile's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of fit and split.")] = 0,
    target: Annotated[
        str, typer.Option(help=f"Engine that is measured: {TARGET_NAMES}. torch, the reference, needs no build.")
    ] = "torch",
    precision: Annotated[str | None, typer.Option(help="Default: the target's first one.")] = None,
    max_false_reject: Annotated[str, typer.Option(help="Share of good parts that may be rejected, for thresholds.")] = "0.5%",
    confidence: Annotated[str, typer.Option(help="How sure that must be.")] = "95%",
) -> None:
    """Fit, calibrate and test on labelled sets, all categories alike; run again, it goes on where it was.

    Pixels are measured at the resolution of the sets' own pictures. No test picture takes part in any choice.
    """
    rate, sure = share("--max-false-reject", max_false_reject), share("--confidence", confidence)
    if json is not None and not json.absolute().parent.is_dir():
        raise ConfigError(f"--json {json}: there is no folder {json.parent}; make it, or choose another place")
    from calibrate.evaluation.evaluation import evaluate as compute
    from calibrate.evaluation.kept_results import EvaluateRequest
    from engines.targets import default_precision

    rows, columns = grid_numbers(grid)
    request = EvaluateRequest(
        data=tuple(data),
        output=output,
        network=network,
        profile=profile,
        backbone_weights=backbone_weights,
        rows=rows,
        columns=columns,
        steps=steps,
        seed=seed,
        target=target,
        precision=precision or default_precision(target),
        max_false_reject=rate,
        confidence=sure,
    )
    with Steps(console, "evaluating").shown() as shown:
        results = compute(request, shown.say, lambda done, note: shown.tell(int(done * PER_MILLE), PER_MILLE, note))
    _show(results)
    console.print(f"contact sheets of the worst mistakes: {output}/NAME/worst.png")
    if json is not None:
        import msgspec

        from engines.common.files import write_file

        write_file(json, msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
        console.print(f"written: {json}")


def _show(results: Mapping[str, Result]) -> None:
    saturated = any(result.auspro_30 is not None for result in results.values())
    columns = DETECTION + (SATURATED if saturated else ())
    detection = _table("how well defects are told from good parts", *columns, "F1", Column("misses", no_wrap=True))
    limits = ("false rejects", "guaranteed", "misses", "threshold", "fit", "a frame")
    calibrated = _table("at the calibrated thresholds (in brackets: 95 % interval)", *limits)
    for name, result in results.items():
        detection.add_row(f"[bold]{name}[/]", *_cells([*_values(result, saturated), result.f1]), _count(result))
        for kind, found in result.defect_types.items():
            detection.add_row(f"  {kind}", *_cells([*_values(found, saturated), found.f1]), _count(found))
        rejects = _share(result.false_rejects, result.good, result.false_reject_interval)
        calibrated.add_row(
            name,
            rejects if result.guarantee_kept else f"[bold red]{rejects}: more than guaranteed[/]",
            f"at most {result.guarantee:.2%} at {result.confidence:.0%}",
            _share(result.misses, result.defects, result.miss_interval),
            f"{result.threshold:.4g} ({result.score})",
            f"{result.fit_seconds:.0f} s",
            f"{result.frame_ms:.1f} ms",
        )
    if len(results) > 1:
        detection.add_section()
        detection.add_row("mean", *_cells(_mean([_values(result, saturated) for result in results.values()])))
    for table in (detection, calibrated):
        console.print(table)


def _table(title: str, *columns: Column | str) -> Table:
    """Narrow enough for a terminal of 80 columns; the first column is the category's."""
    name = Column("category", no_wrap=True)
    return Table(name, *columns, title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)


def _count(found: Found) -> str:
    return f"{found.misses} of {found.defects}"


def _values(found: Found, saturated: bool) -> list[float | None]:
    """In the order of the table's columns."""
    values = [found.image_auroc, found.image_ap, found.pixel_auroc, found.pixel_ap, found.aupro_30, found.aupro_05]
    return [*values, found.auspro_30, found.auspro_05] if saturated else values


def _mean(rows: list[list[float | None]]) -> list[float | None]:
    """Of each column, over the categories that have it."""
    columns = [[value for value in column if value is not None] for column in zip(*rows, strict=True)]
    return [sum(column) / len(column) if column else None for column in columns]


def _cells(values: list[float | None]) -> list[str]:
    return ["-" if value is None else f"{value:.3f}" for value in values]


def _share(count: int, of: int, interval: tuple[float, float]) -> str:
    return f"{count} of {of} ({interval[0]:.1%} to {interval[1]:.1%})" if of else "-"


def add_to(app: typer.Typer) -> None:
    """Put the command into an app."""
    app.add_typer(evaluate)
