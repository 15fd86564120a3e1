"""THFR at the paper's size, with random backbone weights: the shape of every part, and what a bank takes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engines.networks.backbone import Backbone
from engines.networks.thfr import THFR
from engines.recipe.model_config import PROFILES, THFRConfig

pytestmark = pytest.mark.slow
BASE = PROFILES["thfr"]["base"]


@pytest.fixture(scope="module")
def network() -> THFR:
    torch.manual_seed(2)
    return THFR(BASE).eval()


@pytest.fixture(scope="module")
def features(network: THFR) -> list[Tensor]:
    """Of an inspected picture and of a template."""
    pictures = torch.randint(256, (2, 256, 256, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        return network.features(Backbone(BASE.backbone)(pictures))


def _shape(value: Tensor) -> tuple[int, ...]:
    return tuple(value.shape[1:])


def test_every_shape_is_the_papers(network: THFR, features: list[Tensor]) -> None:
    assert isinstance(BASE, THFRConfig)
    assert [_shape(level) for level in features] == [(256, 64, 64), (512, 32, 32), (1024, 16, 16)]
    image = [level[:1] for level in features]
    middle, deep = features[1][1:], features[2][1:]
    assert network.global_bottleneck is not None
    assert network.local_bottleneck is not None
    assert network.semantic_stage is not None
    assert network.semantic is not None
    assert network.detail is not None
    with torch.inference_mode():
        squeezed = network.global_bottleneck.squeeze(image[2])
        assert squeezed.shape[1] == 2048
        assert len(network.global_bottleneck.spread) == 3
        code = network.global_bottleneck(image[2])
        assert _shape(code) == (2048, 8, 8)
        assert _shape(network.local_bottleneck.from_fine(image[0])) == (1024, 16, 16)
        assert _shape(network.local_bottleneck.from_middle(image[1])) == (1024, 16, 16)
        assert network.local_bottleneck.fuse.shortcut[0].in_channels == 3072
        assert _shape(network.local_bottleneck(image)) == (2048, 8, 8)
        path = network.semantic_stage(code)
        assert _shape(path) == (1024, 16, 16)
        assert network.semantic.relation is not None
        assert _shape(network.semantic.relation(path, deep)) == (512, 16, 16)
        assert network.detail.relation is not None
        assert _shape(network.detail.relation(middle, middle)) == (2048, 32, 32)
        assert network.semantic.relation.theta.out_channels == 256
        restored = network.restore(image, middle, deep)
        assert [_shape(level) for level in restored] == [_shape(level) for level in image]
        assert network.anomaly_map(image, restored).shape == (1, 256, 256)
    assert [len(stage) for stage in (network.semantic_stage, network.middle_stage, network.fine_stage)] == [3, 4, 6]


def test_a_template_takes_levels_2_and_3_in_half_precision(network: THFR, features: list[Tensor]) -> None:
    bank = network.bank([level[1:, None].expand(3, -1, -1, -1, -1) for level in features])
    size = sum(value.numel() * value.element_size() for value in bank.values())
    assert size == 3 * (2 * 786_432 + 4), "2 bytes a number, and each length: 38 MB for a tenth of 242"
