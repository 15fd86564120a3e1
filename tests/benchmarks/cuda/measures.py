"""Figures of one engine on one device: latency, rate with slots in flight, memory as the driver tells it, and NaN."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engines.judgement import judge, measure
from engines.pictures.geometry import Geometry, Pixels
from engines.proof.admission import engine_folder, load_engine
from engines.recipe.bundle import Recipe
from engines.recipe.thresholds import load_thresholds
from engines.targets import Engine, EngineSlot, HostSlot, begin, cuda_target, load_reference
from tests.benchmarks.cuda.steps import Found
from tests.virtual_line.product import render

BINS = 24
WARM = 20


def pictures(count: int = 8) -> list[Pixels]:
    """Parts, good and defective in turn."""
    return [render(500 + i, "scratch" if i % 2 else None).image for i in range(count)]


def latencies(engine: Engine, geometry: Geometry, frames: int) -> Found:
    """One frame after the other, from the start of its copy to the GPU to its answer on the host."""
    slot = engine.new_slot()
    slot.tiles[:] = geometry.cut_new(pictures(1)[0])
    warm = min(WARM, frames)
    taken = np.empty(warm + frames)
    for i in range(warm + frames):
        begun = time.perf_counter()
        begin(slot)
        slot.finish()
        taken[i] = (time.perf_counter() - begun) * 1e3
    return spread(taken[warm:])


def spread(milliseconds: Sequence[float] | np.ndarray[Any, Any]) -> Found:
    """Of latencies in milliseconds: quantiles and a histogram [from, to, frames] without empty bins."""
    values = np.asarray(milliseconds, float)
    counts, edges = np.histogram(values, np.geomspace(values.min(), max(values.max(), values.min() * 1.001), BINS + 1))
    median, p99, p999 = (round(float(np.percentile(values, share)), 4) for share in (50, 99, 99.9))
    bins = [
        [round(float(low), 4), round(float(high), 4), int(n)] for low, high, n in zip(edges, edges[1:], counts, strict=False)
    ]
    return {
        "frames": len(values),
        "median_ms": median,
        "p99_ms": p99,
        "p99.9_ms": p999,
        "largest_ms": round(float(values.max()), 4),
        "histogram": [one for one in bins if one[2]],
    }


def rate(engine: Engine, geometry: Geometry, frames: int, in_flight: int) -> float:
    """Frames a second, each cut from a whole picture, with so many in flight."""
    free: deque[EngineSlot] = deque(engine.new_slot() for _ in range(in_flight))
    begun_ones: deque[EngineSlot] = deque()
    shown = pictures()
    begun, warm = 0.0, min(WARM, frames)
    for i in range(warm + frames):
        if i == warm:
            begun = time.perf_counter()
        if not free:
            done = begun_ones.popleft()
            done.finish()
            free.append(done)
        slot = free.popleft()
        geometry.cut(shown[i % len(shown)], slot.tiles)
        begin(slot)
        begun_ones.append(slot)
    for slot in begun_ones:
        slot.finish()
    return round(frames / (time.perf_counter() - begun), 1)


def device_bytes() -> int:
    """Memory of the device in use, by whomever, as the driver tells it; 0 without a GPU."""
    if not torch.cuda.is_available():
        return 0
    free, total = torch.cuda.mem_get_info()
    return int(total - free)


def memory_of(load: Callable[[], Engine], slots: int, frames: int) -> Found:
    """The device's memory before an engine is loaded, with its slots, after many frames, and after it was closed."""
    found = {"before_mb": device_bytes() / 1e6}
    with closing(load()) as engine:
        made = [engine.new_slot() for _ in range(slots)]
        found["loaded_mb"] = device_bytes() / 1e6
        for i in range(frames):
            begin(made[i % slots])
            made[i % slots].finish()
        found["after_frames_mb"] = device_bytes() / 1e6
        del made
    del engine
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    found["closed_mb"] = device_bytes() / 1e6
    return {key: round(value, 1) for key, value in found.items()}


def eager(recipe: Recipe, frames: int) -> Found:
    """The reference: torch eager float32 (IEEE) on the same device, one frame after the other."""
    with closing(load_reference(recipe)) as reference:
        return latencies(reference, recipe.manifest.geometry, frames)


def unwritten_rejects(recipe: Recipe, target: str, precision: str) -> None:
    """Raise RuntimeError unless a part is rejected when the engine writes nothing, right after a good part."""
    with closing(load_engine(recipe, target, precision)) as engine:
        slot: Any = engine.new_slot()
        slot.tiles[:] = recipe.manifest.geometry.cut_new(pictures(1)[0])
        begin(slot)
        slot.finish()
        slot.replayed, slot._launch = None, lambda: None
        begin(slot)
        slot.finish()
        need_rejected(recipe, slot, "with nothing written")


def nan_rejects(recipe: Recipe, file: Path, device: str) -> list[str]:
    """Raise RuntimeError unless NaN in any one of a package's weights rejects. Returns the weights that were tried.

    A device's maximum or clamp that swallows NaN would make a broken frame a good one.
    """
    package: Any = torch._inductor.aoti_load_package(str(file), run_single_threaded=True)
    geometry = recipe.manifest.geometry
    tiles = torch.from_numpy(geometry.cut_new(pictures(1)[0])).to(device)
    weights = {name: value for name, value in _weights(recipe, device).items() if name in set(package.get_constant_fqns())}
    if not weights:
        raise RuntimeError("none of the graph's weights is known to the package by name")
    tried = []
    for part in ("conv_stem", "places", "blocks"):  # the first layer, the memory, and one in between
        name = next((one for one in weights if part in one), None)
        if name is None:
            continue
        broken = torch.full_like(weights[name], float("nan"))
        package.load_constants({name: broken}, check_full_update=False)
        slot = HostSlot.of(geometry)
        for buffer, answer in zip((slot.frame_map, slot.scores, slot.match), package.loader.run([tiles]), strict=True):
            torch.from_numpy(buffer).copy_(answer)
        need_rejected(recipe, slot, f"with NaN in {name}")
        package.load_constants({name: weights[name]}, check_full_update=False)
        tried.append(name)
    return tried


def need_rejected(recipe: Recipe, slot: Any, when: str) -> None:
    """Raise RuntimeError unless a slot's answer rejects its part."""
    thresholds = load_thresholds(recipe)
    assert thresholds is not None, "the recipe was calibrated"
    if judge(measure(slot.frame_map, slot.scores, None), thresholds).passed:
        raise RuntimeError(f"a part passed {when}")


def package_of(recipe: Recipe, target: str, precision: str, name: str) -> Path:
    """A built engine's file."""
    return engine_folder(recipe, target, precision) / name


def _weights(recipe: Recipe, device: str) -> dict[str, torch.Tensor]:
    graph = cuda_target.compiled_graph(recipe, torch.device(device))
    return {**dict(graph.named_parameters()), **dict(graph.named_buffers())}
