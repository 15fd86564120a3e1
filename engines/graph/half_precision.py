"""Half precision, written into the graph itself: TensorRT's networks are strongly typed, so the casts decide.

Weights and activations are float16; float32 remain the normalisation of pixels and channels, LayerNorm, softmax, the
tokens' product, the memory's products, the sums over channels, the cosine's norms, and everything from the smoothing on.  The
modules cast at their borders by the type of their weights, so that the float32 graph has no casts at all.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from engines.graph.inspection import InspectionGraph
from engines.graph.wide_blocks import halve_wide_blocks
from engines.networks.memory import Remembered

HALF = torch.float16
Convolution = nn.Conv2d | nn.ConvTranspose2d
FLOAT32_BUFFERS = frozenset(
    {"mean", "std", "channel_mean", "channel_std", "smoothing", "weights", "keys", "lengths", "token_weight", "token_bias"}
    | {"places", "surroundings", "direction_power", "average", "spread"}  # of a memory
)


class Affine(nn.Module):
    """Batch normalisation in evaluation mode, where it follows no convolution: a scale and a shift for each channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        """Computed in float32 first: a running variance can be too small for half precision."""
        super().__init__()
        assert norm.running_mean is not None, "frozen statistics"
        assert norm.running_var is not None, "frozen statistics"
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        self.register_buffer("scale", scale.view(1, -1, 1, 1).detach().clone())
        self.register_buffer("shift", (norm.bias - norm.running_mean * scale).view(1, -1, 1, 1).detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return x * self.scale + self.shift


class Relu6(nn.Module):
    """ReLU that ends at 6, as a clamp: exported, torch's own is computed in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        return x.clamp(0.0, 6.0)


def to_half(graph: InspectionGraph) -> InspectionGraph:
    """Turn a float32 graph, in place, into its half-precision form."""
    sizes = _fold_batch_norms(graph)
    _replace(graph, nn.ReLU6, lambda _: Relu6())
    halve_wide_blocks(graph.backbone, sizes)
    for module in graph.modules():
        if isinstance(module, Remembered):
            module.round_to(HALF)
            continue
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(parameter.to(HALF), requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_floating_point() and name not in FLOAT32_BUFFERS:
                setattr(module, name, buffer.to(HALF))
    return graph


def _fold_batch_norms(graph: InspectionGraph) -> dict[nn.Module, int]:
    """Batch normalisations become weights of the convolutions before them, computed in float32, before anything is rounded.

    What comes before which is seen on a run, and not guessed from the order in which a library has registered them.

    Returns how many numbers each convolution made of one tile.
    """
    made: dict[int, Convolution] = {}  # by the identity of what it made; kept below, so that no identity is used twice
    kept: list[Tensor] = []
    pairs: dict[nn.BatchNorm2d, Convolution] = {}
    sizes: dict[nn.Module, int] = {}

    def note(convolution: Convolution, _: object, output: Tensor) -> None:
        made[id(output)], sizes[convolution] = convolution, output[0].numel()
        kept.append(output)

    def match(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        if (before := made.get(id(inputs[0]))) is not None:
            pairs[norm] = before

    hooks = [one.register_forward_hook(note) for one in graph.modules() if isinstance(one, Convolution)]
    hooks += [one.register_forward_pre_hook(match) for one in graph.modules() if isinstance(one, nn.BatchNorm2d)]
    side = graph.geometry.input_side
    try:
        with torch.inference_mode():
            graph(torch.zeros(graph.geometry.tiles, side, side, 3, dtype=torch.uint8, device=graph.weights.device))
    finally:
        for hook in hooks:
            hook.remove()
    for norm, convolution in pairs.items():
        _fold(convolution, norm)

    def instead(norm: nn.BatchNorm2d) -> nn.Module:
        # timm's batch norms carry their activation; torch's have none.
        activation = getattr(norm, "act", None) or nn.Identity()
        return activation if norm in pairs else nn.Sequential(Affine(norm), activation)

    _replace(graph, nn.BatchNorm2d, instead)
    return sizes


def _fold(convolution: Convolution, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None, "frozen statistics"
    assert norm.running_var is not None, "frozen statistics"
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
        transpose=isinstance(convolution, nn.ConvTranspose2d),
    )


def _replace(module: nn.Module, kind: type[nn.Module], other: Any) -> None:
    for name, child in module.named_children():
        if isinstance(child, kind):
            setattr(module, name, other(child))
        else:
            _replace(child, kind, other)
