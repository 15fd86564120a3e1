"""The commands of `engines` that build an engine and prove it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from engines.cli.options import ConfigDir, GoldenDir, LineName, PrecisionName, RecipeDir, Rejects, Target, console
from engines.cli.subject import subject
from engines.common.errors import EngineError
from engines.common.progress import Steps

if TYPE_CHECKING:
    from engines.recipe.bundle import Recipe

commands = typer.Typer()
GPU_FRAMES = 500


class Device(StrEnum):
    """Where to measure."""

    CPU = "cpu"
    CUDA = "cuda"


@commands.command(epilog="Example:  engines build --line 3")
def build(
    line: LineName = None,
    recipe: RecipeDir = None,
    golden: GoldenDir = None,
    rejects: Rejects = None,
    target: Target = None,
    precision: PrecisionName = None,
    config_dir: ConfigDir = None,
) -> None:
    """Build the engine that a line's file asks for, and prove it on held-out golden samples and synthetic defects.

    Exit status 1 if it fails the gate. Without a line, and where its file says nothing, that is openvino float32.
    """
    about = subject(line, recipe, golden, config_dir, target, precision)
    loaded = about.load()
    from engines.proof.build import build_engine
    from engines.targets import TARGETS, target_module

    target_module(about.target, about.precision)
    if TARGETS[about.target].reference == about.precision:
        name = f"{about.target} {about.precision}"
        console.print(f"{name} is the reference itself: there is nothing to build, a line can load it as it is")
        return
    samples = about.need_golden()
    with Steps(console, "comparing").shown() as steps:
        record = build_engine(loaded, about.target, about.precision, samples, rejects, steps.say, steps.tell)  # type: ignore[arg-type]  # checked above
    _tell_outcome(loaded, about.target, about.precision, record.parity)


@commands.command(epilog="Example:  engines verify --line 3 --rejects pictures/bad")
def verify(
    line: LineName = None,
    recipe: RecipeDir = None,
    golden: GoldenDir = None,
    rejects: Rejects = None,
    target: Target = None,
    precision: PrecisionName = None,
    device: Annotated[
        Device, typer.Option(help="cuda: measure what this box's GPU does with a stream of frames, too.")
    ] = Device.CPU,
    config_dir: ConfigDir = None,
) -> None:
    """Compare a built engine with the float32 reference anew, and renew its report; exit status 1 if it fails the gate."""
    if device is Device.CUDA:
        from engines.targets.cuda_check import need_cuda, need_measured

        need_cuda()
    about = subject(line, recipe, golden, config_dir, target, precision)
    if device is Device.CUDA:
        need_measured(about.target)
    loaded, samples = about.load(), about.need_golden()
    from engines.proof.build import verify_engine
    from engines.targets import target_module

    target_module(about.target, about.precision)
    with Steps(console, "comparing").shown() as steps:
        record = verify_engine(loaded, about.target, about.precision, samples, rejects, steps.say, steps.tell)  # type: ignore[arg-type]  # checked above
    _tell_outcome(loaded, about.target, about.precision, record.parity)
    if device is Device.CUDA:
        _measure_on_gpu(loaded, about.target, about.precision)


def _measure_on_gpu(recipe: Recipe, target: str, precision: str) -> None:
    """Print what the GPU does with a stream of frames; exit status 1 when copies do not overlap or memory is taken."""
    import numpy as np

    from engines.proof.admission import load_engine
    from engines.targets.cuda_check import examine

    shape = recipe.manifest.geometry
    tiles = np.random.default_rng(0).integers(0, 256, (shape.tiles, shape.input_side, shape.input_side, 3), np.uint8)
    engine = load_engine(recipe, target, precision)
    report = examine(engine, tiles, GPU_FRAMES)
    engine.close()
    console.print(
        f"{report.frames} frames, {report.frames_per_second:.1f} a second, launched {_launched(report.why_not_replayed)}"
    )
    console.print(f"copies during another frame's computing: {report.overlapping:.0%} of the frames")
    console.print(f"allocations by torch: {report.allocations}; memory taken on the GPU: {_taken(report.memory_taken)}")
    most = max(count for _, _, count in report.histogram())
    for low, high, count in report.histogram():
        console.print(f"{low:8.2f} to {high:8.2f} ms {count:6d} {'#' * round(40 * count / most)}")
    if not report.passed:
        console.print(
            "[bold red]the GPU is not used as it should be: copies must overlap, and no memory be taken for a frame[/]"
        )
        raise typer.Exit(1)


def _launched(why_not_replayed: str) -> str:
    return f"layer by layer (no CUDA graph: {why_not_replayed})" if why_not_replayed else "as a CUDA graph"


def _taken(bytes_taken: int | None) -> str:
    return "not told, as it is the processor's as well" if bytes_taken is None else f"{bytes_taken / 2**20:.1f} MiB"


def _tell_outcome(recipe: Recipe, target: str, precision: str, parity: object) -> None:
    from engines.proof.admission import describe, engine_folder
    from engines.proof.parity import Parity

    if not isinstance(parity, Parity):
        command = recipe.naming.command("engines verify", target, precision)
        raise EngineError(f"{target} {precision}: was not compared with the reference; run: {command}")
    console.print(f"{engine_folder(recipe, target, precision)}: {describe(parity)}")
    same = "" if parity.float32_latency_ms is None else f"{target} float32 {parity.float32_latency_ms:.1f} ms, "
    console.print(f"one frame: {parity.latency_ms:.1f} ms, {same}reference {parity.reference_latency_ms:.1f} ms")
    if parity.slow:
        console.print(f"[yellow]{precision} is not faster here than float32, which is exact: run {target} float32[/]")
    if not parity.passed:
        console.print("[bold red]the parity gate was not passed: no line will load this engine[/]")
        raise typer.Exit(1)
    console.print("[green]the parity gate was passed[/]")


def add_to(app: typer.Typer) -> None:
    """Put these commands among the others."""
    app.add_typer(commands)
