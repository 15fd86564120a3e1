"""TFA-Net: its layout of tokens, masking, loss and initialisation, and the form with a constant template."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.networks.tfa_net import ConstantTemplate, TFANet
from engines.recipe.model_config import PROFILES, TFANetConfig

pytestmark = pytest.mark.slow
TINY = TFANetConfig(
    input_side=64,
    finest=4,
    patch=4,
    dim=64,
    depth=3,
    heads=4,
    refine_dim=32,
    refine_depth=2,
    refine_heads=2,
    smoothing=2.0,
    memory=0,
)


@pytest.fixture
def network() -> TFANet:
    torch.manual_seed(3)
    return TFANet(TINY).eval()


def _features(count: int, config: TFANetConfig, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, config.channels, config.feature_side, config.feature_side, generator=draw)


def _levels(count: int, config: TFANetConfig, seed: int) -> list[Tensor]:
    draw, side = torch.Generator().manual_seed(seed), config.input_side // 4
    return [torch.randn(count, c, side >> i, side >> i, generator=draw) for i, c in enumerate((24, 40, 112))]


@pytest.mark.parametrize(
    ("config", "tiles"),
    [(TINY, 1), (TINY, 3), (TFANetConfig(input_side=64, patch=4, depth=2, memory=20), 2), (PROFILES["tfa-net"]["small"], 1)],
    ids=["tiny", "tiny, three tiles", "two blocks only", "small"],
)
def test_constant_template_equals_the_plain_form(config: TFANetConfig, tiles: int) -> None:
    torch.manual_seed(5)
    network = TFANet(config).eval()
    network.measure_channels([(torch.randn(config.channels), torch.rand(config.channels) + 0.5)])
    if network.memory is not None:
        network.memory.places.normal_()
        network.memory.surroundings.normal_()
    levels, template_levels = _levels(tiles, config, 1), _levels(tiles, config, 2)
    template = network.fuse(template_levels)
    with torch.inference_mode():
        constant, match = ConstantTemplate(network, template_levels)(levels)
        fused = network.fuse(levels)
        plain = torch.cat([network(fused[i : i + 1], template[i : i + 1]) for i in range(tiles)])
    assert constant.shape == (tiles, config.input_side, config.input_side)
    assert float((constant - plain).abs().max() / plain.abs().max()) < 1e-5
    torch.testing.assert_close(
        match, torch.stack([torch.tensor(0.0), F.cosine_similarity(levels[2].flatten(), template_levels[2].flatten(), dim=0)])
    )
    if tiles > 1:  # a tile compared with another tile's template is something else
        other = ConstantTemplate(network, [level.roll(1, 0) for level in template_levels])(levels)[0].detach()
        assert float((other - plain).abs().max() / plain.abs().max()) > 1e-3


def test_patchify_lays_a_token_out_by_row_column_channel(network: TFANet) -> None:
    fused = _features(2, TINY, 7)
    vectors = network.patchify(fused)
    channels, patch = TINY.channels, TINY.patch
    assert vectors.shape == (2, TINY.grid**2, patch * patch * channels)
    for token, row, column, channel in [(0, 0, 0, 0), (1, 0, 1, 5), (TINY.grid, 2, 0, 175), (TINY.grid**2 - 1, 3, 3, 9)]:
        y, x = token // TINY.grid * patch + row, token % TINY.grid * patch + column
        assert vectors[1, token, (row * patch + column) * channels + channel] == fused[1, channel, y, x]


def test_tokens_of_vectors_equals_the_convolution(network: TFANet) -> None:
    nn.init.normal_(network.tokenise.bias)  # type: ignore[arg-type]
    fused = _features(2, TINY, 9)
    torch.testing.assert_close(network.tokens_of_vectors(network.patchify(fused)), network.tokens(fused), rtol=1e-4, atol=1e-5)


def test_fuse_upsamples_concatenates_and_normalises(network: TFANet) -> None:
    levels = _levels(2, TINY, 10)
    mean, std = torch.randn(TINY.channels), torch.rand(TINY.channels) + 0.5
    network.measure_channels([(mean, std)])
    fused = network.fuse(levels)
    assert fused.shape == (2, 176, 16, 16)
    torch.testing.assert_close(fused[:, :24], (levels[0] - mean[:24, None, None]) / std[:24, None, None])
    corners = fused[:, 64:, :: TINY.feature_side - 1, :: TINY.feature_side - 1]  # align_corners keeps corners as they are
    expected = (levels[2][:, :, ::3, ::3] - mean[64:, None, None]) / std[64:, None, None]
    torch.testing.assert_close(corners, expected)


def test_channels_stay_as_they_are_when_the_profile_does_not_normalise_them() -> None:
    network = TFANet(TFANetConfig(input_side=64, depth=2, normalise_features=False))
    network.measure_channels([(torch.ones(152), torch.full((152,), 5.0))])
    assert not network.channel_mean.any()
    assert bool((network.channel_std == 1).all())


def test_levels_finer_than_the_finest_that_is_used_do_not_count() -> None:
    network = TFANet(TFANetConfig(input_side=64, depth=2, memory=0))
    levels = _levels(1, network.config, 10)
    fused = network.fuse(levels)
    assert fused.shape == (1, 40 + 112, 8, 8)
    torch.testing.assert_close(fused[:, :40], levels[1])


def test_loss_equals_a_float64_loop(network: TFANet) -> None:
    vectors, templates = network.patchify(_features(3, TINY, 11)), network.patchify(_features(2, TINY, 12))
    which = torch.tensor([1, 0, 1])
    with torch.inference_mode():
        loss = float(network.loss([vectors], [templates], which))
        rows = network.aggregate(network.tokens_of_vectors(vectors), network.tokens_of_vectors(templates)[which])
        restored = network.refine(rows)
    directions, distances = [], []
    for wanted, got in zip(vectors.flatten(0, 1).double().tolist(), restored.flatten(0, 1).double().tolist(), strict=True):
        dot = sum(a * b for a, b in zip(wanted, got, strict=True))
        lengths = math.sqrt(sum(a * a for a in wanted)) * math.sqrt(sum(b * b for b in got))
        directions.append(1 - dot / lengths)
        distances.append(sum((a - b) ** 2 for a, b in zip(wanted, got, strict=True)) / len(wanted))
    assert loss == pytest.approx(5 * sum(directions) / len(directions) + sum(distances) / len(distances), rel=1e-5)


def _parameters_of_loss(network: TFANet) -> tuple[list[Tensor], list[Tensor], Tensor]:
    return [network.patchify(_features(2, TINY, 13))], [network.patchify(_features(1, TINY, 14))], torch.tensor([0, 0])


def test_masking_is_on_in_training_only(network: TFANet) -> None:
    parameters = _parameters_of_loss(network)
    with torch.no_grad():
        inspected = {float(network.eval().loss(*parameters)) for _ in range(3)}
        fitted = {float(network.train().loss(*parameters)) for _ in range(3)}
    assert len(inspected) == 1
    assert len(fitted) == 3


def test_without_masking_training_gives_the_loss_of_inspection(network: TFANet) -> None:
    plain = TFANet(TFANetConfig(**{**{f: getattr(TINY, f) for f in TINY.__struct_fields__}, "masking": 0.0}))
    plain.load_state_dict(network.state_dict())
    parameters = _parameters_of_loss(network)
    with torch.no_grad():
        # Not equal: on a CPU attention is written out while fitting.
        assert float(plain.train().loss(*parameters)) == pytest.approx(float(network.eval().loss(*parameters)), rel=1e-5)


class _Watched(nn.Module):
    """Puts the mean of all other rows into the class token, and keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, rows: Tensor) -> Tensor:
        self.seen.append(rows)
        return torch.cat([rows[:, 1:].mean(dim=1, keepdim=True), rows[:, 1:]], dim=1)


