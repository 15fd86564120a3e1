"""The steps themselves, each run in a process of its own: `EACH` names them."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import msgspec
import torch

from engines.common.cores import Share
from engines.proof.admission import load_engine
from engines.proof.build import build_engine
from engines.recipe.bundle import Recipe, load_recipe
from engines.targets import Engine, Precision, target_module
from tests.benchmarks.cuda.carried import GOLDEN, RECIPE
from tests.benchmarks.cuda.fitted import random_base
from tests.benchmarks.cuda.line import offered
from tests.benchmarks.cuda.measures import (
    eager,
    latencies,
    memory_of,
    nan_rejects,
    package_of,
    pictures,
    rate,
    unwritten_rejects,
)
from tests.benchmarks.cuda.steps import Tell

TARGET = "cuda"
PRECISION: Precision = "float16"
TOLD = ("numpy", "opencv-python-headless", "timm", "torch", "torchvision", "triton", "tensorrt", "torch-tensorrt")


@dataclass(frozen=True)
class Run:
    """Where a step works, and how much it measures."""

    work: Path
    device: str

    def frames(self, many: int) -> int:
        """So many on a GPU; in a rehearsal a few, which show that it works and no speed."""
        return many if self.device == "cuda" else min(many, 5)

    def recipe(self) -> Recipe:
        """The fitted recipe of profile `small`, with the engines built so far."""
        return load_recipe(self.work / RECIPE)


def rehearse() -> None:
    """Have the target cuda compile for the CPU, and its slots run on a made-up GPU, in this process."""
    import pytest

    from tests.engines.targets.made_cuda import on_the_cpu

    on_the_cpu(pytest.MonkeyPatch())


def surroundings(run: Run, tell: Tell) -> None:
    """What the figures are of; fails where there is no GPU, or an older torch than this was written for."""
    tell("libraries", {one.name: one.version for one in distributions() if one.name.lower() in TOLD})
    tell("torch", {"version": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()})
    compiler = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    tell("compiler", compiler)
    tell("machine", {"system": platform.platform(), "python": sys.version, "cores": torch.get_num_threads()})
    tell("engine_versions", target_module(TARGET, PRECISION).versions())
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 11):
        raise RuntimeError(f"torch {torch.__version__}: this was written for 2.11 and later")


def build(run: Run, tell: Tell) -> None:
    """Compile, and pass the gate against the IEEE float32 reference on the same device."""
    _build(run.recipe(), TARGET, PRECISION, run.work / GOLDEN, tell)
    tell("package_mb", round(_package(run.recipe()).stat().st_size / 1e6, 1))


def speed(run: Run, tell: Tell) -> None:
    """Latency, rate and memory."""
    recipe = run.recipe()
    geometry = recipe.manifest.geometry
    tell("memory", memory_of(lambda: _load(recipe), 3, run.frames(1000)))
    with closing(_load(recipe)) as engine:
        found = latencies(engine, geometry, run.frames(10_000))
        tell("median_ms", found["median_ms"])
        tell("latency", found)
        for in_flight in (1, 3):
            tell(f"rate_{in_flight}_slots", rate(engine, geometry, run.frames(5_000), in_flight))


def overlap(run: Run, tell: Tell) -> None:
    """Copies during another frame's computing, from events; whether frames are replayed as a CUDA graph."""
    from engines.targets.cuda_check import examine

    recipe = run.recipe()
    with closing(_load(recipe)) as engine:
        found = examine(engine, recipe.manifest.geometry.cut_new(pictures(1)[0]), run.frames(2_000))
    tell("why_not_replayed", found.why_not_replayed)
    tell("overlapping_share", round(found.overlapping, 4))
    tell("allocations", found.allocations)
    tell("memory_taken_bytes", found.memory_taken)
    tell("frames_per_second", round(found.frames_per_second, 1))
    if run.device == "cuda" and not found.passed:
        raise RuntimeError("copies do not overlap, or memory is taken for a frame")


def search(run: Run, tell: Tell) -> None:
    """The Triton kernel that searches the memory, beside the blocks that it replaces; in a rehearsal both are blocks."""
    if find_spec("triton") is None:
        tell("left out", "triton is not installed here")
        return
    from tests.benchmarks.cuda.search import compare

    compare(run.recipe(), run.device, run.frames(100), tell)


