"""Evaluation sets: what each layout holds, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calibrate.evaluation.datasets import GOOD, Category, find_categories, read_masks
from engines.common.errors import ImageError, RecipeError
from engines.pictures.images import png_bytes


def _picture(file: Path, content: np.ndarray | None = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(png_bytes(np.zeros((8, 12), np.uint8) if content is None else content))
    return file


def _mask(rows: int, value: int = 255) -> np.ndarray:
    mask = np.zeros((8, 12), np.uint8)
    mask[:rows] = value
    return mask


def _mvtec(folder: Path) -> Path:
    for name in ("000.png", "001.png", "notes.txt"):
        _picture(folder / "train" / GOOD / name)
    _picture(folder / "test" / GOOD / "000.png")
    for name in ("000.png", "001.jpg"):
        _picture(folder / "test" / "scratch" / name)
    _picture(folder / "test" / "dent" / "000.png")
    (folder / "test" / "readme.txt").write_text("no kind of defect")
    _picture(folder / "ground_truth" / "scratch" / "000_mask.png", _mask(2))
    _picture(folder / "ground_truth" / "dent" / "000_mask.png", _mask(4, value=1))
    return folder


def _short(category: Category) -> list[tuple[str, str, int]]:
    return [(picture.file.name, picture.kind, len(picture.masks)) for picture in category.test]


def test_mvtec_ad_by_category_or_all_of_them(tmp_path: Path) -> None:
    _mvtec(tmp_path / "bottle")
    _mvtec(tmp_path / "grid")
    (tmp_path / "papers").mkdir()
    whole = find_categories(tmp_path)
    assert [category.name for category in whole] == ["bottle", "grid"]
    (bottle,) = find_categories(tmp_path / "bottle")
    assert bottle == whole[0]
    assert [file.name for file in bottle.train] == ["000.png", "001.png"]
    assert _short(bottle) == [
        ("000.png", "dent", 1),
        ("000.png", GOOD, 0),
        ("000.png", "scratch", 1),
        ("001.jpg", "scratch", 0),
    ]
    assert [picture.marked for picture in bottle.test] == [True, True, True, False], "one defect has no mask: not all is good"


def test_a_mask_is_true_where_it_is_not_zero_at_the_size_asked_for(tmp_path: Path) -> None:
    (bottle,) = find_categories(_mvtec(tmp_path / "bottle"))
    dent, good = bottle.test[0], bottle.test[1]
    ((mask, saturation),) = read_masks(bottle, dent, 16, 24)
    assert saturation is None
    assert (mask.shape, mask.dtype) == ((16, 24), bool)
    np.testing.assert_array_equal(mask.all(axis=1), np.arange(16) < 8)
    assert read_masks(bottle, good, 16, 24) == []


def test_mvtec_loco_has_validation_pictures_several_masks_and_saturations(tmp_path: Path) -> None:
    folder = _mvtec(tmp_path / "juice_bottle")
    _picture(folder / "validation" / GOOD / "000.png")
    _picture(folder / "test" / "logical_anomalies" / "000.png")
    truth = folder / "ground_truth" / "logical_anomalies" / "000"
    for i, (rows, value) in enumerate([(2, 255), (4, 254), (1, 253)]):
        _picture(truth / f"{i:03d}.png", _mask(rows, value))
    config = [
        {"defect_name": "missing", "pixel_value": 255, "saturation_threshold": 10, "relative_saturation": False},
        {"defect_name": "wrong_fill", "pixel_value": 254, "saturation_threshold": 0.5, "relative_saturation": True},
        {"defect_name": "small", "pixel_value": 253, "saturation_threshold": 100, "relative_saturation": False},
    ]
    (folder / "defects_config.json").write_text(json.dumps(config))
    (category,) = find_categories(folder)
    assert [file.relative_to(folder).as_posix() for file in category.train] == [
        "train/good/000.png",
        "train/good/001.png",
        "validation/good/000.png",
    ]
    picture = next(picture for picture in category.test if picture.kind == "logical_anomalies")
    assert [saturation for _, saturation in read_masks(category, picture, 8, 12)] == [10, 24, 12]
    assert [saturation for _, saturation in read_masks(category, picture, 16, 24)] == [40, 96, 48], "4 times the pixels"
    _picture(truth / "000.png", _mask(2, 99))
    with pytest.raises(ImageError, match=r"000/000\.png: defects_config\.json knows no defect of the value 99"):
        read_masks(category, picture, 8, 12)
    (folder / "defects_config.json").write_text('[{"pixel_value": "x"}]')
    with pytest.raises(RecipeError, match=r"defects_config\.json: Expected `int`, got `str`"):
        find_categories(folder)


def test_visa_goes_by_its_list(tmp_path: Path) -> None:
    (tmp_path / "split_csv").mkdir()
    split = tmp_path / "split_csv" / "1cls.csv"
    split.write_text(
        "\ufeffobject,split,label,image,mask\n"
        "pcb1,train,normal,pcb1/Data/Images/Normal/0001.JPG,\n"
        "pcb1,test,normal,pcb1/Data/Images/Normal/0002.JPG,\n"
        "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\n"
        "candle,test,normal,candle/Data/Images/Normal/0007.JPG,\n"
        "candle,train,normal,candle/Data/Images/Normal/0001.JPG,\n"
        "candle,train,normal,candle/Data/Images/Normal/0000.JPG,\n",
        encoding="utf-8",
    )
    candle, pcb1 = find_categories(tmp_path)
    assert (candle.name, pcb1.name) == ("candle", "pcb1")
    assert candle.train == tuple(tmp_path / f"candle/Data/Images/Normal/000{i}.JPG" for i in (1, 0))
    assert _short(candle) == [("000.JPG", "anomaly", 1), ("0007.JPG", GOOD, 0)]
    assert (len(pcb1.train), _short(pcb1)) == (1, [("0002.JPG", GOOD, 0)])
    _picture(candle.test[0].masks[0], _mask(3, value=2))
    ((mask, _),) = read_masks(candle, candle.test[0], 8, 12)
    assert mask.sum() == 36
    split.write_text("object,split,label,image,mask\na,train,normal,a/0.JPG,\n")
    with pytest.raises(ImageError, match=r"1cls\.csv: no pictures to fit on, or none to test, of a;"):
        find_categories(tmp_path)
    split.write_text("object,split\ncandle,train\n")
    with pytest.raises(ImageError, match=r"1cls\.csv: needs rows with the columns image, label, mask, object, split"):
        find_categories(tmp_path)


def test_what_is_no_set_is_refused(tmp_path: Path) -> None:
    for data in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ImageError, match="no evaluation set there; known are"):
            find_categories(data)
    _picture(tmp_path / "a" / "train" / GOOD / "000.png")
    with pytest.raises(ImageError, match="a: needs train/good and test"):
        find_categories(tmp_path)
    (tmp_path / "a" / "test" / GOOD).mkdir(parents=True)
    with pytest.raises(ImageError, match="no labelled picture"):
        find_categories(tmp_path)


def test_a_missing_or_damaged_mask_is_named(tmp_path: Path) -> None:
    (bottle,) = find_categories(_mvtec(tmp_path / "bottle"))
    bottle.test[0].masks[0].write_text("no picture")
    with pytest.raises(ImageError, match=r"000_mask\.png: not an image"):
        read_masks(bottle, bottle.test[0], 8, 12)
    bottle.test[2].masks[0].unlink()
    with pytest.raises(ImageError, match=r"000_mask\.png: cannot be read"):
        read_masks(bottle, bottle.test[2], 8, 12)
