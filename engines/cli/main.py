"""The command `engines`: compile a recipe's graph for a target, prove it, list and measure what there is."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from engines.common.console import new_app, run_app
from engines.common.errors import ConfigError, EngineError
from engines.common.line_file import read_line_recipe
from engines.common.progress import Steps
from engines.targets import PRECISION_NAMES, TARGET_NAMES

if TYPE_CHECKING:
    from engines.recipe.bundle import Recipe

app = new_app("Compile a recipe's graph for a target, and prove that it answers as the reference does.")
console = Console(soft_wrap=True)

GPU_FRAMES = 500


class Device(StrEnum):
    """Where to measure."""

    CPU = "cpu"
    CUDA = "cuda"


Line = Annotated[str | None, typer.Option(help="Line whose recipe is meant; its file names recipe and golden samples.")]
RecipeDir = Annotated[Path | None, typer.Option("--recipe", help="Recipe folder, instead of --line.")]
Golden = Annotated[Path | None, typer.Option(help="Folder of golden samples that the fit used.")]
Rejects = Annotated[Path | None, typer.Option(help="Folder of known rejects to compare on, too.")]
Target = Annotated[str, typer.Option(help=f"{TARGET_NAMES}.")]
PrecisionName = Annotated[
    str | None,
    typer.Option("--precision", help=f"{PRECISION_NAMES}; a target has some of them. Default: its first one."),
]
ConfigDir = Annotated[Path | None, typer.Option(help="Folder of the line files.")]


@app.command(epilog="Example:  engines build --line 3 --target openvino --precision float32")
def build(
    line: Line = None,
    recipe: RecipeDir = None,
    golden: Golden = None,
    rejects: Rejects = None,
    target: Target = "openvino",
    precision: PrecisionName = None,
    config_dir: ConfigDir = None,
) -> None:
    """Build an engine and prove it on held-out golden samples and synthetic defects; exit status 1 if it fails the gate."""
    loaded, samples = _recipe_and_golden(line, recipe, golden, config_dir)
    from engines.proof.build import build_engine
    from engines.targets import TARGETS, default_precision, target_module

    precision = precision or default_precision(target)
    target_module(target, precision)
    if TARGETS[target].reference == precision:
        console.print(f"{target} {precision} is the reference itself: there is nothing to build, a line can load it as it is")
        return
    with Steps(console, "comparing").shown() as steps:
        record = build_engine(loaded, target, precision, samples, rejects, steps.say, steps.tell)  # type: ignore[arg-type]  # checked above
    _tell_outcome(loaded, target, precision, record.parity)


@app.command(epilog="Example:  engines verify --line 3 --target openvino --precision float32 --rejects pictures/bad")
def verify(
    line: Line = None,
    recipe: RecipeDir = None,
    golden: Golden = None,
    rejects: Rejects = None,
    target: Target = "openvino",
    precision: PrecisionName = None,
    device: Annotated[Device, typer.Option(help="cuda: measure the target tensorrt on this box's GPU, too.")] = Device.CPU,
    config_dir: ConfigDir = None,
) -> None:
    """Compare a built engine with the float32 reference anew, and renew its report; exit status 1 if it fails the gate."""
    loaded, samples = _recipe_and_golden(line, recipe, golden, config_dir)
    from engines.proof.build import verify_engine
    from engines.targets import default_precision, target_module

    if device is Device.CUDA:
        from engines.targets.cuda_check import need_cuda

        need_cuda()
        target = "tensorrt"
    precision = precision or default_precision(target)
    target_module(target, precision)
    with Steps(console, "comparing").shown() as steps:
        record = verify_engine(loaded, target, precision, samples, rejects, steps.say, steps.tell)  # type: ignore[arg-type]  # checked above
    _tell_outcome(loaded, target, precision, record.parity)
    if device is Device.CUDA:
        _measure_on_gpu(loaded)


@app.command("list", epilog="Example:  engines list --line 3")
def list_engines(line: Line = None, recipe: RecipeDir = None, config_dir: ConfigDir = None) -> None:
    """Show the engines that a recipe has, and whether a line would load them."""
    from engines.proof.admission import RECORD, need_proven, read_record
    from engines.recipe.bundle import load_recipe

    loaded = load_recipe(_recipe_folder(line, recipe, config_dir)[0])
    table = Table("engine", "a line would", "one frame", "map error", "correlation", "flips", title_justify="left")
    table.title = f"engines of {loaded.folder}"
    table.add_row("torch float32", "[green]load it[/]: the reference")
    refusals = []
    for file in sorted((loaded.folder / "engines").glob(f"*/{RECORD}")):
        record = read_record(file.parent)
        parity = record.parity
        answer = "[green]load it[/]"
        try:
            need_proven(loaded, record.target, record.precision)
        except EngineError as error:
            answer = "[bold red]refuse it[/]"
            refusals.append(str(error))
        figures = ("", "", "", "")
        if parity is not None:
            figures = (
                f"{parity.latency_ms:.1f} ms",
                f"{parity.map_error:.2g} (<= {parity.limits.map_error:g})",
                f"{parity.correlation:.4f} (>= {parity.limits.correlation:g})",
                str(parity.flips),
            )
        table.add_row(f"{record.target} {record.precision}", answer, *figures)
    console.print(table)
    for refusal in refusals:
        console.print(refusal, style="red", soft_wrap=True, markup=False)


@app.command(epilog="Example:  engines export --recipe recipes/bracket --precision float16 bracket.pt2")
def export(
    file: Annotated[Path, typer.Argument(help="File to write, for tools that read torch.export programs.")],
    recipe: RecipeDir = None,
    line: Line = None,
    precision: Annotated[str, typer.Option(help="float32 or float16.")] = "float32",
    config_dir: ConfigDir = None,
) -> None:
    """Write the inspection graph, with its casts, for inspection by other tools."""
    if precision not in ("float32", "float16"):
        raise ConfigError(
            f"--precision {precision}: the graph is written in float32 or float16; other precisions come from a target"
        )
    _need_folder(file)
    from engines.graph.assembly import load_graph
    from engines.graph.export import export_graph, save_program
    from engines.graph.half_precision import to_half
    from engines.recipe.bundle import load_recipe

    graph = load_graph(load_recipe(_recipe_folder(line, recipe, config_dir)[0]))
    save_program(export_graph(to_half(graph) if precision == "float16" else graph), file)
    console.print(f"written: {file}")


@app.command(epilog="Example:  engines bench --line 3 --json bench.json --plot bench.png")
def bench(
    line: Line = None,
    recipe: RecipeDir = None,
    frames: Annotated[int, typer.Option(min=20, help="Frames of each measurement.")] = 100,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the figures, a list of objects.")] = None,
    plot: Annotated[Path | None, typer.Option(help="File for a picture of latency and throughput.")] = None,
    config_dir: ConfigDir = None,
) -> None:
    """Measure every engine of a recipe that passed the gate, beside this machine's ceiling; run it on an idle machine."""
    for file in (json_file, plot):
        if file is not None:
            _need_folder(file)
    import msgspec

    from engines.proof.bench import bench as measure
    from engines.proof.bench import draw

    rows = measure(_recipe_folder(line, recipe, config_dir)[0], frames, lambda text: console.print(text, style="dim"))
    columns = ("engine", "in flight", "median", "p99", "frames/s", "times torch", "of the ceiling", "memory")
    table = Table(*columns, title_justify="left")
    for row in rows:
        table.add_row(
            f"{row.target} {row.precision}",
            str(row.in_flight),
            f"{row.median_ms:.1f} ms",
            f"{row.p99_ms:.1f} ms",
            f"{row.frames_per_second:.1f}",
            f"{row.times_torch:.2f}",
            f"{row.ceiling_share:.0%}",
            f"{row.rss_mb:.0f} MB",
        )
    console.print(table)
    ceilings = {row.precision: row.ceiling_gflops for row in rows}
    told = ", ".join(f"{precision} {gflops:.0f}" for precision, gflops in ceilings.items())
    console.print(f"the ceiling, the fastest large matrix product here, GFLOP/s: {told} (int8 is compared with bfloat16's)")
    if rows[0].bank_mb:
        console.print(f"the bank of templates: {rows[0].bank_mb:.1f} MB at 2 bytes a number")
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
    if plot is not None:
        draw(rows, plot)


