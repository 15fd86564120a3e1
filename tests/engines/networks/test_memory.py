"""The memory of golden features: the limit to each level, the nearest row, and the anomaly."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from engines.networks.memory import SOFTNESS, Memory

LEVELS = (4, 8)
GRID, PATCH = 3, 4
CELL = PATCH // 2  # places
SIDES = (CELL, 2 * CELL, 4 * CELL)  # of the windows that fit, in places


@pytest.fixture
def memory() -> Memory:
    memory, draw = Memory(48, LEVELS, GRID, PATCH), torch.Generator().manual_seed(1)
    memory.places.copy_(memory.limited(torch.randn(48, 12, generator=draw)))
    memory.direction_power.fill_(0.3)
    memory.surroundings.copy_(memory.limited(torch.randn(3, 12, 12, generator=draw)))
    return memory


def _limited(feature: list[float]) -> list[float]:
    levels = feature[:4], feature[4:]
    return [value / math.sqrt(sum(x * x for x in level) + SOFTNESS * len(level)) for level in levels for value in level]


def _novelty(feature: list[float], golden: list[list[float]]) -> float:
    return min(sum((a - b) ** 2 for a, b in zip(feature, row, strict=True)) for row in golden)


def _at(row: int, column: int) -> tuple[int, int]:
    """The token of a place, and where it lies in it."""
    return (row // PATCH) * GRID + column // PATCH, (row % PATCH) * PATCH + column % PATCH


def _window_novelties(limited: list[list[list[float]]], side: int, golden: list[list[float]]) -> list[list[float]]:
    """Of the means over all windows of so many places on a side, a cell apart."""
    starts = range(0, len(limited) - side + 1, CELL)
    return [[_novelty(_mean([limited[r + i][c + j] for i in range(side) for j in range(side)]), golden) for c in starts]
            for r in starts]  # fmt: skip


def _mean(rows: list[list[float]]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def _between(values: list[list[float]], row: float, column: float) -> float:
    """Bilinear, with the values at whole numbers; the nearest one beyond them."""
    row, column = min(max(row, 0), len(values) - 1), min(max(column, 0), len(values) - 1)
    top, left = min(int(row), len(values) - 2), min(int(column), len(values) - 2)
    down, right = row - top, column - left
    upper = values[top][left] * (1 - right) + values[top][left + 1] * right
    lower = values[top + 1][left] * (1 - right) + values[top + 1][left + 1] * right
    return upper * (1 - down) + lower * down


def test_anomaly_equals_plain_loops(memory: Memory) -> None:
    draw = torch.Generator().manual_seed(3)
    shape = (2, GRID**2, PATCH**2)
    features, direction = torch.randn(*shape, 12, generator=draw), torch.rand(shape, generator=draw)
    got = memory(features, direction)
    assert got.shape == shape
    places, surroundings = memory.places.double().tolist(), memory.surroundings.double().tolist()
    assert len(surroundings) == len(SIDES), "a window of eight cells does not fit"
    whole = range(GRID * PATCH)
    for n in range(2):
        limited = [[_limited(features[n, *_at(row, column)].double().tolist()) for column in whole] for row in whole]
        novelties = [_window_novelties(limited, side, golden) for side, golden in zip(SIDES, surroundings, strict=True)]
        for row, column in product(whole, whole):
            weight = float(direction[n, *_at(row, column)]) ** (0.3 / 0.2)
            for side, values in zip(SIDES, novelties, strict=True):
                weight *= _between(values, (row + 0.5 - side / 2) / CELL, (column + 0.5 - side / 2) / CELL)
            expected = _novelty(limited[row][column], places) * weight**0.2
            assert float(got[n, *_at(row, column)]) == pytest.approx(expected, rel=1e-4)


def test_no_glare_outweighs_the_rest(memory: Memory) -> None:
    glare = torch.full((1, 1, 12), 1e4)
    lengths = [float(level.norm()) for level in memory.limited(glare).split(LEVELS, dim=-1)]
    assert lengths == pytest.approx([1, 1], rel=1e-4)
    small = torch.full((1, 1, 12), 1e-3)
    assert torch.allclose(memory.limited(small)[..., :4], small[..., :4] / math.sqrt(SOFTNESS * 4), rtol=1e-5)


def test_a_place_of_the_memory_is_no_anomaly_however_it_was_restored(memory: Memory) -> None:
    rows = torch.randn(48, 12, generator=torch.Generator().manual_seed(1))
    features = rows[torch.arange(GRID**2 * PATCH**2) % 48].view(1, GRID**2, PATCH**2, 12)
    assert float(memory(features, torch.full((1, GRID**2, PATCH**2), 1.5)).abs().max()) < 1e-5


def test_rounding_below_zero_is_next_to_nothing_and_what_is_not_finite_stays_so(memory: Memory) -> None:
    shape = (1, GRID**2, PATCH**2)
    features = torch.randn(*shape, 12)
    rounded = memory(features, torch.full(shape, -1e-9))
    torch.testing.assert_close(rounded, memory(features, torch.full(shape, 1e-9)))
    direction = torch.full(shape, 0.5)
    direction[0, 1, 0] = torch.nan
    assert memory(features, direction).isnan().nonzero().tolist() == [[0, 1, 0]], "the restoration's"
    features[0, 1] = torch.nan
    assert bool(memory(features, torch.ones(shape)).isnan()[0, 1].all())
