"""What a line can see: defects of known size and contrast in held-out golden samples, and how many the engine rejects.

The held-out samples are good parts that took no part in the fit, so that nothing but the defect tells the network.  One that is
rejected as it is (a false reject, within the guarantee) is not used: it would count every defect as found.

Each trial takes a sample, a place, a look and a shade at random, so that shares found are of all of these.  The confidence
is in trials: with few held-out samples it holds for parts like those few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from calibrate.detection.detection_curve import CONFIDENCE, PROBABILITY, Tried, explore, fit_curve
from calibrate.detection.injection import KINDS, Drawn, Mask, inject, inspected
from calibrate.thresholds.scorer import Scorer
from engines.common.errors import ConfigError
from engines.common.files import Sha256
from engines.judgement import Judgement, judge
from engines.pictures.geometry import Geometry, Pixels
from engines.recipe.bundle import Recipe
from engines.recipe.thresholds import Thresholds

JSON, PICTURE = "detectability.json", "detectability.png"  # in the recipe's folder `report`
CONTRASTS = (64, 32, 16, 8)  # grey levels, of 255
# Sizes: per cent of the region's shorter side, in steps of the square root of 2 down from the largest.
LARGEST, RUNGS, SMALLEST_PX = 32.0, 15, 2.0
TRIALS = 12  # at each size; where 95 % are found, `detection_curve.CONFIRMED` times as many more


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Defects of one kind, contrast and size."""

    size: Annotated[float, Meta(description="per cent of the inspected region's shorter side")]
    size_px: Annotated[float, Meta(description="pixels of the frame")]
    trials: int
    found: Annotated[int, Meta(description="of them rejected")]
    located: Annotated[int, Meta(description="of the found ones: a region of the verdict lies on the defect")]
    share: Annotated[float, Meta(description="found, by the fitted curve")]


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is found of one kind at one contrast. ``null``: not shown at any size that was tried."""

    kind: str
    contrast: Annotated[int, Meta(description="grey levels of 255: mean absolute change of the pixels under the defect")]
    cells: tuple[Cell, ...]  # empty where the product allows no such defect
    smallest: Annotated[float | None, Meta(description="size found with 95 % probability, per cent: best estimate")]
    smallest_bound: Annotated[float | None, Meta(description="the same with 95 % confidence: the true size is no larger")]


class Detectability(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`report/detectability.json`."""

    recipe: str
    recipe_digest: Sha256
    thresholds_version: int
    thresholds_engine: str
    engine: Annotated[str, Meta(description="that judged the defects")]
    samples: Annotated[int, Meta(description="held-out golden samples that defects were drawn onto")]
    rejected_samples: Annotated[int, Meta(description="others, that are rejected as they are")]
    region_px: Annotated[int, Meta(description="shorter side of the inspected region: what sizes in per cent are of")]
    probability: float
    confidence: float
    frames: Annotated[int, Meta(description="that the engine judged")]
    curves: tuple[Curve, ...]  # by kind, and from the highest contrast to the lowest
    seed: int
    created: str  # UTC, ISO 8601

    def pixels(self, size: float) -> float:
        """A size in pixels of the frame."""
        return size * self.region_px / 100

    @property
    def sizes(self) -> tuple[float, ...]:
        """The ladder of sizes, per cent."""
        return ladder(self.region_px)


def ladder(region_px: int) -> tuple[float, ...]:
    """Sizes to try, per cent of the region's shorter side, rising."""
    steps = (LARGEST / 2 ** (step / 2) for step in reversed(range(RUNGS)))
    return tuple(size for size in steps if size * region_px / 100 >= SMALLEST_PX)


class Inspector:
    """An engine with its thresholds; counts what it looks at."""

    def __init__(self, scorer: Scorer, thresholds: Thresholds, geometry: Geometry) -> None:
        self._scorer, self._thresholds, self._geometry = scorer, thresholds, geometry
        self.engine, self.frames = scorer.engine, 0

    def judge(self, image: Pixels) -> Judgement:
        """Look at a picture."""
        self.frames += 1
        return judge(self._scorer.measure(image), self._thresholds)

    def locates(self, judgement: Judgement, drawn: Drawn) -> bool:
        """Whether a region of the picture judged last lies on its defect."""
        return judgement.touches(drawn.on_map(self._geometry))


