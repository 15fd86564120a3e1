"""What `engines verify --device cuda` finds out on a box with a GPU: overlap, allocations, latency and sustained rate.

NOT YET RUN on a GPU; the arithmetic on event times is tested without one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from engines.common.errors import EngineError
from engines.pictures.geometry import Pixels
from engines.targets import begin

STAGES = ("copy in", "compute", "copy out")
IN_FLIGHT, WARM = 3, 20
Span = tuple[float, float]  # begin and end, milliseconds


class Spans(NamedTuple):
    """One frame's stages."""

    copy_in: Span
    compute: Span
    copy_out: Span


@dataclass(frozen=True)
class CudaReport:
    """Measured over frames that follow each other as fast as they can."""

    frames: int
    replayed: bool  # as a CUDA graph
    overlapping: float  # share of frames of which a copy ran while another frame was computed
    allocations: int  # of device memory, over all frames
    latencies_ms: tuple[float, ...]
    frames_per_second: float

    @property
    def passed(self) -> bool:
        """Copies are hidden behind computing, and nothing is allocated for a frame."""
        return self.allocations == 0 and self.overlapping > 0.5

    def histogram(self, bins: int = 12) -> list[tuple[float, float, int]]:
        """(from ms, to ms, frames) of the latencies."""
        counts, edges = np.histogram(self.latencies_ms, bins)
        return [(float(a), float(b), int(n)) for a, b, n in zip(edges, edges[1:], counts, strict=False)]


def overlapping_share(frames: list[Spans]) -> float:
    """Share of frames with a copy during the compute stage of the frame before or after."""
    if not frames:
        return 0.0
    overlapping = 0
    for i, frame in enumerate(frames):
        others = [frames[j].compute for j in (i - 1, i + 1) if 0 <= j < len(frames)]
        overlapping += any(_meet(copy, compute) for copy in (frame.copy_in, frame.copy_out) for compute in others)
    return overlapping / len(frames)


def _meet(one: Span, other: Span) -> bool:
    return max(one[0], other[0]) < min(one[1], other[1])


def need_cuda() -> None:
    """Raise EngineError on a box without a GPU."""
    import torch

    if not torch.cuda.is_available():
        raise EngineError("--device cuda needs an NVIDIA GPU that torch can use; there is none here: leave it out, or use cpu")


def examine(engine: Any, tiles: Pixels, frames: int) -> CudaReport:
    """Run an engine whose slots tell their `spans` (the target tensorrt's) on one picture's tiles."""
    import torch

    slots = [engine.new_slot() for _ in range(IN_FLIGHT)]
    for slot in slots:
        slot.tiles[:] = tiles
    origin = torch.cuda.Event(enable_timing=True)
    origin.record()
    spans: list[Spans] = []
    latencies: list[float] = []
    started = [0.0] * IN_FLIGHT
    begun, allocated = 0.0, 0
    for i in range(WARM + frames + IN_FLIGHT):
        slot, place = slots[i % IN_FLIGHT], i % IN_FLIGHT
        if i >= IN_FLIGHT:
            slot.finish()
            if i >= WARM + IN_FLIGHT:
                latencies.append((time.perf_counter() - started[place]) * 1e3)
                spans.append(slot.spans(origin))
        if i == WARM:
            begun, allocated = time.perf_counter(), _allocations()
        if i < WARM + frames:
            started[place] = time.perf_counter()
            begin(slot)
    seconds = time.perf_counter() - begun
    return CudaReport(
        frames,
        all(slot.replayed is not None for slot in slots),
        overlapping_share(spans),
        _allocations() - allocated,
        tuple(latencies),
        frames / seconds,
    )


def _allocations() -> int:
    import torch

    return int(torch.cuda.memory_stats().get("allocation.all.allocated", 0))
