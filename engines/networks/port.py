"""What a network is to the rest: the port between the networks and fitting, assembling and the inspection graph."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from engines.networks.backbone import Backbone
from engines.pictures.geometry import Geometry
from engines.recipe.model_config import ModelConfig
from engines.recipe.templates import Templates


class Network(nn.Module, ABC):
    """A network without its backbone.

    N samples' *levels* are the backbone's outputs, finest first; their *features* are what this network compares, any number
    of tensors (N, ...).
    """

    config: ModelConfig

    @abstractmethod
    def maps(self, levels: list[Tensor]) -> list[Tensor]:
        """Levels -> the feature maps, each (N, C, h, w), whose channels `measure_channels` is told about."""

    @abstractmethod
    def measure_channels(self, measures: list[tuple[Tensor, Tensor]]) -> None:
        """Set each map's channel means and standard deviations (C,), measured over the golden samples."""

    @abstractmethod
    def features(self, levels: list[Tensor]) -> list[Tensor]:
        """Levels -> float32 features, normalised as measured; computed once for a fit."""

    @abstractmethod
    def loss(self, features: list[Tensor], templates: list[Tensor], which: Tensor) -> Tensor:
        """Loss of N samples' features, restored with ``templates``: features of M of them, sample i's being ``which[i]``."""

    @abstractmethod
    def bank(self, features: list[Tensor]) -> dict[str, Tensor]:
        """What a recipe keeps of templates' features (each (K * tiles, ...), tile by tile); empty where pictures suffice."""

    @abstractmethod
    def bind(self, backbone: Backbone, geometry: Geometry, templates: Templates) -> nn.Module:
        """For inspection: a module with the templates as constants.

        It takes the levels of one frame's tiles, and returns their maps (tiles, side, side) and the match (2,) float32: the
        template's index and how similar the frame is to it, as a cosine.
        """
