"""The reference target: the graph as it is, run by torch; float32 on any device, half precision on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from engines.common.cores import Share
from engines.common.errors import EngineError
from engines.graph.assembly import load_graph
from engines.graph.half_precision import to_half
from engines.graph.inspection import InspectionGraph
from engines.pictures.geometry import Geometry, Pixels
from engines.recipe.bundle import Recipe
from engines.targets import HostSlot

FILES: tuple[str, ...] = ()  # the recipe's own weights are all that is read


class TorchSlot:
    """One frame in flight; torch has no asynchronous call on a CPU, so the work is done by who waits for it."""

    def __init__(self, graph: InspectionGraph, device: torch.device, geometry: Geometry) -> None:
        buffers = HostSlot.of(geometry)
        self.tiles, self.frame_map = buffers.tiles, buffers.frame_map
        self.scores, self.match = buffers.scores, buffers.match
        self._graph, self._device = graph, device

    def start(self) -> None:
        """See `engines.targets.EngineSlot.start`."""

    def finish(self) -> None:
        """See `engines.targets.EngineSlot.finish`."""
        with torch.inference_mode():
            computed = self._graph(torch.from_numpy(self.tiles).to(self._device))
            for buffer, value in zip((self.frame_map, self.scores, self.match), computed, strict=True):
                torch.from_numpy(buffer).copy_(value)


class TorchEngine:
    """Runs the graph eagerly on a GPU if torch has one, else on the CPU."""

    def __init__(self, graph: InspectionGraph, precision: str) -> None:
        self.target = f"torch {precision}"
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self._device.type == "cuda" and precision == "float32":
            ieee_float32()
        self._graph = graph.to(self._device)
        self._geometry = graph.geometry

    def new_slot(self) -> TorchSlot:
        """See `engines.targets.Engine.new_slot`."""
        return TorchSlot(self._graph, self._device, self._geometry)

    def close(self) -> None:
        """See `engines.targets.Engine.close`."""


def load(recipe: Recipe, precision: str, folder: Path, share: Share) -> TorchEngine:
    """Load the recipe's graph.

    Raises EngineError for half precision without a GPU; `load_half_on_cpu` is for parity checks.
    """
    graph = load_graph(recipe)
    if precision == "float16":
        if not torch.cuda.is_available():
            raise EngineError("torch float16 needs a GPU that torch can use; choose float32, or the target openvino")
        to_half(graph)
    return TorchEngine(graph, precision)


def load_half_on_cpu(recipe: Recipe) -> TorchEngine:
    """The half-precision graph, casts included, on the CPU: slow, but its answers can be compared without a GPU."""
    return TorchEngine(to_half(load_graph(recipe)), "float16")


def ieee_float32() -> None:
    """From now on float32 is IEEE's on a GPU, in this whole process: torch's convolutions round to TF32, 10 bits, otherwise.

    The reference is what all others are compared with, and nothing of ours computes in float32 on a GPU and wants less.
    Said by torch's older names: they keep its newer ones (`fp32_precision`) in step, and those do not keep the older ones.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")


def attempts(precision: str) -> int:
    """See `engines.targets`."""
    return 1


def build(recipe: Recipe, precision: str, folder: Path, golden: Sequence[Pixels], attempt: int) -> None:
    """Nothing to compile: the recipe's weights are all there is."""


def versions() -> dict[str, str]:
    """See `engines.targets`."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {"torch": str(torch.__version__), "cuda": str(torch.version.cuda), "device": device}
