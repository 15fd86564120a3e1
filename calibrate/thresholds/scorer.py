"""Pictures through the engine that serves: what its line would measure of them."""

from __future__ import annotations

import time
from typing import Self

import numpy as np
import numpy.typing as npt

from engines.judgement import Measured, measure
from engines.pictures.geometry import Pixels
from engines.proof.admission import load_engine
from engines.recipe.bundle import Recipe
from engines.recipe.golden_samples import fitting
from engines.recipe.ignore_mask import ignored_by
from engines.recipe.thresholds import Thresholds
from engines.targets import run_once


class Scorer:
    """One engine with one slot; used in a `with` statement, since an engine holds memory and devices.

    It takes an engine whose thresholds are still to be got: only its numbers must have proven to be near the reference's.
    """

    def __init__(
        self,
        recipe: Recipe,
        target: str,
        precision: str,
        *,
        ignored: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """``ignored`` (H, W) marks map pixels that are not inspected. Raises EngineError, with what mends it."""
        self._geometry, self._ignored = recipe.manifest.geometry, ignored
        self._engine = load_engine(recipe, target, precision, any_thresholds=True)
        self._slot = self._engine.new_slot()
        self.engine = self._engine.target  # as it stands in verdicts
        self.frame_ms = 0.0  # that the engine took for the picture measured last, cutting into tiles included

    @classmethod
    def judging(cls, recipe: Recipe, thresholds: Thresholds, target: str, precision: str) -> Self:
        """One that leaves out what the thresholds ignore, so that they judge its measures as the line does."""
        return cls(recipe, target, precision, ignored=ignored_by(recipe, thresholds))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    def measure(self, image: Pixels, name: str = "a picture") -> Measured:
        """Measure a picture; of another size than the recipe's frames, it is resized. The next one overwrites its map.

        Raises ImageError with its ``name`` when it is of the other kind, grey or colour, than the recipe's.
        """
        frame = fitting(image, self._geometry, name)
        begun = time.perf_counter()
        run_once(self._slot, frame, self._geometry)
        self.frame_ms = (time.perf_counter() - begun) * 1e3
        return measure(self._slot.frame_map, self._slot.scores, self._ignored)
