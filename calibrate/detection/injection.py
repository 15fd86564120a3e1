"""Defects of a stated size and contrast, drawn onto golden samples to see what a line can see.

No fit knows them, since weights are fitted on no drawn defects at all.  Nor do the choice of the input's contrast, that of a
score, and the parity gate, which use those of `engines.pictures.synthetic_defects`: straight scratches of one shade, blurred
ellipses, squares from elsewhere turned by right angles.  These are other drawings: bent and tapering scratches, ragged blobs,
patches whose structure is gone, and enlarged texture of another part.

Size is a defect's longest extent in pixels of the frame.  Contrast is the mean absolute change of the pixels under it in
grey levels (of 255; over all channels), measured on what was really drawn: a place where a defect cannot have it (too
bright already, or nothing there to be missing) is not used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from engines.pictures.geometry import Box, Geometry, Pixels

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
FINE = 256  # pixels that a shape is drawn at, at least, where it is small, so that its edges are smooth
PLACES = 30  # tried for one defect
TOLERANCE = 0.1  # of the contrast, or one grey level


class Drawn(NamedTuple):
    """A picture with one defect."""

    image: Pixels
    box: Box  # around the defect and a margin, in the frame
    mask: Mask  # (height, width) of the box: the defect's pixels
    contrast: float  # grey levels, measured

    def on_map(self, geometry: Geometry) -> Mask:
        """Which pixels of the stitched map (H, W) the defect touches."""
        left, top, width, height = geometry.region
        x, y, columns, rows = self.box
        whole = np.zeros(self.image.shape[:2], np.bool_)
        whole[y : y + rows, x : x + columns] = self.mask
        region = whole[top : top + height, left : left + width].astype(np.float32)
        map_height, map_width = geometry.map_shape
        return np.asarray(cv2.resize(region, (map_width, map_height), interpolation=cv2.INTER_AREA)) > 0


def inspected(geometry: Geometry, ignored: Mask | None) -> Mask:
    """Where in the frame (H, W) a part is inspected: in the region, and not where the map (h, w) is ``ignored``."""
    x, y, width, height = geometry.region
    allowed = np.zeros((geometry.frame[1], geometry.frame[0]), np.bool_)
    seen = np.ones(geometry.map_shape, np.uint8) if ignored is None else (~ignored).astype(np.uint8)
    allowed[y : y + height, x : x + width] = cv2.resize(seen, (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return allowed


def inject(
    image: Pixels, donor: Pixels, where: Mask, kind: str, size: float, contrast: float, rng: np.random.Generator
) -> Drawn | None:
    """Draw a defect at a random place that lies wholly in ``where`` (H, W); None where no place allows this size and contrast.

    ``donor`` is another good part's picture, which a texture swap takes from.
    """
    for _ in range(PLACES):
        centre = int(rng.integers(image.shape[1])), int(rng.integers(image.shape[0]))
        if where[centre[1], centre[0]] and (drawn := draw(image, donor, where, kind, size, contrast, centre, rng)) is not None:
            return drawn
    return None


def draw(
    image: Pixels,
    donor: Pixels,
    where: Mask,
    kind: str,
    size: float,
    contrast: float,
    centre: tuple[int, int],
    rng: np.random.Generator,
) -> Drawn | None:
    """`inject` at one place, (x, y)."""
    shape, content, _ = KINDS[kind]
    alpha = shape(size, rng)  # (n, n)
    n = len(alpha)
    x, y = centre[0] - n // 2, centre[1] - n // 2
    if min(x, y) < 0 or x + n > image.shape[1] or y + n > image.shape[0]:
        return None
    at, core = np.s_[y : y + n, x : x + n], alpha > 0.5
    if not core.any() or not where[at][alpha > 0.05].all():
        return None
    before = image[at].astype(np.float32)
    rim = cv2.dilate(core.astype(np.uint8), np.ones((5, 5), np.uint8)) > core
    full = content(before, before[rim], donor if donor.ndim == image.ndim else image, contrast, rng) - before
    full *= alpha[..., None] if image.ndim == 3 else alpha
    reached = float(np.abs(full[core]).mean())
    if reached < contrast:  # not enough to be seen of it here
        return None
    after = np.clip(np.rint(before + full * (contrast / reached)), 0, 255).astype(np.uint8)
    measured = float(np.abs(after[core] - before[core]).mean())
    if abs(measured - contrast) > max(1.0, TOLERANCE * contrast):
        return None
    changed = image.copy()
    changed[at] = after
    return Drawn(changed, (x, y, n, n), core, measured)


# Shapes: opacity (n, n) from 0 to 1, of an extent of `size` pixels


def _scratch(size: float, rng: np.random.Generator) -> Floats:
    """A bow that tapers towards its ends; a sixteenth as wide as long, and 1.5 pixels at least."""
    width, bend, angle = max(1.5, size / 16), rng.uniform(-0.35, 0.35), rng.uniform(0, 2 * np.pi)
    t = np.linspace(-1, 1, 256)
    length = max(size - width / 2, width)
    along, across = t * length / 2, bend * length / 2 * (1 - t**2 - 2 / 3)
    x, y = along * math.cos(angle) - across * math.sin(angle), along * math.sin(angle) + across * math.cos(angle)
    radius = width / 2 * (1 - 0.6 * t**2)
    canvas, scale = _canvas(size)
    middle = len(canvas) / scale / 2
    beads = np.rint(np.stack([x + middle, y + middle, radius], axis=1) * scale * 16).astype(int)
    for px, py, r in beads.tolist():
        cv2.circle(canvas, (px, py), r, 1.0, -1, cv2.LINE_8, 4)  # 4: positions in sixteenths of a pixel
    return _reduced(canvas, scale)


def _blob(size: float, rng: np.random.Generator) -> Floats:
    """A ragged spot with a soft rim."""
    turn = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radius = np.ones_like(turn)
    for wave in (2, 3, 5):
        radius += rng.uniform(0, 0.3 / wave) * np.cos(wave * turn + rng.uniform(0, 2 * np.pi))
    return _polygon(size, radius * np.cos(turn), radius * np.sin(turn), soft=0.05)


def _patch(size: float, rng: np.random.Generator) -> Floats:
    """A rectangle, turned, with a sharp edge."""
    ratio, angle = rng.uniform(0.6, 1.0), rng.uniform(0, np.pi)
    x, y = np.array([-1, 1, 1, -1]), ratio * np.array([-1, -1, 1, 1])
    return _polygon(size, x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle))


def _rounded(size: float, rng: np.random.Generator) -> Floats:
    """Between a circle and a square."""
    turn, angle = np.linspace(0, 2 * np.pi, 96, endpoint=False), rng.uniform(0, np.pi)
    radius = (np.abs(np.cos(turn)) ** 3 + np.abs(np.sin(turn)) ** 3) ** (-1 / 3)
    return _polygon(size, radius * np.cos(turn + angle), radius * np.sin(turn + angle), soft=0.02)


def _polygon(size: float, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], soft: float = 0.0) -> Floats:
    """A filled polygon, scaled to an extent of ``size``, its rim softened by a share of that."""
    extent = np.hypot(x[:, None] - x, y[:, None] - y).max()
    canvas, scale = _canvas(size)
    points = np.stack([x, y], axis=1) * size / extent * scale + len(canvas) / 2
    cv2.fillPoly(canvas, [np.rint(points * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
    if soft:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), max(soft * size * scale, 0.5)), np.float32)
    return _reduced(canvas, scale)


def _canvas(size: float) -> tuple[Floats, int]:
    """Room for a shape and its surroundings, and how many of its pixels make one of the frame."""
    side = math.ceil(size * 1.3) + 6
    scale = max(1, min(8, FINE // side))
    return np.zeros((side * scale, side * scale), np.float32), scale


def _reduced(canvas: Floats, scale: int) -> Floats:
    side = len(canvas) // scale
    return np.asarray(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA), np.float32)


# Contents: what there is to see at full opacity, (n, n) or (n, n, 3)


def _shade(before: Floats, _rim: Floats, _donor: Pixels, _contrast: float, rng: np.random.Generator) -> Floats:
    """Brighter or darker than what is there."""
    return np.asarray(before + (255.0 if rng.random() < 0.5 else -255.0), np.float32)


def _nothing(before: Floats, rim: Floats, _donor: Pixels, contrast: float, rng: np.random.Generator) -> Floats:
    """No structure: one shade, that of the surroundings but for the contrast."""
    shade = np.median(rim, axis=0) + (1.1 if rng.random() < 0.5 else -1.1) * contrast
    return np.broadcast_to(np.asarray(shade, np.float32), before.shape)


def _elsewhere(before: Floats, _rim: Floats, donor: Pixels, _contrast: float, rng: np.random.Generator) -> Floats:
    """Another place of another part, turned by some 45 degrees and 1.6 times as large."""
    n, (height, width) = len(before), donor.shape[:2]
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    turn = cv2.getRotationMatrix2D((x, y), float(rng.uniform(30, 60)), 1.6)
    turn[:, 2] += np.array([n / 2 - x, n / 2 - y])
    return np.asarray(cv2.warpAffine(donor, turn, (n, n), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.float32)


class Kind(NamedTuple):
    """A kind of defect."""

    shape: Callable[[float, np.random.Generator], Floats]
    content: Callable[[Floats, Floats, Pixels, float, np.random.Generator], Floats]
    meaning: str  # for people


KINDS: Mapping[str, Kind] = {
    "scratch": Kind(_scratch, _shade, "a bent line, a sixteenth as wide as long"),
    "blob": Kind(_blob, _shade, "a ragged spot, brighter or darker"),
    "missing patch": Kind(_patch, _nothing, "one shade where there was structure"),
    "texture swap": Kind(_rounded, _elsewhere, "what belongs elsewhere, turned and enlarged"),
}