def nan(run: Run, tell: Tell) -> None:
    """What is not a number rejects, on this device, in this compiled graph."""
    recipe = run.recipe()
    unwritten_rejects(recipe, TARGET, PRECISION)
    tell("unwritten_rejects", True)
    tell("nan_in_weights_rejects", nan_rejects(recipe, _package(recipe), run.device))


def line(run: Run, tell: Tell) -> None:
    """The pipeline with 1,000 parts a second offered, then with change-overs meanwhile."""
    recipe = run.recipe()
    per_second, seconds = (1000.0, 8.0) if run.device == "cuda" else (5.0, 4.0)
    steady = offered(lambda: _load(recipe), recipe, per_second, seconds, 0)
    tell("judged_per_second", steady["judged_per_second"])
    tell("steady", steady)
    changed = offered(lambda: _load(recipe), recipe, per_second, seconds, 3)
    tell("with_change_overs", changed)
    for found in (steady, changed):
        if any(reason.startswith("engine-fault") for reason in found["not_judged"]):
            raise RuntimeError(f"the engine raised: {found['not_judged']}")


def eager_small(run: Run, tell: Tell) -> None:
    """The reference: torch eager float32 on the same device."""
    tell("latency", eager(run.recipe(), run.frames(500)))


def base(run: Run, tell: Tell) -> None:
    """Profile `base` with random weights: built, its speed beside torch eager float32's in the same process."""
    recipe = random_base(run.work / "base")
    module, folder = target_module(TARGET, PRECISION), run.work / "base-engine"
    folder.mkdir()
    before = eager(recipe, run.frames(100))
    tell("eager", before)
    module.build(recipe, PRECISION, folder, [], 0)
    tell("package_mb", round(sum(file.stat().st_size for file in folder.iterdir()) / 1e6, 1))
    geometry = recipe.manifest.geometry
    with closing(module.load(recipe, PRECISION, folder, Share())) as engine:
        found = latencies(engine, geometry, run.frames(1_000))
        tell("latency", found)
        tell("rate_3_slots", rate(engine, geometry, run.frames(500), 3))
    tell("times_eager", round(before["median_ms"] / found["median_ms"], 2))


def tensorrt(run: Run, tell: Tell) -> None:
    """The same with the target tensorrt, where it is installed."""
    names = {one.name.lower() for one in distributions()}
    if not {"tensorrt", "torch-tensorrt", "torch_tensorrt"} & names or run.device == "cpu":
        tell("left out", "tensorrt is not installed here, or this is a rehearsal")
        return
    from engines.targets.cuda_check import examine

    recipe = run.recipe()
    _build(recipe, "tensorrt", PRECISION, run.work / GOLDEN, tell)
    geometry = recipe.manifest.geometry
    with closing(load_engine(recipe, "tensorrt", PRECISION)) as engine:
        tell("latency", latencies(engine, geometry, run.frames(10_000)))
        tell("rate_3_slots", rate(engine, geometry, run.frames(5_000), 3))
        found = examine(engine, geometry.cut_new(pictures(1)[0]), run.frames(2_000))
        tell("overlapping_share", round(found.overlapping, 4))
        tell("why_not_replayed", found.why_not_replayed)


EACH: Mapping[str, Callable[[Run, Tell], None]] = {
    "surroundings": surroundings,
    "build": build,
    "speed": speed,
    "overlap": overlap,
    "search": search,
    "nan": nan,
    "line": line,
    "eager": eager_small,
    "base": base,
    "tensorrt": tensorrt,
}


def _build(recipe: Recipe, target: str, precision: Precision, golden: Path, tell: Tell) -> None:
    record = build_engine(recipe, target, precision, golden, None, print, lambda _done, _total: None)
    tell("build_seconds", record.build_seconds)
    tell("parity", msgspec.to_builtins(record.parity))
    if record.parity is None or not record.parity.passed:
        raise RuntimeError(f"{target} {precision} does not pass the gate: {record.parity}")


def _load(recipe: Recipe) -> Engine:
    return load_engine(recipe, TARGET, PRECISION)


def _package(recipe: Recipe) -> Path:
    return package_of(recipe, TARGET, PRECISION, target_module(TARGET, PRECISION).PACKAGE)
