"""The inspection graph as a program: exported whole, with static shapes."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from engines.graph.inspection import InspectionGraph


def export_graph(graph: InspectionGraph) -> ExportedProgram:
    """`torch.export` of the graph for one frame's tiles, (tiles, side, side, 3) uint8; it is captured whole, or this raises."""
    geometry = graph.geometry
    device = graph.weights.device
    tiles = torch.zeros((geometry.tiles, geometry.input_side, geometry.input_side, 3), dtype=torch.uint8, device=device)
    return export_module(graph, tiles)


def export_module(module: nn.Module, example: Tensor) -> ExportedProgram:
    """`torch.export` of a module with one input; its shape is the example's."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own notices; what cannot be exported raises
        return torch.export.export(module, (example,), strict=False)


def save_program(program: ExportedProgram, file: Path) -> None:
    """Write a program for other tools to read (`torch.export.load`)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, file)
