"""Filling a network's memory: which golden features it keeps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from calibrate.coreset import k_centre
from calibrate.features import FeatureSource
from engines.network import Network
from engines.tfa_net import TFANet

PROJECTED = 48  # numbers that features are compared by while they are chosen (Roth et al. 2022, section 3.2)
MOST = 1_000_000  # places that are chosen from, at most


def remember(network: Network, fitted: FeatureSource, seed: int, say: Callable[[str], None]) -> None:
    """Fill the memory of a fitted network, if it has one, from the samples that it was fitted on."""
    if not isinstance(network, TFANet) or network.memory is None:
        return
    say(f"choosing {len(network.memory.places)} golden features to remember")
    with torch.no_grad():
        for golden, features in zip(
            (network.memory.places, network.memory.tokens), _features(network, fitted, seed), strict=True
        ):
            chosen = _covering(features, len(golden), seed).to(golden)
            golden.copy_(chosen[torch.arange(len(golden)) % len(chosen)])  # again from the first where there are too few


def _features(network: TFANet, fitted: FeatureSource, seed: int) -> tuple[Tensor, Tensor]:
    """Limited features of the fitted samples' places and tokens, each (N, C) in half precision.

    Of each frame's places some at random, where all are too many.
    """
    assert network.memory is not None, "the caller asked"
    draw = torch.Generator().manual_seed(seed)
    share = MOST // len(fitted)
    places, tokens = [], []
    for frame in range(len(fitted)):
        limited = network.memory.limited(network.positions(fitted.frame(network, frame)[0]))  # (tiles, P, places, C)
        tokens.append(limited.mean(dim=2).flatten(0, 1).half().cpu())
        rows = limited.flatten(0, 2).half().cpu()
        places.append(rows[torch.randperm(len(rows), generator=draw)[:share]] if len(rows) > share else rows)
    return torch.cat(places), torch.cat(tokens)


def _covering(features: Tensor, count: int, seed: int) -> Tensor:
    projection = torch.randn(features.shape[1], PROJECTED, generator=torch.Generator().manual_seed(seed))
    projected = torch.cat([rows.float() @ projection for rows in features.split(MOST // 16)])
    return features[k_centre(projected, count, first=0)]
