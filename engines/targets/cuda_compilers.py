"""What torch's AOTInductor compiles with, found before a build begins and told in words where it is missing.

On a CPU that is a C++ compiler.  On a GPU also Triton, Python's headers, which Triton compiles against, CUDA's headers and the
driver's library to link with.  NOT YET RUN on a GPU.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch

from engines.common.errors import EngineError

# What torch's own headers include.  The pip packages of torch bring the first only.
HEADERS = ("cuda_runtime.h", "crt/host_config.h", "nv/target")
DRIVER = "libcuda.so"
TOOLKIT = Path("/usr/local/cuda")


@contextmanager
def compilers(device: torch.device) -> Iterator[None]:
    """Surroundings in which AOTInductor compiles for a device; what it keeps beside the package is gone at the end.

    Raises EngineError that names what is missing, and what to install.
    """
    from torch._inductor.utils import fresh_cache

    need("c++" if device.type == "cpu" else "gpu")
    # A cache of its own: compiled files of another version, or of another user, are not taken up, and a service has no home.
    with (
        TemporaryDirectory() as aside,
        fresh_cache(dir=aside),
        _linking(Path(aside)) if device.type == "cuda" else nullcontext(),
    ):
        yield


def need(kind: str) -> None:
    """Raise EngineError unless compilers are here: for "c++", or also for a "gpu"."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise EngineError(f"target cuda is built with a C++ compiler, and {compiler} is not here; run: apt install g++")
    if kind == "c++":
        return
    if importlib.util.find_spec("triton") is None:
        raise EngineError(
            "target cuda is built with the library triton, which torch for NVIDIA GPUs brings; run: pip install triton"
        )
    headers = Path(sysconfig.get_config_var("INCLUDEPY"))
    if not (headers / "Python.h").is_file():
        raise EngineError(f"target cuda is built with Python's headers, and {headers} has none; run: apt install python3-dev")
    cuda_home()


def cuda_home() -> Path:
    """The folder whose ``include`` has CUDA's headers. Raises EngineError that says where it was looked for."""
    named = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")]
    compiler = shutil.which("nvcc")
    found = [*(Path(one) for one in named if one), *([Path(compiler).resolve().parents[1]] if compiler else [])]
    found += [TOOLKIT, *_of_pip()]
    for home in found:
        if all((home / "include" / header).is_file() for header in HEADERS):
            return home
    raise EngineError(
        f"target cuda is built with CUDA's headers ({', '.join(HEADERS)}), and none of {', '.join(map(str, found))} has them; "
        f"install the CUDA toolkit {torch.version.cuda} and set CUDA_HOME, or run: "
        f"pip install 'nvidia-cuda-crt=={torch.version.cuda}.*' 'nvidia-cuda-cccl=={torch.version.cuda}.*'"
    )


def _of_pip() -> list[Path]:
    """Where the pip packages of CUDA lie."""
    package = importlib.util.find_spec("nvidia")
    return [home for place in (package.submodule_search_locations or [] if package else []) for home in Path(place).glob("cu*")]


def _driver() -> Path:
    """The driver's library as torch has loaded it: many boxes lack the name that a linker looks for."""
    torch.cuda.init()
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        file = line.split(maxsplit=5)[-1]
        if Path(file).name.startswith(f"{DRIVER}."):
            return Path(file)
    raise EngineError(f"torch has not loaded {DRIVER}; check the driver with nvidia-smi")


@contextmanager
def _linking(folder: Path) -> Iterator[None]:
    """With CUDA's headers and the driver's library where a compiler looks, also in torch's own note of CUDA's folder."""
    from torch.utils import cpp_extension

    (folder / DRIVER).symlink_to(_driver())
    home, paths = cuda_home(), [str(folder), *filter(None, [os.environ.get("LIBRARY_PATH")])]
    changed = {"CUDA_HOME": str(home), "LIBRARY_PATH": os.pathsep.join(paths)}
    with patch.dict(os.environ, changed), patch.object(cpp_extension, "CUDA_HOME", str(home)):
        yield
