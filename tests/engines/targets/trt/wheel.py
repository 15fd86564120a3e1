"""Imports torch-tensorrt's Python part as if TensorRT and a GPU were here, from the folder that `make trt-wheel` fills.

TensorRT's Python bindings are the real ones, over libraries that do nothing.  For a process of its own: it bends torch.cuda.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import sys
import types
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch

WHEEL = Path(sys.prefix) / "trt-wheel"
CAPABILITY = (8, 9)  # of the card that there seems to be


def load_torch_tensorrt() -> Any:
    """TensorRT's bindings; torch-tensorrt can be imported from then on."""
    for library in sorted((WHEEL / "lib").iterdir()):
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)  # the bindings then find it by its name
    sys.path.insert(0, str(WHEEL))
    import tensorrt_bindings as bindings

    bindings._package_name = "tensorrt"
    sys.modules["tensorrt"] = bindings
    sys.modules["tensorrt.tensorrt"] = bindings.tensorrt
    plugin = types.ModuleType("tensorrt.plugin")  # nothing of ours is one
    plugin.__spec__ = importlib.machinery.ModuleSpec(plugin.__name__, None)
    plugin.__getattr__ = lambda _: MagicMock()  # type: ignore[method-assign]
    sys.modules[plugin.__name__] = plugin
    proxy: Any = types.ModuleType("torch_tensorrt._TensorRTProxyModule")
    proxy.trt, proxy.package_name = bindings, "tensorrt"
    sys.modules[proxy.__name__] = proxy
    _seem_to_have_a_card()
    return bindings


def _seem_to_have_a_card() -> None:
    cuda: Any = torch.cuda
    major, minor = CAPABILITY
    card = types.SimpleNamespace(major=major, minor=minor, name="none", total_memory=1 << 33, multi_processor_count=1)
    cuda.get_device_properties = lambda *_, **__: card
    cuda.get_device_capability = lambda *_, **__: CAPABILITY
    cuda.mem_get_info = lambda *_: (1 << 33, 1 << 33)
    cuda.current_device = lambda: 0
    cuda.set_device = cuda.synchronize = cuda.empty_cache = lambda *_: None
