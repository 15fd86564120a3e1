"""TensorRT on an NVIDIA GPU, half precision: the plan is made by torch-tensorrt, and run by TensorRT's own runtime.

NOT YET RUN on a GPU: written against the documented interface of torch-tensorrt 2.14 and TensorRT 11 (10 on Jetson).  All
networks are strongly typed: the casts in the graph (engines/graph/half_precision.py) decide what is computed in half precision.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tensorrt as trt
import torch

from engines.common.errors import EngineError
from engines.pictures.geometry import Geometry, Pixels
from engines.pictures.scores import SCORES
from engines.recipe.bundle import Recipe
from engines.targets import MATCH, NAN, need_one_stream
from engines.targets.cuda_check import STAGES, Spans

PLAN = "model.plan"
FILES = (PLAN,)


class TensorRtSlot:
    """Page-locked and device buffers of one frame; copy in, compute and copy out are chained by events on three streams."""

    def __init__(self, engine: Any, streams: Sequence[torch.cuda.Stream], geometry: Geometry) -> None:
        side = geometry.input_side
        shapes = ((geometry.tiles, side, side, 3), geometry.map_shape, (len(SCORES),), (MATCH,))
        types = (torch.uint8, torch.float32, torch.float32, torch.float32)
        self._host = [torch.zeros(shape, dtype=kind, pin_memory=True) for shape, kind in zip(shapes, types, strict=True)]
        self._device = [torch.zeros(shape, dtype=kind, device="cuda") for shape, kind in zip(shapes, types, strict=True)]
        self.tiles, self.frame_map, self.scores, self.match = (one.numpy() for one in self._host)
        self._context = engine.create_execution_context()
        for index, buffer in enumerate(self._device):
            self._context.set_tensor_address(engine.get_tensor_name(index), buffer.data_ptr())
        self._copy_in, self._compute, self._copy_out = streams
        # Begin and end of each stage; they carry times for `engines verify --device cuda`.
        self._marks = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in STAGES]
        self.replayed = self._capture()

    def start(self) -> None:
        """See `engines.targets.EngineSlot.start`. Enqueues only: nothing is allocated, nothing waited for."""
        into, computed, out = self._marks
        with torch.cuda.stream(self._copy_in):
            into[0].record()
            self._device[0].copy_(self._host[0], non_blocking=True)
            into[1].record()
        self._compute.wait_event(into[1])
        with torch.cuda.stream(self._compute):
            computed[0].record()
            for answer in self._device[1:]:
                answer.fill_(NAN)  # what the plan does not write must not be the answer to the frame before
            self.replayed.replay() if self.replayed else self._launch()
            computed[1].record()
        self._copy_out.wait_event(computed[1])
        with torch.cuda.stream(self._copy_out):
            out[0].record()
            for host, device in zip(self._host[1:], self._device[1:], strict=True):
                host.copy_(device, non_blocking=True)
            out[1].record()

    def finish(self) -> None:
        """See `engines.targets.EngineSlot.finish`. Waits for this slot's own event, not for the device."""
        self._marks[-1][1].synchronize()

    def spans(self, origin: torch.cuda.Event) -> Spans:
        """When each stage of the last frame began and ended, in milliseconds after an event that was recorded with time."""
        copy_in, compute, copy_out = ((origin.elapsed_time(begin), origin.elapsed_time(end)) for begin, end in self._marks)
        return Spans(copy_in, compute, copy_out)

    def _launch(self) -> None:
        if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise EngineError("TensorRT could not enqueue a frame; see its log, and check the GPU with nvidia-smi")

    def _capture(self) -> torch.cuda.CUDAGraph | None:
        """The plan's launches as one CUDA graph, or None for a plan that cannot be captured: then it is launched each time."""
        with torch.cuda.stream(self._compute):
            self._launch()  # TensorRT sets itself up at the first run, which must not be captured
        self._compute.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may go on: a line changes its recipe while it runs.
            with torch.cuda.graph(graph, stream=self._compute, capture_error_mode="thread_local"):
                self._launch()
        except (RuntimeError, EngineError):
            return None
        return graph


