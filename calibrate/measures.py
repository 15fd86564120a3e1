"""Measures of detection: of pictures, of pixels, and of regions; and exact intervals of shares.

Curves of pictures and pixels are scikit-learn's.  Regions: P. Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV
129, 2021 (per-region overlap), and "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and
Localization", IJCV 130, 2022 (its saturated form, for defects whose extent is a matter of taste).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

Maps = Sequence[npt.NDArray[np.float32]]
Truth = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Masks = Sequence[tuple[Truth, float | None]]  # of one picture: areas (H, W), and the pixels that saturate each


def auroc(defect: Truth, scores: npt.NDArray[np.floating]) -> float:
    """Area under the ROC curve; of pictures as of pixels."""
    return float(roc_auc_score(defect.ravel(), scores.ravel()))


def average_precision(defect: Truth, scores: npt.NDArray[np.floating]) -> float:
    """Area under the precision-recall curve, as average precision."""
    return float(average_precision_score(defect.ravel(), scores.ravel()))


def f1(detected: int, defects: int, false_rejects: int) -> float:
    """Harmonic mean of precision and recall at a threshold."""
    return 2 * detected / (defects + detected + false_rejects) if defects else 0.0


def share_interval(count: int, of: int, confidence: float) -> tuple[float, float]:
    """The exact two-sided interval of a share (C. J. Clopper, E. S. Pearson, Biometrika 26, 1934)."""
    if of == 0:
        return 0.0, 1.0
    side = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(stats.beta.ppf(side, count, of - count + 1))
    high = 1.0 if count == of else float(stats.beta.ppf(1 - side, count + 1, of - count))
    return low, high


class RegionOverlap:
    """How much of each defect's area is found, as the threshold falls; fed picture by picture."""

    def __init__(self) -> None:
        self._good: list[npt.NDArray[np.float32]] = []  # values of pixels that are no defect
        self._regions: list[tuple[npt.NDArray[np.float32], float]] = []  # values of a region's, ascending; saturation

    def take(self, frame_map: npt.NDArray[np.float32], masks: Masks) -> None:
        """A picture's map (H, W) and masks; a mask without saturation is split into connected regions."""
        union = np.zeros(frame_map.shape, bool)
        for mask, saturation in masks:
            union |= mask
            if saturation is not None:
                self._add(frame_map[mask], saturation)
                continue
            count, labels = cv2.connectedComponents(mask.astype(np.uint8))
            for label in range(1, count):
                values = frame_map[labels == label]
                self._add(values, float(len(values)))
        self._good.append(frame_map[~union])

    def area(self, limit: float) -> float:
        """Area under mean overlap over false-positive rate, up to ``limit``, as a share of it; NaN without any region."""
        if not self._regions:
            return float("nan")
        good = np.sort(np.concatenate(self._good))
        # Only where the curve bends: just above each value of a good pixel, and at it, up to one point beyond the limit.
        within = min(len(good), int(np.ceil(limit * len(good))) + 1)
        bends = np.unique(good[len(good) - within :])[::-1]
        rate, overlap = np.zeros(1 + 2 * len(bends)), np.zeros(1 + 2 * len(bends))
        rate[1::2] = len(good) - np.searchsorted(good, bends, side="right")
        rate[2::2] = len(good) - np.searchsorted(good, bends)
        rate /= len(good)
        for values, saturation in self._regions:
            overlap[1::2] += np.minimum((len(values) - np.searchsorted(values, bends, side="right")) / saturation, 1.0)
            overlap[2::2] += np.minimum((len(values) - np.searchsorted(values, bends)) / saturation, 1.0)
        overlap /= len(self._regions)
        inside = rate <= limit
        x = np.append(rate[inside], limit)
        y = np.append(overlap[inside], np.interp(limit, rate, overlap))
        return float(np.trapezoid(y, x) / limit)

    def _add(self, values: npt.NDArray[np.float32], saturation: float) -> None:
        if len(values):
            self._regions.append((np.sort(values), saturation))
