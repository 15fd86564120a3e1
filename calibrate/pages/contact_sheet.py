"""Contact sheets: small pictures, numbered and named, laid out on pages that a person looks through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engines.common.errors import ImageError
from engines.common.files import write_file
from engines.pictures.geometry import Pixels
from engines.pictures.images import png_bytes
from engines.pictures.overlay import rgb

SIDE = 222  # longest side of a thumbnail, in pixels
PAGE = (2000, 1414)  # width, and about the height, of a page: A4 across
MARGIN, GAP, HEADER = 40, 20, 84
NARROWEST = 200  # pixels of a cell: a file's name fits
LONGEST = 160  # characters of a line
LINE, LINES = 21, 3  # of text below a thumbnail: its name, and two lines of its note
PAPER, INK, FAINT, MARK = (255, 255, 255), (24, 28, 34), (112, 118, 128), (196, 48, 20)
BORDER, MARKED_BORDER = 1, 4
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True)
class Thumbnail:
    """One picture of a sheet: (h, w, 3) RGB, its name, and a note; a mark makes it stand out."""

    picture: Pixels
    name: str
    note: str = ""
    marked: bool = False


def shrink(image: Pixels, side: int = SIDE) -> Pixels:
    """A copy of a picture (H, W) or (H, W, 3), in colour and with a longer side of at most ``side`` pixels."""
    scale = min(1.0, side / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return rgb(image if scale == 1 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8))


def write_pages(stem: Path, title: str, thumbnails: Sequence[Thumbnail]) -> list[Path]:
    """Write `STEM-1.png`, `STEM-2.png` and so on, as many as are needed; pages of an earlier sheet of this name go.

    Thumbnails are numbered from 1 through all pages. Raises ImageError when a page cannot be written.
    """
    drawn = draw_pages(title, thumbnails)
    files = [stem.with_name(f"{stem.name}-{number}.png") for number in range(1, len(drawn) + 1)]
    for file, page in zip(files, drawn, strict=True):
        try:
            write_file(file, png_bytes(page))
        except OSError as error:
            raise ImageError(f"{file}: the contact sheet cannot be written ({error.strerror or error}); make room") from error
    number = len(files) + 1
    while (stale := stem.with_name(f"{stem.name}-{number}.png")).is_file():
        stale.unlink()
        number += 1
    return files


def draw_pages(title: str, thumbnails: Sequence[Thumbnail]) -> list[Pixels]:
    """Pages of thumbnails in rows; all cells are as large as the largest picture needs."""
    if not thumbnails:
        return []
    width = max(NARROWEST, *(one.picture.shape[1] for one in thumbnails))
    height = max(one.picture.shape[0] for one in thumbnails)
    cell = (width + GAP, height + LINES * LINE + GAP + 8)
    columns = max(1, (PAGE[0] - 2 * MARGIN + GAP) // cell[0])
    rows = max(1, (PAGE[1] - 2 * MARGIN - HEADER + GAP) // cell[1])
    on_page = columns * rows
    parts = [thumbnails[first : first + on_page] for first in range(0, len(thumbnails), on_page)]
    return [_page(title, f"page {i + 1} of {len(parts)}", part, i * on_page + 1, columns, cell) for i, part in enumerate(parts)]


def _page(title: str, page: str, thumbnails: Sequence[Thumbnail], first: int, columns: int, cell: tuple[int, int]) -> Pixels:
    rows = -(-len(thumbnails) // columns)
    sheet = Image.new("RGB", (PAGE[0], 2 * MARGIN + HEADER + rows * cell[1] - GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    large = ImageFont.load_default(30)
    draw.text((MARGIN, MARGIN), _fitting(draw, title, large, PAGE[0] - 2 * MARGIN - 180), INK, large)
    draw.text((PAGE[0] - MARGIN, MARGIN + 8), page, FAINT, ImageFont.load_default(20), anchor="ra")
    draw.line((MARGIN, MARGIN + 52, PAGE[0] - MARGIN, MARGIN + 52), FAINT, 1)
    for i, one in enumerate(thumbnails):
        row, column = divmod(i, columns)
        corner = (MARGIN + column * cell[0], MARGIN + HEADER + row * cell[1])
        _cell(sheet, draw, one, first + i, corner, (cell[0] - GAP, cell[1] - GAP - LINES * LINE - 8))
    return np.asarray(sheet, np.uint8)


def _cell(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, one: Thumbnail, number: int, corner: tuple[int, int], box: tuple[int, int]
) -> None:
    """One thumbnail, at the bottom of its box, with its number in the corner and its lines below."""
    height, width = one.picture.shape[:2]
    left, top = corner[0], corner[1] + box[1] - height
    sheet.paste(Image.fromarray(one.picture), (left, top))
    border = MARKED_BORDER if one.marked else BORDER
    edge = (left - border, top - border, left + width - 1 + border, top + height - 1 + border)
    draw.rectangle(edge, outline=MARK if one.marked else FAINT, width=border)
    bold, plain = ImageFont.load_default(16), ImageFont.load_default(15)
    badge = draw.textlength(str(number), bold) + 12
    draw.rectangle((left, top, left + badge, top + 22), MARK if one.marked else INK)
    draw.text((left + 6, top + 2), str(number), PAPER, bold)
    below = top + height + 8
    draw.text((left, below), _fitting(draw, one.name, plain, box[0]), INK, plain)
    for i, line in enumerate(_wrapped(draw, one.note, plain, box[0]), start=1):
        draw.text((left, below + i * LINE), line, MARK if one.marked else FAINT, plain)


def _wrapped(draw: ImageDraw.ImageDraw, text: str, font: Font, width: int) -> list[str]:
    """The text in at most as many lines as a note has."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and (len(lines) == LINES - 1 or draw.textlength(longer, font) <= width):
            lines[-1] = longer
        else:
            lines.append(word)
    return [_fitting(draw, line, font, width) for line in lines]


def _fitting(draw: ImageDraw.ImageDraw, text: str, font: Font, width: int) -> str:
    """The text, or its beginning and its end: what tells file names apart stands at their end."""
    shown, keep = text, min(len(text), LONGEST)
    while keep > 4 and draw.textlength(shown, font) > width:
        keep -= 1
        shown = f"{text[: keep // 2]}\u2026{text[len(text) - (keep - keep // 2) :]}"
    return shown
