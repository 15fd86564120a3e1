"""The networks there are: how each is built, and how it is bound to its template for inspection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from engines.model_config import ModelConfig
from engines.tfa_net import ConstantTemplate, TFANet


@dataclass(frozen=True)
class NetworkKind:
    """What fitting and loading need of one kind of network."""

    build: Callable[[ModelConfig], TFANet]
    bind: Callable[[TFANet, Tensor], nn.Module]  # with the template's fused features: levels in, maps out


NETWORKS: Mapping[str, NetworkKind] = {
    "tfa-net": NetworkKind(TFANet, ConstantTemplate),
}


def kind_of(config: ModelConfig) -> NetworkKind:
    """The table's entry for a recipe's model configuration."""
    return NETWORKS[str(config.__struct_config__.tag)]
