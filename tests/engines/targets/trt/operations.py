"""Which operations of our half-precision graphs torch-tensorrt has no converter for, asked of its real registry.

    python -m tests.engines.targets.trt.operations NETWORK

It proves that every operation has a converter that takes its arguments, and nothing about numbers or speed.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections import Counter

import torch
from torch.export import ExportedProgram

from engines.recipe.model_config import PROFILES
from tests.engines.targets.trt.half_graph import half_graph
from tests.engines.targets.trt.wheel import load_torch_tensorrt


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
