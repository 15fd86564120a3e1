"""The parity gate: what counts as a flipped verdict, and how near a frame is to its limits."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from engines.cli.build import _tell_outcome
from engines.pictures.scores import frame_scores
from engines.proof.parity import Parity, compare
from engines.recipe.bundle import Recipe
from engines.recipe.thresholds import Thresholds
from tests.appliance.conftest import MadeEngine, make_thresholds

SIDE = 256


@pytest.fixture
def thresholds() -> Thresholds:
    return make_thresholds(score="max", score_threshold=2.0, pixel_threshold=1.0, minimum_area=4)


def _map(level: float, side: int) -> np.ndarray:
    frame_map = np.full((SIDE, SIDE), 0.1, np.float32)
    frame_map[4 : 4 + side, 4 : 4 + side] = level
    return frame_map


def _answers(frame_map: np.ndarray, scores: np.ndarray | None = None) -> MadeEngine:
    """An engine that gives this map and these scores for every frame."""

    def act(_call: int, made_map: np.ndarray, made_scores: np.ndarray) -> None:
        made_map[:], made_scores[:] = frame_map, frame_scores(frame_map) if scores is None else scores

    return MadeEngine(act)


def _compared(
    engine: MadeEngine, reference: MadeEngine, thresholds: Thresholds | None, ignored: np.ndarray | None = None
) -> Parity:
    images = [np.zeros((512, 512, 3), np.uint8)]
    return compare(engine, reference, "int8", engine.geometry, thresholds, ignored, images, lambda _done, _total: None)


def test_a_flip_beside_what_the_ignore_mask_leaves_out_is_seen(thresholds: Thresholds) -> None:
    ignored = np.zeros((SIDE, SIDE), np.bool_)
    ignored[20:, 20:] = True
    good, bad = _map(0.9, 6), _map(1.15, 6)
    for frame_map in (good, bad):
        frame_map[ignored] = 50.0  # a fixture that moves: both would reject every frame for it
    assert _compared(_answers(good), _answers(bad), thresholds, ignored).flips == 1
    assert _compared(_answers(bad), _answers(bad), thresholds, ignored).passed
    assert _compared(_answers(good), _answers(bad), thresholds).flips == 0, "without the mask nothing is seen"


def test_a_flip_near_a_threshold_is_no_fault_but_told(thresholds: Thresholds) -> None:
    found = _compared(_answers(_map(0.97, 6)), _answers(_map(1.03, 6)), thresholds)
    assert (found.flips, found.flips_in_band, found.passed) == (0, 1, True)
    assert found.thresholds_digest == thresholds.digest


@pytest.mark.parametrize("wrong", [np.full(3, 89, np.float32), np.full(3, np.nan, np.float32)])
def test_scores_that_are_wrong_beside_a_map_that_is_right_do_not_pass(wrong: np.ndarray) -> None:
    right = _answers(_map(0.9, 6))
    assert _compared(right, right, None).passed
    assert not _compared(_answers(_map(0.9, 6), wrong), right, None).passed


def test_a_precision_that_is_not_faster_than_float32_is_told(recipe: Recipe, capfd: pytest.CaptureFixture[str]) -> None:
    right = _answers(_map(0.9, 6))
    images = [np.zeros((512, 512, 3), np.uint8)]
    found = compare(right, right, "bfloat16", right.geometry, None, None, images, lambda _done, _total: None, right)
    assert found.float32_latency_ms is not None
    alone = _compared(right, right, None)
    assert (alone.float32_latency_ms, alone.slow) == (None, False)
    for latency, slow in ((847.0, True), (14.0, False)):
        parity = msgspec.structs.replace(found, latency_ms=latency, float32_latency_ms=31.0)
        assert parity.slow is slow
        _tell_outcome(recipe, "openvino", "bfloat16", parity)
        told = capfd.readouterr().out
        assert f"one frame: {latency} ms, openvino float32 31.0 ms, reference" in told
        assert ("bfloat16 is not faster here than float32, which is exact: run openvino float32" in told) is slow
