"""Pictures of rejects: written aside of the line, limited in number, and never a reason to stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from appliance.messages import Region
from appliance.notices import Notice
from appliance.pictures import MARK, WAITING, PictureWriter, draw_reject
from appliance.running import RunningLine
from engines.geometry import Geometry
from engines.images import read_image
from engines.recipe import Recipe
from engines.templates import Templates
from tests.appliance.conftest import Floats, MadeEngine, MakeLine, inspect_all, make_verdict, verdicts_of, wait_for

GEOMETRY = Geometry(frame=(200, 100), region=(0, 0, 200, 100), input_side=64)
NONE = Templates(())
REJECT = make_verdict(7, verdict="reject", reason="defect", regions=(Region(20, 30, 40, 25, 1000.0, 0.9),))


@pytest.fixture
def all_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that finds every part all defect."""

    def act(_call: int, frame_map: Floats, scores: Floats) -> None:
        frame_map.fill(1e6)
        scores.fill(1e6)

    monkeypatch.setattr("appliance.loaded.load_engine", lambda *_: MadeEngine(act))


@pytest.mark.usefixtures("all_defect")
def test_each_reject_of_a_line_gets_its_picture(tmp_path: Path, make_line: MakeLine, recipe: Recipe) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    verdicts = verdicts_of(inspect_all(make_line(recipe=recipe.folder, pictures={"folder": str(folder)}), parts=3))
    assert [verdict.reason for verdict in verdicts] == ["defect"] * 3
    expected = [f"3-{verdict.epoch}-{verdict.seq:08d}-defect.png" for verdict in verdicts]
    assert sorted(file.name for file in folder.iterdir()) == expected
    height, width, _ = read_image(folder / expected[0]).shape
    assert width == 3 * 512, "part, map and template side by side"
    assert height > 512, "with a line of text"


@pytest.mark.usefixtures("all_defect")
@pytest.mark.parametrize("place", ["a file is there", "/proc/self"])
def test_a_folder_that_cannot_be_written_only_warns(
    tmp_path: Path, make_line: MakeLine, recipe: Recipe, parts_folder: Path, place: str
) -> None:
    if not place.startswith("/"):
        (tmp_path / "lines").mkdir()
        (tmp_path / "lines" / place).write_text("in the way")
    camera = {"kind": "replay", "source": str(parts_folder), "rate": 0, "loop": True}
    running = RunningLine(make_line(recipe=recipe.folder, camera=camera, pictures={"folder": place}))

    def warnings() -> list[str]:
        return [event.text for event in list(running.events) if isinstance(event, Notice)]

    try:
        running.start()
        wait_for(warnings, "the warning")
        so_far = len(verdicts_of(list(running.events)))
        wait_for(lambda: len(verdicts_of(list(running.events))) > so_far, "verdicts after the warning")
    finally:
        running.close()
    assert all(text.startswith("pictures of rejects are not written: ") for text in warnings())
    assert all(verdict.reason in ("defect", "stopping") for verdict in verdicts_of(list(running.events)))


def test_only_the_newest_pictures_are_kept(tmp_path: Path) -> None:
    writer = PictureWriter(tmp_path, 2, lambda text: pytest.fail(text))
    for seq in range(1, 5):
        writer.offer(make_verdict(seq, verdict="reject", reason="late"), np.zeros((100, 200), np.uint8), None, GEOMETRY, NONE)
        wait_for(lambda seq=seq: (tmp_path / f"3-1-{seq:08d}-late.png").exists(), f"picture {seq}")  # type: ignore[misc]
    writer.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["3-1-00000003-late.png", "3-1-00000004-late.png"]


def test_pictures_beyond_the_queue_are_left_out_and_counted(tmp_path: Path) -> None:
    writer = PictureWriter(tmp_path, 1_000, lambda text: pytest.fail(text))
    image, offered = np.zeros((1_000, 2_000, 3), np.uint8), 5 * WAITING
    for seq in range(1, offered + 1):
        writer.offer(make_verdict(seq, verdict="reject", reason="late"), image, None, GEOMETRY, NONE)
    writer.close()
    assert writer.left_out > 0
    assert len(list(tmp_path.iterdir())) == offered - writer.left_out


def test_the_picture_shows_part_map_and_region(tmp_path: Path) -> None:
    part = np.full((100, 200), 90, np.uint8)
    frame_map = np.zeros(GEOMETRY.map_shape, np.float32)
    frame_map[20:36, 7:19] = 0.9
    picture = draw_reject(REJECT, part, frame_map, GEOMETRY)
    height = picture.shape[0] - 100
    assert picture.shape == (height + 100, 400, 3)
    left, right = picture[height:, :200], picture[height:, 200:]
    for panel in (left, right):
        assert tuple(panel[30, 40]) == MARK, "the upper edge of the region's box"
    assert tuple(left[45, 40]) == (90, 90, 90), "inside the box the part is as it is"
    assert tuple(left[5, 5]) == (90, 90, 90)
    assert int(right[45, 40, 0]) - int(right[45, 40, 2]) > 50, "red over blue where the map is high"
    assert (part == 90).all(), "the frame itself is not drawn on"
