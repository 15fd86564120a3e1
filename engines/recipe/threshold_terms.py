"""What thresholds say: the numbers that a part is compared with, where they come from, and what they promise."""

from __future__ import annotations

import hashlib
import math
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from engines.common.files import Sha256
from engines.pictures.scores import ScoreName

Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Floats = npt.NDArray[np.float64]
ROUNDING = 1e-6  # relative: thresholds lie this much above the sample that sets them


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logarithms of scores and region levels of typical good parts: centres and spreads (standard deviations)."""

    score_centre: float
    score_spread: Positive
    level_centre: float
    level_spread: Positive

    def deviations(self, scores: Floats, levels: Floats) -> Floats:
        """How far parts with these scores and region levels (n,) > 0 are from typical; NaN where one of them is."""
        by_score = (np.log(scores) - self.score_centre) / self.score_spread
        by_level = (np.log(levels) - self.level_centre) / self.level_spread
        return np.maximum(by_score, by_level)

    def thresholds(self, limit: float) -> tuple[float, float]:
        """Score threshold and pixel threshold that reject just the parts of a larger deviation."""
        score = math.exp(self.score_centre + limit * self.score_spread)
        level = math.exp(self.level_centre + limit * self.level_spread)
        return score * (1 + ROUNDING), level * (1 + ROUNDING)


class Scored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture that thresholds were got from, and what the engine says of it."""

    name: str
    sha256: Sha256  # of the file
    score: float
    level: Annotated[float, Meta(description="the highest pixel threshold at which it would still have a region")]
    deviation: Annotated[float, Meta(description="from typical good parts: what thresholds are cut by")]


class Estimate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a distribution fitted to the held-out samples puts the limit of deviations for the rate asked for: no guarantee."""

    shape: Annotated[str, Meta(description="of the distribution that is assumed")]
    limit: float
    low: Annotated[float | None, Meta(description="of its 90 % interval")]
    high: float | None
    goodness: Annotated[Share | None, Meta(description="p-value of the fit: small when the samples have no such tail")]
    fitted: Annotated[int, Meta(description="samples that it was fitted to: the largest")]
    kept: Annotated[bool, Meta(description="whether the thresholds are at it: not where too many defects would pass")] = True


class Guarantee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds of good parts with these thresholds, as long as good parts stay as they were."""

    asked_rate: Annotated[float, Meta(gt=0, lt=1, description="of false rejects, at most")]
    confidence: Annotated[float, Meta(gt=0, lt=1)]
    samples: int  # held out
    rank: Annotated[int | None, Meta(description="of the sample at the threshold; null: at or beyond the largest")]
    rate: Annotated[Share, Meta(description="of false rejects: at most this, with this confidence, whatever the distribution")]
    more_needed: Annotated[int, Meta(ge=0, description="golden samples, to guarantee what was asked for")]
    estimate: Estimate | None  # where there were too few samples


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well one kind of score does on golden samples that were fitted, and on defects drawn onto them or known rejects."""

    spread: Annotated[float, Meta(description="standard deviation of the good parts' log-scores")]
    margin: Annotated[float, Meta(description="of the weakest tenth of defects over the highest good part, in spreads")]
    detected: Annotated[Share, Meta(description="defects above every good part")]


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a part is judged by: its score and the regions of its map, see `engines.judgement`."""

    version: Annotated[int, Meta(ge=1)]
    recipe_digest: Sha256
    engine: Annotated[str, Meta(description='whose scores these are, such as "openvino float32"')]
    score: ScoreName
    score_threshold: Positive
    pixel_threshold: Positive
    minimum_area: Annotated[int, Meta(ge=1, description="map pixels; a smaller region is not a defect")]
    scale: Scale
    limit: Annotated[float, Meta(description="of deviations: both thresholds stand for this one number")]
    guarantee: Guarantee
    method: str  # how the thresholds were got
    promise: str  # the guarantee in words
    samples: tuple[Scored, ...]  # held-out golden samples
    rejects: tuple[Scored, ...]  # known ones, where they were given
    candidates: dict[ScoreName, Candidate]
    choice: str  # why this score
    ignore_mask: Sha256 | None  # of ignore.png, white where the frame is not inspected
    created: str  # UTC, ISO 8601
    created_by: str
    note: str
    restores: int | None = None  # the version that was taken up again

    @property
    def digest(self) -> Sha256:
        """SHA-256 of all that they say."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def held_out_scores(self) -> tuple[float, ...]:
        """Of the held-out golden samples."""
        return tuple(sample.score for sample in self.samples)

    def deviation(self, score: float, level: float) -> float:
        """How far such a part is from typical; beyond ``limit`` it is rejected."""
        return float(self.scale.deviations(np.array([score]), np.array([level]))[0])
