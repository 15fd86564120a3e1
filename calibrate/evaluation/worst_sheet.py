"""The sheet of an evaluation's worst mistakes: each picture beside its map, with the truth's outline on both."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from calibrate.evaluation.category_result import Judged
from calibrate.evaluation.datasets import Category, TestPicture, read_masks
from calibrate.pages.contact_sheet import Thumbnail, draw_pages, shrink
from calibrate.thresholds.scorer import Scorer
from engines.pictures.geometry import Pixels
from engines.pictures.images import read_image
from engines.pictures.overlay import overlay
from engines.recipe.thresholds import Thresholds

WORST, NEAREST = 12, 4  # pictures of misses and of false rejects, at most; and where there are none
TRUTH = (255, 0, 200)  # RGB of outlines: no colour of the map's scale


def worst_sheet(category: Category, judged: Sequence[Judged], scorer: Scorer, thresholds: Thresholds) -> Pixels:
    """The misses that looked best and the false rejects that looked worst, or what came nearest to being one.

    They are measured again for their maps, so that no other map need be kept.
    """
    pairs = sorted(zip(category.test, judged, strict=True), key=lambda pair: pair[1].deviation)
    legend = f"reject over {thresholds.limit:.2f}; green: pixel threshold; outline: truth"
    pages: list[Pixels] = []
    for what, every, is_wrong in (
        ("defects missed", [pair for pair in pairs if not pair[0].good], True),
        ("good parts rejected", [pair for pair in reversed(pairs) if pair[0].good], False),
    ):
        wrong = [pair for pair in every if pair[1].passed == is_wrong]
        shown = [_thumbnail(category, *pair, scorer, thresholds.pixel_threshold) for pair in wrong[:WORST] or every[:NEAREST]]
        told = ", the worst first" if wrong else "; these came nearest" if every else ""
        pages += draw_pages(f"{category.name}: {len(wrong)} of {len(every)} {what}{told}  ({legend})", shown)
    return np.concatenate(pages)


def _thumbnail(category: Category, picture: TestPicture, judged: Judged, scorer: Scorer, pixel_threshold: float) -> Thumbnail:
    image = read_image(picture.file)
    frame_map = scorer.measure(image).frame_map
    masks = read_masks(category, picture, *image.shape[:2])
    truth = np.any([mask for mask, _ in masks], axis=0) if masks else np.zeros(image.shape[:2], bool)
    shown = beside(image, frame_map, truth, pixel_threshold)
    return Thumbnail(shown, f"{judged.kind}/{picture.file.name}", f"deviation {judged.deviation:.2f}")


def beside(image: Pixels, frame_map: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_], pixel_threshold: float) -> Pixels:
    """A picture (H, W) or (H, W, 3), and its map over it, which covers all of it; in a thumbnail's size, (h, 2w, 3) RGB."""
    part = shrink(image)
    height, width = part.shape[:2]
    heat = overlay(part, frame_map, (0, 0, width, height), 2 * pixel_threshold)
    small = np.asarray(cv2.resize(truth.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA) > 0, np.uint8)
    # Around the truth, so that a thin defect is not covered.
    outlines, _ = cv2.findContours(cv2.dilate(small, np.ones((5, 5), np.uint8)), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for panel in (part, heat):
        cv2.drawContours(panel, outlines, -1, TRUTH, 1)
    return np.concatenate([part, heat], axis=1)
