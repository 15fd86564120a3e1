"""Blocks whose widest tensor is too large to stay in a small GPU's cache are computed half of their channels at a time.

An inverted residual expands its channels, filters each by itself, and only then mixes them: halves give the same numbers.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

MOST_BYTES = 2_000_000  # of one tile's tensor in half precision


class Halves(nn.Module):
    """Expansion, activation, depthwise convolution, activation: for the first half of the channels, then for the second."""

    def __init__(self, expand: nn.Conv2d, first: Any, depthwise: nn.Conv2d, second: Any) -> None:
        super().__init__()
        middle, last = expand.out_channels // 2, expand.out_channels
        self.halves = nn.ModuleList(
            nn.Sequential(_part(expand, channels), first, _part(depthwise, channels), second)
            for channels in (slice(0, middle), slice(middle, last))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, expanded C, H / stride, W / stride)."""
        return torch.cat([half(x) for half in self.halves], dim=1)


def halve_wide_blocks(module: nn.Module, sizes: dict[nn.Module, int]) -> None:
    """Replace, in place, what is too large; ``sizes``: numbers that each convolution makes of one tile.

    Batch normalisations are folded into the convolutions before this.
    """
    for block in list(module.modules()):
        parts = [getattr(block, name, None) for name in ("conv_pw", "bn1", "conv_dw", "bn2")]  # timm's inverted residual
        expand, first, depthwise, second = parts
        if not (isinstance(expand, nn.Conv2d) and isinstance(depthwise, nn.Conv2d)):
            continue
        if expand.out_channels == depthwise.groups and sizes[expand] * torch.half.itemsize > MOST_BYTES:
            block.conv_pw = Halves(expand, first, depthwise, second)
            block.bn1 = block.conv_dw = block.bn2 = nn.Identity()


def _part(convolution: nn.Conv2d, channels: slice) -> nn.Conv2d:
    """The convolution for some of its outputs; a depthwise one then takes only those inputs."""
    part = copy.deepcopy(convolution)
    part.weight = nn.Parameter(convolution.weight[channels].clone())
    part.bias = None if convolution.bias is None else nn.Parameter(convolution.bias[channels].clone())
    part.out_channels = len(part.weight)
    if convolution.groups > 1:
        part.in_channels = part.groups = part.out_channels
    return part
