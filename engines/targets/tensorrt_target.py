"""TensorRT on an NVIDIA GPU, half precision: the plan is made by torch-tensorrt, and run by TensorRT's own runtime.

NOT YET RUN on a GPU: written against the documented interface of torch-tensorrt 2.14 and TensorRT 11 (10 on Jetson).  All
networks are strongly typed: the casts in the graph (engines/graph/half_precision.py) decide what is computed in half precision.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import tensorrt as trt
import torch

from engines.common.cores import Share
from engines.common.errors import EngineError
from engines.pictures.geometry import Geometry, Pixels
from engines.pictures.scores import top_k
from engines.recipe.bundle import Recipe
from engines.targets.hardware import gpu

if TYPE_CHECKING:
    from engines.targets.cuda_slot import CudaEngine

PLAN = "model.plan"
FILES = (PLAN,)
MOST_TOP_K = 3_840  # of TensorRT's TopK
LOGGER = "torch_tensorrt [TensorRT Conversion Context]"  # Python's, to which torch-tensorrt hands TensorRT's own messages


def attempts(precision: str) -> int:
    """See `engines.targets`."""
    return 1


def build(recipe: Recipe, precision: str, folder: Path, golden: Sequence[Pixels], attempt: int) -> None:
    """Export the half-precision graph and have TensorRT make its plan for this GPU.

    Raises EngineError with TensorRT's own words, and MemoryError where memory was short.
    """
    _need_gpu()
    _torch_tensorrt_version()
    import torch_tensorrt

    import engines.targets.tensorrt_converters  # noqa: F401 - they register themselves
    from engines.graph.assembly import load_graph
    from engines.graph.export import export_graph
    from engines.graph.half_precision import to_half

    geometry = recipe.manifest.geometry
    need_top_k(geometry)
    graph = to_half(load_graph(recipe)).cuda()
    tiles = torch.zeros((geometry.tiles, geometry.input_side, geometry.input_side, 3), dtype=torch.uint8, device="cuda")
    convert = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine
    exported = export_graph(graph)
    with tensorrt_told() as told, TemporaryDirectory(dir=folder) as aside:
        asked = options(convert, tiles, Path(aside))
        try:
            plan = convert(exported, **asked)
        except RuntimeError as error:
            raise no_plan(error, told) from error
    (folder / PLAN).write_bytes(bytes(plan))


def need_top_k(geometry: Geometry) -> None:
    """Raise EngineError for a map so large that its mean of the largest pixels is of more than TensorRT can find."""
    height, width = geometry.map_shape
    if (count := top_k(height * width)) > MOST_TOP_K:
        raise EngineError(
            f"a map of {width} x {height} pixels has a top-k mean of {count} pixels, and TensorRT finds {MOST_TOP_K} at most: "
            "take the target cuda or openvino, or fit the recipe with fewer tiles"
        )


def options(convert: Callable[..., Any], tiles: torch.Tensor, aside: Path) -> dict[str, Any]:
    """What is asked of torch-tensorrt; ``aside``: a folder for its timings of layers, which only another build could use.

    Raises EngineError for a keyword that its version does not have: it would not say so.
    """
    asked = {
        "arg_inputs": (tiles,),
        "require_full_compilation": True,
        # Where sums must be float32 the graph says so (engines/graph/half_precision.py).  This would make each product one of
        # float32 between casts, with weights twice as large, and nobody promises that TensorRT puts them together again.
        "use_fp32_acc": False,
        # Else one file of all users in the temporary folder: who comes first owns it, and the others' builds fail at their end.
        "timing_cache_path": str(aside / "timings"),
    }
    known = inspect.signature(convert).parameters
    # Up to 2.10 (TensorRT 10, Jetson) strong typing is asked for; from 2.14 (TensorRT 11) there is nothing else.
    if "use_explicit_typing" in known:
        asked["use_explicit_typing"] = True
    if unknown := sorted(set(asked) - set(known)):
        raise EngineError(
            f"torch-tensorrt {_torch_tensorrt_version()} knows no {', '.join(unknown)}, and would leave it out without a word; "
            "install a version that the target tensorrt was written for: pip install 'tfa-inspect[tensorrt]'"
        )
    return asked


@contextmanager
def tensorrt_told() -> Iterator[list[str]]:
    """TensorRT's errors meanwhile. They and torch-tensorrt's, which it raises as well, do not go to the terminal."""
    told: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name == LOGGER and record.levelno >= logging.ERROR:
                told.append(" ".join(record.getMessage().split()))

    handler = Keep()
    logging.getLogger().addHandler(handler)
    try:
        yield told
    finally:
        logging.getLogger().removeHandler(handler)


def no_plan(error: RuntimeError, told: Sequence[str]) -> EngineError | MemoryError:
    """What to raise for a build that failed: TensorRT's first and last words, which are the cause and what came of it.

    A MemoryError where memory was short: whoever builds engines turns it into advice.
    """
    cause: BaseException = error
    while cause.__cause__ is not None:  # torch-tensorrt's own text around it holds the whole graph
        cause = cause.__cause__
    words = [*told[:1], *told[-1:], " ".join(str(cause).split())]
    short = any("out of memory" in one.lower() or "outofmemory" in one.lower() for one in words)
    text = f"TensorRT built no plan: {'; '.join(dict.fromkeys(one[:300] for one in words))}"
    return MemoryError(text) if short else EngineError(text)


def versions() -> dict[str, str]:
    """See `engines.targets`: a plan runs only on the GPU and with the libraries that it was made with."""
    _need_gpu()
    return {
        **gpu(),
        "tensorrt": trt.__version__,
        "torch-tensorrt": _torch_tensorrt_version(),
        "cuda": str(torch.version.cuda),
    }


def load(recipe: Recipe, precision: str, folder: Path, share: Share) -> CudaEngine:
    """Load a plan that was built on this machine. Raises EngineError for one that TensorRT refuses, or of other tensors."""
    _need_gpu()
    from engines.targets.cuda_slot import CudaEngine
    from engines.targets.tensorrt_plan import Plan

    geometry = recipe.manifest.geometry
    try:
        plan = Plan((folder / PLAN).read_bytes(), geometry)
    except EngineError as error:
        build_again = recipe.naming.command("engines build", "tensorrt", "float16")
        raise EngineError(f"{folder / PLAN}: {error}; build it again with: {build_again}") from error
    return CudaEngine(f"tensorrt {precision}", geometry, plan.bind)


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
