"""Drawn defects: they are as large and as strong as they claim, lie where parts are inspected, and no fit knows them."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import calibrate
import engines
from calibrate.detection.injection import KINDS, inject, inspected
from engines.pictures.geometry import Geometry
from tests.virtual_line.product import render

GEOMETRY = Geometry((512, 512), (64, 32, 400, 448), rows=2, columns=2)
ALLOWED_USERS = ("calibrate/detection/", "calibrate/cli/detectability", "calibrate/reporting/")


@pytest.fixture(scope="module")
def part() -> np.ndarray:
    return render(1).image


@pytest.fixture(scope="module")
def donor() -> np.ndarray:
    return render(2).image


@pytest.mark.parametrize("grey", [False, True], ids=["colour", "grey"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_is_as_large_and_as_strong_as_claimed(part: np.ndarray, donor: np.ndarray, kind: str, grey: bool) -> None:
    image, other = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) if grey else one for one in (part, donor))
    rng, where = np.random.default_rng(3), inspected(GEOMETRY, None)
    before = image.copy()
    for size in (6.0, 24.0, 96.0):
        for contrast in (8, 32):
            drawn = inject(image, other, where, kind, size, contrast, rng)
            assert drawn is not None
            x, y, width, height = drawn.box
            changed = np.abs(drawn.image.astype(int) - image)
            changed_at = changed if grey else changed.max(axis=2)
            under = changed[y : y + height, x : x + width][drawn.mask]
            assert under.mean() == pytest.approx(drawn.contrast) == pytest.approx(contrast, abs=max(1.0, 0.1 * contrast))
            hull = cv2.convexHull(np.argwhere(drawn.mask).astype(np.int32))[:, 0].astype(float)
            extent = np.linalg.norm(hull[:, None] - hull, axis=2).max() + 1
            assert extent == pytest.approx(size, abs=max(2.5, 0.08 * size))
            changed_at[y : y + height, x : x + width] = 0
            assert not changed_at.any(), "nothing but the defect is changed"
    np.testing.assert_array_equal(image, before)


def test_a_defect_lies_where_the_part_is_inspected(part: np.ndarray, donor: np.ndarray) -> None:
    ignored = np.zeros(GEOMETRY.map_shape, np.bool_)
    ignored[:, : ignored.shape[1] // 2] = True
    where, rng = inspected(GEOMETRY, ignored), np.random.default_rng(0)
    assert where.sum() == pytest.approx(400 * 448 / 2, rel=0.01)
    for kind in KINDS:
        for _ in range(10):
            drawn = inject(part, donor, where, kind, 20, 16, rng)
            assert drawn is not None
            changed = np.abs(drawn.image.astype(int) - part).max(axis=2) > 1
            assert changed.any()
            assert not (changed & ~where).any()
            assert not (drawn.on_map(GEOMETRY)[:, : ignored.shape[1] // 2 - 2]).any()


def test_a_defect_on_the_map_is_where_it_is_in_the_frame(part: np.ndarray, donor: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    for _ in range(10):
        drawn = inject(part, donor, inspected(GEOMETRY, None), "blob", 30, 24, rng)
        assert drawn is not None
        rows, columns = np.nonzero(drawn.on_map(GEOMETRY))
        x, y = GEOMETRY.to_frame(float(columns.mean() + 0.5), float(rows.mean() + 0.5))
        left, top, width, height = drawn.box
        inside = np.argwhere(drawn.mask).mean(axis=0)
        assert (x, y) == pytest.approx((left + inside[1], top + inside[0]), abs=2)
        assert max(width, height) < 60


def test_where_a_defect_cannot_be_none_is_drawn() -> None:
    rng, everywhere = np.random.default_rng(0), np.ones((256, 256), np.bool_)
    plain = np.full((256, 256), 128, np.uint8)
    assert inject(plain, plain, everywhere, "texture swap", 20, 8, rng) is None, "the same everywhere"
    assert inject(plain, plain, ~everywhere, "blob", 20, 8, rng) is None, "nothing is inspected"
    assert inject(plain, plain, everywhere, "blob", 300, 8, rng) is None, "larger than the frame"
    assert inject(np.full_like(plain, 250), plain, everywhere, "scratch", 20, 32, rng) is not None, "darker, not brighter"
    assert inject(plain, plain, everywhere, "scratch", 20, 127, rng) is not None


def test_no_fit_and_no_choice_knows_these_defects() -> None:
    """Whatever draws them, or imports what does, is of the command `calibrate detectability`, or shows what it found."""
    roots = [Path(str(room.__file__)).parent for room in (calibrate, engines)]
    texts = {file.relative_to(root.parent).as_posix(): file.read_text() for root in roots for file in root.rglob("*.py")}
    users = {name for name, text in texts.items() if re.search(r"\bcalibrate\.detection\b", text)}
    assert users
    assert {name for name in users if not name.startswith(ALLOWED_USERS)} == set()
