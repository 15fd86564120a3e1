"""Which operations of our half-precision graphs torch-tensorrt has no converter for, asked of its real registry.

    python -m tests.engines.targets.trt_operations NETWORK

Runs without a GPU and without TensorRT: the Python part of torch-tensorrt (lowering, converters and their validators) is loaded
from a folder that `make trt-wheel` fills, beside a stand-in for the `tensorrt` module.  It proves that every operation has a
converter that takes its arguments, and nothing about numbers or speed.  A process of its own: it bends torch.cuda.
"""

from __future__ import annotations

import importlib.machinery
import json
import sys
import types
import warnings
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
from torch.export import ExportedProgram

from engines.graph.assembly import build_graph
from engines.graph.export import export_graph
from engines.graph.half_precision import to_half
from engines.networks.backbone import Backbone
from engines.networks.kinds import new_network
from engines.pictures.geometry import Geometry
from engines.recipe.model_config import PROFILES
from tests.engines.made_templates import made_templates

WHEEL = Path(sys.prefix) / "trt-wheel"
TENSORRT = "11.1.0"


class _AnyAttribute(type):
    """Classes of the stand-in: whatever is asked of them is there, and stays the same."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(cls, name, MagicMock(name=name))
        return cls.__dict__[name]


class _StandIn(types.ModuleType):
    """A module of which every name is a class, or something to call."""

    __version__ = TENSORRT

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, _AnyAttribute(name, (), {}) if name[:1].isupper() else MagicMock(name=name))
        return self.__dict__[name]


def load_torch_tensorrt() -> None:
    """Import torch-tensorrt's Python part as if TensorRT and a GPU were here."""
    for name in ("tensorrt", "tensorrt.plugin", "tensorrt_bindings", "torch_tensorrt._TensorRTProxyModule"):
        sys.modules[name] = _StandIn(name)
    tensorrt, proxy = sys.modules["tensorrt"], sys.modules["torch_tensorrt._TensorRTProxyModule"]
    tensorrt.tensorrt = tensorrt  # type: ignore[attr-defined]
    proxy.trt, proxy.package_name = tensorrt, "tensorrt"  # type: ignore[attr-defined]
    card = types.SimpleNamespace(major=8, minor=9, name="none", total_memory=1 << 33, multi_processor_count=1)
    torch.cuda.get_device_properties = lambda *_, **__: card  # type: ignore[assignment]
    torch.cuda.get_device_capability = lambda *_, **__: (card.major, card.minor)
    torch.cuda.current_device = lambda: 0
    torch.cuda.set_device = lambda *_: None
    sys.path.insert(0, str(WHEEL))
    import torch_tensorrt  # noqa: F401


def operations(program: ExportedProgram) -> tuple[Counter[str], Counter[str]]:
    """(with a converter, without one), counted by name after torch-tensorrt's own lowering."""
    from torch_tensorrt.dynamo._settings import CompilationSettings
    from torch_tensorrt.dynamo.lowering import get_decompositions, post_lowering, pre_export_lowering
    from torch_tensorrt.dynamo.partitioning._global_partitioner import TorchTensorRTOperatorSupport

    settings = CompilationSettings(use_fp32_acc=True)
    lowered = pre_export_lowering(program, settings).run_decompositions(get_decompositions(False, False, False, True))
    module = post_lowering(lowered.module(), settings)
    support, children = TorchTensorRTOperatorSupport(), dict(module.named_modules())
    found: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for node in module.graph.nodes:
        if node.op == "call_function":
            found[not support.is_node_supported(children, node)][str(node.target)] += 1
    return found


def half_graph(network: str, profile: str) -> ExportedProgram:
    """The exported half-precision graph of a profile, with weights as they are made."""
    config = PROFILES[network][profile]
    side = config.input_side
    geometry = Geometry((side, side), (0, 0, side, side), input_side=side)
    backbone, made = Backbone(config.backbone), new_network(config).eval()
    graph = build_graph(backbone, made, geometry, made_templates(backbone, made, geometry, count=3))
    return export_graph(to_half(graph))


class Control(torch.nn.Module):
    """Has an operation that TensorRT lacks: shows that this check can fail."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, N) -> (N,)."""
        return torch.linalg.svdvals(x)


def main() -> None:
    """Print for every profile of a network the operations with a converter and those without, as JSON."""
    warnings.simplefilter("ignore")
    network = sys.argv[1]
    programs = {f"{network} {profile}": half_graph(network, profile) for profile in PROFILES[network]}
    programs["control"] = torch.export.export(Control(), (torch.rand(4, 4),))
    load_torch_tensorrt()
    print(json.dumps({name: operations(program) for name, program in programs.items()}))


if __name__ == "__main__":
    main()
