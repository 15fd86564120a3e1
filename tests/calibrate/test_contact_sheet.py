"""Contact sheets: every picture in its place and shape, labels that fit, the worst mistakes with their maps."""

from __future__ import annotations

import numpy as np

from calibrate.evaluation.contact_sheet import GAP, NARROWEST, PAPER, TEXT, Section, Thumbnail, contact_sheet, reduced
from calibrate.evaluation.worst import TRUTH, beside

COLOURS = ((200, 0, 0), (0, 150, 0), (0, 0, 250), (120, 120, 0), (0, 120, 120))


def _plain(height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def _box(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((sheet == colour).all(axis=2))
    return int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def test_every_thumbnail_is_on_the_sheet_in_rows() -> None:
    thumbnails = [Thumbnail(_plain(300, 600, colour), f"part {i}") for i, colour in enumerate(COLOURS)]
    sheet = contact_sheet([Section("golden samples", thumbnails)], side=100, width=500)
    boxes = [_box(sheet, colour) for colour in COLOURS]
    assert {box[2:] for box in boxes} == {(141, 70)}, "the area of a square of 100, twice as wide as high"
    assert [box[0] for box in boxes] == [GAP, 2 * GAP + 141, 3 * GAP + 282, GAP, 2 * GAP + 141]
    assert boxes[0][1] == boxes[2][1] < boxes[3][1]
    assert sheet.shape[1] == 500
    below = sheet[boxes[0][1] + 70 : boxes[3][1], GAP : GAP + 141]
    assert (below != PAPER).any(), "the label"


def test_sections_stand_below_each_other_and_may_be_empty() -> None:
    one = Thumbnail(np.full((40, 20), 77, np.uint8), "grey and small")
    sheet = contact_sheet([Section("first", [one]), Section("nothing"), Section("last", [one])])
    rows = np.nonzero((sheet == 77).all(axis=2).any(axis=1))[0]
    assert len(rows) == 80, "small pictures stay as they are"
    alone = contact_sheet([Section("nothing")])
    assert (alone != PAPER).any()
    assert alone.shape[0] < 80


def test_narrow_and_wide_thumbnails_take_the_room_they_need() -> None:
    shapes = ((200, 50), (50, 200), (100, 100), (100, 100))
    thumbnails = [Thumbnail(_plain(*shape, colour), "part") for shape, colour in zip(shapes, COLOURS, strict=False)]
    sheet = contact_sheet([Section("parts", thumbnails)], side=100, width=450)
    boxes = [_box(sheet, colour) for colour in COLOURS[:4]]
    assert [box[0] for box in boxes] == [GAP, 2 * GAP + NARROWEST, 3 * GAP + NARROWEST + 200, GAP]
    assert boxes[0][1] == boxes[1][1] == boxes[2][1] == boxes[3][1] - 200 - 2 * TEXT - GAP // 2


def test_a_label_is_never_wider_than_its_cell() -> None:
    long = Thumbnail(_plain(100, 100, COLOURS[0]), "a/very/long/name/" * 9 + "000.png")
    sheet = contact_sheet([Section("h" * 500, [long])], side=100, width=400)
    ink = np.nonzero((sheet != PAPER).any(axis=2))
    x, y, width, height = _box(sheet, COLOURS[0])
    assert ink[1].max() < 400 - GAP + 1
    label = np.nonzero((sheet[y + height :] != PAPER).any(axis=2))[1]
    assert x <= label.min() < label.max() < x + width


def test_a_picture_wider_than_the_sheet_makes_it_wider() -> None:
    sheet = contact_sheet([Section("strip", [Thumbnail(_plain(4, 900, COLOURS[1]), "strip")])], side=100, width=200)
    assert _box(sheet, COLOURS[1])[2:] == (900, 4)


def test_reduced_keeps_the_shape_and_never_enlarges() -> None:
    assert reduced(_plain(1000, 2500, COLOURS[0]), 100).shape == (63, 158, 3)
    small = _plain(10, 20, COLOURS[0])
    assert reduced(small, 100) is small


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
