"""The networks' typed configurations; part of a recipe's manifest. Free of torch, so that a line can read a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

BACKBONE_CHANNELS: Mapping[str, tuple[int, ...]] = {  # finest level first
    "efficientnet-lite0": (24, 40, 112),
    "wide-resnet50-2": (64, 256, 512, 1024),
}

Depth = Annotated[int, msgspec.Meta(ge=2, le=48)]
Dim = Annotated[int, msgspec.Meta(ge=16, le=4096, multiple_of=16)]
Heads = Annotated[int, msgspec.Meta(ge=1, le=64)]


class TFANetConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="tfa-net", tag_field="network"):
    """TFA-Net's size (numbers in comments: the paper's). The defaults are profile `small`."""

    backbone: Literal["efficientnet-lite0", "wide-resnet50-2"] = "efficientnet-lite0"
    input_side: Annotated[int, msgspec.Meta(ge=64, le=1024, multiple_of=64)] = 256
    patch: Annotated[int, msgspec.Meta(ge=1, le=32, description="side of a token in feature positions")] = 8
    dim: Dim = 256
    depth: Depth = 4
    heads: Heads = 8
    refine_dim: Dim = 192
    refine_depth: Depth = 2
    refine_heads: Heads = 8
    normalise_features: bool = True  # by the golden samples' mean and standard deviation of each fused channel
    smoothing: Annotated[float, msgspec.Meta(gt=0, le=32, description="Gaussian sigma in map pixels")] = 4.0
    masking: Annotated[float, msgspec.Meta(ge=0, le=0.9, description="share of tokens removed while fitting; 0: off")] = 0.5
    template_normalised: bool = True  # False only reproduces the authors' code in parity checks

    def __post_init__(self) -> None:
        """Refuse sizes that do not divide."""
        if self.feature_side % self.patch:
            raise ValueError(f"patch {self.patch} does not divide the features' side {self.feature_side}")
        if self.dim % (4 * self.heads) or self.refine_dim % (4 * self.refine_heads):
            raise ValueError("dim and refine_dim must be multiples of 4 times their heads")

    @property
    def feature_side(self) -> int:
        """Side of the fused features: a quarter of the input (64)."""
        return self.input_side // 4

    @property
    def channels(self) -> int:
        """Fused channels (1856)."""
        return sum(BACKBONE_CHANNELS[self.backbone])

    @property
    def grid(self) -> int:
        """Tokens along one side (16)."""
        return self.feature_side // self.patch


ModelConfig = TFANetConfig  # becomes a tagged union with the second network

PROFILES: Mapping[str, Mapping[str, ModelConfig]] = {
    "tfa-net": {
        "small": TFANetConfig(),
        "base": TFANetConfig(
            backbone="wide-resnet50-2",
            patch=4,
            dim=768,
            depth=12,
            heads=12,
            refine_dim=512,
            refine_depth=8,
            refine_heads=16,
            normalise_features=False,
        ),
    },
}
