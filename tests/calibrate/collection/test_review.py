"""Review of a golden set: what does not belong comes first, before any fit; and goes aside only when it is asked to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from calibrate.cli.collect import review
from calibrate.collection.review import LIMIT, Review, Reviewed, deviations, review_folder, robust_z
from calibrate.collection.review_sheet import heat, thumbnail_of
from calibrate.collection.set_aside import set_aside
from engines.common.errors import ConfigError, ImageError
from engines.pictures.geometry import Geometry
from engines.pictures.images import list_images, png_bytes, read_image
from tests.appliance.conftest import save_noise
from tests.virtual_line.product import render

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory, golden_folder: Path) -> Path:
    """The golden samples, a part with a stain, a blurred picture, the same part twice, and a damaged file. Read-only."""
    folder = tmp_path_factory.mktemp("spoilt") / "golden"
    shutil.copytree(golden_folder, folder)
    (folder / "stain.png").write_bytes(png_bytes(render(700, "stain").image))
    good = read_image(folder / "004.png")
    (folder / "soft.png").write_bytes(png_bytes(np.asarray(cv2.GaussianBlur(good, (0, 0), 2.5), np.uint8)))
    again = np.clip(good + np.random.default_rng(1).normal(0, 2, good.shape), 0, 255).astype(np.uint8)
    (folder / "twice.png").write_bytes(png_bytes(again))
    (folder / "torn.png").write_bytes((folder / "000.png").read_bytes()[:5000])
    return folder


@pytest.fixture(scope="module")
def reviewed(spoilt: Path) -> Review:
    return review_folder(spoilt, None, lambda _done, _all: None)


def test_what_does_not_belong_comes_first(reviewed: Review) -> None:
    assert reviewed.pictures[0].name == "torn.png"
    assert "damaged image" in reviewed.pictures[0].note
    assert {one.name for one in reviewed.pictures[1:3]} == {"stain.png", "soft.png"}
    assert [one.name for one in reviewed.pictures if one.marked][:3] == [one.name for one in reviewed.pictures[:3]]
    assert len(reviewed.pictures) == 18
    scores = [one.score for one in reviewed.pictures[1:]]
    assert scores == sorted(scores, reverse=True)


def test_a_picture_of_the_other_kind_than_the_recipes_is_named_and_not_measured(golden_folder: Path, tmp_path: Path) -> None:
    for file in sorted(golden_folder.iterdir())[:6]:
        shutil.copy(file, tmp_path)
    grey = np.asarray(cv2.cvtColor(read_image(tmp_path / "003.png"), cv2.COLOR_RGB2GRAY), np.uint8)
    (tmp_path / "003.png").write_bytes(png_bytes(grey))
    colour = Geometry((512, 512), (0, 0, 512, 512), channels=3)
    first, *others = review_folder(tmp_path, colour, lambda _done, _all: None).pictures
    assert (first.name, np.isnan(first.score)) == ("003.png", True)
    assert first.note.startswith("the picture is grey, the recipe was made from pictures in colour")
    assert np.isfinite([one.score for one in others]).all()


def test_notes_tell_of_blur_and_of_a_part_seen_twice(reviewed: Review) -> None:
    notes = {one.name: one.note for one in reviewed.pictures}
    assert notes["soft.png"].startswith("sharpness 0.")
    assert notes["twice.png"] == "no more than noise apart from 004.png: the same part?"
    assert notes["003.png"] == ""


def test_the_map_shows_where(reviewed: Review) -> None:
    part = render(700, "stain")
    (found,) = reviewed.maps["stain.png"]  # (1, h, w)
    row, column = np.unravel_index(int(found.argmax()), found.shape)
    cell = 512 / found.shape[0]
    near = cv2.dilate(part.mask.astype(np.uint8), np.ones((49, 49), np.uint8))
    assert near[int((row + 0.5) * cell), int((column + 0.5) * cell)]


def test_a_recipes_region_is_all_that_counts(tmp_path: Path, golden_folder: Path) -> None:
    for file in list_images(golden_folder)[:6]:
        shutil.copy(file, tmp_path)
    odd = read_image(tmp_path / "005.png")
    odd[:60, :60] = (255, 0, 0)
    (tmp_path / "005.png").write_bytes(png_bytes(odd))
    whole = review_folder(tmp_path, None, lambda _done, _all: None)
    assert whole.pictures[0].name == "005.png"
    assert whole.pictures[0].marked
    inside = Geometry((512, 512), (128, 128, 320, 320), rows=1, columns=2, input_side=128)
    steps: list[tuple[int, int]] = []
    part = review_folder(tmp_path, inside, lambda done, total: steps.append((done, total)))
    assert part.maps["005.png"].shape == (2, 16, 16)
    assert next(one for one in part.pictures if one.name == "005.png").z < LIMIT
    assert steps[-1] == (30, 30)


def test_each_is_measured_against_all_but_itself() -> None:
    features = torch.zeros(25, 4, 6, 6)
    features[:, 0] = torch.linspace(0, 0.1, 25)[:, None, None]
    features[3, 1, 2, 4] = 5.0
    found = deviations(features)
    assert found.shape == (25, 6, 6)
    assert int(found.argmax()) == (3 * 6 + 2) * 6 + 4
    two = torch.zeros(80, 4, 6, 6)
    two[:, 0] = torch.linspace(0, 0.1, 80)[:, None, None]
    two[[3, 30], 1, 2, 4] = 5.0  # of 79 others, one with the same fault does not vouch for it
    assert set(deviations(two)[:, 2, 4].topk(2).indices.tolist()) == {3, 30}
    assert float(deviations(two)[3, 2, 4]) > 100
    shifted = torch.zeros(25, 1, 6, 6)
    shifted[:, 0, 2, 2] = 1.0
    shifted[9, 0, 2, 2], shifted[9, 0, 2, 3] = 0.0, 1.0  # a neighbouring place is as good
    assert float(deviations(shifted)[9].max()) == 0


def test_robust_z_is_not_moved_by_what_it_finds() -> None:
    scores = np.exp(np.array([0.0, 0.1, -0.1, 0.05, -0.05, 0.02, 3.0], np.float32))
    z = robust_z(scores)
    assert z[-1] > 20
    assert np.abs(z[:-1]).max() < 2
    assert (robust_z(np.ones(6, np.float32)) == 0).all()
    assert Reviewed("x", float("nan"), float("nan")).marked, "not measured is to be looked at"


def test_too_few_are_refused(tmp_path: Path) -> None:
    save_noise(tmp_path, 4)
    with pytest.raises(ImageError, match="4 pictures can be read, at least 5 are needed"):
        review_folder(tmp_path, None, lambda _done, _all: None)


def test_thumbnails_show_each_picture_beside_its_heat(spoilt: Path, reviewed: Review) -> None:
    torn, first = (thumbnail_of(spoilt, reviewed, one) for one in reviewed.pictures[:2])
    assert torn.marked
    assert first.picture.shape == (300, 604, 3)
    plain, hot = first.picture[:, :300].astype(int), first.picture[:, 304:].astype(int)
    assert 0 < (np.abs(plain - hot).max(axis=2) > 40).mean() < 0.9
    still = np.full((50, 100, 3), 90, np.uint8)
    maps = np.ones((2, 4, 4), np.float32)
    maps[1] = 9
    drawn = heat(still, maps, ((0, 0, 20, 20), (20, 0, 20, 20)), (40, 20))
    assert (drawn[:, :50] == 90).all()
    assert (drawn[:, 50:] != 90).any(axis=2).all()


def test_the_command_lists_writes_and_sets_aside(
    tmp_path: Path, spoilt: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, reviewed: Review
) -> None:
    folder = tmp_path / "golden"
    shutil.copytree(spoilt, folder)
    monkeypatch.setattr("calibrate.collection.review.review_folder", lambda *_: reviewed)  # measured above
    run = {"line": None, "recipe": None, "config_dir": None, "golden": folder, "show": 6}
    review(names=None, json=tmp_path / "list.json", remove_to=None, **run)  # type: ignore[arg-type]
    assert "contact sheet: " in capsys.readouterr().out
    assert len(list_images(folder)) == 18, "nothing was asked for"
    assert (tmp_path / "golden-review-1.png").is_file()
    listed = json.loads((tmp_path / "list.json").read_text())["pictures"]
    assert listed[0] == {"name": "torn.png", "score": None, "z": None, "marked": True, "note": reviewed.pictures[0].note}
    marked = [one["name"] for one in listed if one["marked"]]
    review(names=None, json=None, remove_to=tmp_path / "aside", **run)  # type: ignore[arg-type]
    assert sorted(file.name for file in (tmp_path / "aside").iterdir()) == sorted(marked)
    assert len(list_images(folder)) == 18 - len(marked)
    review(names=["twice.png"], json=None, remove_to=tmp_path / "aside", **run)  # type: ignore[arg-type]
    assert (tmp_path / "aside" / "twice.png").is_file()
    with pytest.raises(ConfigError, match=r"003\.png: what about it\? give --remove-to"):
        review(names=["003.png"], json=None, remove_to=None, **run)  # type: ignore[arg-type]


def test_names_and_notes_are_listed_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names, notes = ("[bold].png", "a[0].png"), ("C:\\", "[/]")
    pictures = tuple(Reviewed(name, np.nan, np.nan, note) for name, note in zip(names, notes, strict=True))
    monkeypatch.setattr("calibrate.collection.review.review_folder", lambda *_: Review(pictures, {}, None))
    monkeypatch.setenv("COLUMNS", "300")
    folder = tmp_path / "[red]"
    folder.mkdir()
    review(names=None, json=None, remove_to=None, line=None, recipe=None, config_dir=None, golden=folder, show=2)
    told = capsys.readouterr().out
    assert f"{folder}: 2 golden samples" in told
    rows = [[cell.strip() for cell in line.split("\u2502")[1:-1]] for line in told.splitlines() if line.startswith("\u2502")]
    assert rows == [["1", names[0], "nan", "nan", notes[0]], ["2", names[1], "nan", "nan", notes[1]]]


def test_files_are_moved_all_or_none_and_never_over_another(tmp_path: Path) -> None:
    folder, to = tmp_path / "golden", tmp_path / "aside"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_text(name)
    for names, message in ((["a.png", "c.png"], "c.png: no such file"), (["../golden/a.png"], "no such file")):
        with pytest.raises(ImageError, match=f"{message}.*nothing was moved"):
            set_aside(folder, names, to)
    to.mkdir()
    (to / "b.png").write_text("another")
    with pytest.raises(ImageError, match=r"b\.png: is there already; nothing was moved"):
        set_aside(folder, ["a.png", "b.png"], to)
    assert sorted(file.name for file in folder.iterdir()) == ["a.png", "b.png"]
    assert set_aside(folder, ["a.png", "a.png"], to) == [to / "a.png"]
    assert (to / "a.png").read_text() == "a.png"
    assert (to / "b.png").read_text() == "another"
