"""What the targets on an NVIDIA GPU share, `tensorrt` and `cuda`: one frame in flight, on one set of streams for the process.

NOT YET RUN on a GPU: written against the documented interface of torch.cuda.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch

from engines.common.errors import EngineError
from engines.pictures.geometry import Geometry
from engines.pictures.scores import SCORES
from engines.targets import MATCH, NAN
from engines.targets.cuda_check import STAGES, Spans


class DeviceBuffers(NamedTuple):
    """A slot's memory on the GPU, in the graph's order: its input, then its outputs."""

    tiles: torch.Tensor  # (tiles, side, side, 3) uint8
    frame_map: torch.Tensor  # (H, W) float32
    scores: torch.Tensor  # (3,) float32
    match: torch.Tensor  # (2,) float32

    @classmethod
    def of(cls, geometry: Geometry, device: str = "cuda", pinned: bool = False) -> DeviceBuffers:
        """Buffers of zeros; ``pinned``: in page-locked memory of the host, from which a GPU copies by itself."""
        side = geometry.input_side
        shapes = ((geometry.tiles, side, side, 3), geometry.map_shape, (len(SCORES),), (MATCH,))
        types = (torch.uint8, torch.float32, torch.float32, torch.float32)
        made = (
            torch.zeros(shape, dtype=kind, device=device, pin_memory=pinned) for shape, kind in zip(shapes, types, strict=True)
        )
        return cls(*made)


# What a target makes of a slot's buffers: a call that enqueues one frame on torch's current stream, and waits for nothing.
Launch = Callable[[], None]
Bind = Callable[[DeviceBuffers], Launch]


class Streams(NamedTuple):
    """All that this process computes on a GPU goes through these, whatever the engine."""

    copy_in: torch.cuda.Stream
    compute: torch.cuda.Stream
    copy_out: torch.cuda.Stream
    capture: torch.cuda.Stream  # nothing else is ever enqueued here: it would become a part of what is captured


@functools.cache
def streams() -> Streams:
    """One set a process: torch hands its 32 streams out in turn, so that those of many engines would not be distinct."""
    return Streams(*(torch.cuda.Stream() for _ in Streams._fields))


class CudaSlot:
    """Page-locked and device buffers of one frame; copy in, compute and copy out are chained by events on three streams.

    All slots of all engines compute on one stream, one frame after the other.

    ``replayed``: the frame as a CUDA graph; None where it cannot be captured, and ``why_not_captured`` then says why.
    """

    def __init__(self, geometry: Geometry, bind: Bind) -> None:
        """Raises EngineError or RuntimeError when the first frame, of zeros, cannot be computed."""
        self._host, self._device = DeviceBuffers.of(geometry, "cpu", pinned=True), DeviceBuffers.of(geometry)
        self.tiles, self.frame_map, self.scores, self.match = (one.numpy() for one in self._host)
        # Begin and end of each stage; they carry times for `engines verify --device cuda`.  Who waits for one sleeps.
        self._marks = [tuple(torch.cuda.Event(enable_timing=True, blocking=True) for _ in range(2)) for _ in STAGES]
        self._streams, self._launch = streams(), bind(self._device)
        self.why_not_captured = ""
        self.replayed = self._capture()

    def start(self) -> None:
        """See `engines.targets.EngineSlot.start`. Enqueues only: nothing is allocated, nothing waited for."""
        copied_in, computed, copied_out = self._marks
        copy_in, compute, copy_out, _ = self._streams
        with torch.cuda.stream(copy_in):
            copied_in[0].record()
            self._device.tiles.copy_(self._host.tiles, non_blocking=True)
            copied_in[1].record()
        compute.wait_event(copied_in[1])
        with torch.cuda.stream(compute):
            computed[0].record()
            self.replayed.replay() if self.replayed else self._compute()
            computed[1].record()
        copy_out.wait_event(computed[1])
        with torch.cuda.stream(copy_out):
            copied_out[0].record()
            for host, device in zip(self._host[1:], self._device[1:], strict=True):
                host.copy_(device, non_blocking=True)
            copied_out[1].record()

    def finish(self) -> None:
        """See `engines.targets.EngineSlot.finish`. Waits for this slot's own event, not for the device."""
        self._marks[-1][1].synchronize()

    def spans(self, origin: torch.cuda.Event) -> Spans:
        """When each stage of the last frame began and ended, in milliseconds after an event that was recorded with time."""
        copy_in, compute, copy_out = ((origin.elapsed_time(begin), origin.elapsed_time(end)) for begin, end in self._marks)
        return Spans(copy_in, compute, copy_out)

    def _compute(self) -> None:
        for answer in self._device[1:]:
            answer.fill_(NAN)  # what is not written must not be the answer to the frame before
        self._launch()

    def _capture(self) -> torch.cuda.CUDAGraph | None:
        """One frame's launches as a CUDA graph.

        `torch.cuda.graph` is not used: it stops the whole device and empties torch's cache, beside a line that runs.
        """
        compute, capture = self._streams.compute, self._streams.capture
        capture.wait_stream(torch.cuda.current_stream())  # where the buffers are being cleared
        capture.wait_stream(compute)  # slots may share what they compute in
        with torch.cuda.stream(capture):
            self._compute()  # libraries set themselves up at the first run, which must not be captured
        compute.wait_stream(capture)
        capture.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(capture):
                graph.capture_begin(capture_error_mode="thread_local")  # other threads go on: the line's, during a change-over
                try:
                    self._compute()
                finally:
                    graph.capture_end()
        except (RuntimeError, EngineError) as error:
            first = error.__context__ or error  # the end of a capture that was broken fails as well
            self.why_not_captured = " ".join(str(first).split())[:200]
            return None
        return graph


class CudaEngine:
    """A recipe's graph on the GPU, as one of the targets there has loaded it.

    ``caution``: what whoever loads it must tell; empty: nothing.
    """

    def __init__(self, target: str, geometry: Geometry, bind: Bind) -> None:
        self.target, self.caution = target, ""
        self._geometry = geometry
        self._bind: Bind | None = bind

    def new_slot(self) -> CudaSlot:
        """See `engines.targets.Engine.new_slot`."""
        assert self._bind is not None, "closed"
        slot = CudaSlot(self._geometry, self._bind)
        if slot.why_not_captured:
            self.caution = (
                f"{self.target}: its frame cannot be captured as a CUDA graph ({slot.why_not_captured}); "
                "it is launched layer by layer, which takes the processor longer"
            )
        return slot

    def close(self) -> None:
        """See `engines.targets.Engine.close`."""
        self._bind = None
        torch.cuda.empty_cache()
