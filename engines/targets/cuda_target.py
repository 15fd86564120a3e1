"""NVIDIA GPUs with PyTorch alone, for boxes where TensorRT cannot be installed: float16, on CUDA streams.

The half-precision graph is compiled by torch's own AOTInductor into one file, with the template and all other constants in it.
For a GPU a memory is searched by a Triton kernel of ours, see `engines.graph.fused_search`.  NOT YET RUN on a GPU.

Where it computes is said in one place, `device`.  Tests and the benchmark's rehearsal have that say the CPU: the same build
then makes a package for it, searched block by block as in the other targets, which has to pass the same gate.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engines.common.cores import Share
from engines.common.errors import EngineError
from engines.pictures.geometry import Geometry, Pixels
from engines.recipe.bundle import Recipe
from engines.targets.cuda_compilers import compilers
from engines.targets.cuda_slot import CudaEngine, DeviceBuffers, Launch
from engines.targets.hardware import gpu, processor

if TYPE_CHECKING:
    from engines.graph.inspection import InspectionGraph

PACKAGE = "model.pt2"
FILES = (PACKAGE,)
LONGEST_TOLD = 300  # characters of another library's message
NOTICES = ("torch._inductor.package.package", "torch.utils.cpp_extension")  # loggers
Compute = Callable[[Tensor], Sequence[Tensor]]


def device() -> torch.device:
    """Where this target computes. Raises EngineError on a box without a GPU."""
    if not torch.cuda.is_available():
        raise EngineError("the target cuda needs an NVIDIA GPU that torch can use; choose the target openvino on this box")
    return torch.device("cuda")


def attempts(precision: str) -> int:
    """See `engines.targets`."""
    return 1


def build(recipe: Recipe, precision: str, folder: Path, golden: Sequence[Pixels], attempt: int) -> None:
    """Export the half-precision graph and have AOTInductor compile it. Raises EngineError with the compiler's own words."""
    from engines.graph.export import export_graph

    where = device()
    with compilers(where), _quiet(), torch.no_grad():
        program = export_graph(compiled_graph(recipe, where))
        try:
            torch._inductor.aoti_compile_and_package(program, package_path=str(folder / PACKAGE))
        except torch.OutOfMemoryError:  # told in its own words
            raise
        except Exception as error:  # the compilers below it raise many kinds
            raise EngineError(f"AOTInductor compiled no package: {_told(error)}") from error


def compiled_graph(recipe: Recipe, where: torch.device) -> InspectionGraph:
    """The graph that is compiled, on a device; Triton is imported for a GPU only. Raises EngineError."""
    from engines.graph.assembly import load_graph
    from engines.graph.half_precision import to_half

    graph = to_half(load_graph(recipe))
    if where.type == "cuda":
        from engines.graph.fused_search import fuse_search

        fuse_search(graph)
    return graph.to(where)


def versions() -> dict[str, str]:
    """See `engines.targets`: a package runs only on the GPU, the processor and the libraries that it was made with."""
    on_gpu = {**gpu(), "triton": version("triton")} if device().type == "cuda" else {"gpu": "none"}
    return {**on_gpu, "processor": processor(), "torch": str(torch.__version__), "cuda": str(torch.version.cuda)}


def load(recipe: Recipe, precision: str, folder: Path, share: Share) -> CudaEngine:
    """Load a package that was built on this machine, and run it once. Raises EngineError when torch refuses it."""
    where = device()
    geometry = recipe.manifest.geometry
    # float16's products are summed up in float32, as TensorRT does; this holds for the whole process.
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    try:
        with _quiet():
            # Threads of its own, and what it waits for on their behalf, cannot be captured as a CUDA graph.
            package = torch._inductor.aoti_load_package(str(folder / PACKAGE), run_single_threaded=True)
        compute = _computing(package)
        _need_answers(compute, geometry, where)
    except RuntimeError as error:
        again = f"build it again with: {recipe.naming.command('engines build', 'cuda', precision)}"
        if "out of memory" in str(error):
            again = "see with nvidia-smi what else uses the GPU, and stop it"
        raise EngineError(f"{folder / PACKAGE}: torch cannot load it ({_told(error)}); {again}") from error
    return CudaEngine(f"cuda {precision}", geometry, lambda buffers: _launch(compute, buffers))


def _computing(package: Any) -> Compute:
    """The package without what it does for nested arguments with each call."""
    run = package.loader.run

    def compute(tiles: Tensor) -> Sequence[Tensor]:
        answers: list[Tensor] = run([tiles])
        return answers

    return compute


def _launch(compute: Compute, buffers: DeviceBuffers) -> Launch:
    """One frame into these buffers; what the package itself writes lies in memory of its own."""
    tiles, *answers = buffers

    def launch() -> None:
        for answer, computed in zip(answers, compute(tiles), strict=True):
            answer.copy_(computed)

    return launch


def _need_answers(compute: Compute, geometry: Geometry, where: torch.device) -> None:
    """Raise RuntimeError unless a frame of zeros has answers of a slot's shapes: a copy would stretch others to fit."""
    tiles, *wanted = DeviceBuffers.of(geometry, str(where))
    found = [(tuple(one.shape), one.dtype) for one in compute(tiles)]
    if found != (needed := [(tuple(one.shape), one.dtype) for one in wanted]):
        raise RuntimeError(f"it answers with {found}, not {needed}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's own notices; what fails raises."""
    loggers = [logging.getLogger(name) for name in NOTICES]
    before = [one.disabled for one in loggers]
    try:
        for one in loggers:
            one.disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, disabled in zip(loggers, before, strict=True):
            one.disabled = disabled


def _told(error: Exception) -> str:
    """What went wrong, in one line: of a compiler's output the first error."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    wrong = next((line for line in lines if "error:" in line), lines[0] if lines else type(error).__name__)
    return wrong[:LONGEST_TOLD]
