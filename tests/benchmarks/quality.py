"""Measures of quality over maps and truths: image and pixel AUROC, and AUPRO."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

Maps = npt.NDArray[np.float32]
Truths = npt.NDArray[np.bool_]


def auroc(truth: npt.NDArray[np.bool_], scores: npt.NDArray[np.floating]) -> float:
    """Area under the ROC curve; of pixels as of images."""
    return float(roc_auc_score(truth.ravel(), scores.ravel()))


def aupro(maps: Maps, truths: Truths, limit: float = 0.3) -> float:
    """Area under the per-region overlap over the false-positive rate up to ``limit``, as a share of ``limit``.

    Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021: at each threshold the overlap is the mean,
    over all connected regions of the truth, of the share that is found; (N, H, W) each.
    """
    share = np.zeros(maps.shape, np.float64)  # of a region that a pixel is
    regions = 0
    for one, truth in zip(share, truths, strict=True):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(truth.astype(np.uint8))
        regions += count - 1
        one[:] = np.where(truth, 1.0 / stats[labels, cv2.CC_STAT_AREA], 0.0)
    values = maps.ravel()
    order = np.argsort(-values, kind="stable")
    good = ~truths.ravel()[order]
    rate = np.cumsum(good) / good.sum()
    overlap = np.cumsum(share.ravel()[order]) / regions
    last = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))  # equal values are found together
    rate, overlap = np.append(0, rate[last]), np.append(0, overlap[last])
    within = rate <= limit
    x = np.append(rate[within], limit)
    y = np.append(overlap[within], np.interp(limit, rate, overlap))
    return float(np.trapezoid(y, x) / limit)
