"""Where a recipe's graph can run: one file a target, one line in `TARGETS`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.geometry import Pixels
from engines.recipe import Recipe


class Engine(Protocol):
    """A recipe's graph, loaded and ready."""

    target: str  # as it stands in verdicts, e.g. "torch float32"

    def infer(self, tiles: Pixels, frame_map: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> None:
        """One frame: (tiles, side, side, 3) uint8 in; fills map (H, W) and scores (3,), both float32, of the caller's."""


TARGETS: Mapping[str, str] = {"torch": "engines.targets.torch_target"}  # each module has `load(recipe) -> Engine`


def load_engine(recipe: Recipe, target: str = "torch") -> Engine:
    """Load a recipe's engine for a target. Raises EngineError for a target that there is not."""
    if target not in TARGETS:
        raise EngineError(f"no target named {target!r}; there are: {', '.join(TARGETS)}")
    # Imported here: a target brings a heavy library, and a line needs only its own.
    engine: Engine = importlib.import_module(TARGETS[target]).load(recipe)
    return engine
