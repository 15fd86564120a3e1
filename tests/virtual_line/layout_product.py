"""A rendered product with a layout: a kit of ten pieces in the compartments of a tray, in one of six orders.

Which piece lies where follows from the order, so that every piece of a wrong kit can look right by itself.  Pieces lie a little
shifted and turned in their compartments; the tray is posed, lit and photographed like the other product.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tests.virtual_line.product import DRAWN, Floats, Image, Part, photograph, posed, random_pose

LOGICAL = ("missing", "extra", "swapped", "misplaced")
LOCAL = ("scratched", "stained", "broken")
COLUMNS, ROWS, CELL, LEFT, TOP = 4, 3, 216, 80, 188
CELLS = COLUMNS * ROWS
ORDERS = 6
EMPTY = -1
REACH = 110  # of a turned piece from its centre, pixels


def render_kit(seed: int, defect: str | None = None) -> Part:
    """One kit; the same seed gives the same picture, with the defect or without it."""
    drawn, clean = _draw(seed, defect), _draw(seed, None)
    pose = random_pose(np.random.default_rng((seed, 12)))
    mask = posed(np.abs(drawn - clean).max(axis=2), pose) > 8
    return Part(photograph(posed(drawn, pose), np.random.default_rng((seed, 13))), defect, mask)


def save_kits(folder: Path, golden: int, good: int, each: int) -> None:
    """Write train/good, test/<defect> and ground_truth/<defect>, as MVTec AD's sets lie; ``each``: pictures of each defect."""
    for i in range(golden):
        _save(folder / "train" / "good" / f"{i:03d}.png", render_kit(i).image)
    for i in range(good):
        _save(folder / "test" / "good" / f"{i:03d}.png", render_kit(10_000 + i).image)
    for kind, defect in enumerate(LOGICAL + LOCAL):
        for i in range(each):
            part = render_kit(20_000 + 1_000 * kind + i, defect)
            _save(folder / "test" / defect / f"{i:03d}.png", part.image)
            _save(folder / "ground_truth" / defect / f"{i:03d}_mask.png", part.mask.astype(np.uint8) * 255)


def _save(file: Path, image: Image) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image)


def _orders() -> list[list[int]]:
    """The piece in each compartment, for each order."""
    draw = np.random.default_rng(4)
    return [[int(piece) for piece in draw.permutation([*range(len(PIECES)), EMPTY, EMPTY])] for _ in range(ORDERS)]


def _draw(seed: int, defect: str | None) -> Floats:
    """The kit as packed, (DRAWN, DRAWN, 3) float32, 0 to 255; one generator for the kit, one for its defect."""
    rng, flaw = np.random.default_rng((seed, 10)), np.random.default_rng((seed, 11))
    ground = np.full((DRAWN, DRAWN, 3), (52, 56, 62), np.float32)
    ground += cv2.GaussianBlur(rng.normal(0, 24, (DRAWN, DRAWN, 1)).astype(np.float32), (0, 0), 2.5)[..., None]
    canvas = np.clip(ground, 0, 255).astype(np.uint8)
    for cell in range(CELLS):
        x, y = _corner(cell)
        cv2.rectangle(canvas, (x + 10, y + 10), (x + CELL - 10, y + CELL - 10), (92, 98, 104), -1, cv2.LINE_AA)
        cv2.rectangle(canvas, (x + 10, y + 10), (x + CELL - 10, y + CELL - 10), (126, 132, 138), 4, cv2.LINE_AA)
    order = _orders()[int(rng.integers(ORDERS))]
    shifts, turns = rng.uniform(-10, 10, (CELLS, 2)), rng.uniform(-0.25, 0.25, CELLS)
    full = [cell for cell in range(CELLS) if order[cell] != EMPTY]
    one, other = (int(cell) for cell in flaw.choice(full, 2, replace=False))
    if defect == "missing":
        order[one] = EMPTY
    elif defect == "extra":
        order[int(flaw.choice([cell for cell in range(CELLS) if order[cell] == EMPTY]))] = int(flaw.integers(len(PIECES)))
    elif defect == "swapped":
        order[one], order[other] = order[other], order[one]
    elif defect == "misplaced":
        angle = flaw.uniform(0, 2 * np.pi)
        shifts[one] += 58 * np.array([np.cos(angle), np.sin(angle)])
    for cell, piece in enumerate(order):
        if piece != EMPTY:
            x, y = _corner(cell)
            broken = defect == "broken" and cell == one
            centre = (x + CELL / 2 + shifts[cell, 0], y + CELL / 2 + shifts[cell, 1])
            _place(canvas, PIECES[piece], centre, float(turns[cell]), broken, flaw)
    x, y = _corner(one)
    if defect == "scratched":
        start = np.array([x, y]) + flaw.uniform(40, CELL - 40, 2)
        angle, length = flaw.uniform(0, 2 * np.pi), flaw.uniform(70, 140)
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        cv2.line(canvas, tuple(start.astype(int)), tuple(end.astype(int)), (232, 234, 236), 5, cv2.LINE_AA)
    elif defect == "stained":
        spot = np.zeros((DRAWN, DRAWN), np.float32)
        for _ in range(4):
            centre_x, centre_y = (int(v) for v in np.array([x, y]) + CELL / 2 + flaw.normal(0, 26, 2))
            cv2.circle(spot, (centre_x, centre_y), int(flaw.uniform(12, 26)), 1.0, -1, cv2.LINE_AA)
        alpha = (cv2.GaussianBlur(spot, (0, 0), 6) * 0.65)[..., None]
        canvas[:] = (canvas * (1 - alpha) + alpha * np.array([70, 52, 30], np.float32)).astype(np.uint8)
    return canvas.astype(np.float32)


