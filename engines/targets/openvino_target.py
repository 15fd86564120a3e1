"""OpenVINO on the CPU: float32, bfloat16, and 8-bit integers where the parity gate allows them."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.common.cores import Share, cpu_quota, usable_cores
from engines.common.errors import EngineError
from engines.pictures.geometry import Geometry, Pixels
from engines.recipe.bundle import Recipe
from engines.targets import HostSlot
from engines.targets.hardware import processor
from engines.targets.openvino_exact import exact_operations, keep_exact
from engines.targets.openvino_int8 import need_nncf, quantised
from engines.targets.quiet_openvino import ov

BLOB = "model.blob"  # compiled for this CPU: a start compiles nothing
FILES = (BLOB,)
EXACT_CONVOLUTIONS = (3, 10, 1_000)  # by attempt; see `openvino_exact`
# What a compiled model's operations compute in beside float32.
COMPUTED_IN = {"float32": set[str](), "bfloat16": {"bf16"}, "int8": {"i8", "bf16"}}
WITHOUT_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")


class OpenVinoSlot:
    """An inference request bound to its own buffers: nothing is copied."""

    def __init__(self, request: Any, geometry: Geometry) -> None:
        buffers = HostSlot.of(geometry)
        self.tiles: Pixels = buffers.tiles
        self.frame_map: npt.NDArray[np.float32] = buffers.frame_map
        self.scores: npt.NDArray[np.float32] = buffers.scores
        self.match: npt.NDArray[np.float32] = buffers.match
        self._request = request
        request.set_input_tensor(0, ov.Tensor(self.tiles, shared_memory=True))
        for i, buffer in enumerate((self.frame_map, self.scores, self.match)):
            request.set_output_tensor(i, ov.Tensor(buffer, shared_memory=True))

    def start(self) -> None:
        """See `engines.targets.EngineSlot.start`."""
        self._request.start_async()

    def finish(self) -> None:
        """See `engines.targets.EngineSlot.finish`."""
        self._request.wait()


class OpenVinoEngine:
    """A compiled model on the CPU."""

    def __init__(self, model: Any, precision: str, geometry: Geometry) -> None:
        self.target = f"openvino {precision}"
        self._model, self._geometry = model, geometry

    def new_slot(self) -> OpenVinoSlot:
        """See `engines.targets.Engine.new_slot`."""
        return OpenVinoSlot(self._model.create_infer_request(), self._geometry)

    def close(self) -> None:
        """See `engines.targets.Engine.close`."""
        self._model = None


def attempts(precision: str) -> int:
    """How many ways there are to build a precision, each slower and more exact than the one before."""
    return 1 if precision == "float32" else len(EXACT_CONVOLUTIONS)


def build(recipe: Recipe, precision: str, folder: Path, golden: Sequence[Pixels], attempt: int) -> None:
    """Export the graph, convert and compile it, and write what `load` reads into ``folder``.

    Raises EngineError for bfloat16 where the processor has none.
    """
    _need_precision(precision)
    if precision == "int8":
        need_nncf()  # asked for now, not after the conversion
    model = converted(recipe)
    if precision != "float32":
        exact = exact_operations(model, EXACT_CONVOLUTIONS[attempt])
        int8 = precision == "int8"
        model = quantised(model, golden, exact, folder, _answers) if int8 else keep_exact(model, exact, folder)
    compiled = _core().compile_model(model, "CPU", _config(precision, Share()))
    (folder / BLOB).write_bytes(compiled.export_model().getvalue())


def converted(recipe: Recipe) -> Any:
    """The recipe's graph as OpenVINO's model, in float32: the same for every precision."""
    from engines.graph.assembly import load_graph
    from engines.graph.export import export_graph

    geometry = recipe.manifest.geometry
    model = ov.convert_model(export_graph(load_graph(recipe)))
    model.reshape({0: [geometry.tiles, geometry.input_side, geometry.input_side, 3]})  # the conversion forgets it
    return model


def versions() -> dict[str, str]:
    """What a compiled engine depends on, as it is here and now."""
    cpu = processor() if computes_in_bfloat16() else f"{processor()}, without bfloat16"
    return {"openvino": ov.__version__.split("-")[0], "cpu": cpu}


def load(recipe: Recipe, precision: str, folder: Path, share: Share) -> OpenVinoEngine:
    """Load an engine that was compiled on this machine.

    Raises EngineError when OpenVINO refuses it, or would compute it in another precision.
    """
    _need_precision(precision)
    build_again = f"build it again with: {recipe.naming.command('engines build', 'openvino', precision)}"
    try:
        model = _core().import_model((folder / BLOB).read_bytes(), "CPU", _config(precision, share))
    except RuntimeError as error:
        told = str(error).strip().splitlines()[-1]
        raise EngineError(f"{folder / BLOB}: OpenVINO cannot load it ({told}); {build_again}") from error
    if computed_in(model) != (expected := COMPUTED_IN[precision] - ({"bf16"} if _hint(precision) == "f32" else set())):
        found, right = (" and ".join(sorted({"f32"} | one)) for one in (computed_in(model), expected))
        raise EngineError(f"{folder / BLOB}: OpenVINO computes it in {found}, and {precision} is {right}; {build_again}")
    return OpenVinoEngine(model, precision, recipe.manifest.geometry)


def computed_in(model: Any) -> set[str]:
    """Which of bf16, f16 and i8 a compiled model's operations compute in, as OpenVINO tells of each."""
    kinds = {node.get_rt_info()["runtimePrecision"].astype(str) for node in model.get_runtime_model().get_ordered_ops()}
    return kinds & {"bf16", "f16", "i8"}


def computes_in_bfloat16() -> bool:
    """Whether the processor has instructions for it: without them OpenVINO emulates it, some thirty times as slow, or fails.

    OpenVINO tells what the processor itself says.  The variable caps what its kernels use, so that tests can have such a
    processor; an old one may differ in more.
    """
    capped = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in WITHOUT_BFLOAT16
    return not capped and "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _need_precision(precision: str) -> None:
    if precision == "bfloat16" and not computes_in_bfloat16():
        raise EngineError("openvino bfloat16: this processor does not compute in it; choose int8, or float32, which is exact")


@functools.cache
def _core() -> Any:
    """One for the process."""
    return ov.Core()


def _config(precision: str, share: Share) -> dict[str, Any]:
    """All that an answer or its time depends on; a blob takes its precision from here, and else from the machine."""
    config = {"INFERENCE_PRECISION_HINT": _hint(precision), "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": share.streams}
    cores = len(usable_cores())
    if threads := share.limited_to(cores, cpu_quota()):
        # Fewer threads than cores would be pinned to the first ones, and those of every other line, too.
        config |= {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": threads >= cores}
    return config


def _hint(precision: str) -> str:
    """What floating point is computed in: of int8 all that is not quantised."""
    return "f32" if precision == "float32" or not computes_in_bfloat16() else "bf16"


def _answers(precision: str, model: Any, tiles: Sequence[Pixels]) -> list[npt.NDArray[np.float32]]:
    """The maps of a model that is not compiled yet."""
    request = _core().compile_model(model, "CPU", _config(precision, Share())).create_infer_request()
    return [request.infer({0: one})[0].copy() for one in tiles]
