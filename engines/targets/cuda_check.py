"""What `engines verify --device cuda` finds out on a box with a GPU: overlap, memory, latency and sustained rate.

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

MEASURED = ("tensorrt", "cuda")  # targets whose slots tell their spans
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
    why_not_replayed: str  # as a CUDA graph; empty: each frame was
    overlapping: float  # share of frames of which a copy ran while another frame was computed
    allocations: int  # by torch, over all frames
    memory_taken: int | None  # bytes by which the driver's free memory shrank over all frames; None: it is the processor's, too
    latencies_ms: tuple[float, ...]
    frames_per_second: float

    @property
    def passed(self) -> bool:
        """Copies are hidden behind computing, and no memory is taken for a frame, whoever takes it."""
        return self.allocations == 0 and (self.memory_taken or 0) <= 0 and self.overlapping > 0.5

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


def need_measured(target: str) -> None:
    """Raise EngineError for a target whose slots cannot be measured on a GPU."""
    if target not in MEASURED:
        raise EngineError(
            f"--device cuda measures the targets {' and '.join(MEASURED)}, not {target}; add --target {MEASURED[0]}"
        )


def examine(engine: Any, tiles: Pixels, frames: int) -> CudaReport:
    """Run an engine of one of the `MEASURED` targets on one picture's tiles; nothing else may use the GPU meanwhile."""
    import torch

    slots = [engine.new_slot() for _ in range(IN_FLIGHT)]
    for slot in slots:
        slot.tiles[:] = tiles
    origin = torch.cuda.Event(enable_timing=True)
    origin.record()
    spans: list[Spans] = []
    latencies: list[float] = []
    started = [0.0] * IN_FLIGHT
    begun, allocated, free = 0.0, 0, 0
    for i in range(WARM + frames + IN_FLIGHT):
        slot, place = slots[i % IN_FLIGHT], i % IN_FLIGHT
        if i >= IN_FLIGHT:
            slot.finish()
            if i >= WARM + IN_FLIGHT:
                latencies.append((time.perf_counter() - started[place]) * 1e3)
                spans.append(slot.spans(origin))
        if i == WARM:
            allocated, free = _allocations(), _free_bytes()
            begun = time.perf_counter()
        if i < WARM + frames:
            started[place] = time.perf_counter()
            begin(slot)
    seconds = time.perf_counter() - begun
    shared = torch.cuda.get_device_properties().is_integrated
    return CudaReport(
        frames,
        next((slot.why_not_captured for slot in slots if slot.replayed is None), ""),
        overlapping_share(spans),
        _allocations() - allocated,
        None if shared else free - _free_bytes(),
        tuple(latencies),
        frames / seconds,
    )


def _allocations() -> int:
    import torch

    return int(torch.cuda.memory_stats().get("allocation.all.allocated", 0))


def _free_bytes() -> int:
    """As the driver tells: TensorRT and CUDA itself take memory that torch does not know of."""
    import torch

    free, _ = torch.cuda.mem_get_info()
    return int(free)
