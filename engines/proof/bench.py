"""Latency, throughput and memory of a recipe's engines, beside what this machine can do at most.

Every engine is measured in a process of its own, so that its memory is its own.  The ceiling is the fastest matrix product
that torch reaches here in the engine's type; a share of it says how much of the machine an engine uses, on any machine.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engines.common.cores import Share, usable_cores
from engines.common.errors import UserError
from engines.proof.admission import built_engines, load_engine, need_proven
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.templates import read_templates
from engines.targets import TARGETS, EngineSlot, Precision, begin

WARM, FRAMES, IN_FLIGHT = 10, 100, 4
GEMM_SIDE, GEMM_ROUNDS = 2_048, 12
# Torch has no 8-bit product on a CPU: int8 is compared with bfloat16's.
CEILING_TYPE = {"int8": "bfloat16"}


class BenchRow(msgspec.Struct, frozen=True):
    """One engine at one number of frames in flight."""

    recipe: str
    network: str
    profile: str
    target: str
    precision: str
    batch: int
    in_flight: int
    streams: int  # frames computed at once
    median_ms: float
    p99_ms: float
    frames_per_second: float
    ceiling_share: float  # of the fastest matrix product's multiply-accumulates a second
    ceiling_gflops: float  # that product's, two operations a multiply-accumulate
    times_torch: float  # frames a second over the float32 reference's, with as many in flight
    rss_mb: float
    bank_mb: float  # of templates' features, at 2 bytes a number; 0 for one pinned template


def bench(recipe: Recipe, frames: int, tell: Callable[[str], None]) -> list[BenchRow]:
    """Measure the reference and every engine of a recipe that this environment loads, at one frame and at several in flight."""
    engines: list[tuple[str, Precision]] = [("torch", "float32")]
    for target, precision in dict.fromkeys((one.target, one.precision) for one in built_engines(recipe).values()):
        try:
            need_proven(recipe, target, precision, any_thresholds=True)
            engines.append((target, precision))
        except UserError as error:
            tell(f"left out: {error}")
    work = in_process(_multiply_accumulates, recipe.folder)
    bank = sum(value.nbytes for value in read_templates(recipe).features.values()) / 1e6
    rows: list[BenchRow] = []
    of_torch: dict[int, float] = {}  # frames a second by the number in flight; measured first
    for target, precision in engines:
        ceiling = in_process(_ceiling, CEILING_TYPE.get(precision, precision), TARGETS[target].gpu)
        for in_flight in (1, IN_FLIGHT):
            tell(f"measuring {target} {precision}, {in_flight} in flight")
            streams = min(in_flight, len(usable_cores())) if TARGETS[target].streams else 1
            median, p99, rate, rss = in_process(measure, recipe.folder, target, precision, in_flight, streams, frames)
            rows.append(
                BenchRow(
                    recipe.name,
                    str(recipe.manifest.model.__struct_config__.tag),
                    recipe.manifest.profile,
                    target,
                    precision,
                    1,
                    in_flight,
                    streams,
                    round(median, 2),
                    round(p99, 2),
                    round(rate, 2),
                    round(work * rate / ceiling, 4),
                    round(2 * ceiling / 1e9, 1),
                    round(rate / of_torch.setdefault(in_flight, rate), 2),
                    round(rss, 1),
                    round(bank, 2),
                )
            )
    return rows


def draw(rows: list[BenchRow], file: Path) -> None:
    """Latency at one frame and throughput with several in flight, a bar for each engine."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(f"{row.target}\n{row.precision}" for row in rows))
    single = [row for row in rows if row.in_flight == 1]
    several = [row for row in rows if row.in_flight > 1]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.bar(names, [row.median_ms for row in single], color="tab:blue")
    left.set_ylabel("milliseconds a frame, median")
    left.set_title("one frame at a time")
    right.bar(names, [row.frames_per_second for row in several], color="tab:green")
    right.set_ylabel("frames a second")
    right.set_title(f"{IN_FLIGHT} frames in flight")
    figure.suptitle(f"{rows[0].recipe}: {rows[0].network}, {rows[0].profile}")
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def in_process(run: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, arguments)


def measure(
    recipe_folder: Path, target: str, precision: str, in_flight: int, streams: int, frames: int
) -> tuple[float, float, float, float]:
    """(median ms, p99 ms, frames a second, resident MB) from start to finish of each frame, the slots used in turn."""
    engine = load_engine(load_recipe(recipe_folder), target, precision, Share(streams), any_thresholds=True)
    slots: list[EngineSlot] = [engine.new_slot() for _ in range(in_flight)]
    picture = np.random.default_rng(0).integers(0, 255, slots[0].tiles.shape, np.uint8)
    for slot in slots:
        slot.tiles[:] = picture
    started = [0.0] * in_flight
    latencies: list[float] = []
    begun = 0.0
    for i in range(WARM + frames + in_flight):
        slot = slots[i % in_flight]
        if i >= in_flight:
            slot.finish()
            latencies.append((time.perf_counter() - started[i % in_flight]) * 1e3)
        if i == WARM + in_flight - 1:
            begun = time.perf_counter()
        started[i % in_flight] = time.perf_counter()
        begin(slot)
    rate = frames / (time.perf_counter() - begun)
    for slot in slots:
        slot.finish()
    rss = _peak_rss_mb()
    engine.close()
    measured = np.array(latencies[WARM:])
    return float(np.median(measured)), float(np.percentile(measured, 99)), rate, rss


def _peak_rss_mb() -> float:
    """Of this program alone: what `getrusage` tells begins with the memory of the process that started this one."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _multiply_accumulates(recipe_folder: Path) -> float:
    """Multiply-accumulates of one frame, counted on the graph as it is exported."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from engines.graph.assembly import load_graph

    graph = load_graph(load_recipe(recipe_folder))
    geometry = graph.geometry
    tiles = torch.zeros((geometry.tiles, geometry.input_side, geometry.input_side, 3), dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        graph(tiles)
    return float(counter.get_total_flops()) / 2


def _ceiling(type_name: str, on_gpu: bool) -> float:
    """Multiply-accumulates a second of the fastest of some large matrix products; ``on_gpu``: there, if there is one."""
    import torch

    kind = getattr(torch, type_name)
    device = "cuda" if on_gpu and torch.cuda.is_available() else "cpu"
    a, b = (torch.randn(GEMM_SIDE, GEMM_SIDE, device=device).to(kind) for _ in range(2))
    best = float("inf")
    for _ in range(GEMM_ROUNDS):
        begun = time.perf_counter()
        product = a @ b
        float(product[0, 0])  # waits for a GPU
        best = min(best, time.perf_counter() - begun)
    return float(GEMM_SIDE**3 / best)
