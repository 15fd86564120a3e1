"""Half precision, written into the graph itself: TensorRT's networks are strongly typed, so the casts decide.

Weights and activations are float16; float32 remain the normalisation of pixels and channels, LayerNorm, softmax, the sums over
channels, the cosine's norms, the memory, and everything from the smoothing on.  The modules cast at their borders by the type
of their weights, so that the float32 graph has no casts at all.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engines.graph.inspection import InspectionGraph

FLOAT32_BUFFERS = frozenset(
    {"mean", "std", "channel_mean", "channel_std", "smoothing", "weights", "lengths"}
    | {"places", "surroundings", "direction_power", "average", "spread"}  # of a memory
)


class Affine(nn.Module):
    """Batch normalisation in evaluation mode: a scale and a shift for each channel.

    They are computed in float32 first: a running variance can be too small for half precision.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None, "frozen statistics"
        assert norm.running_var is not None, "frozen statistics"
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        self.register_buffer("scale", scale.view(1, -1, 1, 1).detach().clone())
        self.register_buffer("shift", (norm.bias - norm.running_mean * scale).view(1, -1, 1, 1).detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return x * self.scale + self.shift


def to_half(graph: InspectionGraph) -> InspectionGraph:
    """Turn a float32 graph, in place, into its half-precision form."""
    _replace_batch_norms(graph)
    for module in graph.modules():
        if isinstance(module, nn.LayerNorm):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(parameter.half(), requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_floating_point() and name not in FLOAT32_BUFFERS:
                setattr(module, name, buffer.half())
    return graph


def _replace_batch_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            # timm's batch norms carry their activation; torchvision's have none.
            activation: Any = getattr(child, "act", None)
            affine = Affine(child)
            setattr(module, name, nn.Sequential(affine, activation) if activation is not None else affine)
        else:
            _replace_batch_norms(child)
