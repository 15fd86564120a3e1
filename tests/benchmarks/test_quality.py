"""The benchmarks' own measure, AUPRO, against its definition written out."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from tests.benchmarks.quality import aupro


def _by_definition(maps: np.ndarray, truths: np.ndarray, limit: float) -> float:
    regions = []
    for n, truth in enumerate(truths):
        count, labels = cv2.connectedComponents(truth.astype(np.uint8))
        regions += [(n, labels == i) for i in range(1, count)]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        found = maps >= threshold
        rate = found[~truths].mean()
        points.append((rate, float(np.mean([found[n][region].mean() for n, region in regions]))))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 >= limit:
            break
        end = min(x1, limit)
        y_end = y1 if x1 <= limit else y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


@pytest.mark.parametrize("limit", [0.3, 0.05])
def test_aupro_is_its_definition(limit: float) -> None:
    rng = np.random.default_rng(1)
    truths = np.zeros((3, 12, 12), bool)
    truths[0, 2:5, 2:5], truths[0, 8:11, 7:9], truths[1, 0:2, 0:9] = True, True, True
    maps = np.round(rng.random(truths.shape) + truths * rng.random(truths.shape), 1).astype(np.float32)  # with equal values
    assert aupro(maps, truths, limit) == pytest.approx(_by_definition(maps, truths, limit))
    assert aupro(truths.astype(np.float32), truths, limit) == pytest.approx(1)
