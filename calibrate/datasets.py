"""Labelled pictures to evaluate on, in the layouts of public sets: MVTec AD's folders, MVTec LOCO AD's, VisA's."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from engines.errors import ImageError
from engines.images import list_images

GOOD = "good"
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Region:
    """One defect's area in one picture, and how many of its pixels must be found for it to count as found whole."""

    file: Path
    saturation: float | None = None  # pixels; None: all of them


@dataclass(frozen=True)
class TestPicture:
    """A picture with its truth: no defect (`good`), or a kind of defect, with masks where the set has them."""

    file: Path
    kind: str
    regions: tuple[Region, ...] = ()

    @property
    def good(self) -> bool:
        """Whether it shows a good part."""
        return self.kind == GOOD


@dataclass(frozen=True)
class Category:
    """One product: good pictures to fit on, labelled ones to evaluate on."""

    name: str
    folder: Path
    train: tuple[Path, ...]
    test: tuple[TestPicture, ...]

    @property
    def has_masks(self) -> bool:
        """Whether defects are marked pixel by pixel."""
        return any(picture.regions for picture in self.test)


class _Saturation(msgspec.Struct, frozen=True):
    """One line of MVTec LOCO's defects_config.json."""

    defect_name: str
    pixel_value: int
    saturation_threshold: float
    relative_saturation: bool


def find_categories(data: Path) -> list[Category]:
    """All categories in a folder, or the one that it is. Raises ImageError that says which layouts are known."""
    if (data / "split_csv" / "1cls.csv").is_file():
        return _visa(data)
    folders = (
        [data] if (data / "train").is_dir() else sorted(folder for folder in data.glob("*") if (folder / "train").is_dir())
    )
    if not folders:
        raise ImageError(
            f"{data}: no evaluation set there; known are folders with train/good and test/KIND (MVTec AD, MVTec LOCO AD), "
            "and VisA's with split_csv/1cls.csv"
        )
    return [_mvtec(folder) for folder in folders]


def _mvtec(folder: Path) -> Category:
    train, test = folder / "train" / GOOD, folder / "test"
    if not train.is_dir() or not test.is_dir():
        raise ImageError(f"{folder}: needs train/good and test; give a folder that has both")
    loco = folder / "defects_config.json"
    saturations = msgspec.json.decode(loco.read_bytes(), type=list[_Saturation]) if loco.is_file() else []
    by_value = {one.pixel_value: one for one in saturations}
    pictures = [
        TestPicture(file, kind.name, () if kind.name == GOOD else _regions(folder / "ground_truth" / kind.name, file, by_value))
        for kind in sorted(test.iterdir())
        if kind.is_dir()
        for file in list_images(kind)
    ]
    if not pictures:
        raise ImageError(f"{test}: no labelled picture there")
    fitted = [*list_images(train), *(list_images(folder / "validation" / GOOD) if saturations else [])]
    return Category(folder.name, folder, tuple(fitted), tuple(pictures))


def _regions(truth: Path, picture: Path, by_value: dict[int, _Saturation]) -> tuple[Region, ...]:
    """The masks of a picture: one file in MVTec AD, a folder of one file a defect in MVTec LOCO AD."""
    single = truth / f"{picture.stem}_mask.png"
    if single.is_file():
        return (Region(single),)
    several = truth / picture.stem
    return tuple(Region(file, _saturation(file, by_value)) for file in sorted(several.glob("*.png")))


def _saturation(file: Path, by_value: dict[int, _Saturation]) -> float | None:
    """How many pixels of a LOCO mask saturate it; its pixels' value tells the defect."""
    content = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if content is None:
        raise ImageError(f"{file}: damaged mask; restore it from the set")
    found = by_value.get(int(content.max()))
    if found is None:
        return None
    area = int((content > 0).sum())
    return found.saturation_threshold * area if found.relative_saturation else min(found.saturation_threshold, area)


def _visa(data: Path) -> list[Category]:
    with (data / "split_csv" / "1cls.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    categories = []
    for name in sorted({row["object"] for row in rows}):
        own = [row for row in rows if row["object"] == name]
        train = tuple(data / row["image"] for row in own if row["split"] == "train")
        test = tuple(
            TestPicture(
                data / row["image"],
                GOOD if row["label"] == "normal" else "anomaly",
                (Region(data / row["mask"]),) if row["mask"] else (),
            )
            for row in own
            if row["split"] == "test"
        )
        categories.append(Category(name, data / name, train, test))
    return categories


def read_masks(picture: TestPicture, height: int, width: int) -> list[tuple[Mask, float | None]]:
    """A picture's masks at this size (H, W), each with its saturation in pixels of this size, None where it has none."""
    masks = []
    for region in picture.regions:
        content = cv2.imread(str(region.file), cv2.IMREAD_GRAYSCALE)
        if content is None:
            raise ImageError(f"{region.file}: damaged mask; restore it from the set")
        scaled = np.asarray(cv2.resize(content, (width, height), interpolation=cv2.INTER_NEAREST)) > 0
        scale = height * width / content.size
        masks.append((scaled, None if region.saturation is None else region.saturation * scale))
    return masks
