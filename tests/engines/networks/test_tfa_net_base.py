"""TFA-Net at the paper's size: shapes, parameters, operations of a frame, and the constant template's exactness."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from engines.graph.inspection import InspectionGraph
from engines.networks.backbone import Backbone
from engines.networks.tfa_net import ConstantTemplate, TFANet
from engines.pictures.geometry import Geometry
from engines.recipe.model_config import PROFILES

pytestmark = pytest.mark.slow
BASE = PROFILES["tfa-net"]["base"]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(1)
    return Backbone(BASE.backbone)


@pytest.fixture(scope="module")
def network() -> TFANet:
    torch.manual_seed(2)
    return TFANet(BASE).eval()


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    """An inspected picture and a template, (2, 256, 256, 3) uint8."""
    return torch.randint(256, (2, 256, 256, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def fused(backbone: Backbone, network: TFANet, pictures: Tensor) -> Tensor:
    """Fused features of both pictures, (2, 1856, 64, 64)."""
    with torch.inference_mode():
        return network.fuse(backbone(pictures))


def test_sizes_are_the_papers(backbone: Backbone, network: TFANet) -> None:
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    frozen = sum(parameter.numel() for parameter in backbone.parameters())
    assert trained / 1e6 == pytest.approx(148.7, abs=0.05)
    assert frozen / 1e6 == pytest.approx(24.9, abs=0.05)
    assert network.predict.out_features == 29_696
    assert (len(network.aggregation), len(network.refinement)) == (12, 8)


def test_shapes_are_the_papers(backbone: Backbone, network: TFANet, pictures: Tensor, fused: Tensor) -> None:
    with torch.inference_mode():
        assert [tuple(level.shape[1:]) for level in backbone(pictures)] == [
            (64, 64, 64),
            (256, 64, 64),
            (512, 32, 32),
            (1024, 16, 16),
        ]
        assert fused.shape == (2, 1856, 64, 64)
        tokens = network.tokens(fused)
        assert tokens.shape == (2, 256, 768)
        kept = network.aggregate(tokens[:1], tokens[1:])
        assert kept.shape == (1, 257, 768)
        vectors = network.refine(kept)
        assert vectors.shape == (1, 256, 29_696)


def test_constant_template_equals_the_plain_form(backbone: Backbone, network: TFANet, pictures: Tensor, fused: Tensor) -> None:
    with torch.inference_mode():
        plain = network(fused[:1], fused[1:])
        constant, match = ConstantTemplate(network, backbone(pictures[1:]))(backbone(pictures[:1]))
    assert plain.shape == (1, 256, 256)
    assert match.shape == (2,)
    assert float((constant - plain).abs().max() / plain.abs().max()) < 1e-5


def _multiply_accumulates(run: Callable[[], object]) -> tuple[float, float]:
    """Of everything, and of attention's two products alone, in units of 1e9.

    Attention is run as plain matrix products, since the counter does not know torch's fused one on the CPU.
    """
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2e9, counter.get_flop_counts()["Global"][torch.ops.aten.bmm] / 2e9


def test_a_constant_template_saves_a_fifth_of_a_frames_operations(
    backbone: Backbone, network: TFANet, pictures: Tensor, fused: Tensor
) -> None:
    def plain() -> Tensor:
        image: Tensor = network.fuse(backbone(pictures[:1]))
        maps: Tensor = network(image, network.fuse(backbone(pictures[1:])))
        return maps

    with torch.inference_mode():
        template = backbone(pictures[1:])
    graph = InspectionGraph(backbone, ConstantTemplate(network, template), Geometry((256, 256), (0, 0, 256, 256)))
    total, attention = _multiply_accumulates(lambda: graph(pictures[:1]))
    assert total == pytest.approx(75.1, abs=0.2)
    assert total - attention <= 71
    assert _multiply_accumulates(plain)[0] == pytest.approx(95.1, abs=0.2)
