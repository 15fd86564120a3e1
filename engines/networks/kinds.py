"""The networks there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engines.networks.port import Network
from engines.networks.tfa_net import TFANet
from engines.networks.thfr import THFR
from engines.recipe.model_config import ModelConfig

NETWORKS: Mapping[str, Callable[[Any], Network]] = {"tfa-net": TFANet, "thfr": THFR}


def new_network(config: ModelConfig) -> Network:
    """The network of a recipe's model configuration, with weights as they are made."""
    return NETWORKS[str(config.__struct_config__.tag)](config)
