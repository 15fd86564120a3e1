"""Measures: against recorded values of other programs, against their definitions written out, and at their edges."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from calibrate.evaluation.measures import BINS, Masks, PixelMeasures, auroc, average_precision, f1
from calibrate.thresholds.guarantee import share_interval

Array = npt.NDArray[Any]
ROUNDING = 1 / 4096


def _measured(maps: Array, masks: list[Masks]) -> PixelMeasures:
    measures = PixelMeasures()
    for one, of_it in zip(maps, masks, strict=True):
        measures.take(one.astype(np.float32), of_it)
    return measures


def _plain(truths: Array) -> list[Masks]:
    return [[(truth, None)] if truth.any() else [] for truth in truths]


# anomalib, tests/unit/metrics/aupro/test_aupro.py (openvinotoolkit/anomalib, commit 01c0de3a9b03): maps rise evenly over
# 400 x 7 pixels, a mask is one column or three of them, alone and together; it expects these values to within 0.001, and so
# does the evaluation code of MVTec 3D-AD, which it takes for reference there.
COLUMNS = ([0, 0, 0, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1, 0])


@pytest.mark.parametrize(
    ("columns", "limit", "expected"),
    [(COLUMNS[:1], 1 / 3, 1 / 6), (COLUMNS[1:], 1 / 3, 1 / 6), (COLUMNS, 1 / 3, 1 / 6)],
    ids=["one region", "three regions", "both"],
)
def test_aupro_is_that_of_anomalib(columns: list[list[int]], limit: float, expected: float) -> None:
    rising = (np.arange(2800) / 2800).reshape(400, 7)
    truths = np.array([[row] * 400 for row in columns], bool)
    measures = _measured(np.array([rising] * len(columns)), _plain(truths))
    assert measures.aupro(limit) == pytest.approx(expected, abs=0.001)


# Four regions of different height on a wavy ground.  Recorded: what anomalib's AUPRO (src/anomalib/metrics/aupro.py of
# open-edge-platform/anomalib, commit 5963c8e1a89e) makes of it, with torchmetrics' exact ROC curve, and what MVTec's code (as
# in anomalib's tests/unit/metrics/aupro/aupro_reference.py) does with a threshold at every good pixel.  anomalib resamples
# each region's curve by index before it takes their mean, which moves so small an example by 1 in 100.
@pytest.mark.parametrize(("limit", "anomalib", "mvtec"), [(0.3, 0.630204, 0.632918), (0.05, 0.482985, 0.500784)])
def test_aupro_of_a_smooth_map_is_that_of_anomalib_and_mvtec(limit: float, anomalib: float, mvtec: float) -> None:
    y, x = np.mgrid[0:48, 0:64]

    def bump(row: int, column: int, width: int) -> Array:
        return np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))

    ground = 0.2 + 0.1 * np.sin(x / 5) * np.cos(y / 7)
    maps = np.stack([ground + 0.6 * bump(12, 16, 5), ground + 0.35 * bump(30, 40, 4) + 0.2 * bump(10, 50, 3), ground * 1.1])
    truths = np.zeros(maps.shape, bool)
    truths[0, 6:18, 10:24], truths[1, 26:36, 36:46], truths[1, 4:14, 46:60], truths[2, 20:24, 5:40] = True, True, True, True
    area = _measured(maps, _plain(truths)).aupro(limit)
    assert area == pytest.approx(mvtec, abs=0.001)
    assert area == pytest.approx(anomalib, abs=0.02)


# anomalib, tests/unit/metrics/test_spro.py (openvinotoolkit/anomalib, commit 674c83f8d36f): the saturated overlap of two masks
# at thresholds, one saturated by 10 of its 20 pixels, the other by half of its 10; each row of the map has one value.
SPRO_MASKS = ((1, 3, 5, 7), (0, 6))
SPRO_THRESHOLDS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SPRO_EXPECTED = (1.0, 1.0, 1.0, 0.75, 0.0, 0.0)
PRO_EXPECTED = (1.0, 0.625, 0.5, 0.375, 0.0, 0.0)


@pytest.mark.parametrize(("saturations", "expected"), [((10.0, 5.0), SPRO_EXPECTED), ((20.0, 10.0), PRO_EXPECTED)])
def test_spro_is_that_of_anomalib(saturations: tuple[float, float], expected: tuple[float, ...]) -> None:
    masks = []
    for rows, saturation in zip(SPRO_MASKS, saturations, strict=True):
        mask = np.zeros((8, 5), bool)
        mask[list(rows)] = True
        masks.append((mask, saturation))
    for threshold, overlap in zip(SPRO_THRESHOLDS, expected, strict=True):
        rising = np.arange(8)[:, None].repeat(5, axis=1) / 10 + 0.05
        rising[[2, 4]] = threshold  # all good pixels: the curve begins with what is found above the threshold
        assert _measured(rising[None], [masks]).auspro(1e-6) == pytest.approx(overlap, abs=1e-4)


def _by_definition(maps: Array, truths: Array, limit: float) -> float:
    regions = []
    for n, truth in enumerate(truths):
        count, labels = cv2.connectedComponents(truth.astype(np.uint8))
        regions += [(n, labels == i) for i in range(1, count)]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        found = maps >= threshold
        rate = float(found[~truths].mean())
        points.append((rate, float(np.mean([found[n][region].mean() for n, region in regions]))))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 >= limit:
            break
        end = min(x1, limit)
        y_end = y1 if x1 <= limit else y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


def _random(seed: int, levels: int) -> tuple[Array, Array]:
    """Maps whose values are exact in the measures' rounding, so that only ties of the map's own are ties."""
    rng = np.random.default_rng(seed)
    truths = np.zeros((4, 12, 12), bool)
    truths[0, 2:5, 2:5], truths[0, 8:11, 7:9], truths[1, 0:2, 0:9], truths[2, 5, 5] = True, True, True, True
    raw = rng.random(truths.shape) + truths * rng.random(truths.shape)
    return np.floor(raw * levels) / levels, truths


@pytest.mark.parametrize("limit", [0.3, 0.05, 1.0])
@pytest.mark.parametrize("levels", [8, 2048], ids=["many equal values", "few equal values"])
def test_aupro_is_its_definition(limit: float, levels: int) -> None:
    for seed in range(3):
        maps, truths = _random(seed, levels)
        assert _measured(maps, _plain(truths)).aupro(limit) == pytest.approx(_by_definition(maps, truths, limit), abs=1e-9)


def test_saturation_at_the_whole_area_is_plain_overlap_and_less_is_more() -> None:
    maps, truths = _random(5, 2048)
    truths[0, 8:11] = False  # one region in each picture: then a mask is a region
    whole = _measured(maps, [[(truth, float(truth.sum()))] if truth.any() else [] for truth in truths])
    half = _measured(maps, [[(truth, truth.sum() / 2)] if truth.any() else [] for truth in truths])
    assert whole.auspro(0.3) == pytest.approx(whole.aupro(0.3))
    assert half.auspro(0.3) > whole.auspro(0.3)  # type: ignore[operator]
    assert half.aupro(0.3) == pytest.approx(whole.aupro(0.3))


def test_pixels_are_measured_as_scikit_learn_does_from_the_values_themselves() -> None:
    maps, truths = _random(9, 2048)
    measures = _measured(maps, _plain(truths))
    assert measures.auroc() == pytest.approx(roc_auc_score(truths.ravel(), maps.ravel()))
    assert measures.average_precision() == pytest.approx(average_precision_score(truths.ravel(), maps.ravel()))


def test_rounding_costs_next_to_nothing_and_scale_nothing() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random((1, 150, 150)) < 0.05
    maps = rng.lognormal(0, 1, truth.shape) * (1 + truth)
    exact = roc_auc_score(truth.ravel(), maps.ravel())
    for scale in (1e-6, 1.0, 1e6):
        assert _measured(maps * scale, _plain(truth)).auroc() == pytest.approx(exact, abs=ROUNDING / 100)


def test_parts_join_to_the_whole() -> None:
    maps, truths = _random(3, 64)
    whole = _measured(maps, _plain(truths))
    parts = [_measured(maps[part], _plain(truths[part])) for part in (slice(0, 1), slice(1, 2), slice(2, 4))]
    joined = PixelMeasures.joined(parts)
    assert joined.auroc() == whole.auroc()
    assert joined.aupro(0.3) == pytest.approx(whole.aupro(0.3))
    assert parts[0].auroc() != whole.auroc()


def test_a_perfect_map_has_all_and_an_inverted_one_nothing() -> None:
    _, truths = _random(0, 2)
    perfect, inverted = _measured(truths, _plain(truths)), _measured(~truths, _plain(truths))
    assert (perfect.auroc(), perfect.average_precision()) == (1, 1)
    assert perfect.aupro(0.3) == pytest.approx(1)
    assert inverted.auroc() == 0
    assert inverted.aupro(0.3) == pytest.approx(0)


def test_without_defects_or_without_good_pixels_there_is_no_measure() -> None:
    good = _measured(np.ones((1, 4, 4)), [[]])
    bad = _measured(np.ones((1, 4, 4)), [[(np.ones((4, 4), bool), 3.0)]])
    for measures in (good, bad, PixelMeasures()):
        assert measures.auroc() is None
        assert measures.average_precision() is None
        assert measures.aupro(0.3) is None
        assert measures.auspro(0.3) is None


def test_zero_negative_and_huge_values_have_a_place() -> None:
    measures = PixelMeasures()
    edges = np.array([[-0.0, 0.0, -1.0, 1e-30, 1.0, 3e38]], np.float32)
    measures.take(edges, [(np.array([[False, False, False, False, False, True]]), None)])
    assert measures.auroc() == 1
    assert measures._good[0] == 3, "-0 and negative values count as 0"
    assert len(measures._good) == BINS


def test_measures_of_pictures() -> None:
    defect, scores = np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8])
    assert auroc(defect, scores) == pytest.approx(0.75)  # three of four pairs are in order
    assert average_precision(defect, scores) == pytest.approx((1 + 2 / 3) / 2)
    assert auroc(defect[:2], scores[:2]) is None
    assert average_precision(defect[2:], scores[2:]) is None
    assert f1(detected=8, defects=10, false_rejects=2) == pytest.approx(0.8)
    assert f1(detected=0, defects=10, false_rejects=0) == 0
    assert f1(detected=0, defects=0, false_rejects=3) is None


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(0, 20, 0.0, 0.1684), (20, 20, 0.8316, 1.0), (1, 10, 0.0025, 0.4450), (5, 50, 0.0333, 0.2181), (0, 0, 0.0, 1.0)],
)
def test_intervals_of_shares_are_those_of_the_tables(count: int, of: int, low: float, high: float) -> None:
    assert share_interval(count, of, 0.95) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_an_interval_ends_where_what_was_seen_would_be_rare() -> None:
    low, high = share_interval(7, 40, 0.9)
    assert stats.binom.sf(6, 40, low) == pytest.approx(0.05)
    assert stats.binom.cdf(7, 40, high) == pytest.approx(0.05)