def _measure_on_gpu(recipe: Recipe) -> None:
    """Print what the GPU does with a stream of frames; exit status 1 when copies do not overlap or memory is allocated."""
    import numpy as np

    from engines.proof.admission import load_engine
    from engines.targets import default_precision
    from engines.targets.cuda_check import examine

    shape = recipe.manifest.geometry
    tiles = np.random.default_rng(0).integers(0, 256, (shape.tiles, shape.input_side, shape.input_side, 3), np.uint8)
    engine = load_engine(recipe, "tensorrt", default_precision("tensorrt"))
    report = examine(engine, tiles, GPU_FRAMES)
    engine.close()
    console.print(f"{report.frames} frames, {report.frames_per_second:.1f} a second, launched {_launched(report.replayed)}")
    console.print(f"copies during another frame's computing: {report.overlapping:.0%} of the frames")
    console.print(f"allocations on the device: {report.allocations}")
    most = max(count for _, _, count in report.histogram())
    for low, high, count in report.histogram():
        console.print(f"{low:8.2f} to {high:8.2f} ms {count:6d} {'#' * round(40 * count / most)}")
    if not report.passed:
        console.print("[bold red]the GPU is not used as it should be: copies must overlap, and nothing be allocated[/]")
        raise typer.Exit(1)


