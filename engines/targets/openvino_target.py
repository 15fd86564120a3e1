"""OpenVINO on the CPU: float32, bfloat16, and 8-bit integers where the parity gate allows them."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from engines.errors import EngineError
from engines.geometry import Geometry, Pixels
from engines.recipe import Recipe
from engines.targets import HostSlot

BLOB = "model.blob"  # compiled for this CPU: a start compiles nothing
KEPT: tuple[tuple[str, ...], ...] = ((),)
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}  # what is not quantised runs in bfloat16


class OpenVinoSlot:
    """An inference request bound to its own buffers: nothing is copied."""

    def __init__(self, request: Any, geometry: Geometry) -> None:
        buffers = HostSlot.of(geometry)
        self.tiles: Pixels = buffers.tiles
        self.frame_map: npt.NDArray[np.float32] = buffers.frame_map
        self.scores: npt.NDArray[np.float32] = buffers.scores
        self._request = request
        request.set_input_tensor(0, ov.Tensor(self.tiles, shared_memory=True))
        request.set_output_tensor(0, ov.Tensor(self.frame_map, shared_memory=True))
        request.set_output_tensor(1, ov.Tensor(self.scores, shared_memory=True))

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
    return len(KEPT) if precision == "int8" else 1


def build(recipe: Recipe, precision: str, folder: Path, golden: Sequence[Pixels], attempt: int) -> None:
    """Export the graph, convert and compile it, and write what `load` reads into ``folder``."""
    from engines.assemble import load_graph
    from engines.exporting import export_graph

    model: Any = ov.convert_model(export_graph(load_graph(recipe)))
    if precision == "int8":
        model = _quantise(model, golden, KEPT[attempt])
    compiled = ov.Core().compile_model(model, "CPU", _config(precision))
    (folder / BLOB).write_bytes(compiled.export_model().getvalue())


def versions() -> dict[str, str]:
    """What a compiled engine depends on, as it is here and now."""
    return {"openvino": ov.__version__.split("-")[0], "cpu": _cpu_name()}


def load(recipe: Recipe, precision: str, folder: Path) -> OpenVinoEngine:
    """Load an engine that was compiled on this machine. Raises EngineError when OpenVINO refuses it."""
    try:
        model = ov.Core().import_model((folder / BLOB).read_bytes(), "CPU", _config(precision))
    except RuntimeError as error:
        raise EngineError(
            f"{folder / BLOB}: OpenVINO cannot load it ({str(error).strip().splitlines()[-1]}); build it again with: "
            f"engines build --recipe {recipe.folder} --golden DIR --target openvino --precision {precision}"
        ) from error
    return OpenVinoEngine(model, precision, recipe.manifest.geometry)


def _config(precision: str) -> dict[str, Any]:
    return {"INFERENCE_PRECISION_HINT": HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}


def _quantise(model: Any, golden: Sequence[Pixels], kept: tuple[str, ...]) -> Any:
    """Post-training quantisation to 8 bits (NNCF); operations whose names match ``kept`` stay as they are."""
    try:
        import nncf
    except ModuleNotFoundError as error:
        raise EngineError("int8 needs the library nncf; run: pip install 'tfa-inspect[int8]'") from error
    scope = nncf.IgnoredScope(patterns=list(kept), validate=False)
    return nncf.quantize(
        model, nncf.Dataset(list(golden)), subset_size=len(golden), model_type=nncf.ModelType.TRANSFORMER, ignored_scope=scope
    )


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.machine()
