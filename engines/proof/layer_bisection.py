"""Where a network's answer is lost in half precision: the first layer, in order of execution, that breaks the gate.

Rounding a layer's weights and its output to the type, in the float32 graph, shows on any machine what computing in that type
does to it, overflow included.  Layers up to some number are rounded, and the number is bisected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from engines.graph.inspection import InspectionGraph


def first_failing_layer(graph: InspectionGraph, tiles: Tensor, kind: torch.dtype, holds: Callable[[], bool]) -> str | None:
    """The layer whose rounding to ``kind`` first makes ``holds()`` false, or None when the whole graph holds.

    ``tiles`` (tiles, side, side, 3) uint8 shows the order of the layers; ``holds`` runs the graph.  With layers up to the
    named one rounded the gate fails, and with those before it, it does not.
    """
    layers = _in_order(graph, tiles)
    passing, failing = 0, len(layers)
    with _rounded([layer for _, layer in layers], kind):
        if holds():
            return None
    while failing - passing > 1:
        middle = (passing + failing) // 2
        with _rounded([layer for _, layer in layers[:middle]], kind):
            if holds():
                passing = middle
            else:
                failing = middle
    return layers[failing - 1][0]


def _in_order(graph: InspectionGraph, tiles: Tensor) -> list[tuple[str, nn.Module]]:
    """The modules without children that have weights, in the order in which they are first run."""
    names = {module: name for name, module in graph.named_modules()}
    order: dict[nn.Module, None] = {}
    watched = [module for module in graph.modules() if not list(module.children()) and list(module.parameters())]
    hooks = [module.register_forward_pre_hook(lambda module, _: order.setdefault(module)) for module in watched]
    try:
        with torch.inference_mode():
            graph(tiles)
    finally:
        for hook in hooks:
            hook.remove()
    return [(names[module], module) for module in order]


@contextmanager
def _rounded(layers: list[nn.Module], kind: torch.dtype) -> Iterator[None]:
    """The layers' weights and outputs rounded while the block runs."""
    kept = [(parameter, parameter.detach().clone()) for layer in layers for parameter in layer.parameters()]
    hooks = [layer.register_forward_hook(lambda _module, _given, out: out.to(kind).to(out.dtype)) for layer in layers]
    try:
        for parameter, value in kept:
            parameter.data.copy_(value.to(kind))
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, value in kept:
            parameter.data.copy_(value)
