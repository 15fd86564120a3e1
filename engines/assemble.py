"""Between a recipe's files and its modules in memory."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from engines.backbone import Backbone
from engines.errors import RecipeError
from engines.geometry import Geometry, Pixels
from engines.graph import InspectionGraph
from engines.images import read_image
from engines.model_config import ModelConfig
from engines.networks import kind_of
from engines.recipe import TEMPLATE, WEIGHTS, Recipe
from engines.tfa_net import TFANet


def fused_template(backbone: Backbone, network: TFANet, config: ModelConfig, template_tiles: Tensor) -> Tensor:
    """The template's fused features (tiles, C, side, side) from its tiles (tiles, side, side, 3) uint8."""
    with torch.inference_mode():
        fused = network.fuse(backbone(template_tiles, normalise=config.template_normalised))
    return fused.clone()  # an inference tensor could take no part in fitting


def build_graph(backbone: Backbone, network: TFANet, geometry: Geometry, template: Pixels) -> InspectionGraph:
    """The inspection graph of a network with ``template`` (H, W[, 3]), a frame of this geometry, for its constants."""
    tiles = torch.from_numpy(geometry.cut_new(template)).to(network.class_token.device)
    bound = kind_of(network.config).bind(network, fused_template(backbone, network, network.config, tiles))
    return InspectionGraph(backbone, bound, geometry)


def load_graph(recipe: Recipe) -> InspectionGraph:
    """A recipe's inspection graph on the CPU, in float32. Raises RecipeError when weights and manifest disagree."""
    manifest = recipe.manifest
    file = recipe.folder / WEIGHTS
    backbone, network = Backbone(manifest.model.backbone), kind_of(manifest.model).build(manifest.model)
    try:
        state = tensors_from_bytes(file.read_bytes())
        backbone.levels.load_state_dict(_part(state, "backbone."))
        network.load_state_dict(_part(state, "network."))
    except (SafetensorError, RuntimeError) as error:  # load_state_dict raises RuntimeError for names and shapes
        raise RecipeError(
            f"{file}: does not fit the model in its manifest ({str(error).splitlines()[0]}); fit it again"
        ) from error
    return build_graph(backbone, network, manifest.geometry, read_image(recipe.folder / TEMPLATE))


def weights_bytes(backbone: Backbone, network: TFANet) -> bytes:
    """Content of `weights.safetensors`."""
    state = {f"backbone.{key}": value for key, value in backbone.levels.state_dict().items()}
    state |= {f"network.{key}": value for key, value in network.state_dict().items()}
    content: bytes = tensors_to_bytes({key: value.detach().cpu().contiguous() for key, value in state.items()})
    return content


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
