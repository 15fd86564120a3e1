"""What a gauge's variation goes with: position, brightness and sharpness of the pictures, and time.

Measured on the pictures of a study itself, so that its reader need not guess whether fixture, light or focus is to be mended.
What the variation goes with need not be its only cause; it is where to look first.
"""

from __future__ import annotations

import math

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats

from engines.pictures.geometry import Box, Pixels

Grey = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
SIDE = 512  # pixels; pictures are reduced to this before they are compared
CLEAR = 0.1  # response of phase correlation below which there is no telling the shift
NAMED_SHARE, NAMED_CHANCE = 0.25, 0.01  # of the variance at least, and the chance of it at most, to be named as a cause


class Look(msgspec.Struct, frozen=True):
    """How one picture was taken, as far as the picture tells."""

    x: float  # frame pixels, against the part's first picture; NaN where there is no telling
    y: float
    brightness: float  # mean grey value, 0 to 255
    sharpness: float  # logarithm of the mean squared Laplacian over the squared brightness


class Cause(msgspec.Struct, frozen=True):
    """Something that changed between the repeats of a part, and how much of the variation goes with it."""

    name: str
    spread: float  # standard deviation between repeats
    unit: str  # none for time, whose spread says nothing
    share: float  # of the variance between repeats, 0 to 1; adjusted for the number of terms
    chance: float  # p-value: that so much goes with it by chance
    named: bool  # it is large and clear enough to be looked at first


def reduced(image: Pixels, region: Box) -> Grey:
    """The inspected part of a picture in grey, at most `SIDE` pixels wide and high."""
    x, y, width, height = region
    part = image[y : y + height, x : x + width]
    grey = part if part.ndim == 2 else cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, SIDE / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)


def look(grey: Grey, first: Grey, region: Box) -> Look:
    """Measure a `reduced` picture against the first one of the same part."""
    window = cv2.createHanningWindow(grey.shape[::-1], cv2.CV_32F)
    (x, y), response = cv2.phaseCorrelate(first, grey, window)
    scale = region[2] / grey.shape[1] if response >= CLEAR else math.nan
    brightness = float(grey.mean())
    edges = cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 1.0), cv2.CV_32F)
    energy = float((edges**2).mean()) / max(brightness, 1.0) ** 2
    return Look(x * scale, y * scale, brightness, math.log(max(energy, 1e-12)))


def find_causes(values: Floats, looks: Floats) -> tuple[Cause, ...]:
    """What values (parts, appraisers, repeats) go with, from a `Look` at each picture (parts, appraisers, repeats, 4).

    By least squares on what differs from the mean of each part (and appraiser), a term and its square each, since they
    may rise to both sides.  Causes overlap: their shares need not add up.
    """
    x, y, brightness, sharpness = (_about_mean(looks[..., i]) for i in range(4))
    order = _about_mean(np.broadcast_to(np.arange(values.shape[2], dtype=np.float64), values.shape))
    relative = brightness / max(float(looks[..., 2].mean()), 1e-9)
    freedom = values.shape[2] / (values.shape[2] - 1)

    def spread(*terms: Floats) -> float:
        return math.sqrt(sum(float((term**2).mean()) for term in terms) * freedom)

    found = [
        ("brightness", 100 * spread(relative), "%", [relative, relative**2]),
        ("sharpness", 100 * spread(sharpness), "%", [sharpness, sharpness**2]),
        ("time", spread(order), "", [order]),
    ]
    if np.isfinite(x).all():
        found.insert(0, ("position", spread(x, y), "px", [x, y, x**2 + y**2]))
    causes = []
    for name, size, unit, terms in found:
        explained, chance = _explained(values, terms)
        causes.append(Cause(name, size, unit, explained, chance, explained >= NAMED_SHARE and chance <= NAMED_CHANCE))
    return tuple(causes)


def _about_mean(values: Floats) -> Floats:
    """Values (parts, appraisers, repeats) less the mean of their repeats."""
    return np.asarray(values - values.mean(axis=2, keepdims=True))


def _explained(values: Floats, terms: list[Floats]) -> tuple[float, float]:
    """Share of the values' variance about their means that goes with the terms, and the p-value of that."""
    target = _about_mean(values).ravel()
    matrix = np.stack([_about_mean(term).ravel() for term in terms], axis=1)
    matrix /= np.maximum(np.abs(matrix).max(axis=0), 1e-12)
    total = float(target @ target)
    rank = int(np.linalg.matrix_rank(matrix))
    cells, size = values.shape[0] * values.shape[1], values.size
    freedom = size - cells - rank
    if total <= 0 or rank == 0 or freedom < 1:
        return 0.0, 1.0
    fitted = matrix @ np.linalg.lstsq(matrix, target, rcond=None)[0]
    left = max(float(((target - fitted) ** 2).sum()), 1e-12 * total)
    f = (total - left) / rank / (left / freedom)
    share = 1 - (left / freedom) / (total / (size - cells))
    return max(0.0, share), float(stats.f.sf(f, rank, freedom))
