"""Filling a network's memory: which golden features it keeps, and what direction error is usual near each of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from calibrate.bank import Pool
from calibrate.coreset import k_centre
from calibrate.features import FeatureSource
from engines.anomaly_map import distances
from engines.network import Network
from engines.tfa_net import TFANet

PROJECTED = 48  # numbers that features are compared by while they are chosen (Roth et al. 2022, section 3.2)
MOST = 1_000_000  # places that are chosen from, at most
PRIOR = 5.0  # places with the average direction error, added to those near a row, which may have but one


def remember(network: Network, fitted: FeatureSource, pool: Pool, seed: int, say: Callable[[str], None]) -> None:
    """Fill the memory of a fitted network, if it has one, from the samples that it was fitted on."""
    if not isinstance(network, TFANet) or network.memory is None:
        return
    golden, usual = network.memory.golden, network.memory.usual
    say(f"choosing {len(golden)} golden features to remember")
    with torch.no_grad():
        chosen = _covering(_places(network, fitted, seed), len(golden), seed).to(golden)
        golden.copy_(chosen[torch.arange(len(golden)) % len(chosen)])  # again from the first where there are too few
        usual.copy_(_usual_directions(network, fitted, pool))


def _places(network: TFANet, fitted: FeatureSource, seed: int) -> Tensor:
    """Features of the fitted samples' places, (N, C) in half precision; of each frame some at random where all are too many."""
    draw = torch.Generator().manual_seed(seed)
    share = MOST // len(fitted)
    places = []
    for frame in range(len(fitted)):
        rows = network.positions(fitted.frame(network, frame)[0]).flatten(0, 1).half().cpu()
        places.append(rows[torch.randperm(len(rows), generator=draw)[:share]] if len(rows) > share else rows)
    return torch.cat(places)


def _covering(places: Tensor, count: int, seed: int) -> Tensor:
    projection = torch.randn(places.shape[1], PROJECTED, generator=torch.Generator().manual_seed(seed))
    projected = torch.cat([rows.float() @ projection for rows in places.split(MOST // 16)])
    return places[k_centre(projected, count, first=0)]


def _usual_directions(network: TFANet, fitted: FeatureSource, pool: Pool) -> Tensor:
    """The mean direction error of the golden places nearest to each row, (rows,)."""
    assert network.memory is not None, "the caller asked"
    total = torch.zeros_like(network.memory.usual)
    places = torch.zeros_like(total)
    network.eval()
    every_tile = torch.arange(fitted.tiles)
    (template,) = pool.features(torch.zeros_like(every_tile), every_tile)
    for frame in range(len(fitted)):
        (vectors,) = fitted.frame(network, frame)
        features = network.positions(vectors)
        restored = network.positions(network.restore(vectors, template))
        row = network.memory.nearest(features)[1].flatten()
        direction = distances(features, restored, dim=-1)[1].flatten()
        total.index_add_(0, row, direction)
        places.index_add_(0, row, torch.ones_like(direction))
    return (total + PRIOR * total.sum() / places.sum()) / (places + PRIOR)