@pytest.mark.parametrize(("ratio", "kept"), [(0.5, 8), (0.25, 12), (0.9, 2)])
def test_masked_runs_share_the_tokens_and_every_template_slot_returns_to_its_place(
    network: TFANet, ratio: float, kept: int
) -> None:
    watched = _Watched()
    network.aggregation = nn.ModuleList([watched])
    count = TINY.grid**2
    marks = torch.arange(2.0 * count).view(2, count, 1).expand(-1, -1, TINY.dim)
    x, template = marks + 1000, marks + 0.5
    rows = network.aggregate_masked(x, template, ratio)
    assert torch.equal(rows[:, 1:], template)
    first, second = watched.seen
    assert first.shape[1] == 1 + 2 * kept
    assert second.shape[1] == 1 + 2 * (count - kept)
    seen_x = torch.cat([first[:, 1 : 1 + kept], second[:, 1 : 1 + count - kept]], dim=1)[..., 0]
    assert torch.equal(seen_x.sort(dim=1).values, x[..., 0])
    assert not torch.equal(seen_x, x[..., 0])
    assert not torch.equal(seen_x[0] - 1000, seen_x[1] - 1000 - count)  # each sample is shuffled on its own
    assert not torch.equal(seen_x[0] - 1000, torch.cat([first[0, 1 + kept :], second[0, 1 + count - kept :]])[:, 0] - 0.5)
    class_tokens = (first[:, 1:].mean(dim=1) + second[:, 1:].mean(dim=1)) / 2
    torch.testing.assert_close(rows[:, 0], class_tokens)


def test_weights_start_xavier_uniform_with_zero_biases_and_a_small_class_token(network: TFANet) -> None:
    looked_at = {"matrices": 0, "norms": 0}
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            looked_at["matrices"] += 1
            matrix = module.weight.detach().flatten(1)
            bound = math.sqrt(6 / sum(matrix.shape))
            assert 0.97 * bound < float(matrix.abs().max()) <= bound, name
            assert abs(float(matrix.mean())) < 0.05 * bound, name
            assert module.bias is not None
            assert not module.bias.any(), name
        elif isinstance(module, nn.LayerNorm):
            looked_at["norms"] += 1
            assert bool((module.weight == 1).all()), name
            assert not module.bias.any(), name
            assert module.eps == 1e-5, name
    assert all(looked_at.values()), looked_at
    tokens = torch.cat([TFANet(TINY).class_token.detach().flatten() for _ in range(20)])
    assert float(tokens.std()) == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("memory", [0, 20])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_restoration_that_is_no_number_is_no_map(memory: int, bad: float) -> None:
    """Else a network that overflows would pass what its memory alone finds good."""
    config = TFANetConfig(input_side=64, patch=4, depth=2, memory=memory)
    network = TFANet(config).eval()
    vectors = torch.randn(1, config.grid**2, config.patch**2 * config.channels)
    restored = vectors.clone()
    restored[0, 0, 0] = bad
    assert not bool(torch.isfinite(network.anomaly_map(vectors, restored, network.memory)).all())
