"""Which golden features a network remembers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from calibrate.fit.memory_rows import remember
from engines.networks.kinds import new_network
from engines.networks.memory import LEAST_POWER, MOST_POWER
from engines.networks.tfa_net import TFANet
from engines.recipe.model_config import TFANetConfig, THFRConfig

pytestmark = pytest.mark.slow
CONFIG = TFANetConfig(input_side=64, dim=64, depth=2, refine_dim=64, refine_depth=2, memory=40)


class _Samples:
    """Features of made frames."""

    tiles = 2

    def __init__(self, frames: int) -> None:
        shape = (frames, self.tiles, CONFIG.grid**2, CONFIG.patch**2 * CONFIG.channels)
        self.vectors = torch.randn(shape, generator=torch.Generator().manual_seed(frames))

    def __len__(self) -> int:
        return len(self.vectors)

    def frame(self, network: TFANet, frame: int) -> list[Tensor]:
        return [self.vectors[frame]]


class _Template:
    """The first of them."""

    def __init__(self, samples: _Samples) -> None:
        self._vectors = samples.vectors[0]

    def features(self, templates: Tensor, tiles: Tensor) -> list[Tensor]:
        assert not templates.any()
        return [self._vectors[tiles]]


def _remembered(samples: _Samples) -> TFANet:
    torch.manual_seed(0)
    network = TFANet(CONFIG).train()
    remember(network, samples, _Template(samples), 0, lambda _: None)  # type: ignore[arg-type]
    return network


def test_rows_are_golden_places_and_windows_each_once() -> None:
    samples = _Samples(3)
    network = _remembered(samples)
    assert network.memory is not None
    limited = network.memory.limited(network.positions(samples.vectors.flatten(0, 1)))
    sources = (
        limited.flatten(0, 1),
        *(means.flatten(0, 1) for means in network.memory.windows(limited).split(network.memory.counts, dim=1)),
    )
    assert len(sources) == 4, "windows of one, two and four cells: there are no more"
    kept_of = network.memory.places, *network.memory.surroundings
    for kept, source, count in zip(kept_of, sources, (40, 10, 10, 6), strict=True):
        rows = {tuple(row) for row in kept.tolist()}
        assert len(rows) == count
        assert rows <= {tuple(row) for row in source.half().float().tolist()}


def test_restoration_counts_by_how_steady_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    powers = []
    for spread in (0.0, 3.0):
        noise = torch.randn(500, generator=torch.Generator().manual_seed(1)) * spread

        def errors(features: Tensor, _: Tensor, dim: int, noise: Tensor = noise) -> tuple[Tensor, Tensor]:
            shape = features.shape[:-1]
            return torch.zeros(shape), noise[torch.arange(features[..., 0].numel()) % 500].exp().view(shape)

        monkeypatch.setattr("calibrate.fit.memory_rows.distances", errors)
        memory = _remembered(_Samples(3)).memory
        assert memory is not None
        powers.append(float(memory.direction_power))
    assert powers[0] == pytest.approx(MOST_POWER)
    assert LEAST_POWER <= powers[1] < MOST_POWER / 10


def test_too_few_places_are_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calibrate.fit.memory_rows.MOST", 48)  # 16 of each frame
    network = _remembered(_Samples(3))
    monkeypatch.setattr("calibrate.fit.memory_rows.MOST", 30)
    fewer = _remembered(_Samples(3))
    for one, count in ((network, 40), (fewer, 30)):
        assert one.memory is not None
        assert len(one.memory.places.unique(dim=0)) == count


def test_networks_without_a_memory_are_left_alone() -> None:
    network = new_network(THFRConfig(input_side=64))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    remember(network, _Samples(3), _Template(_Samples(3)), 0, lambda _: None)  # type: ignore[arg-type]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
