"""The memory of golden features: the limit to each level, the nearest row, and the anomaly."""

from __future__ import annotations

import math

import pytest
import torch

from engines.memory import SOFTNESS, Memory

LEVELS = (4, 8)


@pytest.fixture
def memory() -> Memory:
    memory, draw = Memory(48, LEVELS), torch.Generator().manual_seed(1)
    memory.places.copy_(memory.limited(torch.randn(48, 12, generator=draw)))
    memory.tokens.copy_(memory.limited(torch.randn(12, 12, generator=draw)))
    return memory


def _limited(feature: list[float]) -> list[float]:
    levels = feature[:4], feature[4:]
    return [value / math.sqrt(sum(x * x for x in level) + SOFTNESS * len(level)) for level in levels for value in level]


def _novelty(feature: list[float], golden: list[list[float]]) -> float:
    return min(sum((a - b) ** 2 for a, b in zip(feature, row, strict=True)) for row in golden)


def test_anomaly_equals_plain_loops(memory: Memory) -> None:
    draw = torch.Generator().manual_seed(3)
    features, direction = torch.randn(2, 3, 5, 12, generator=draw), torch.rand(2, 3, 5, generator=draw)
    got = memory(features, direction)
    assert got.shape == (2, 3, 5)
    places, tokens = memory.places.double().tolist(), memory.tokens.double().tolist()
    for n in range(2):
        for token in range(3):
            limited = [_limited(feature) for feature in features[n, token].double().tolist()]
            around = _novelty([sum(column) / 5 for column in zip(*limited, strict=True)], tokens)
            for place in range(5):
                expected = _novelty(limited[place], places) * (float(direction[n, token, place]) * around) ** 0.25
                assert float(got[n, token, place]) == pytest.approx(expected, rel=1e-4)


def test_no_glare_outweighs_the_rest(memory: Memory) -> None:
    glare = torch.full((1, 1, 12), 1e4)
    lengths = [float(level.norm()) for level in memory.limited(glare).split(LEVELS, dim=-1)]
    assert lengths == pytest.approx([1, 1], rel=1e-4)
    small = torch.full((1, 1, 12), 1e-3)
    assert torch.allclose(memory.limited(small)[..., :4], small[..., :4] / math.sqrt(SOFTNESS * 4), rtol=1e-5)


def test_a_place_of_the_memory_is_no_anomaly_however_it_was_restored(memory: Memory) -> None:
    features = torch.randn(48, 12, generator=torch.Generator().manual_seed(1))
    assert float(memory(features[None, None, :5], torch.full((1, 1, 5), 1.5)).abs().max()) < 1e-5


def test_rounding_below_zero_is_next_to_nothing_and_what_is_not_finite_stays_so(memory: Memory) -> None:
    features = torch.randn(1, 2, 1, 12)
    rounded = memory(features, torch.full((1, 2, 1), -1e-9))
    torch.testing.assert_close(rounded, memory(features, torch.full((1, 2, 1), 1e-9)))
    assert bool(memory(features, torch.tensor([[[0.5], [torch.nan]]])).isnan()[0, 1, 0]), "the restoration's"
    features[0, 1] = torch.nan
    assert bool(memory(features, torch.ones(1, 2, 1)).isnan()[0, 1, 0])
