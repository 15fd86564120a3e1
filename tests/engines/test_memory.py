"""The memory of golden features: nearest row, anomaly, and what it does to a map."""

from __future__ import annotations

import math

import pytest
import torch

from engines.memory import Memory


@pytest.fixture
def memory() -> Memory:
    memory = Memory(50, 12)
    memory.golden.copy_(torch.randn(50, 12, generator=torch.Generator().manual_seed(1)))
    memory.usual.copy_(torch.rand(50, generator=torch.Generator().manual_seed(2)) + 0.1)
    return memory


def test_anomaly_equals_plain_loops(memory: Memory) -> None:
    draw = torch.Generator().manual_seed(3)
    features, direction = torch.randn(2, 30, 12, generator=draw), torch.rand(2, 30, generator=draw)
    got = memory(features, direction)
    assert got.shape == (2, 30)
    rows = memory.golden.double().tolist()
    for n in range(2):
        for place in range(30):
            feature = features[n, place].double().tolist()
            squares = [sum((a - b) ** 2 for a, b in zip(feature, row, strict=True)) for row in rows]
            nearest = squares.index(min(squares))
            ratio = float(direction[n, place]) / float(memory.usual[nearest])
            assert float(got[n, place]) == pytest.approx(squares[nearest] / 12 * math.sqrt(ratio), rel=1e-4)


def test_a_place_of_the_memory_is_no_anomaly_however_it_was_restored(memory: Memory) -> None:
    anomaly = memory(memory.golden[None, :5], torch.full((1, 5), 1.5))
    assert float(anomaly.abs().max()) < 1e-4


def test_rounding_below_zero_gives_zero_and_what_is_not_finite_stays_so(memory: Memory) -> None:
    features = torch.randn(1, 2, 12)
    assert memory(features, torch.full((1, 2), -1e-9)).tolist() == [[0.0, 0.0]]
    features[0, 1] = torch.nan
    assert bool(memory(features, torch.ones(1, 2)).isnan()[0, 1])
