"""Synthetic defects: local, visible, and the same for the same seed, on grey and colour pictures."""

from __future__ import annotations

import numpy as np
import pytest

from engines.pictures.synthetic_defects import with_defect
from tests.virtual_line.product import render

COLOUR = render(4).image
PICTURES = {
    "colour": COLOUR,
    "grey": COLOUR[..., 1].copy(),
    "wide": COLOUR[100:220].copy(),
    "small": COLOUR[64:128, 64:128].copy(),
}


@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize("name", PICTURES)
def test_a_defect_changes_the_picture_in_one_place_only(name: str, kind: int) -> None:
    picture = PICTURES[name]
    for seed in range(5):
        before = picture.copy()
        spoilt = with_defect(picture, np.random.default_rng(seed), kind)
        np.testing.assert_array_equal(picture, before)  # the golden sample itself is left alone
        assert (spoilt.shape, spoilt.dtype) == (picture.shape, np.uint8)
        changed = np.abs(spoilt.astype(int) - picture) > 0
        changed = changed.any(axis=2) if changed.ndim == 3 else changed
        assert 0 < changed.mean() < 0.15
        rows, columns = np.nonzero(changed)
        reach = max(np.ptp(rows), np.ptp(columns))
        assert reach < 0.5 * min(picture.shape[:2])


@pytest.mark.parametrize("kind", range(3))
def test_a_defect_lies_where_parts_are_inspected(kind: int) -> None:
    x, y, width, height = region = (10, 90, 60, 40)
    for seed in range(5):
        changed = (with_defect(COLOUR, np.random.default_rng(seed), kind, region) != COLOUR).any(axis=2)
        assert changed[y : y + height, x : x + width].any()
        changed[y : y + height, x : x + width] = False
        assert not changed.any()


@pytest.mark.parametrize("kind", range(3))
def test_the_same_seed_draws_the_same_defect(kind: int) -> None:
    first, again, other = (with_defect(COLOUR, np.random.default_rng(seed), kind) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_kinds_differ() -> None:
    drawn = [with_defect(COLOUR, np.random.default_rng(3), kind).tobytes() for kind in range(3)]
    assert len(set(drawn)) == 3
