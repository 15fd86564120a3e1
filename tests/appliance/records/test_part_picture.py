"""The picture of a part, for people."""

from __future__ import annotations

import numpy as np

from appliance.messages.schema import Region
from appliance.records.part_picture import MARK, draw_part
from tests.appliance.conftest import make_verdict

REJECT = make_verdict(7, verdict="reject", reason="defect", regions=(Region(20, 30, 40, 25, 1000.0, 0.9),))


def test_the_picture_shows_part_map_and_region() -> None:
    part = np.full((100, 200), 90, np.uint8)
    frame_map = np.zeros((64, 64), np.float32)
    frame_map[20:36, 7:19] = 0.9
    picture = draw_part(REJECT, part, (frame_map, (0, 0, 200, 100)))
    height = picture.shape[0] - 100
    assert picture.shape == (height + 100, 400, 3)
    left, right = picture[height:, :200], picture[height:, 200:]
    for panel in (left, right):
        assert tuple(panel[30, 40]) == MARK, "the upper edge of the region's box"
    assert tuple(left[45, 40]) == (90, 90, 90), "inside the box the part is as it is"
    assert tuple(left[5, 5]) == (90, 90, 90)
    assert int(right[45, 40, 0]) - int(right[45, 40, 2]) > 50, "red over blue where the map is high"
    assert (part == 90).all(), "the frame itself is not drawn on"


def test_without_a_map_the_part_stands_alone_and_a_template_beside_it() -> None:
    part, template = np.full((100, 200, 3), 90, np.uint8), np.full((50, 100), 30, np.uint8)
    assert draw_part(REJECT, part, None).shape[1] == 200
    picture = draw_part(REJECT, part, None, template)
    assert picture.shape[1] == 400
    assert (picture[-100:, 200:] == 30).all()
