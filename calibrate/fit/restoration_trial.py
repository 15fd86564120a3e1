"""Whether restoration is worth its time on this product: tried on golden samples that it was not fitted on."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from calibrate.fit.bank import Pool
from calibrate.fit.faint_defects import EVERY, Maps, drawn, errors_of_samples
from calibrate.fit.features import FeatureSource
from calibrate.fit.gain import weigh
from calibrate.fit.memory_rows import remember
from engines.networks.backbone import Backbone
from engines.networks.memory import Remembered
from engines.networks.tfa_net import TFANet
from engines.pictures.geometry import Geometry, Pixels
from engines.recipe.trials import Trial

SHARE, MOST, FEWEST = 8, 16, 4  # of the fitted samples one in so many is kept back, within these limits
DRAWS = 3  # of defects on each of them


def trial_samples(count: int, template: int, seed: int) -> tuple[list[int], list[int]]:
    """Of ``count`` fitted samples those to fit restoration on, with the template among them, and those to try it on."""
    drawn_by = np.random.default_rng((seed, count))
    others = [int(i) for i in drawn_by.permutation(count) if i != template]
    kept_back = sorted(others[: min(MOST, max(FEWEST, count // SHARE), count - 2)])
    return [i for i in range(count) if i not in kept_back], kept_back


def try_restoration(
    network: TFANet,
    backbone: Backbone,
    known: FeatureSource,
    pool: Pool,
    images: list[Pixels],
    geometry: Geometry,
    seed: int,
) -> Trial:
    """What the fitted restoration adds to a memory of the same ``known`` samples, on defects drawn onto other ``images``.

    One tile, which may be any, stands for each image.  The network stays as it is.
    """
    network = copy.deepcopy(network).eval()
    remember(network, known, pool, seed, lambda _: None)
    without, having = [], []
    for turn in range(DRAWS):
        rng = np.random.default_rng((seed, turn, len(images)))
        places = rng.integers(geometry.tiles, size=len(images))
        spoilt, marks = drawn([geometry.cut_new(one)[at] for one, at in zip(images, places, strict=True)], rng)
        where = np.repeat(places, marks.shape[1])
        alone, whole = [], []
        for picture, tile in zip(spoilt, where, strict=True):
            maps = _maps(network, backbone, pool, picture, int(tile))
            alone.append(maps[0])
            whole.append(maps[1])
        without.append(errors_of_samples(np.stack(alone), marks))
        having.append(errors_of_samples(np.stack(whole), marks))
    return weigh("restoration", np.mean(without, axis=0), np.mean(having, axis=0))


def _maps(network: TFANet, backbone: Backbone, pool: Pool, picture: Pixels, tile: int) -> list[Maps]:
    """The memory's map of a tile's picture, and the one with restoration."""
    assert network.memory is not None, "see TFANetConfig"
    with torch.no_grad():
        (vectors,) = network.features(backbone(torch.from_numpy(picture[None]).to(network.channel_mean.device)))
        (template,) = pool.features(torch.zeros(1, dtype=torch.int64), torch.tensor([tile]))
        memory = Remembered(network.memory)
        maps: list[Tensor] = [
            network.novelty_map(vectors, memory),
            network.anomaly_map(vectors, network.restore(vectors, template), memory),
        ]
    return [one[0, ::EVERY, ::EVERY].cpu().numpy() for one in maps]
