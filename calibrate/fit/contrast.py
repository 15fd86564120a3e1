"""How much contrast the backbone is to be fed, relative to what it was trained with: chosen from golden samples alone.

More contrast shows faint changes of smooth surfaces; less keeps the texture of rough ones from drowning the rest.  Which one a
product needs is measured: faint synthetic defects are drawn onto golden samples, and a small memory of others has to tell their
pixels from the rest.  Held-out samples take no part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score

from calibrate.fit.features import FeatureSource, measure
from calibrate.fit.memory_rows import fill
from engines.networks.anomaly_map import smooth
from engines.networks.backbone import Backbone
from engines.networks.memory import Remembered
from engines.networks.tfa_net import TFANet
from engines.pictures.geometry import Geometry, Pixels
from engines.pictures.synthetic_defects import KINDS, with_defect
from engines.recipe.model_config import TFANetConfig

LOWER = (1.0, 0.67)  # what is tried beside the configuration's own
MARGIN = 0.05  # of the errors, by which a lower one must be better: less is chance
STRENGTHS = (1 / 2, 1 / 8)  # of the defects that are drawn: strong ones are found at any contrast
ROUNDS = 3  # each with other samples
DRAWN, KNOWN = 16, 64  # samples, at most, that a round draws onto and remembers
FEWEST = 20  # fitted samples: with fewer all would be chance
ROWS = 1_000  # of the memory
VISIBLE = 5  # grey levels: a change of less is no part of a defect
EVERY = 2  # map pixels along each axis that count


def choose_contrast(
    backbone: Backbone,
    config: TFANetConfig,
    images: Sequence[Pixels],
    geometry: Geometry,
    seed: int,
    say: Callable[[str], None],
) -> float:
    """The configuration's contrast, or a lower one at which defects drawn onto fitted samples are told clearly better.

    Error is 1 - AUROC of their pixels.  One tile stands for each sample.  The backbone is left at the contrast tried last.
    """
    if len(images) < FEWEST:
        say(f"input contrast: {config.contrast:g}; {len(images)} fitted samples are too few to choose by, {FEWEST} are needed")
        return config.contrast
    say("choosing the input contrast")
    contrasts = (config.contrast, *LOWER)
    errors = np.zeros((ROUNDS, len(contrasts)))
    for turn in range(ROUNDS):
        rng = np.random.default_rng((seed, turn))
        chosen = rng.permutation(len(images))[: DRAWN + KNOWN]
        tiles = [geometry.cut_new(images[i])[rng.integers(geometry.tiles)] for i in chosen]
        count = min(DRAWN, len(tiles) // 4)
        spoilt, marked = _drawn(tiles[:count], rng)
        for at, contrast in enumerate(contrasts):
            backbone.set_contrast(contrast)
            errors[turn, at] = _error(backbone, config, tiles[count:], spoilt, marked, seed + turn)
    own, *lower = means = errors.mean(axis=0)
    best = contrasts[1 + int(np.argmin(lower))] if min(lower) < (1 - MARGIN) * own else config.contrast
    shown = ", ".join(f"{contrast:g}: {error:.4f}" for contrast, error in zip(contrasts, means, strict=True))
    say(f"input contrast: {best:g} times the backbone's own (errors on faint synthetic defects at {shown})")
    return best


def _drawn(tiles: Sequence[Pixels], rng: np.random.Generator) -> tuple[list[Pixels], npt.NDArray[np.bool_]]:
    """Every kind of defect on every tile, at one strength after the other; and where it is, (tiles * KINDS, side, side)."""
    golden = np.repeat(np.stack(tiles), KINDS, axis=0)
    change = np.stack([with_defect(tile, rng, i) for i, tile in enumerate(golden)]) - golden.astype(np.float32)
    spoilt = [
        np.rint(one + strength * by).astype(np.uint8) for strength in STRENGTHS for one, by in zip(golden, change, strict=True)
    ]
    return spoilt, np.abs(change).max(axis=-1) > VISIBLE


def _error(
    backbone: Backbone,
    config: TFANetConfig,
    known: list[Pixels],
    spoilt: list[Pixels],
    marked: npt.NDArray[np.bool_],
    seed: int,
) -> float:
    """1 - AUROC of marked pixels, mean over kinds and strengths, by a memory of ``known`` tiles without any restoration."""
    side = config.input_side
    tile = Geometry((side, side), (0, 0, side, side), 1, 1, 0.0, side)
    device = next(backbone.parameters()).device
    network = TFANet(msgspec.structs.replace(config, memory=ROWS)).to(device)
    memory = network.memory
    assert memory is not None
    source, drawn = (FeatureSource(backbone, pictures, tile, device) for pictures in (known, spoilt))
    maps = []
    with torch.no_grad():
        network.measure_channels(measure(source, network)[0])
        fill(memory, network, source, seed)
        remembered = Remembered(memory)
        for frame in range(len(drawn)):
            features = network.positions(drawn.frame(network, frame)[0])
            anomaly = remembered(features, torch.ones(features.shape[:-1], device=device))
            maps.append(smooth(network.in_place(anomaly), network.smoothing)[0, ::EVERY, ::EVERY].cpu().numpy())
    where, parts = marked[:, ::EVERY, ::EVERY], np.split(np.stack(maps), len(STRENGTHS))
    of_kinds = [np.s_[kind::KINDS] for kind in range(KINDS) if where[kind::KINDS].any()]
    told = [roc_auc_score(where[kind].ravel(), part[kind].ravel()) for kind in of_kinds for part in parts]
    return 1 - float(np.mean(told))
