"""Pictures through the engine that serves: what its line would measure of them."""

from __future__ import annotations

import time
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from engines.common.geometry import Pixels
from engines.common.regions import region_level
from engines.common.scores import frame_scores
from engines.proof.admission import load_engine
from engines.recipe.bundle import Recipe
from engines.recipe.golden_samples import resize
from engines.recipe.ignore_mask import ignored_by
from engines.recipe.thresholds import Thresholds
from engines.targets import run_once

MINIMUM_AREA = 12  # map pixels; of regions, where nothing else is said


class Measured(NamedTuple):
    """What an engine says of one picture."""

    scores: npt.NDArray[np.float64]  # (3,), in the order of SCORES
    level: float  # the highest pixel threshold at which it would still have a region of the minimum area


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
        minimum_area: int = MINIMUM_AREA,
        about: float | None = None,
    ) -> None:
        """``ignored`` (H, W) marks map pixels that are not inspected; about the pixel threshold ``about`` levels are exact.

        Raises EngineError, with what mends it.
        """
        self._geometry, self._ignored, self._minimum_area = recipe.manifest.geometry, ignored, minimum_area
        self._about = about
        self._engine = load_engine(recipe, target, precision, any_thresholds=True)
        self._slot = self._engine.new_slot()
        self.engine = self._engine.target  # as it stands in verdicts
        self.frame_ms = 0.0  # that the engine took for the picture measured last, cutting into tiles included

    @classmethod
    def judging(cls, recipe: Recipe, thresholds: Thresholds, target: str, precision: str) -> Self:
        """One whose measures `Thresholds.passes` judges as the line does."""
        return cls(
            recipe,
            target,
            precision,
            ignored=ignored_by(recipe, thresholds),
            minimum_area=thresholds.minimum_area,
            about=thresholds.pixel_threshold,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    @property
    def frame_map(self) -> npt.NDArray[np.float32]:
        """The map (H, W) of the picture measured last; the next one overwrites it."""
        return self._slot.frame_map

    def measure(self, image: Pixels) -> Measured:
        """Measure a picture; of another size than the recipe's frames, it is resized."""
        frame = resize(image, *self._geometry.frame)
        begun = time.perf_counter()
        run_once(self._slot, frame, self._geometry)
        self.frame_ms = (time.perf_counter() - begun) * 1e3
        scores = self._slot.scores
        if self._ignored is not None:
            self._slot.frame_map[self._ignored] = 0
            scores = frame_scores(self._slot.frame_map)
        return Measured(scores.astype(np.float64), region_level(self._slot.frame_map, self._minimum_area, self._about))
