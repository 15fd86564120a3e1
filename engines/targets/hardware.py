"""What a compiled engine depends on of the machine: its processor and its GPU, by name."""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def gpu() -> dict[str, str]:
    """The first GPU's name and compute capability, and the version of its driver; only where torch has a GPU."""
    import torch

    major, minor = torch.cuda.get_device_capability()
    return {"gpu": torch.cuda.get_device_name(), "compute capability": f"{major}.{minor}", "driver": _driver()}


def _driver() -> str:
    """The kernel driver's version, as the driver itself tells."""
    file = Path("/proc/driver/nvidia/version")
    return file.read_text(encoding="utf-8").splitlines()[0] if file.exists() else "unknown"
