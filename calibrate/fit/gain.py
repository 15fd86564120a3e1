"""What a part of a network gains on golden samples: errors with it and without it, and whether that is more than chance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from engines.recipe.trials import Trial

Floats = npt.NDArray[np.float64]
CONFIDENCE = 0.9  # of the interval, two-sided: a part without any gain is kept once in twenty times


def weigh(part: str, without: Floats, having: Floats, kept: bool | None = None) -> Trial:
    """Errors of N samples or draws without a part and with it, (N,) -> ``kept``, or if the difference is beyond chance."""
    gains = without - having
    if len(gains) < 2:
        return Trial(part, bool(kept), float(without.mean()), float(having.mean()), None, None, len(gains))
    mean, spread = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))
    reach = float(student.ppf((1 + CONFIDENCE) / 2, len(gains) - 1)) * spread
    low, high = mean - reach, mean + reach
    return Trial(part, low > 0 if kept is None else kept, float(without.mean()), float(having.mean()), low, high, len(gains))
