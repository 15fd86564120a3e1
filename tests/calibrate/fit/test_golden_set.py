"""Golden samples: read, checked by name, brought to one size, and split by seed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibrate.fit.golden_set import read_golden
from engines.common.errors import ImageError, RecipeError
from engines.pictures.geometry import Geometry
from engines.pictures.images import png_bytes
from engines.recipe.bundle import Manifest, Recipe
from engines.recipe.golden_samples import read_samples


def _fill(folder: Path, count: int, height: int = 24, width: int = 32) -> None:
    draw = np.random.default_rng(count)
    for i in range(count):
        picture = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        (folder / f"{i:03d}.png").write_bytes(png_bytes(picture))


def _read(folder: Path, seed: int = 0, skip_damaged: bool = False) -> tuple[list[str], list[str], list[str]]:
    """Names, held-out names, and what was said."""
    said: list[str] = []
    golden = read_golden(folder, seed, skip_damaged, said.append)
    assert len(golden.images) == len(golden.samples)
    assert sorted(golden.fitted + golden.held_out) == list(range(len(golden.samples)))
    return [one.name for one in golden.samples], [golden.samples[i].name for i in golden.held_out], said


def test_fewer_than_ten_are_refused_with_their_number(tmp_path: Path) -> None:
    _fill(tmp_path, 9)
    with pytest.raises(ImageError, match="9 usable golden samples, at least 10 are needed"):
        _read(tmp_path)
    _fill(tmp_path, 10)
    assert len(_read(tmp_path)[0]) == 10


@pytest.mark.parametrize(("count", "held_out"), [(10, 3), (14, 4), (20, 6), (43, 10), (60, 12)])
def test_a_fifth_is_held_out_or_of_few_ten_drawn_by_seed(tmp_path: Path, count: int, held_out: int) -> None:
    _fill(tmp_path, count, 8, 8)
    first = _read(tmp_path, seed=1)[1]
    assert len(first) == held_out
    assert _read(tmp_path, seed=1)[1] == first
    assert len({tuple(_read(tmp_path, seed=seed)[1]) for seed in range(6)}) > 1


def test_neighbours_are_held_out_together(tmp_path: Path) -> None:
    _fill(tmp_path, 100, 8, 8)
    held_out = sorted(int(Path(name).stem) for name in _read(tmp_path)[1])
    runs = np.split(held_out, np.flatnonzero(np.diff(held_out) > 1) + 1)
    assert len(held_out) == 20
    assert len(runs) <= 4
    assert min(len(run) for run in runs) >= 5


def test_copies_count_once_even_when_saved_anew(tmp_path: Path) -> None:
    _fill(tmp_path, 12)
    for i in range(12):  # the same pixels in another file format
        cv2.imwrite(str(tmp_path / f"{i:03d}.bmp"), cv2.imread(str(tmp_path / f"{i:03d}.png")))
    names, _, said = _read(tmp_path)
    assert names == [f"{i:03d}.bmp" for i in range(12)]
    assert said == ["copies of other golden samples are left out: 000.png of 000.bmp and 11 more"]


def test_the_template_that_was_asked_for_is_never_held_out(tmp_path: Path) -> None:
    _fill(tmp_path, 20)
    _, held_out, _ = _read(tmp_path)
    golden = read_golden(tmp_path, 0, False, pytest.fail, held_out[0])
    assert [golden.samples[i].name for i in golden.held_out] == held_out[1:]


def test_names_and_digests_are_the_files(tmp_path: Path) -> None:
    _fill(tmp_path, 11)
    samples = read_golden(tmp_path, 0, False, pytest.fail).samples
    assert len(samples) == 11
    for sample in samples:
        assert sample.sha256 == hashlib.sha256((tmp_path / sample.name).read_bytes()).hexdigest()


def test_a_damaged_file_stops_the_reading_by_name(tmp_path: Path) -> None:
    _fill(tmp_path, 12)
    whole = (tmp_path / "004.png").read_bytes()
    (tmp_path / "004.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "007.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"004\.png: damaged .*and 1 more such files.*--skip-damaged"):
        _read(tmp_path)


def test_damaged_files_are_left_out_and_named_when_asked(tmp_path: Path) -> None:
    _fill(tmp_path, 13)
    (tmp_path / "004.png").write_bytes((tmp_path / "004.png").read_bytes()[:99])
    (tmp_path / "007.png").write_text("no picture")
    (tmp_path / "009.png").unlink()
    (tmp_path / "009.png").symlink_to(tmp_path / "gone.png")
    names, _, said = _read(tmp_path, skip_damaged=True)
    assert len(names) == 10
    assert not {"004.png", "007.png", "009.png"} & set(names)
    assert [line.split(": ")[:2] for line in said] == [["skipped", str(tmp_path / f"00{i}.png")] for i in (4, 7, 9)]


def test_files_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    _fill(tmp_path, 12)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match=r"folder\.png: cannot be read"):
        _read(tmp_path)


def test_too_few_are_left_when_damaged_ones_are_skipped(tmp_path: Path) -> None:
    _fill(tmp_path, 10)
    (tmp_path / "000.png").write_text("no picture")
    with pytest.raises(ImageError, match="9 usable"):
        _read(tmp_path, skip_damaged=True)


def test_other_endings_are_not_looked_at(tmp_path: Path) -> None:
    _fill(tmp_path, 10)
    (tmp_path / "notes.txt").write_text("shift 2")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "picture.raw").write_bytes(b"\0" * 100)
    names, _, said = _read(tmp_path)
    assert len(names) == 10
    assert not said


def test_pictures_of_another_size_are_resized_and_that_is_said(tmp_path: Path) -> None:
    _fill(tmp_path, 12)
    for name, grey in (("002.png", 66), ("005.png", 77)):
        (tmp_path / name).write_bytes(png_bytes(np.full((30, 60, 3), grey, np.uint8)))
    said: list[str] = []
    golden = read_golden(tmp_path, 0, False, said.append)
    assert {image.shape[:2] for image in golden.images} == {(24, 32)}
    assert said == ["2 of 12 pictures are resized to 32 x 24 pixels, the most frequent size"]
    assert (golden.images[5] == 77).all()


@pytest.mark.parametrize("saved_as_rgb", [False, True])
def test_some_grey_ones_among_colour_are_refused_by_name(tmp_path: Path, saved_as_rgb: bool) -> None:
    _fill(tmp_path, 60)
    for i in range(0, 60, 3):
        grey = np.asarray(cv2.imread(str(tmp_path / f"{i:03d}.png"), cv2.IMREAD_GRAYSCALE), np.uint8)
        content = np.stack([grey] * 3, axis=2) if saved_as_rgb else grey
        (tmp_path / f"{i:03d}.png").write_bytes(png_bytes(content))
    told = r"20 of 60 golden samples are grey, the others in colour: 000\.png, 003\.png, 006\.png and 17 more; move out"
    with pytest.raises(ImageError, match=told) as caught:
        _read(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: ")
    assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match=told):
        _read(tmp_path, skip_damaged=True)  # they are not damaged


def test_one_in_colour_among_grey_ones_is_refused_by_name(tmp_path: Path) -> None:
    for i in range(12):
        (tmp_path / f"{i:03d}.png").write_bytes(png_bytes(np.random.default_rng(i).integers(0, 256, (24, 32), np.uint8)))
    assert read_golden(tmp_path, 0, False, pytest.fail).channels == 1
    (tmp_path / "005.png").write_bytes(png_bytes(np.random.default_rng(5).integers(0, 256, (24, 32, 3), np.uint8)))
    with pytest.raises(ImageError, match=r"1 of 12 golden samples are in colour, the others grey: 005\.png; move out"):
        _read(tmp_path)


def test_the_kind_of_golden_samples_is_what_the_camera_gave_and_not_how_they_were_saved(tmp_path: Path) -> None:
    _fill(tmp_path, 12)
    assert read_golden(tmp_path, 0, False, pytest.fail).channels == 3
    for i in range(12):
        grey = np.random.default_rng(i).integers(0, 256, (24, 32), np.uint8)
        (tmp_path / f"{i:03d}.png").write_bytes(png_bytes(np.stack([grey] * 3, axis=2) if i % 2 else grey))
    assert read_golden(tmp_path, 0, False, pytest.fail).channels == 1


@pytest.fixture
def manifest(tmp_path: Path, recipe: Recipe) -> Manifest:
    """A manifest whose golden samples are those in `tmp_path`."""
    _fill(tmp_path, 15)
    golden = read_golden(tmp_path, 3, False, pytest.fail)
    fields = {name: getattr(recipe.manifest, name) for name in recipe.manifest.__struct_fields__}
    return Manifest(**fields | {"golden": golden.samples, "geometry": Geometry((32, 24), (0, 0, 32, 24))})


def test_held_out_samples_are_found_again(tmp_path: Path, manifest: Manifest) -> None:
    golden = read_golden(tmp_path, 3, False, pytest.fail)
    again = read_samples(tmp_path, manifest, held_out=True)
    assert len(again) == 5
    for image, i in zip(again, golden.held_out, strict=True):
        np.testing.assert_array_equal(image, golden.images[i])


def test_a_missing_or_changed_held_out_sample_is_refused_by_name(tmp_path: Path, manifest: Manifest) -> None:
    name = next(sample.name for sample in manifest.golden if sample.held_out)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(png_bytes(np.zeros((24, 32, 3), np.uint8)))
    with pytest.raises(RecipeError, match=f"{name}: this golden sample has changed since the fit"):
        read_samples(tmp_path, manifest, held_out=True)
    (tmp_path / name).unlink()
    with pytest.raises(RecipeError, match=f"{name}: this golden sample is missing.*--golden"):
        read_samples(tmp_path, manifest, held_out=True)
    (tmp_path / name).write_bytes(content)
    fitted = next(sample.name for sample in manifest.golden if not sample.held_out)
    (tmp_path / fitted).unlink()  # the fitted ones are not needed any more
    assert len(read_samples(tmp_path, manifest, held_out=True)) == 5