def _corner(cell: int) -> tuple[int, int]:
    return LEFT + cell % COLUMNS * CELL, TOP + cell // COLUMNS * CELL


def _place(
    canvas: Image,
    piece: Callable[[Image], None],
    centre: tuple[float, float],
    turn: float,
    broken: bool,
    flaw: np.random.Generator,
) -> None:
    """Draw a piece on a sheet of its own, turn it, and lay it down; a broken one lacks a corner."""
    sheet, cover = np.zeros((CELL, CELL, 3), np.uint8), np.zeros((CELL, CELL), np.uint8)
    piece(sheet)
    cover[sheet.max(axis=2) > 0] = 255
    if broken:
        angle = flaw.uniform(0, 2 * np.pi)
        bite = (int(CELL / 2 + 62 * np.cos(angle)), int(CELL / 2 + 62 * np.sin(angle)))
        cv2.circle(cover, bite, 34, 0, -1)
    left, top = int(centre[0]) - REACH, int(centre[1]) - REACH
    matrix = cv2.getRotationMatrix2D((CELL / 2, CELL / 2), np.degrees(turn), 1.0)
    matrix[:, 2] += np.array(centre) - CELL / 2 - (left, top)
    size = (2 * REACH, 2 * REACH)
    laid = cv2.warpAffine(sheet, matrix, size, flags=cv2.INTER_LINEAR)
    alpha = cv2.warpAffine(cover, matrix, size, flags=cv2.INTER_LINEAR).astype(np.float32)[..., None] / 255
    part = canvas[top : top + size[1], left : left + size[0]]
    part[:] = (part * (1 - alpha) + laid * alpha).astype(np.uint8)


def _ring(sheet: Image, sides: int, outer: int, inner: int, colour: tuple[int, int, int]) -> None:
    angles = np.arange(sides) * 2 * np.pi / sides
    points = (CELL / 2 + outer * np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(np.int32)
    cv2.fillPoly(sheet, [points], colour, cv2.LINE_AA)
    cv2.polylines(sheet, [points], True, tuple(v // 2 for v in colour), 5, cv2.LINE_AA)
    cv2.circle(sheet, (CELL // 2, CELL // 2), inner, tuple(v // 3 + 1 for v in colour), -1, cv2.LINE_AA)


def _bar(sheet: Image, width: int, height: int, colour: tuple[int, int, int], stripes: int) -> None:
    c, half = CELL // 2, (width // 2, height // 2)
    cv2.rectangle(sheet, (c - half[0], c - half[1]), (c + half[0], c + half[1]), colour, -1, cv2.LINE_AA)
    for i in range(stripes):
        x = c - half[0] + (i + 1) * width // (stripes + 1)
        cv2.line(sheet, (x, c - half[1]), (x, c + half[1]), tuple(v // 2 + 1 for v in colour), 4, cv2.LINE_AA)


def _marked(sheet: Image, colour: tuple[int, int, int], text: str) -> None:
    cv2.circle(sheet, (CELL // 2, CELL // 2), 66, colour, -1, cv2.LINE_AA)
    cv2.putText(sheet, text, (CELL // 2 - 30, CELL // 2 + 30), cv2.FONT_HERSHEY_DUPLEX, 2.6, (24, 24, 28), 7, cv2.LINE_AA)


PIECES: tuple[Callable[[Image], None], ...] = (
    lambda sheet: _ring(sheet, 6, 68, 32, (176, 176, 170)),  # a nut
    lambda sheet: _ring(sheet, 40, 68, 34, (188, 184, 168)),  # a washer
    lambda sheet: _ring(sheet, 12, 70, 18, (196, 160, 80)),  # a brass gear
    lambda sheet: _bar(sheet, 144, 44, (150, 154, 158), 7),  # a bolt
    lambda sheet: _bar(sheet, 130, 84, (32, 40, 36), 4),  # a connector
    lambda sheet: _bar(sheet, 60, 140, (54, 96, 168), 0),  # a blue pin
    lambda sheet: _marked(sheet, (206, 96, 44), "A"),
    lambda sheet: _marked(sheet, (206, 96, 44), "B"),
    lambda sheet: _marked(sheet, (80, 150, 84), "C"),
    lambda sheet: _bar(sheet, 120, 120, (214, 210, 198), 1),  # a pad
)
