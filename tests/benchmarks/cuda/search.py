"""The memory's search by the Triton kernel beside the blocks that it replaces, on one device: the map's error, NaN, time."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from engines.graph.assembly import load_graph
from engines.graph.fused_search import fuse_search, lay_out, nearness
from engines.graph.half_precision import to_half
from engines.networks.memory import Remembered, golden_rows, in_blocks
from engines.recipe.bundle import Recipe
from tests.benchmarks.cuda.measures import pictures
from tests.benchmarks.cuda.steps import Found, Tell

MOST_ERROR = 1e-3  # of a map, relative: both compute the same numbers, and differ in the order of their sums only


def compare(recipe: Recipe, device: str, times: int, tell: Tell) -> None:
    """Two graphs in torch eager, and one search of places by each way. Raises RuntimeError when the kernel's are off."""
    blocks, fused = to_half(load_graph(recipe)).to(device), fuse_search(to_half(load_graph(recipe))).to(device)
    errors = []
    with torch.inference_mode():
        for picture in pictures(4):
            tiles = torch.from_numpy(recipe.manifest.geometry.cut_new(picture)).to(device)
            expected, found = blocks(tiles)[0], fused(tiles)[0]
            errors.append(float((found - expected).norm() / expected.norm()))
    tell("map_errors", errors)
    remembered = next(module for module in blocks.modules() if isinstance(module, Remembered))
    tell("search", searched := _searches(remembered, device, times))
    if not all(error <= MOST_ERROR for error in errors):  # NaN is not, either
        raise RuntimeError(f"the kernel's maps differ from those of the blocks by {errors}")
    if searched["rows_of_nan"] != 1:
        raise RuntimeError(f"one row has NaN, and the kernel finds {searched['rows_of_nan']}")


def _searches(remembered: Remembered, device: str, times: int) -> Found:
    """Of the places of one tile: milliseconds of each way, the largest difference, and how many rows are NaN where one is."""
    golden = golden_rows(remembered.memory.places, torch.float16)
    count = len(remembered.memory.spreads[0])
    features = torch.randn(1, count, golden.shape[1] - 2, generator=torch.Generator().manual_seed(1)) / golden.shape[1] ** 0.5
    rows = torch.cat([features.half().float(), torch.ones(1, count, 2)], dim=2).to(device)
    half = lay_out(golden)
    with torch.inference_mode():
        difference = (nearness(rows, half) - in_blocks(rows, golden)).abs().max()
        found = {
            "rows": count,
            "golden_rows": len(golden),
            "largest_difference": float(difference),
            "blocks_ms": _milliseconds(lambda: in_blocks(rows, golden), device, times),
            "kernel_ms": _milliseconds(lambda: nearness(rows, half), device, times),
        }
        rows[0, count // 2, 0] = float("nan")
        return {**found, "rows_of_nan": int(nearness(rows, half).isnan().sum())}


def _milliseconds(work: Callable[[], torch.Tensor], device: str, times: int) -> float:
    """Of one call; on a GPU of a CUDA graph of them, as a package is replayed."""
    if device == "cuda":
        from triton.testing import do_bench_cudagraph

        return round(float(do_bench_cudagraph(work)), 4)
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return round((time.perf_counter() - begun) / times * 1e3, 4)
