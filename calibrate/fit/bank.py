"""Which golden samples a recipe keeps as templates, and which one each sample is restored with while fitting.

A network has either one pinned template or a bank of them: all fitted samples while it is fitted, of which the recipe keeps a
share that covers them best (greedy k-centre coreset; H. Guo et al., ICCV 2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from calibrate.fit.coreset import k_centre
from calibrate.fit.features import FeatureSource, medoid, products
from calibrate.fit.golden_set import Golden
from engines.networks.port import Network
from engines.recipe.model_config import BANK, TEMPLATE, THFRConfig
from engines.recipe.templates import Templates, small_picture


class Pool(Protocol):
    """Templates to fit with, by index, and what the recipe keeps of them."""

    def draw(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """A template for each fitted frame (N,)."""

    def nearest(self, frame: int) -> int:
        """The template that a held-out frame would be compared with."""

    def features(self, templates: Tensor, tiles: Tensor) -> list[Tensor]:
        """The network's features of (template, tile) index pairs."""

    def keep(self) -> tuple[list[int], Templates]:
        """The templates that the recipe keeps: their indices among the golden samples, and their content."""


class Pinned:
    """One template."""

    def __init__(self, network: Network, fitted: FeatureSource, held_out: FeatureSource, golden: Golden, template: int) -> None:
        """``template`` is its index among the golden samples."""
        self._features = fitted.frame(network, golden.fitted.index(template))
        self._sample, self._picture = template, golden.images[template]

    def draw(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """See `Pool.draw`."""
        return torch.zeros_like(frames)

    def nearest(self, frame: int) -> int:
        """See `Pool.nearest`."""
        return 0

    def features(self, templates: Tensor, tiles: Tensor) -> list[Tensor]:
        """See `Pool.features`."""
        return [one[tiles] for one in self._features]

    def keep(self) -> tuple[list[int], Templates]:
        """See `Pool.keep`."""
        return [self._sample], Templates.pinned(self._picture)


class Bank:
    """All fitted samples; each is restored with one of those most similar to it."""

    def __init__(self, network: Network, fitted: FeatureSource, held_out: FeatureSource, golden: Golden, template: int) -> None:
        """The network's last features are what similarity is measured on."""
        config = network.config
        assert isinstance(config, THFRConfig), "networks with a bank say how it is drawn from and cut"
        self._network, self._source, self._golden, self._ratio = network, fitted, golden, config.bank_ratio
        self._vectors = _deepest(network, fitted)
        own = cosines(self._vectors, self._vectors).fill_diagonal_(-math.inf)  # a sample does not help to restore itself
        self._neighbours = own.topk(min(config.neighbours, len(fitted) - 1)).indices
        self._nearest = cosines(_deepest(network, held_out), self._vectors).argmax(dim=1)

    def draw(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """See `Pool.draw`."""
        chosen = torch.randint(self._neighbours.shape[1], frames.shape, generator=generator)
        return self._neighbours[frames, chosen]

    def nearest(self, frame: int) -> int:
        """See `Pool.nearest`."""
        return int(self._nearest[frame])

    def features(self, templates: Tensor, tiles: Tensor) -> list[Tensor]:
        """See `Pool.features`."""
        return self._source.features(self._network, templates, tiles)

    def keep(self) -> tuple[list[int], Templates]:
        """See `Pool.keep`."""
        kept = coreset(self._vectors, math.ceil(len(self._vectors) * self._ratio / 100))
        samples = [self._golden.fitted[i] for i in kept]
        frames = [self._source.frame(self._network, i) for i in kept]
        features = [torch.stack(parts).cpu() for parts in zip(*frames, strict=True)]
        content = {name: value.contiguous().numpy() for name, value in self._network.bank(features).items()}
        return samples, Templates(tuple(small_picture(self._golden.images[i]) for i in samples), content)


# By the file that a recipe keeps templates in.
POOLS: Mapping[str, Callable[[Network, FeatureSource, FeatureSource, Golden, int], Pool]] = {TEMPLATE: Pinned, BANK: Bank}


def _deepest(network: Network, source: FeatureSource) -> Tensor:
    """(frames, D) half precision, all tiles of a frame in one row."""
    return torch.stack([source.frame(network, i)[-1].flatten().half().cpu() for i in range(len(source))])


def cosines(rows: Tensor, others: Tensor) -> Tensor:
    """Cosines of rows (N, D) and (M, D) as (N, M) float64."""
    lengths = [torch.linalg.vector_norm(one.float(), dim=1).double() for one in (rows, others)]
    similarity: Tensor = products(rows, others) / lengths[0][:, None] / lengths[1][None]
    return similarity


def coreset(vectors: Tensor, count: int) -> list[int]:
    """Indices of ``count`` rows of (N, D) that cover all rows, by direction: greedy k-centre from the medoid on."""
    units = vectors.float() / torch.linalg.vector_norm(vectors.float(), dim=1, keepdim=True).clamp_min(1e-8)
    return k_centre(units, count, medoid(units))
