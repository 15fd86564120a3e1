"""The frozen backbone by OpenVINO: a fit reads hundreds of pictures, and torch takes three times as long for each on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from engines.graph.export import export_module
from engines.targets.quiet_openvino import ov

BATCH = 2  # of the example: one would be taken for a constant


def compiled_levels(levels: nn.Module, side: int) -> Callable[[Tensor], list[Tensor]]:
    """What computes a backbone's levels of normalised pictures (N, 3, side, side) in float32, see `Backbone.compute_with`."""
    model = ov.convert_model(export_module(levels, torch.zeros(BATCH, 3, side, side)))
    model.reshape({0: [-1, 3, side, side]})
    request = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    outputs = len(model.outputs)

    def compute(pictures: Tensor) -> list[Tensor]:
        answers = request.infer({0: pictures.contiguous().numpy()})
        return [torch.from_numpy(answers[i].copy()) for i in range(outputs)]

    return compute
