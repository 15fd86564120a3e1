"""Measures of detection: of pictures, of pixels, and of regions; and exact intervals of shares.

Curves of pictures and pixels are scikit-learn's.  Regions: P. Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV
129, 2021 (per-region overlap), and "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and
Localization", IJCV 130, 2022 (its saturated form, for defects whose extent is a matter of taste).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

Truth = npt.NDArray[np.bool_]
Bins = npt.NDArray[np.int32]
Masks = Sequence[tuple[Truth, float | None]]  # of one picture: areas (H, W), and the pixels that saturate each

# A map's value is known by its sign-less float32's first bits, so that pixels are counted and not kept: to 1 part in 4096.
DROPPED_BITS = 11
BINS = 1 << (31 - DROPPED_BITS)


def auroc(defect: Truth, scores: npt.NDArray[np.floating], counts: npt.NDArray[np.int64] | None = None) -> float | None:
    """Area under the ROC curve, each score taken ``counts`` times; None unless there are both good ones and defects."""
    return float(roc_auc_score(defect, scores, sample_weight=counts)) if 0 < defect.sum() < len(defect) else None


def average_precision(
    defect: Truth, scores: npt.NDArray[np.floating], counts: npt.NDArray[np.int64] | None = None
) -> float | None:
    """Area under the precision-recall curve, as average precision; None unless there are both good ones and defects."""
    return float(average_precision_score(defect, scores, sample_weight=counts)) if 0 < defect.sum() < len(defect) else None


def f1(detected: int, defects: int, false_rejects: int) -> float | None:
    """Harmonic mean of precision and recall at a threshold; None without any defect."""
    return 2 * detected / (defects + detected + false_rejects) if defects else None


class _Region(NamedTuple):
    values: Bins  # of its pixels, ascending
    saturation: float  # pixels


class PixelMeasures:
    """Measures over all pixels of many pictures, fed picture by picture; takes the same memory for few and for many.

    Values of maps are rounded down by less than 1 part in 4096, and negative ones to 0; of the rounded values all is exact.
    """

    def __init__(self) -> None:
        self._good = np.zeros(BINS, np.int64)  # pixels of each value that are no defect
        self._defect = np.zeros(BINS, np.int64)
        self._regions: list[_Region] = []
        self._saturated: list[_Region] = []

    @classmethod
    def joined(cls, parts: Iterable[PixelMeasures]) -> Self:
        """The measures over the pictures of all parts."""
        whole = cls()
        for part in parts:
            whole._good += part._good
            whole._defect += part._defect
            whole._regions += part._regions
            whole._saturated += part._saturated
        return whole

    def take(self, picture_map: npt.NDArray[np.float32], masks: Masks) -> None:
        """A picture's map (H, W), finite, and the masks (H, W) of its defects, none for a good one."""
        bins = _binned(picture_map)
        union = np.zeros(bins.shape, bool)
        for mask, saturation in masks:
            union |= mask
            if saturation is not None and mask.any():
                self._saturated.append(_Region(np.sort(bins[mask]), saturation))
        count, labels = cv2.connectedComponents(union.astype(np.uint8))  # 8-connected, as in the papers' own code
        for label in range(1, count):
            values = np.sort(bins[labels == label])
            self._regions.append(_Region(values, float(len(values))))
        self._good += np.bincount(bins[~union], minlength=BINS)
        self._defect += np.bincount(bins[union], minlength=BINS)

    def auroc(self) -> float | None:
        """Of pixels; None without any of a defect."""
        return auroc(*self._curve())

    def average_precision(self) -> float | None:
        """Of pixels; None without any of a defect."""
        return average_precision(*self._curve())

    def aupro(self, limit: float) -> float | None:
        """Area under the mean overlap of all defects' connected regions over the false-positive rate, up to ``limit``.

        As a share of ``limit``; None without any region.
        """
        return self._overlap(self._regions, limit)

    def auspro(self, limit: float) -> float | None:
        """The same with saturation: each mask is one region, found whole when as many pixels as saturate it are found."""
        return self._overlap(self._saturated, limit)

    def _curve(self) -> tuple[Truth, npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Truth, value and number of pixels that are alike."""
        good, defect = np.flatnonzero(self._good), np.flatnonzero(self._defect)
        truth = np.arange(len(good) + len(defect)) >= len(good)
        bins = np.concatenate([good, defect]).astype(np.int32)
        return truth, (bins << DROPPED_BITS).view(np.float32), np.concatenate([self._good[good], self._defect[defect]])

    def _overlap(self, regions: list[_Region], limit: float) -> float | None:
        good = int(self._good.sum())
        if not regions or not good:
            return None
        # The curve bends only where a good pixel is: just above its value, and at it, up to one point beyond the limit.
        bends = np.flatnonzero(self._good)[::-1]
        at = np.cumsum(self._good[bends]) / good
        bends = bends[: int(np.searchsorted(at, limit)) + 1]
        rate, overlap = np.zeros(1 + 2 * len(bends)), np.zeros(1 + 2 * len(bends))
        rate[2::2] = at[: len(bends)]
        rate[3::2] = at[: len(bends) - 1]
        for values, saturation in regions:
            overlap[1::2] += np.minimum((len(values) - np.searchsorted(values, bends, side="right")) / saturation, 1.0)
            overlap[2::2] += np.minimum((len(values) - np.searchsorted(values, bends)) / saturation, 1.0)
        overlap /= len(regions)
        inside = rate <= limit
        x = np.append(rate[inside], limit)
        y = np.append(overlap[inside], np.interp(limit, rate, overlap))
        return float(np.trapezoid(y, x) / limit)


def _binned(values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """The bins of values (H, W): bits of floats that are not negative have the floats' order."""
    return (np.clip(values, 0, None) + np.float32(0)).view(np.int32) >> DROPPED_BITS  # + 0: there is a -0