class TensorRtEngine:
    """A deserialised plan, with the template and all other constants in it, on the device.

    Its tensors are in the order of the graph: tiles, map, scores, match.
    """

    def __init__(self, engine: Any, geometry: Geometry) -> None:
        self.target = "tensorrt float16"
        self._engine, self._geometry = engine, geometry
        self._streams = [torch.cuda.Stream() for _ in range(3)]

    def new_slot(self) -> TensorRtSlot:
        """See `engines.targets.Engine.new_slot`."""
        return TensorRtSlot(self._engine, self._streams, self._geometry)

    def close(self) -> None:
        """See `engines.targets.Engine.close`."""
        self._engine = None
        torch.cuda.empty_cache()


def attempts(precision: str) -> int:
    """See `engines.targets`."""
    return 1


def build(recipe: Recipe, precision: str, folder: Path, golden: Sequence[Pixels], attempt: int) -> None:
    """Export the half-precision graph and have TensorRT make its plan for this GPU."""
    _need_gpu()
    _torch_tensorrt_version()
    import torch_tensorrt

    from engines.graph.assembly import load_graph
    from engines.graph.export import export_graph
    from engines.graph.half_precision import to_half

    graph = to_half(load_graph(recipe)).cuda()
    geometry = graph.geometry
    tiles = torch.zeros((geometry.tiles, geometry.input_side, geometry.input_side, 3), dtype=torch.uint8, device="cuda")
    convert = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine
    options: dict[str, Any] = {"arg_inputs": (tiles,), "require_full_compilation": True, "use_fp32_acc": True}
    # Up to 2.10 (TensorRT 10, Jetson) strong typing is asked for; from 2.14 (TensorRT 11) there is nothing else.
    if "use_explicit_typing" in inspect.signature(convert).parameters:
        options["use_explicit_typing"] = True
    try:
        plan = convert(export_graph(graph), **options)
    except RuntimeError as error:
        raise EngineError(
            f"TensorRT built no plan ({' '.join(str(error).split())[:200]}); see its log above, and whether the GPU's memory "
            "is taken (nvidia-smi): stop what else uses it, then build again"
        ) from error
    (folder / PLAN).write_bytes(bytes(plan))


def versions() -> dict[str, str]:
    """See `engines.targets`: a plan runs only on the GPU and with the libraries that it was made with."""
    _need_gpu()
    major, minor = torch.cuda.get_device_capability()
    return {
        "gpu": torch.cuda.get_device_name(),
        "compute capability": f"{major}.{minor}",
        "driver": _driver(),
        "tensorrt": trt.__version__,
        "torch-tensorrt": _torch_tensorrt_version(),
        "cuda": str(torch.version.cuda),
    }


def load(recipe: Recipe, precision: str, folder: Path, streams: int) -> TensorRtEngine:
    """Load a plan that was built on this machine. Raises EngineError when TensorRT refuses it."""
    _need_gpu()
    need_one_stream("tensorrt", streams)
    runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
    engine = runtime.deserialize_cuda_engine((folder / PLAN).read_bytes())
    if engine is None:
        raise EngineError(
            f"{folder / PLAN}: TensorRT cannot load it; build it again with: "
            f"{recipe.naming.command('engines build', 'tensorrt', 'float16')}"
        )
    return TensorRtEngine(engine, recipe.manifest.geometry)


def _need_gpu() -> None:
    if not torch.cuda.is_available():
        raise EngineError("the target tensorrt needs an NVIDIA GPU that torch can use; choose the target openvino on this box")


def _torch_tensorrt_version() -> str:
    try:
        return version("torch-tensorrt")
    except PackageNotFoundError as error:
        raise EngineError(
            "target tensorrt needs the library torch_tensorrt beside tensorrt; run: pip install 'tfa-inspect[tensorrt]'"
        ) from error


def _driver() -> str:
    """The kernel driver's version, as the driver itself tells."""
    file = Path("/proc/driver/nvidia/version")
    return file.read_text(encoding="utf-8").splitlines()[0] if file.exists() else "unknown"
