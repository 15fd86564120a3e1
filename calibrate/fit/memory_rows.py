"""Filling a network's memory: which golden features it keeps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from calibrate.fit.bank import Pool
from calibrate.fit.coreset import k_centre
from calibrate.fit.features import FeatureSource
from engines.networks.anomaly_map import distances
from engines.networks.memory import Memory, golden_rows, novelty
from engines.networks.port import Network
from engines.networks.tfa_net import TFANet

PROJECTED = 48  # numbers that features are compared by while they are chosen (Roth et al. 2022, section 3.2)
MOST = 1_000_000  # places that are chosen from, at most
WEIGHED = 32  # frames, about, that tell how steady restoration is


def remember(network: Network, fitted: FeatureSource, pool: Pool, seed: int, say: Callable[[str], None]) -> None:
    """Fill the memory of a fitted network, if it has one, from the samples that it was fitted on.

    It is left in evaluation mode.
    """
    if not isinstance(network, TFANet) or network.memory is None:
        return
    memory = network.memory
    say(f"choosing {len(memory.places)} golden features to remember")
    with torch.no_grad():
        fill(memory, network, fitted, seed)
        if network.eval().config.restoration:
            memory.weigh(*_errors(network, memory, fitted, pool))


def fill(memory: Memory, network: TFANet, fitted: FeatureSource, seed: int) -> None:
    """Give a memory its rows from fitted samples, whose channels' measures the network has."""
    places, *surroundings = _features(network, memory, fitted, seed)
    for golden, features in ((memory.places, places), *zip(memory.surroundings, surroundings, strict=True)):
        chosen = _covering(features, len(golden), seed).to(golden)
        golden.copy_(chosen[torch.arange(len(golden)) % len(chosen)])  # again from the first where there are too few


def _errors(network: TFANet, memory: Memory, fitted: FeatureSource, pool: Pool) -> tuple[Tensor, Tensor]:
    """Novelty of the places of some fitted samples, and 1 - cosine with what was restored, each (N,)."""
    tiles = torch.arange(fitted.tiles)
    (template,) = pool.features(torch.zeros_like(tiles), tiles)
    places = golden_rows(memory.places, torch.float32)
    novelties, directions = [], []
    for frame in range(0, len(fitted), max(1, len(fitted) // WEIGHED)):
        (vectors,) = fitted.frame(network, frame)
        features = network.positions(vectors)
        novelties.append(novelty(memory.limited(features), [features.shape[1]], [places]).flatten())
        directions.append(distances(features, network.positions(network.restore(vectors, template)), dim=-1)[1].flatten())
    return torch.cat(novelties), torch.cat(directions)


def _features(network: TFANet, memory: Memory, fitted: FeatureSource, seed: int) -> list[Tensor]:
    """Limited features of the fitted samples' places, and of their windows of each side, each (N, C) in half precision.

    Of each frame's places some at random, where all are too many.
    """
    draw = torch.Generator().manual_seed(seed)
    share = MOST // len(fitted)
    found: list[list[Tensor]] = [[] for _ in range(1 + len(memory.surroundings))]
    for frame in range(len(fitted)):
        limited = memory.limited(network.positions(fitted.frame(network, frame)[0]))  # (tiles, P * places, C)
        rows = limited.flatten(0, 1)
        rows = rows[torch.randperm(len(rows), generator=draw)[:share]] if len(rows) > share else rows
        for kept, features in zip(found, (rows, *memory.windows(limited).split(memory.counts, dim=1)), strict=True):
            kept.append(features.reshape(-1, limited.shape[-1]).half().cpu())
    return [torch.cat(kept) for kept in found]


def _covering(features: Tensor, count: int, seed: int) -> Tensor:
    projection = torch.randn(features.shape[1], PROJECTED, generator=torch.Generator().manual_seed(seed))
    projected = torch.cat([rows.float() @ projection for rows in features.split(MOST // 16)])
    return features[k_centre(projected, count, first=0)]
