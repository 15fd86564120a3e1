"""Which golden features a network remembers, and what it takes for usual near them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from calibrate.coreset import k_centre
from calibrate.remembering import PRIOR, remember
from engines.anomaly_map import distances
from engines.model_config import TFANetConfig, THFRConfig
from engines.networks import new_network
from engines.tfa_net import TFANet

CONFIG = TFANetConfig(input_side=64, dim=64, depth=2, refine_dim=64, refine_depth=2, memory=40)


class _Samples:
    """Features of made frames, as a source and as the pool of their first."""

    tiles = 2

    def __init__(self, frames: int) -> None:
        shape = (frames, self.tiles, CONFIG.grid**2, CONFIG.patch**2 * CONFIG.channels)
        self.vectors = torch.randn(shape, generator=torch.Generator().manual_seed(frames))

    def __len__(self) -> int:
        return len(self.vectors)

    def frame(self, network: TFANet, frame: int) -> list[Tensor]:
        return [self.vectors[frame]]

    def features(self, templates: Tensor, tiles: Tensor) -> list[Tensor]:
        return [self.vectors[0][tiles]]


def _remembered(samples: _Samples) -> TFANet:
    torch.manual_seed(0)
    network = TFANet(CONFIG).train()
    remember(network, samples, samples, 0, lambda _: None)  # type: ignore[arg-type]
    return network


def test_rows_are_golden_places_each_once() -> None:
    samples = _Samples(3)
    network = _remembered(samples)
    assert network.memory is not None
    rows = {tuple(row) for row in network.memory.golden.tolist()}
    places = {tuple(row) for row in network.positions(samples.vectors.flatten(0, 1)).flatten(0, 1).half().float().tolist()}
    assert len(rows) == CONFIG.memory
    assert rows <= places


def test_too_few_places_are_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calibrate.remembering.MOST", 48)  # 16 of each frame
    network = _remembered(_Samples(3))
    monkeypatch.setattr("calibrate.remembering.MOST", 30)
    fewer = _remembered(_Samples(3))
    for one, count in ((network, 40), (fewer, 30)):
        assert one.memory is not None
        assert len(one.memory.golden.unique(dim=0)) == count
        assert bool(torch.isfinite(one.memory.usual).all())


def test_usual_is_the_mean_direction_error_near_each_row() -> None:
    samples = _Samples(3)
    network = _remembered(samples)
    assert network.memory is not None
    near: list[list[float]] = [[] for _ in range(CONFIG.memory)]
    with torch.no_grad():
        for frame in samples.vectors:
            features = network.positions(frame)
            restored = network.positions(network.restore(frame, samples.vectors[0]))
            direction = distances(features, restored, dim=-1)[1]
            nearest = torch.cdist(features.double(), network.memory.golden.double()).argmin(dim=-1)
            for row, value in zip(nearest.flatten().tolist(), direction.flatten().tolist(), strict=True):
                near[row].append(value)
    every = [value for values in near for value in values]
    average = sum(every) / len(every)
    expected = torch.tensor([(sum(values) + PRIOR * average) / (len(values) + PRIOR) for values in near])
    torch.testing.assert_close(network.memory.usual, expected, rtol=1e-4, atol=1e-6)


def test_networks_without_a_memory_are_left_alone() -> None:
    network = new_network(THFRConfig(input_side=64))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    remember(network, _Samples(3), _Samples(3), 0, lambda _: None)  # type: ignore[arg-type]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_k_centre_covers_and_takes_equal_rows_once() -> None:
    rows = torch.tensor([[0.0, 0.0], [0.1, 0.0], [5.0, 0.0], [5.0, 0.1], [0.0, 9.0], [0.0, 0.0]])
    assert k_centre(rows, 3, first=0) == [0, 4, 2] or k_centre(rows, 3, first=0) == [0, 4, 3]
    assert sorted(k_centre(rows, 10, first=0)) == list(range(6))