def measure_detectability(
    recipe: Recipe,
    thresholds: Thresholds,
    scorer: Scorer,
    held_out: Sequence[Pixels],
    ignored: Mask | None,
    tell: Callable[[int, int, str], None],
    *,
    contrasts: Sequence[int] = CONTRASTS,
    trials: int = TRIALS,
    seed: int = 0,
) -> tuple[Detectability, list[Pixels]]:
    """Measure every kind at every contrast (falling), and return the samples (frames) that were drawn onto, too.

    Raises ConfigError when every sample is rejected as it is.
    """
    geometry = recipe.manifest.geometry
    inspector = Inspector(scorer, thresholds, geometry)
    passing = [image for image in held_out if inspector.judge(image).passed]
    if not passing:
        raise ConfigError(
            f"{recipe.folder}: all {len(held_out)} held-out golden samples are rejected at these thresholds; "
            "renew them with: calibrate thresholds"
        )
    where, region_px = inspected(geometry, ignored), min(geometry.region[2:])
    rng = np.random.default_rng(seed)
    curves: list[Curve] = []
    for kind in KINDS:
        start = len(ladder(region_px)) // 2
        for contrast in contrasts:
            tell(len(curves), len(KINDS) * len(contrasts), f"{kind}, {contrast} grey levels")
            curve = _curve(inspector, passing, where, region_px, kind, contrast, start, trials, rng)
            curves.append(curve)
            start = _start_of_next(curve, ladder(region_px), start)
    tell(len(curves), len(curves), "")
    return (
        Detectability(
            recipe=recipe.name,
            recipe_digest=recipe.digest,
            thresholds_version=thresholds.version,
            thresholds_engine=thresholds.engine,
            engine=inspector.engine,
            samples=len(passing),
            rejected_samples=len(held_out) - len(passing),
            region_px=region_px,
            probability=PROBABILITY,
            confidence=CONFIDENCE,
            frames=inspector.frames,
            curves=tuple(curves),
            seed=seed,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
        passing,
    )


def _curve(
    inspector: Inspector,
    passing: Sequence[Pixels],
    where: Mask,
    region_px: int,
    kind: str,
    contrast: int,
    start: int,
    trials: int,
    rng: np.random.Generator,
) -> Curve:
    sizes = ladder(region_px)
    located = dict.fromkeys(sizes, 0)

    def try_at(rung: int, count: int) -> tuple[int, int]:
        drawn = found = hits = 0
        for _ in range(count):
            image, donor = (passing[int(rng.integers(len(passing)))] for _ in range(2))
            defect = inject(image, donor, where, kind, sizes[rung] * region_px / 100, contrast, rng)
            if defect is None:
                continue
            drawn += 1
            judgement = inspector.judge(defect.image)
            if not judgement.passed:
                found += 1
                hits += inspector.locates(judgement, defect)
        if drawn * 2 <= count:  # so few places of this product allow such a defect that they are no sample of it
            return 0, 0
        located[sizes[rung]] += hits
        return drawn, found

    tried: list[Tried] = explore(sizes, start, try_at, trials)
    if not tried:
        return Curve(kind, contrast, (), None, None)
    fitted = fit_curve(tried)
    cells = tuple(
        Cell(one.size, one.size * region_px / 100, one.trials, one.found, located[one.size], float(share))
        for one, share in zip(tried, fitted.shares, strict=True)
    )
    return Curve(kind, contrast, cells, fitted.size, fitted.bound)


def _start_of_next(curve: Curve, sizes: Sequence[float], start: int) -> int:
    """The rung where half of this curve's defects were found: fainter ones are found from about there on."""
    half = next((cell.size for cell in curve.cells if cell.share >= 0.5), None)
    return start if half is None else sizes.index(half)
