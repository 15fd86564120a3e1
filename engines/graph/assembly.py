"""Between a recipe's files and its modules in memory."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from engines.common.errors import RecipeError
from engines.graph.inspection import InspectionGraph
from engines.networks.backbone import Backbone
from engines.networks.kinds import new_network
from engines.networks.port import Network
from engines.pictures.geometry import Geometry
from engines.recipe.bundle import WEIGHTS, Recipe
from engines.recipe.templates import Templates, read_templates


def build_graph(backbone: Backbone, network: Network, geometry: Geometry, templates: Templates) -> InspectionGraph:
    """The inspection graph of a network with its templates as constants."""
    with torch.no_grad():
        return InspectionGraph(backbone, network.bind(backbone, geometry, templates), geometry)


def load_graph(recipe: Recipe) -> InspectionGraph:
    """A recipe's inspection graph on the CPU, in float32. Raises RecipeError when weights and manifest disagree."""
    backbone, network = load_network(recipe)
    return build_graph(backbone, network, recipe.manifest.geometry, read_templates(recipe))


def load_network(recipe: Recipe) -> tuple[Backbone, Network]:
    """A recipe's backbone and network on the CPU, in float32. Raises RecipeError when weights and manifest disagree."""
    model, file = recipe.manifest.model, recipe.folder / WEIGHTS
    backbone, network = Backbone(model.backbone, model.contrast), new_network(model)
    try:
        state = tensors_from_bytes(file.read_bytes())
        backbone.levels.load_state_dict(_part(state, "backbone."))
        network.load_state_dict(_part(state, "network."))
    except (SafetensorError, RuntimeError) as error:  # load_state_dict raises RuntimeError for names and shapes
        raise RecipeError(
            f"{file}: does not fit the model in its manifest ({str(error).splitlines()[0]}); fit it again"
        ) from error
    return backbone, network.eval()


def weights_bytes(backbone: Backbone, network: Network) -> bytes:
    """Content of `weights.safetensors`."""
    state = {f"backbone.{key}": value for key, value in backbone.levels.state_dict().items()}
    state |= {f"network.{key}": value for key, value in network.state_dict().items()}
    content: bytes = tensors_to_bytes({key: value.detach().cpu().contiguous() for key, value in state.items()})
    return content


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
