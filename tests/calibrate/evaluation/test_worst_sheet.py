"""The worst mistakes of an evaluation with their maps."""

from __future__ import annotations

import numpy as np

from calibrate.evaluation.worst_sheet import TRUTH, beside


def _box(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((sheet == colour).all(axis=2))
    return int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def test_a_picture_stands_beside_its_map_with_the_truth_on_both() -> None:
    frame_map = np.zeros((64, 64), np.float32)
    frame_map[:, 32:] = 3.0  # more than twice the threshold
    truth = np.zeros((400, 300), bool)
    truth[100:200, 150:250] = True
    pair = beside(np.full((400, 300), 128, np.uint8), frame_map, truth, pixel_threshold=1.0)
    height, width = pair.shape[:2]
    left, right = pair[:, : width // 2], pair[:, width // 2 :]
    assert abs(height / (width / 2) - 4 / 3) < 0.02
    for panel in (left, right):
        x, y, across, down = _box(panel, TRUTH)
        assert abs(x / panel.shape[1] - 0.5) < 0.02
        assert abs(y / height - 0.25) < 0.02
        assert abs(across / panel.shape[1] - 1 / 3) < 0.05
        assert abs(down / height - 0.25) < 0.05
    assert (left[0, 0] == 128).all()
    assert (right[0, 0] == 128).all(), "bare where the map is low"
    assert right[0, -1].argmax() == 0, "red where it is twice the threshold"
    faint = beside(np.full((400, 300), 128, np.uint8), frame_map / 3, truth, pixel_threshold=1.0)
    assert faint[0, -1].argmax() == 1, "green at the threshold"
