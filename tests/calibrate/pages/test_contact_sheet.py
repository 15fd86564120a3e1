"""Contact sheets: every thumbnail on a page, pages that fit, and nothing of an earlier sheet left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibrate.pages.contact_sheet import MARK, PAGE, SIDE, Thumbnail, draw_pages, shrink, write_pages
from engines.pictures.images import read_image


def grey(height: int, width: int) -> Thumbnail:
    return Thumbnail(np.full((height, width, 3), 90, np.uint8), "name.png", "a note")


@pytest.mark.parametrize(
    ("shape", "expected"), [((100, 400, 3), (56, 222, 3)), ((888, 444), (222, 111, 3)), ((9, 8), (9, 8, 3))]
)
def test_pictures_are_reduced_to_fit_and_never_enlarged(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    image = np.zeros(shape, np.uint8)
    small = shrink(image)
    assert small.shape == expected
    assert not np.shares_memory(image, small), "a camera's buffer is used again"


def test_pages_hold_all_and_have_a_pages_size() -> None:
    pages = draw_pages("title", [grey(SIDE, SIDE)] * 60)
    assert all(page.shape[1] == PAGE[0] and page.shape[0] <= PAGE[1] for page in pages)
    assert [int((page == 90).all(axis=2).sum()) // 48_300 for page in pages] == [32, 28], "less what the numbers cover"
    assert draw_pages("title", []) == []


def test_a_mark_stands_out_and_long_words_stay_in_their_cell() -> None:
    long = Thumbnail(np.full((20, 60, 3), 90, np.uint8), "n" * 300 + ".png", "word " * 300, marked=True)
    plain, marked = (draw_pages("t" * 400, [one])[0] for one in (grey(20, 60), long))
    assert not (plain == MARK).all(axis=2).any()
    assert (marked == MARK).all(axis=2).any()
    below = marked[130:]
    assert (below[:, 240:] == 255).all(), "nothing to the right of the cell"


def test_a_shorter_sheet_leaves_no_page_of_the_longer_one(tmp_path: Path) -> None:
    stem = tmp_path / "sheet"
    longer = write_pages(stem, "title", [grey(SIDE, SIDE)] * 60)
    assert [file.name for file in longer] == ["sheet-1.png", "sheet-2.png"]
    shorter = write_pages(stem, "title", [grey(SIDE, SIDE)])
    assert sorted(tmp_path.iterdir()) == shorter == [tmp_path / "sheet-1.png"]
    assert read_image(shorter[0]).shape[1] == PAGE[0]
