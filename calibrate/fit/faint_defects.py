"""Faint synthetic defects on golden samples: what tells whether a part of the network is worth its time on this product.

They are as those of `engines.pictures.synthetic_defects`, at a fraction of their strength: strong ones are found by anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import mannwhitneyu

from engines.pictures.geometry import Pixels
from engines.pictures.synthetic_defects import KINDS, with_defect

STRENGTHS = (1 / 2, 1 / 8)
VISIBLE = 5  # grey levels: a change of less is no part of a defect
EVERY = 2  # map pixels along each axis that count
Maps = npt.NDArray[np.float32]
Marks = npt.NDArray[np.bool_]


def drawn(tiles: Sequence[Pixels], rng: np.random.Generator) -> tuple[list[Pixels], Marks]:
    """Every kind of defect on each of N tiles, whose strength goes in turns from tile to tile, and where it is.

    Returns N * KINDS pictures, the kinds of each tile side by side, and (N, KINDS, side / EVERY, side / EVERY).
    """
    golden = np.repeat(np.stack(tiles), KINDS, axis=0)
    change = np.stack([with_defect(tile, rng, i) for i, tile in enumerate(golden)]) - golden.astype(np.float32)
    strengths = [strength for i in range(len(tiles)) for strength in [STRENGTHS[i % len(STRENGTHS)]] * KINDS]
    spoilt = [np.rint(one + by * part).astype(np.uint8) for one, by, part in zip(golden, change, strengths, strict=True)]
    marks = (np.abs(change).max(axis=-1) > VISIBLE)[:, ::EVERY, ::EVERY]
    return spoilt, marks.reshape(len(tiles), KINDS, *marks.shape[1:])


def error(maps: Maps, marks: Marks) -> float:
    """1 - AUROC of the marked pixels of all pictures together, mean over kinds and strengths.

    ``maps``: of `drawn`'s pictures, each (side / EVERY, side / EVERY).
    """
    maps = maps.reshape(marks.shape)
    parts = [np.s_[i :: len(STRENGTHS), kind] for i in range(len(STRENGTHS)) for kind in range(KINDS)]
    told = [_auroc(maps[part], marks[part]) for part in parts if marks[part].any()]
    return 1 - float(np.mean(told))


def _auroc(values: Maps, marked: Marks) -> float:
    found, others = values[marked], values[~marked]
    return float(mannwhitneyu(found, others, method="asymptotic").statistic) / (len(found) * len(others))


def errors_of_samples(maps: Maps, marks: Marks) -> npt.NDArray[np.float64]:
    """The same within the pictures of each sample, (N,): what a sample's own places hide of a defect."""
    of_samples = zip(maps.reshape(marks.shape), marks, strict=True)
    return np.array([error(one[None], where[None]) for one, where in of_samples])
