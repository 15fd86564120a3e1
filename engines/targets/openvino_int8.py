"""8-bit integers: post-training quantisation by NNCF, in the best of several orders of the golden samples.

NNCF sums over the samples as they come, and a rounding decides at the edge between two integers: another order of the same
samples gives an engine whose map differs by a percent.  The orders that are tried are fixed, so a recipe gives the same engine
each time.  They are compared on the samples that NNCF saw, with defects drawn onto them: the gate's own pictures prove the one
that is kept, and do not choose it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.common.errors import EngineError
from engines.common.extras import import_for
from engines.pictures.geometry import Pixels
from engines.pictures.synthetic_defects import with_defect
from engines.targets.openvino_exact import CONVOLUTIONS, keep_exact

ORDERS = 3
TRIED = 12  # pictures, at most, that orders are compared on
Answers = Callable[[str, Any, Sequence[Pixels]], list[npt.NDArray[np.float32]]]


def need_nncf() -> Any:
    """The library. Raises EngineError with the command that installs it."""
    return import_for("int8", "nncf", EngineError)


def quantised(model: Any, golden: Sequence[Pixels], exact: set[str], folder: Path, answers: Answers) -> Any:
    """A float32 model in 8 bits, all but the ``exact`` operations, which are marked; of several orders the nearest to float32.

    ``golden``: cut samples, each (tiles, side, side, 3).  ``answers`` gives the maps of (precision, model, pictures).
    """
    pictures = _with_defects(golden[:: -(-len(golden) // TRIED)])
    truth = answers("float32", model, pictures)
    best, least = None, float("inf")
    for order in _orders(len(golden)):
        made = keep_exact(_quantise(model.clone(), [golden[i] for i in order], exact), exact, folder)
        found = answers("int8", made, pictures)
        worst = max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in zip(found, truth, strict=True))
        if best is None or worst < least:
            best, least = made, worst
    return best


def _orders(count: int) -> Iterator[Sequence[int]]:
    """As they come, and shuffled with fixed seeds."""
    yield range(count)
    for seed in range(1, ORDERS):
        yield [int(i) for i in np.random.default_rng(seed).permutation(count)]


def _with_defects(golden: Sequence[Pixels]) -> list[Pixels]:
    """Copies with a defect in one tile each: of the samples as they are, a network with a memory makes next to nothing."""
    rng = np.random.default_rng(0)
    spoilt = [tiles.copy() for tiles in golden]
    for i, tiles in enumerate(spoilt):
        tile = tiles[i % len(tiles)]
        tile[:] = with_defect(tile, rng, i)
    return spoilt


def _quantise(model: Any, samples: Sequence[Pixels], exact: set[str]) -> Any:
    """All but the named operations and what gains nothing by it."""
    nncf = need_nncf()
    nncf.set_log_level(logging.ERROR)  # it tells of each operation that it leaves as it is
    kinds = {"Subtract", "Power"}  # differences: what they are taken of is nearly equal
    if any(node.get_type_name() == "GroupConvolution" for node in model.get_ops()):
        # A backbone of depthwise convolutions was slower in 8 bits than in bfloat16, and the map's error three times as large.
        kinds |= CONVOLUTIONS
    kept = exact | {node.get_friendly_name() for node in model.get_ops() if node.get_type_name() in kinds}
    return nncf.quantize(
        model,
        nncf.Dataset(list(samples)),
        subset_size=len(samples),
        model_type=nncf.ModelType.TRANSFORMER,
        ignored_scope=nncf.IgnoredScope(names=sorted(kept)),
    )
