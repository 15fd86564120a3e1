"""OpenVINO on the CPU: float32, bfloat16, and 8-bit integers where the parity gate allows them."""

from __future__ import annotations

import functools
import logging
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.common.errors import EngineError
from engines.common.extras import import_for
from engines.pictures.geometry import Geometry, Pixels
from engines.recipe.bundle import Recipe
from engines.targets import HostSlot
from engines.targets.openvino_exact import CONVOLUTIONS, exact_operations, keep_exact
from engines.targets.quiet_openvino import ov

BLOB = "model.blob"  # compiled for this CPU: a start compiles nothing
FILES = (BLOB,)
EXACT_CONVOLUTIONS = (3, 10, 1_000)  # by attempt; see `openvino_exact`
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}  # what is not quantised runs in bfloat16


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
    """Export the graph, convert and compile it, and write what `load` reads into ``folder``."""
    if precision == "int8":
        _nncf()  # asked for now, not after the conversion
    model = converted(recipe)
    if precision != "float32":
        exact = exact_operations(model, EXACT_CONVOLUTIONS[attempt])
        if precision == "int8":
            model = _quantise(model, golden, exact)
        model = keep_exact(model, exact, folder)
    compiled = _core().compile_model(model, "CPU", _config(precision, streams=1))
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
    return {"openvino": ov.__version__.split("-")[0], "cpu": _cpu_name()}


def load(recipe: Recipe, precision: str, folder: Path, streams: int) -> OpenVinoEngine:
    """Load an engine that was compiled on this machine. Raises EngineError when OpenVINO refuses it.

    ``streams`` frames are computed at once, each on its share of the cores.
    """
    try:
        model = _core().import_model((folder / BLOB).read_bytes(), "CPU", _config(precision, streams))
    except RuntimeError as error:
        raise EngineError(
            f"{folder / BLOB}: OpenVINO cannot load it ({str(error).strip().splitlines()[-1]}); build it again with: "
            f"{recipe.naming.command('engines build', 'openvino', precision)}"
        ) from error
    return OpenVinoEngine(model, precision, recipe.manifest.geometry)


@functools.cache
def _core() -> Any:
    """One for the process."""
    return ov.Core()


def _config(precision: str, streams: int) -> dict[str, Any]:
    return {"INFERENCE_PRECISION_HINT": HINTS[precision], "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": streams}


def _quantise(model: Any, golden: Sequence[Pixels], exact: set[str]) -> Any:
    """Post-training quantisation to 8 bits (NNCF), all but the named operations and what gains nothing by it."""
    nncf = _nncf()
    nncf.set_log_level(logging.ERROR)  # it tells of each operation that it leaves as it is
    kinds = {"Subtract", "Power"}  # differences: what they are taken of is nearly equal
    if any(node.get_type_name() == "GroupConvolution" for node in model.get_ops()):
        # A backbone of depthwise convolutions was slower in 8 bits than in bfloat16, and the map's error three times as large.
        kinds |= CONVOLUTIONS
    kept = exact | {node.get_friendly_name() for node in model.get_ops() if node.get_type_name() in kinds}
    return nncf.quantize(
        model,
        nncf.Dataset(list(golden)),
        subset_size=len(golden),
        model_type=nncf.ModelType.TRANSFORMER,
        ignored_scope=nncf.IgnoredScope(names=sorted(kept)),
    )


def _nncf() -> Any:
    return import_for("int8", "nncf", EngineError)


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.machine()
