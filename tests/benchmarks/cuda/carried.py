"""What a machine without network is brought: our libraries as wheels, without torch, and a fitted recipe with its pictures.

Imports no library, except to pack.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

WHEELS, RECIPE, GOLDEN = "wheels", "recipe", "golden"
MOST_BYTES = 64 << 20
PYTHONS = ("3.11", "3.12")
# What an engine and the pipeline import, and what that imports.  torchvision, which timm imports, must fit the torch there.
NEEDED = (
    *("msgspec", "numpy", "opencv-python-headless", "pillow", "pyyaml", "pyzmq", "rich", "safetensors", "timm", "typer"),
    *("annotated-doc", "markdown-it-py", "mdurl", "pygments", "shellingham", "typing-extensions"),
)
THERE = ("numpy", "opencv-python-headless", "pillow")  # too large to carry, and usual beside torch
PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 26, 17)), "manylinux2014_x86_64")


def pack(folder: Path, there: tuple[str, ...]) -> int:
    """Fill a new folder on a machine with network; ``there``: what the other machine has. Returns its bytes.

    Raises SystemExit when it is larger than what may be carried.
    """
    from tests.benchmarks.cuda.fitted import fit

    folder.mkdir(parents=True)
    for python in PYTHONS:
        names = [f"{name}=={distribution(name).version}" for name in NEEDED if name not in there]
        words = [
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--implementation",
            "cp",
            "--python-version",
            python,
        ]
        words += [word for platform in PLATFORMS for word in ("--platform", platform)]
        subprocess.run([sys.executable, "-m", "pip", *words, "--dest", str(folder / WHEELS), *names], check=True)
    fit(folder / GOLDEN, folder / RECIPE)
    sizes = {file: file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    total = sum(sizes.values())
    if total > MOST_BYTES:
        largest = max(sizes, key=lambda file: sizes[file])
        raise SystemExit(
            f"{folder}: {total / 1e6:.0f} MB, more than the {MOST_BYTES / 1e6:.0f} MB that may be carried; the largest is "
            f"{largest.name}: name what the other machine has already with --there"
        )
    return total


def install(carried: Path, site: Path) -> list[str]:
    """Install from the carried wheels what is not here, into a folder of its own. Returns the names, or what is missing.

    Raises SystemExit that names what is neither here nor carried.
    """
    missing = [name for name in (*NEEDED, "torch", "torchvision") if not _here(name)]
    wheels = carried / WHEELS
    brought = {file.name.split("-")[0].replace("_", "-").lower() for file in wheels.glob("*.whl")}
    if lacking := [name for name in missing if name not in brought]:
        raise SystemExit(
            f"not here, and not carried: {', '.join(lacking)}; install torch and torchvision; pack the rest with: "
            "python -m tests.benchmarks.cuda --pack FOLDER --there NAMES"
        )
    if missing:
        words = ["install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--find-links", str(wheels)]
        subprocess.run([sys.executable, "-m", "pip", *words, "--target", str(site), *missing], check=True)
    return missing


def unpack(carried: Path, work: Path) -> None:
    """The recipe and its pictures, as copies that engines are built in; fitted here if none was brought."""
    if (carried / RECIPE).is_dir():
        shutil.copytree(carried / RECIPE, work / RECIPE)
        shutil.copytree(carried / GOLDEN, work / GOLDEN)
        return
    from tests.benchmarks.cuda.fitted import fit

    fit(work / GOLDEN, work / RECIPE)


def _here(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
