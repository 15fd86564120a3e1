"""The networks' typed configurations; part of a recipe's manifest. Free of torch, so that a line can read a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import msgspec

BACKBONE_CHANNELS: Mapping[str, tuple[int, ...]] = {  # finest level first
    "efficientnet-lite0": (24, 40, 112),
    "wide-resnet50-2": (64, 256, 512, 1024),
}
BACKBONE_STRIDES: Mapping[str, tuple[int, ...]] = {"efficientnet-lite0": (4, 8, 16), "wide-resnet50-2": (4, 4, 8, 16)}

Depth = Annotated[int, msgspec.Meta(ge=2, le=48)]
Dim = Annotated[int, msgspec.Meta(ge=16, le=4096, multiple_of=16)]
Heads = Annotated[int, msgspec.Meta(ge=1, le=64)]
Side = Annotated[int, msgspec.Meta(ge=64, le=1024, multiple_of=64)]
Contrast = Annotated[float, msgspec.Meta(gt=0, le=8, description="of the input, times what the backbone was trained with")]
Sigma = Annotated[float, msgspec.Meta(gt=0, le=32, description="Gaussian sigma in map pixels")]
BackboneName = Literal["efficientnet-lite0", "wide-resnet50-2"]
BankRatio = Literal[10, 25, 50, 100]  # per cent of the fitted golden samples
TEMPLATE, BANK = "template.png", "bank.safetensors"


class TFANetConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="tfa-net", tag_field="network"):
    """TFA-Net's size (numbers in comments: the paper's). The defaults are profile `small`."""

    templates_file: ClassVar[str] = TEMPLATE

    backbone: BackboneName = "efficientnet-lite0"
    input_side: Side = 256
    contrast: Contrast = 1.5  # or less, see `calibrate.fit.contrast` (1)
    finest: Annotated[Literal[4, 8], msgspec.Meta(description="stride of the finest level that is used")] = 8  # (the paper: 4)
    patch: Annotated[int, msgspec.Meta(ge=1, le=32, description="side of a token in feature positions")] = 4
    dim: Dim = 256
    depth: Depth = 4
    heads: Heads = 8
    refine_dim: Dim = 192
    refine_depth: Depth = 2
    refine_heads: Heads = 8
    normalise_features: bool = True  # by the golden samples' mean and standard deviation of each fused channel
    smoothing: Sigma = 4.0
    masking: Annotated[float, msgspec.Meta(ge=0, le=0.9, description="share of tokens removed while fitting; 0: off")] = 0.5
    memory: Annotated[int, msgspec.Meta(ge=0, le=20_000, description="golden features kept; 0: the paper's map")] = 4_000
    restoration: bool = True  # False: the memory alone, where what the template restores tells defects no better
    template_normalised: bool = True  # False only reproduces the authors' code in parity checks

    def __post_init__(self) -> None:
        """Refuse sizes that do not divide."""
        if self.feature_side % self.patch:
            raise ValueError(f"patch {self.patch} does not divide the features' side {self.feature_side}")
        if self.memory and self.patch % 2:
            raise ValueError(f"patch {self.patch} is odd; with a memory it must be even")
        if not (self.memory or self.restoration):
            raise ValueError("memory and restoration cannot both be off")
        if self.dim % (4 * self.heads) or self.refine_dim % (4 * self.refine_heads):
            raise ValueError("dim and refine_dim must be multiples of 4 times their heads")

    @property
    def feature_side(self) -> int:
        """Side of the fused features (64)."""
        return self.input_side // self.finest

    @property
    def levels(self) -> int:
        """How many of the backbone's levels are used: the last ones."""
        return sum(stride >= self.finest for stride in BACKBONE_STRIDES[self.backbone])

    @property
    def channels(self) -> int:
        """Fused channels (1856)."""
        return sum(self.level_channels)

    @property
    def level_channels(self) -> tuple[int, ...]:
        """Channels of each level that is used, finest first (64, 256, 512, 1024)."""
        return BACKBONE_CHANNELS[self.backbone][-self.levels :]

    @property
    def grid(self) -> int:
        """Tokens along one side (16)."""
        return self.feature_side // self.patch


class THFRConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="thfr", tag_field="network"):
    """THFR's size and parts (numbers in comments: the paper's). The defaults are profile `small`.

    The tuples go from the deepest level to the finest.
    """

    templates_file: ClassVar[str] = BANK

    backbone: BackboneName = "efficientnet-lite0"
    input_side: Side = 256
    contrast: Contrast = 1.0
    code: Dim = 256  # channels of the bottlenecks' code (2048)
    widths: tuple[Dim, Dim, Dim] = (96, 64, 32)  # of the decoder's residual blocks (512, 256, 128)
    blocks: tuple[Depth, Depth, Depth] = (2, 2, 2)  # in each stage of the decoder (3, 4, 6)
    global_bottleneck: bool = True
    local_bottleneck: bool = True
    template: bool = True  # compensation with the template's features
    relation: bool = True  # compensation with the affinities between input and template
    neighbours: Annotated[int, msgspec.Meta(ge=1, le=64, description="most similar templates that fitting draws from")] = 1
    bank_ratio: BankRatio = 10
    normalise_features: bool = True  # by the golden samples' mean and standard deviation of each level's channels
    smoothing: Sigma = 4.0

    def __post_init__(self) -> None:
        """Refuse a network without any bottleneck."""
        if not (self.global_bottleneck or self.local_bottleneck):
            raise ValueError("global_bottleneck and local_bottleneck cannot both be off")

    @property
    def compensates(self) -> bool:
        """Whether a template takes part at all."""
        return self.template or self.relation

    @property
    def channels(self) -> tuple[int, int, int]:
        """Channels of the three levels, finest first (256, 512, 1024)."""
        fine, middle, deep = BACKBONE_CHANNELS[self.backbone][-3:]
        return fine, middle, deep

    @property
    def sides(self) -> tuple[int, int, int]:
        """Sides of the three levels, finest first (64, 32, 16)."""
        return self.input_side // 4, self.input_side // 8, self.input_side // 16


ModelConfig = TFANetConfig | THFRConfig

PROFILES: Mapping[str, Mapping[str, ModelConfig]] = {
    "tfa-net": {
        "small": TFANetConfig(),
        "base": TFANetConfig(
            backbone="wide-resnet50-2",
            contrast=1.0,
            finest=4,
            dim=768,
            depth=12,
            heads=12,
            refine_dim=512,
            refine_depth=8,
            refine_heads=16,
            normalise_features=False,
            memory=0,
        ),
    },
    "thfr": {
        "small": THFRConfig(),
        "base": THFRConfig(
            backbone="wide-resnet50-2",
            code=2048,
            widths=(512, 256, 128),
            blocks=(3, 4, 6),
            normalise_features=False,
        ),
    },
}
