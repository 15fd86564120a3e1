"""A checkpoint in the authors' names gives the authors' features, reconstruction, loss and map.

The reference below is written from the paper and the published key names alone, on plain tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from engines.common.errors import RecipeError
from engines.networks.authors_checkpoint import load_authors_checkpoint
from engines.networks.backbone import Backbone
from engines.networks.tfa_net import TFANet
from engines.pictures.geometry import Geometry
from engines.recipe.model_config import PROFILES, TFANetConfig
from engines.recipe.templates import Templates

State = dict[str, Tensor]
BASE = PROFILES["tfa-net"]["base"]
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
CHANNELS, TOKEN = 1856, 29_696
pytestmark = pytest.mark.slow
# WideResNet50-2 up to its third stage (He et al. 2016; Zagoruyko and Komodakis 2016): blocks, inner channels, stride.
STAGES = ((3, 128, 1), (4, 256, 2), (6, 512, 2))


def _encoding(dim: int) -> Tensor:
    """Position embedding of 16 x 16 tokens after an empty class slot: first half from the column, second from the row."""
    table = np.zeros((257, dim))
    for row in range(16):
        for column in range(16):
            parts = []
            for place in (column, row):
                angles = place / 10_000 ** (np.arange(dim // 4) / (dim / 4))
                parts += [np.sin(angles), np.cos(angles)]
            table[1 + 16 * row + column] = np.concatenate(parts)
    return torch.tensor(table, dtype=torch.float32)[None]


def _random_blocks(name: str, count: int, dim: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for i in range(count):
        for part in ("norm1", "norm2"):
            yield f"{name}.{i}.{part}.weight", (dim,)
            yield f"{name}.{i}.{part}.bias", (dim,)
        for part, rows, columns in (
            ("attn.qkv", 3 * dim, dim),
            ("attn.proj", dim, dim),
            ("mlp.fc1", 4 * dim, dim),
            ("mlp.fc2", dim, 4 * dim),
        ):
            yield f"{name}.{i}.{part}.weight", (rows, columns)
            yield f"{name}.{i}.{part}.bias", (rows,)


def _random_network(draw: torch.Generator) -> State:
    shapes = {
        "patch_embed.proj.weight": (768, CHANNELS, 4, 4),
        "patch_embed.proj.bias": (768,),
        "cls_token": (1, 1, 768),
        "norm.weight": (768,),
        "norm.bias": (768,),
        "decoder_embed.weight": (512, 768),
        "decoder_embed.bias": (512,),
        "decoder_norm.weight": (512,),
        "decoder_norm.bias": (512,),
        "decoder_pred.weight": (TOKEN, 512),
        "decoder_pred.bias": (TOKEN,),
        **dict(_random_blocks("blocks", 12, 768)),
        **dict(_random_blocks("decoder_blocks", 8, 512)),
    }
    state = {}
    for name, shape in shapes.items():
        spread = (3 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.2
        value = torch.empty(shape).uniform_(-spread, spread, generator=draw)
        state[name] = value + 1 if "norm" in name and name.endswith("weight") else value
    return state | {"pos_embed": _encoding(768), "decoder_pos_embed": _encoding(512)}


def _layers() -> Iterator[tuple[str, str, tuple[int, int, int]]]:
    """Name of a convolution, of the batch norm after it, and (outputs, inputs, side of its kernel)."""
    yield "block1.0", "block1.1", (64, 3, 7)
    inputs = 64
    for stage, (blocks, inner, _) in enumerate(STAGES, start=2):
        for i in range(blocks):
            block, outputs = f"block{stage}.0.{i}.", 2 * inner
            yield block + "conv1", block + "bn1", (inner, inputs, 1)
            yield block + "conv2", block + "bn2", (inner, inner, 3)
            yield block + "conv3", block + "bn3", (outputs, inner, 1)
            if i == 0:
                yield block + "downsample.0", block + "downsample.1", (outputs, inputs, 1)
            inputs = outputs


def _random_backbone(draw: torch.Generator) -> State:
    state = {}
    for conv, norm, (outputs, inputs, side) in _layers():
        spread = (6 / (inputs * side**2)) ** 0.5
        state[conv + ".weight"] = torch.empty(outputs, inputs, side, side).uniform_(-spread, spread, generator=draw)
        for name, low, high in (
            ("weight", 0.4, 0.9),
            ("bias", -0.2, 0.2),
            ("running_mean", -0.2, 0.2),
            ("running_var", 0.7, 1.4),
        ):
            state[f"{norm}.{name}"] = torch.empty(outputs).uniform_(low, high, generator=draw)
        state[norm + ".num_batches_tracked"] = torch.tensor(0)
    return state


class _Reference:
    """The authors' forward pass, for one picture and one template."""

    def __init__(self, backbone: State, state: State) -> None:
        self._backbone, self._state = backbone, state

    def features(self, picture: Tensor, normalise: bool) -> Tensor:
        x = picture.permute(2, 0, 1)[None] / 255
        x = (x - MEAN[:, None, None]) / STD[:, None, None] if normalise else x
        x = F.max_pool2d(self._conv("block1.0", "block1.1", x, stride=2).relu(), 3, stride=2, padding=1)
        levels = [x]
        for stage, (blocks, _, stride) in enumerate(STAGES, start=2):
            for i in range(blocks):
                x = self._bottleneck(f"block{stage}.0.{i}.", x, stride if i == 0 else 1)
            levels.append(x)
        return torch.cat([F.interpolate(x, (64, 64), mode="bilinear", align_corners=True) for x in levels], dim=1)

    def _bottleneck(self, name: str, x: Tensor, stride: int) -> Tensor:
        """Its 3 x 3 convolution is the one that strides."""
        inner = self._conv(name + "conv1", name + "bn1", x).relu()
        inner = self._conv(name + "conv2", name + "bn2", inner, stride).relu()
        if name + "downsample.0.weight" in self._backbone:
            x = self._conv(name + "downsample.0", name + "downsample.1", x, stride)
        return (self._conv(name + "conv3", name + "bn3", inner) + x).relu()

    def _conv(self, name: str, norm: str, x: Tensor, stride: int = 1) -> Tensor:
        """Convolution without bias, and batch norm."""
        w = self._backbone
        x = F.conv2d(x, w[name + ".weight"], stride=stride, padding=w[name + ".weight"].shape[-1] // 2)
        return F.batch_norm(x, *(w[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))

    def reconstruct(self, image: Tensor, template: Tensor) -> Tensor:
        w = self._state
        position = w["pos_embed"]
        tokens = [
            F.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=4).flatten(2).mT + position[:, 1:]
            for x in (image, template)
        ]
        rows = torch.cat([w["cls_token"] + position[:, :1], *tokens], dim=1)
        for i in range(12):
            rows = self._block(f"blocks.{i}.", rows, 12)
        rows = self._norm("norm", rows)
        rows = torch.cat([rows[:, :1], rows[:, -256:]], dim=1)
        rows = self._linear("decoder_embed", rows) + w["decoder_pos_embed"]
        for i in range(8):
            rows = self._block(f"decoder_blocks.{i}.", rows, 16)
        predicted = self._linear("decoder_pred", self._norm("decoder_norm", rows))[:, 1:]
        return torch.einsum("nhwpqc->nchpwq", predicted.reshape(1, 16, 16, 4, 4, CHANNELS)).reshape(1, CHANNELS, 64, 64)

    def _block(self, name: str, x: Tensor, heads: int) -> Tensor:
        n, rows, dim = x.shape
        qkv = self._linear(name + "attn.qkv", self._norm(name + "norm1", x)).reshape(n, rows, 3, heads, dim // heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attention = (q @ k.mT * (dim // heads) ** -0.5).softmax(dim=-1)
        x = x + self._linear(name + "attn.proj", (attention @ v).transpose(1, 2).reshape(n, rows, dim))
        hidden = F.gelu(self._linear(name + "mlp.fc1", self._norm(name + "norm2", x)))
        return x + self._linear(name + "mlp.fc2", hidden)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self._state[name + ".weight"].T + self._state[name + ".bias"]

    def _norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        scale = (centred.square().mean(dim=-1, keepdim=True) + 1e-5).rsqrt()
        return centred * scale * self._state[name + ".weight"] + self._state[name + ".bias"]


def _loss(features: Tensor, restored: Tensor) -> float:
    wanted, got = (
        x.reshape(1, CHANNELS, 16, 4, 16, 4).permute(0, 2, 4, 3, 5, 1).reshape(256, TOKEN) for x in (features, restored)
    )
    wanted, got = wanted.double(), got.double()
    direction = 1 - (wanted * got).sum(1) / (wanted.norm(dim=1) * got.norm(dim=1))
    return float(5 * direction.mean() + ((wanted - got) ** 2).mean(dim=1).mean())


def _map(features: Tensor, restored: Tensor) -> Tensor:
    distance = ((features - restored) ** 2).mean(dim=1, keepdim=True)
    direction = 1 - F.cosine_similarity(features, restored, dim=1)[:, None]
    smoothed = [
        gaussian_filter(F.interpolate(x, (256, 256), mode="bilinear", align_corners=True)[0, 0].double().numpy(), sigma=4)
        for x in (direction, distance)
    ]
    return torch.from_numpy(smoothed[0] * smoothed[1])


@pytest.fixture(scope="module")
def theirs() -> tuple[_Reference, State]:
    """The reference, and its checkpoint."""
    draw = torch.Generator().manual_seed(22)
    backbone, network = _random_backbone(draw), _random_network(draw)
    state = {f"Feature_extractor.{key}": value for key, value in backbone.items()}
    return _Reference(backbone, network), state | {f"Roncon_model.{key}": value for key, value in network.items()}


@pytest.fixture(scope="module")
def ours() -> tuple[Backbone, TFANet]:
    torch.manual_seed(23)
    return Backbone(BASE.backbone), TFANet(BASE).eval()


def _error(got: Tensor, wanted: Tensor) -> float:
    return float((got.detach().double() - wanted.double()).abs().max() / wanted.double().abs().max())


def test_features_reconstruction_loss_and_map_are_the_authors(
    theirs: tuple[_Reference, State], ours: tuple[Backbone, TFANet]
) -> None:
    (reference, state), (backbone, network) = theirs, ours
    load_authors_checkpoint(state, backbone, network)
    pictures = torch.randint(256, (2, 256, 256, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(24))
    pictures = F.avg_pool2d(pictures.permute(0, 3, 1, 2).float(), 5, 1, 2).permute(0, 2, 3, 1).round().to(torch.uint8)
    with torch.inference_mode():
        features, template = reference.features(pictures[0], True), reference.features(pictures[1], False)
        restored = reference.reconstruct(features, template)
        our_features, our_template = network.fuse(backbone(pictures[:1])), network.fuse(backbone(pictures[1:], normalise=False))
        aggregated = network.aggregate(network.tokens(our_features), network.tokens(our_template))
        our_restored = network.refine(aggregated)
        loss = network.loss([network.patchify(our_features)], [network.patchify(our_template)], torch.tensor([0]))
        frame_map = network(our_features, our_template)[0]
    assert _error(our_features, features) < 1e-4
    assert _error(our_template, template) < 1e-4
    assert _error(our_restored, network.patchify(restored)) < 1e-4
    assert float(loss) == pytest.approx(_loss(features, restored), rel=1e-4)
    assert _error(frame_map, _map(features, restored)) < 1e-4


def test_names_of_parallel_training_and_without_the_extra_group_are_accepted(
    theirs: tuple[_Reference, State], ours: tuple[Backbone, TFANet]
) -> None:
    (_, state), (backbone, network) = theirs, ours
    flat = {f"module.{key.replace('block3.0.', 'block3.')}": value for key, value in state.items()}
    load_authors_checkpoint(flat, backbone, network)
    wanted = state["Feature_extractor.block3.0.2.conv1.weight"]
    assert torch.equal(backbone.levels.layer2[2].conv1.weight, wanted)  # type: ignore[union-attr, index]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda state: state.pop("Roncon_model.decoder_norm.bias"), "refinement_norm.bias"),
        (lambda state: state.update({"Roncon_model.mask_token": torch.zeros(1)}), "mask_token"),
        (lambda state: state.update({"Roncon_model.norm.weight": torch.zeros(5)}), "aggregation_norm.weight"),
        (lambda state: state.pop("Feature_extractor.block1.0.weight"), "stem.conv1.weight"),
    ],
    ids=["missing", "unknown", "another shape", "backbone"],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_tensor(
    theirs: tuple[_Reference, State], ours: tuple[Backbone, TFANet], spoil: Callable[[State], object], named: str
) -> None:
    state = dict(theirs[1])
    spoil(state)
    with pytest.raises(RecipeError, match=named):
        load_authors_checkpoint(state, *ours)


@pytest.mark.parametrize("normalised", [True, False])
def test_template_is_normalised_unless_the_authors_way_is_asked_for(normalised: bool) -> None:
    config = TFANetConfig(input_side=64, depth=2, normalise_features=False, template_normalised=normalised)
    backbone, network = Backbone(config.backbone), TFANet(config)
    picture = torch.randint(256, (1, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(25))
    pixels = picture.permute(0, 3, 1, 2).double()
    fed = ((pixels - 127) / 128 if normalised else pixels / 255).float()
    geometry = Geometry((64, 64), (0, 0, 64, 64), input_side=64)
    with torch.no_grad():
        bound = network.bind(backbone, geometry, Templates.pinned(picture[0].numpy()))
        levels = backbone.levels(fed)
        qkv = network.aggregation[0].project(  # type: ignore[operator]
            torch.cat([network.class_token, network.tokens(network.fuse(levels))], dim=1)
        )
    torch.testing.assert_close(bound.qkv, qkv, rtol=1e-4, atol=1e-5)
    found = bound.search.keys * bound.search.lengths[:, None]  # type: ignore[operator, union-attr, index]
    torch.testing.assert_close(found, levels[-1].flatten(1), rtol=1e-4, atol=1e-5)
