"""What is said of a category: counts, intervals, measures of each kind of defect, and whether the guarantee was kept."""

from __future__ import annotations

import numpy as np
import pytest

from calibrate.evaluation.category_result import Judged, Result, summarise
from calibrate.evaluation.measures import PixelMeasures
from engines.recipe.thresholds import Guarantee, Scale, Thresholds

THRESHOLDS = Thresholds(
    version=1,
    recipe_digest="0" * 64,
    engine="torch float32",
    score="max",
    score_threshold=1.0,
    pixel_threshold=2.0,
    minimum_area=12,
    scale=Scale(0.0, 1.0, 0.0, 1.0),
    limit=3.0,
    guarantee=Guarantee(0.005, 0.95, 50, None, 0.058, 548, None),
    method="",
    promise="",
    samples=(),
    rejects=(),
    candidates={},
    choice="",
    ignore_mask=None,
    created="",
    created_by="",
    note="",
)


def _judged(kind: str, *scores: float) -> list[Judged]:
    return [Judged(f"test/{kind}/{i}.png", kind, score, 0.0, score, score <= 1) for i, score in enumerate(scores)]


def _pixels(good: list[float], defect: list[float]) -> PixelMeasures:
    measures = PixelMeasures()
    truth = np.arange(len(good) + len(defect))[None] >= len(good)
    measures.take(np.array([good + defect], np.float32), [(truth, None)] if defect else [])
    return measures


def _summarised(judged: list[Judged], pixels: dict[str, PixelMeasures]) -> Result:
    return summarise(judged, pixels, THRESHOLDS, fitted=200, fit_seconds=12.5, frame_ms=30.0)


def test_kinds_are_measured_beside_all_good_pictures() -> None:
    judged = _judged("good", 0.2, 0.4, 1.1) + _judged("crack", 0.3, 2.0) + _judged("stain", 3.0, 4.0, 5.0)
    pixels = {"good": _pixels([1, 2, 3], []), "crack": _pixels([1], [2.5]), "stain": _pixels([1], [4])}
    result = _summarised(judged, pixels)
    assert (result.good, result.false_rejects, result.defects, result.misses) == (3, 1, 5, 1)
    assert result.f1 == pytest.approx(2 * 4 / (2 * 4 + 1 + 1))
    assert result.miss_interval == (pytest.approx(0.00505, abs=1e-4), pytest.approx(0.7164, abs=1e-4))
    assert result.image_auroc == pytest.approx(13 / 15)  # of pairs in order
    crack, stain = result.defect_types["crack"], result.defect_types["stain"]
    assert (crack.image_auroc, stain.image_auroc) == (pytest.approx(4 / 6), 1)
    assert (crack.pixel_auroc, stain.pixel_auroc) == (pytest.approx(3 / 4), 1)
    assert result.pixel_auroc == pytest.approx(9 / 10)
    assert (crack.defects, crack.misses, stain.defects, stain.misses) == (2, 1, 3, 0)
    assert (crack.f1, stain.f1) == (pytest.approx(2 / (2 + 1 + 1)), pytest.approx(6 / (6 + 1)))
    assert list(result.defect_types) == ["crack", "stain"]


def test_saturated_overlap_is_told_where_the_set_has_saturations() -> None:
    pixels = PixelMeasures()
    pixels.take(np.array([[1, 2, 3, 4]], np.float32), [(np.array([[False, True, False, True]]), 1.0)])
    result = _summarised(_judged("good", 0.5) + _judged("logical", 2.0), {"logical": pixels})
    assert result.auspro_30 == result.defect_types["logical"].auspro_05 == 1, "one of two pixels is enough"
    assert result.aupro_05 == pytest.approx(0.5)


def test_more_false_rejects_than_guaranteed_are_told_but_not_what_chance_may_do() -> None:
    assert not _summarised(_judged("good", *[0.5] * 12, *[2.0] * 8), {}).guarantee_kept
    assert _summarised(_judged("good", *[0.5] * 19, 2.0), {}).guarantee_kept, "1 of 20 does not contradict 5.8 %"


def test_what_a_set_does_not_tell_is_left_open() -> None:
    result = _summarised(_judged("dent", 0.5, 2.0), {"dent": PixelMeasures()})
    assert (result.good, result.false_rejects, result.false_reject_interval) == (0, 0, (0.0, 1.0))
    assert result.guarantee_kept
    for name in ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30", "aupro_05", "auspro_30"):
        assert getattr(result, name) is None, name
    assert result.f1 == pytest.approx(2 / 3)
    only_good = _summarised(_judged("good", 0.5), {})
    assert (only_good.f1, only_good.defect_types, only_good.miss_interval) == (None, {}, (0.0, 1.0))
