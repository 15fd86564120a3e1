"""Labelled pictures to evaluate on, in the layouts of public sets: MVTec AD's folders, MVTec LOCO AD's, VisA's."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import msgspec
import numpy as np

from calibrate.evaluation.measures import Masks
from engines.common.errors import ImageError
from engines.common.files import decode_json
from engines.pictures.geometry import Pixels
from engines.pictures.images import list_images, read_image

GOOD = "good"
VISA_SPLIT = Path("split_csv") / "1cls.csv"
VISA_COLUMNS = frozenset({"object", "split", "label", "image", "mask"})
LOCO_CONFIG = "defects_config.json"


class Saturation(msgspec.Struct, frozen=True):
    """One line of MVTec LOCO's defects_config.json: how much of a defect must be found for it to count as found whole."""

    defect_name: str
    pixel_value: int  # of its masks
    saturation_threshold: float  # pixels, or a share of the area
    relative_saturation: bool

    def pixels(self, area: int) -> float:
        """How many pixels of a mask of this area saturate it; as the set's own evaluation code has it."""
        threshold = self.saturation_threshold
        return max(1, int(threshold * area)) if self.relative_saturation else min(threshold, area)


@dataclass(frozen=True)
class TestPicture:
    """A picture with its truth: no defect (`good`), or a kind of defect, with masks where the set has them."""

    __test__ = False  # no test of pytest's

    file: Path
    kind: str
    masks: tuple[Path, ...] = ()

    @property
    def good(self) -> bool:
        """Whether it shows a good part."""
        return self.kind == GOOD

    @property
    def marked(self) -> bool:
        """Whether it is known of each pixel whether it shows a defect."""
        return self.good or bool(self.masks)


@dataclass(frozen=True)
class Category:
    """One product: good pictures to fit on, labelled ones to evaluate on."""

    name: str
    folder: Path
    train: tuple[Path, ...]
    test: tuple[TestPicture, ...]
    saturations: Mapping[int, Saturation] = field(default_factory=dict)  # by pixel value; empty but in MVTec LOCO AD


def find_categories(data: Path) -> list[Category]:
    """All categories in a folder, or the one that it is. Raises ImageError that says which layouts are known."""
    if (data / VISA_SPLIT).is_file():
        return _visa(data)
    folders = [data] if (data / "train").is_dir() else sorted(path.parent for path in data.glob("*/train") if path.is_dir())
    if not folders:
        raise ImageError(
            f"{data}: no evaluation set there; known are folders with train/good and test/KIND (MVTec AD, MVTec LOCO AD), "
            f"and VisA's with {VISA_SPLIT}"
        )
    return [_mvtec(folder) for folder in folders]


def read_masks(category: Category, picture: TestPicture, height: int, width: int) -> Masks:
    """A picture's masks at this size (H, W), each with the pixels of this size that saturate it, None but in MVTec LOCO AD."""
    masks = []
    for file in picture.masks:
        content = read_image(file)
        content = content if content.ndim == 2 else content.max(axis=2)
        scaled = np.asarray(cv2.resize(content, (width, height), interpolation=cv2.INTER_NEAREST)) > 0
        saturation = _saturation(category, file, content)
        masks.append((scaled, None if saturation is None else saturation * scaled.size / content.size))
    return masks


def _saturation(category: Category, file: Path, mask: Pixels) -> float | None:
    if not category.saturations:
        return None
    value = int(mask.max())  # a mask has one value besides 0, which tells the defect
    if value not in category.saturations:
        raise ImageError(f"{file}: {LOCO_CONFIG} knows no defect of the value {value}; restore both from the set")
    return category.saturations[value].pixels(int((mask > 0).sum()))


def _mvtec(folder: Path) -> Category:
    train, test = folder / "train" / GOOD, folder / "test"
    if not train.is_dir() or not test.is_dir():
        raise ImageError(f"{folder}: needs train/{GOOD} and test; give a folder that has both")
    config, more = folder / LOCO_CONFIG, folder / "validation" / GOOD
    saturations = decode_json(config.read_bytes(), list[Saturation], config) if config.is_file() else []
    pictures = [
        TestPicture(file, kind.name, () if kind.name == GOOD else _masks(folder / "ground_truth" / kind.name, file))
        for kind in sorted(test.iterdir())
        if kind.is_dir()
        for file in list_images(kind)
    ]
    if not pictures:
        raise ImageError(f"{test}: no labelled picture in its folders; they are {GOOD} and one for each kind of defect")
    fitted = [*list_images(train), *(list_images(more) if more.is_dir() else [])]
    by_value = {one.pixel_value: one for one in saturations}
    return Category(folder.absolute().name, folder, tuple(fitted), tuple(pictures), by_value)


def _masks(truth: Path, picture: Path) -> tuple[Path, ...]:
    """One file in MVTec AD, a folder with a file for each defect in MVTec LOCO AD; none where the set has no mask of it."""
    single = truth / f"{picture.stem}_mask.png"
    return (single,) if single.is_file() else tuple(sorted((truth / picture.stem).glob("*.png")))


def _visa(data: Path) -> list[Category]:
    file = data / VISA_SPLIT
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
    if not rows or not set(reader.fieldnames or ()) >= VISA_COLUMNS:
        raise ImageError(f"{file}: needs rows with the columns {', '.join(sorted(VISA_COLUMNS))}; restore it from the set")
    by_name: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_name.setdefault(row["object"], []).append(row)
    categories = [
        Category(
            name,
            data / name,
            tuple(data / row["image"] for row in own if row["split"] == "train"),
            tuple(
                TestPicture(
                    data / row["image"],
                    GOOD if row["label"] == "normal" else row["label"],
                    (data / row["mask"],) if row["mask"] else (),
                )
                for row in own
                if row["split"] == "test"
            ),
        )
        for name, own in sorted(by_name.items())
    ]
    if incomplete := [category.name for category in categories if not (category.train and category.test)]:
        raise ImageError(f"{file}: no pictures to fit on, or none to test, of {', '.join(incomplete)}; restore it from the set")
    return categories
