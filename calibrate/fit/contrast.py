"""How much contrast the backbone is to be fed, relative to what it was trained with: chosen from golden samples alone.

More contrast shows faint changes of smooth surfaces; less keeps the texture of rough ones from drowning the rest.  Which one a
product needs is measured: faint synthetic defects are drawn onto golden samples, and a small memory of others has to tell their
pixels from the rest.  Held-out samples take no part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import torch

from calibrate.fit.faint_defects import EVERY, Marks, drawn, error
from calibrate.fit.features import BATCH, FeatureSource, measure
from calibrate.fit.gain import weigh
from calibrate.fit.memory_rows import fill
from engines.networks.backbone import Backbone
from engines.networks.memory import Remembered
from engines.networks.tfa_net import TFANet
from engines.pictures.geometry import Geometry, Pixels
from engines.recipe.model_config import TFANetConfig
from engines.recipe.trials import Trial

LOWER = (1.0, 0.67)  # what is tried beside the configuration's own
MARGIN = 0.05  # of the errors, by which a lower one must be better in the mean; and it may be worse in no round: less is chance
ROUNDS = 3  # each with other samples
DRAWN, KNOWN = 16, 64  # samples, at most, that a round draws onto and remembers
FEWEST = 20  # fitted samples: with fewer all would be chance
ROWS = 1_000  # of the memory


def choose_contrast(
    backbone: Backbone,
    config: TFANetConfig,
    images: Sequence[Pixels],
    geometry: Geometry,
    seed: int,
    say: Callable[[str], None],
) -> tuple[float, tuple[Trial, ...]]:
    """The configuration's contrast, or a lower one at which defects drawn onto fitted samples are told clearly better.

    Error is 1 - AUROC of their pixels.  One tile stands for each sample.  The backbone is left at the contrast tried last.
    Returns what was tried, too.
    """
    if len(images) < FEWEST:
        say(f"input contrast: {config.contrast:g}; {len(images)} fitted samples are too few to choose by, {FEWEST} are needed")
        return config.contrast, ()
    say("choosing the input contrast")
    contrasts = (config.contrast, *LOWER)
    errors: list[list[float]] = [[] for _ in contrasts]
    tried = list(range(len(contrasts)))
    for turn in range(ROUNDS):
        rng = np.random.default_rng((seed, turn))
        chosen = rng.permutation(len(images))[: DRAWN + KNOWN]
        tiles = [geometry.cut_new(images[i])[rng.integers(geometry.tiles)] for i in chosen]
        count = min(DRAWN, len(tiles) // 4)
        spoilt, marks = drawn(tiles[:count], rng)
        for at in tried:
            backbone.set_contrast(contrasts[at])
            errors[at].append(_error(backbone, config, tiles[count:], spoilt, marks, seed + turn))
        tried = [at for at in tried if errors[at][turn] <= errors[0][turn]]  # its own always is
        if tried == [0]:
            break
    means = [float(np.mean(of_rounds)) for of_rounds in errors]
    best = min(tried, key=lambda at: means[at] if at == 0 or means[at] < (1 - MARGIN) * means[0] else np.inf)
    shown = ", ".join(f"{contrast:g}: {mean:.4f}" for contrast, mean in zip(contrasts, means, strict=True))
    say(f"input contrast: {contrasts[best]:g} times the backbone's own (errors on faint synthetic defects at {shown})")
    trials = [
        weigh(f"contrast {contrasts[at]:g}", np.array(errors[0][: len(errors[at])]), np.array(errors[at]), kept=at == best)
        for at in range(1, len(contrasts))
    ]
    return contrasts[best], tuple(trials)


def _error(
    backbone: Backbone, config: TFANetConfig, known: list[Pixels], spoilt: list[Pixels], marks: Marks, seed: int
) -> float:
    """The error of a memory of ``known`` tiles without any restoration."""
    side = config.input_side
    tile = Geometry((side, side), (0, 0, side, side), 1, 1, 0.0, side)
    device = next(backbone.parameters()).device
    network = TFANet(msgspec.structs.replace(config, memory=ROWS, restoration=False)).to(device)
    memory = network.memory
    assert memory is not None
    source, others = (FeatureSource(backbone, pictures, tile, device) for pictures in (known, spoilt))
    maps = []
    with torch.no_grad():
        network.measure_channels(measure(source, network)[0])
        fill(memory, network, source, seed)
        remembered = Remembered(memory)
        for frames in torch.arange(len(others)).split(BATCH):
            (vectors,) = others.features(network, frames, torch.zeros_like(frames))
            maps.append(network.novelty_map(vectors, remembered)[:, ::EVERY, ::EVERY].cpu())
    return error(torch.cat(maps).numpy(), marks)