def _launched(replayed: bool) -> str:
    return "as a CUDA graph" if replayed else "layer by layer (this plan cannot be captured as a CUDA graph)"


def _need_folder(file: Path) -> None:
    """Refuse a file that cannot be written before anything is computed for it."""
    if not file.parent.is_dir():
        raise ConfigError(f"{file}: there is no folder {file.parent}; make it, or choose another file")


def _recipe_folder(line: str | None, recipe: Path | None, config_dir: Path | None) -> tuple[Path, Path | None]:
    if line is not None:
        of_line = read_line_recipe(line, config_dir)
        return recipe or of_line.recipe, of_line.golden
    if recipe is None:
        raise ConfigError("which recipe? give --line 3, or --recipe DIR")
    return recipe, None


def _recipe_and_golden(
    line: str | None, recipe: Path | None, golden: Path | None, config_dir: Path | None
) -> tuple[Recipe, Path]:
    from engines.recipe.bundle import load_recipe

    folder, line_golden = _recipe_folder(line, recipe, config_dir)
    samples = golden or line_golden
    if samples is None:
        raise ConfigError('where are the golden samples? give --golden DIR, or set golden = "..." in the line\'s file')
    return load_recipe(folder), samples


def _tell_outcome(recipe: Recipe, target: str, precision: str, parity: object) -> None:
    from engines.proof.admission import describe, engine_folder
    from engines.proof.parity import Parity

    if not isinstance(parity, Parity):
        raise EngineError(f"{target} {precision}: was not compared with the reference; run: engines verify")
    console.print(f"{engine_folder(recipe, target, precision)}: {describe(parity)}")
    console.print(f"one frame: {parity.latency_ms:.1f} ms, reference {parity.reference_latency_ms:.1f} ms")
    if not parity.passed:
        console.print("[bold red]the parity gate was not passed: no line will load this engine[/]")
        raise typer.Exit(1)
    console.print("[green]the parity gate was passed[/]")


def main() -> None:
    """Entry point."""
    run_app(app)
