"""Synthetic defects, drawn onto golden samples: scratches, stains and misplaced pieces.

They stand in for known rejects where there are none: to choose the input's contrast and a score, and to see that a compiled
engine answers as the reference does on defects too.  They prove nothing about the defects of a real product.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from engines.pictures.geometry import Box, Pixels

KINDS = 3


def with_defect(image: Pixels, rng: np.random.Generator, kind: int, region: Box | None = None) -> Pixels:
    """A copy of a picture (H, W) or (H, W, 3) with one defect; ``kind`` modulo 3 selects scratch, stain, or piece.

    It lies in ``region`` (x, y, width, height), where one is given, and is sized by it.
    """
    x, y, width, height = region or (0, 0, image.shape[1], image.shape[0])
    part = np.s_[y : y + height, x : x + width]
    spoilt = image.copy()
    spoilt[part] = (_scratch, _stain, _piece)[kind % KINDS](image[part].copy(), rng)
    return spoilt


def _spot(image: Pixels, rng: np.random.Generator, margin: float = 0.25) -> tuple[int, int]:
    height, width = image.shape[:2]
    return int(width * rng.uniform(margin, 1 - margin)), int(height * rng.uniform(margin, 1 - margin))


def _scratch(image: Pixels, rng: np.random.Generator) -> Pixels:
    x, y = _spot(image, rng)
    side = min(image.shape[:2])
    angle, length = rng.uniform(0, np.pi), side * rng.uniform(0.08, 0.2)
    shade = _contrast(image, x, y)
    end = (int(x + length * np.cos(angle)), int(y + length * np.sin(angle)))
    return np.asarray(cv2.line(image, (x, y), end, shade, max(1, side // 120), cv2.LINE_AA), np.uint8)


def _stain(image: Pixels, rng: np.random.Generator) -> Pixels:
    x, y = _spot(image, rng)
    side = min(image.shape[:2])
    axes = (int(side * rng.uniform(0.02, 0.05)) + 1, int(side * rng.uniform(0.02, 0.05)) + 1)
    alpha: npt.NDArray[np.float32] = np.zeros(image.shape[:2], np.float32)
    cv2.ellipse(alpha, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, 0.6, -1)
    alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), side / 150), np.float32)
    shade = np.asarray(_contrast(image, x, y)[: image.shape[2] if image.ndim == 3 else 1], np.float32)
    blend = alpha[..., None] if image.ndim == 3 else alpha
    return np.asarray(np.clip(image * (1 - blend) + shade * blend, 0, 255), np.uint8)


def _piece(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A patch of the picture shows up in another place."""
    side = max(8, int(min(image.shape[:2]) * rng.uniform(0.08, 0.15)))
    source = image.copy()
    (x0, y0), (x1, y1) = _spot(image, rng, 0.1), _spot(image, rng)
    x0, y0 = min(x0, image.shape[1] - side), min(y0, image.shape[0] - side)
    x1, y1 = min(x1, image.shape[1] - side), min(y1, image.shape[0] - side)
    image[y1 : y1 + side, x1 : x1 + side] = np.rot90(source[y0 : y0 + side, x0 : x0 + side], int(rng.integers(1, 4)))
    return image


def _contrast(image: Pixels, x: int, y: int) -> tuple[int, int, int]:
    """A shade that stands out at this place."""
    value = 20 if float(np.mean(image[y, x])) > 110 else 235
    return value, value, value
