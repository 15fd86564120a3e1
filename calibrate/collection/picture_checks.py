"""Whether a picture may become a golden sample: sharp, exposed as the others are, and not one of them again.

The checks are about the picture, not about the part: a good part that looks unlike the others belongs into the golden set, or
the line will reject its like.  So the limits are wide, and wider where the product itself varies: a check takes what lies
within 4 robust standard deviations of what was kept, and at least a fixed share of its median.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from engines.pictures.geometry import Pixels
from engines.pictures.picture_kind import NAMES, Channels, channels_of

Reason = Literal["no-picture", "size", "kind", "blurred", "exposure", "duplicate"]
Floats = npt.NDArray[np.float32]

FEWEST = 10  # kept pictures before a median means anything; the first ones are looked at again with `doubtful`
SCATTER = 4.0  # robust standard deviations: of good pictures of one kind, one in 10,000 lies farther out
# A defocus of 1.5 pixels (sigma) leaves 0.08 to 0.33 of the sharpness, one of 1 pixel 0.3 to 0.6 (measured on bottles, grids,
# capsules, biscuits and two kinds of metal surface); good pictures of the same objects have 0.6 to 1.6 of their median.
LEAST_SHARPNESS = 0.5
LIGHT = 0.10  # of the median: the steadier of these sets stay within it, and a lamp that ages or flickers leaves it
CLIPPED_MORE = 0.05  # share of clipped values beyond the median's: a backlit field may be white, but always as much of it
DARK_END, BRIGHT_END = 2, 253
BLANK = 1.0  # grey levels of standard deviation: less is a capped lens, or light enough to drown everything
THUMBNAIL = 32
# Two pictures of one part at rest differ by noise (4 grey levels is much for an 8-bit camera), which a cell of a thumbnail
# averages out, and by what a little vibration does to edges: a tenth of a pixel at 512 is some 0.008 of the contrast.  In the
# sets above the most similar pictures of different parts are 1.75 times this limit apart; 1.2 times, of one tile under two
# exposures; and pictures that are in a set twice are found.
NOISE, VIBRATION = 4.0, 0.008


class Looks(NamedTuple):
    """What is measured of a picture."""

    size: tuple[int, int]  # width, height
    digest: bytes
    sharpness: float
    mean: float  # grey levels
    contrast: float  # grey levels, standard deviation
    dark: float  # share of values at the dark end
    bright: float
    thumbnail: Floats  # (32, 32) grey levels
    channels: Channels  # 1 grey, 3 colour


class Refusal(NamedTuple):
    """Why a picture is not taken."""

    reason: Reason
    text: str


class Medians(NamedTuple):
    """What is usual among the pictures kept, and how far from it a picture may be (natural logarithms)."""

    sharpness: float
    sharpness_span: float
    mean: float
    mean_span: float
    dark: float
    bright: float


def look_at(image: Pixels) -> Looks:
    """Measure a picture (H, W) or (H, W, 3) uint8.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., ICPR 2000), after a Gaussian of one pixel: without it
    noise counts as sharpness, and a blurred noisy picture measures sharper than a good one.  It is given in units of the mean
    grey level squared, so that more light is not more sharpness.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    mean, contrast = (float(value[0, 0]) for value in cv2.meanStdDev(grey))
    levels = grey.astype(np.float32)
    edges = cv2.Laplacian(cv2.GaussianBlur(levels, (0, 0), 1.0), cv2.CV_32F)
    return Looks(
        size=(image.shape[1], image.shape[0]),
        digest=hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).data).digest(),
        sharpness=float(cv2.meanStdDev(edges)[1][0, 0]) ** 2 / max(mean, 1.0) ** 2,
        mean=mean,
        contrast=contrast,
        dark=float(np.count_nonzero(image <= DARK_END)) / image.size,
        bright=float(np.count_nonzero(image >= BRIGHT_END)) / image.size,
        thumbnail=np.asarray(cv2.resize(levels, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA), np.float32),
        channels=channels_of(image),
    )


@dataclass
class Kept:
    """A picture that the others are compared with."""

    name: str
    looks: Looks


class Checks:
    """The pictures kept so far, and whether another one fits among them."""

    def __init__(self, size: tuple[int, int] | None) -> None:
        """``size``: (width, height) that every picture must have; None: that of the first one kept."""
        self.size = size
        self._channels: Channels | None = None  # of the first one kept: a fit takes pictures of one kind only
        self._kept: list[Kept] = []
        self._digests: dict[bytes, str] = {}
        self.medians: Medians | None = None

    def keep(self, name: str, looks: Looks) -> None:
        """Compare with this picture from now on."""
        self.size = self.size or looks.size
        self._channels = self._channels or looks.channels
        self._kept.append(Kept(name, looks))
        self._digests.setdefault(looks.digest, name)
        if len(self._kept) >= FEWEST:
            self.medians = _medians([kept.looks for kept in self._kept])

    def refuse(self, looks: Looks) -> Refusal | None:
        """Why a picture should not be taken; None: it may."""
        if self.size is not None and looks.size != self.size:
            return Refusal("size", f"{_times(looks.size)} pixels, not {_times(self.size)} as the others")
        if self._channels is not None and looks.channels != self._channels:
            return Refusal("kind", f"{NAMES[looks.channels]}, not {NAMES[self._channels]} as the others")
        return self._out_of_line(looks) or self.repeated(looks)

    def repeated(self, looks: Looks) -> Refusal | None:
        """Whether a picture was kept already, or differs from one that was by no more than noise and a little vibration."""
        if (name := self._digests.get(looks.digest)) is not None:
            return Refusal("duplicate", f"pixel for pixel the same as {name}")
        if not self._kept:
            return None
        others = np.stack([kept.looks.thumbnail for kept in self._kept])  # (N, 32, 32)
        # Light may have changed between the two: brought to one mean.
        others = others * (looks.mean / np.maximum(others.mean(axis=(1, 2), keepdims=True), 0.1))
        difference = np.square(others - looks.thumbnail).mean(axis=(1, 2))
        cell = max(1.0, looks.size[0] * looks.size[1] / THUMBNAIL**2)  # pixels that one value of a thumbnail averages
        limit = 2 * NOISE**2 / cell + (VIBRATION * looks.contrast) ** 2
        nearest = int(difference.argmin())
        if difference[nearest] > limit:
            return None
        return Refusal("duplicate", f"no more than noise apart from {self._kept[nearest].name}: the same part?")

    def doubtful(self) -> dict[str, Refusal]:
        """Of the pictures kept, those that would be refused by what is known now: the first ones had nothing beside them."""
        found = {kept.name: self._out_of_line(kept.looks) for kept in self._kept}
        return {name: refusal for name, refusal in found.items() if refusal is not None}

    def _out_of_line(self, looks: Looks) -> Refusal | None:
        if looks.contrast < BLANK:
            return Refusal("exposure", f"nothing to be seen: all of it is of one grey, {looks.mean:.0f}")
        usual = self.medians
        if usual is None:
            return None
        for end, share, median in (("dark", looks.dark, usual.dark), ("bright", looks.bright, usual.bright)):
            if share > median + CLIPPED_MORE:
                return Refusal("exposure", f"{share:.0%} clipped at the {end} end, usually {median:.0%}")
        if not abs(math.log(max(looks.mean, 0.1) / usual.mean)) <= usual.mean_span:
            low, high = math.exp(-usual.mean_span), math.exp(usual.mean_span)
            return Refusal("exposure", f"mean {looks.mean / usual.mean:.2f} of the median, not {low:.2f} to {high:.2f}")
        least = math.exp(-usual.sharpness_span)
        if not looks.sharpness >= least * usual.sharpness:
            return Refusal("blurred", f"sharpness {looks.sharpness / usual.sharpness:.2f} of the median, not {least:.2f}")
        return None


def _medians(kept: Sequence[Looks]) -> Medians:
    sharpness, sharpness_scatter = _usual([looks.sharpness for looks in kept])
    mean, mean_scatter = _usual([looks.mean for looks in kept])
    return Medians(
        sharpness=sharpness,
        sharpness_span=max(-math.log(LEAST_SHARPNESS), SCATTER * sharpness_scatter),
        mean=mean,
        mean_span=max(-math.log(1 - LIGHT), SCATTER * mean_scatter),
        dark=float(np.median([looks.dark for looks in kept])),
        bright=float(np.median([looks.bright for looks in kept])),
    )


def _usual(values: Sequence[float]) -> tuple[float, float]:
    """Median, and the robust standard deviation of the logarithms (from the median of absolute deviations)."""
    logs = np.log(np.maximum(values, 1e-6))
    median = float(np.median(logs))
    return math.exp(median), 1.4826 * float(np.median(np.abs(logs - median)))


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
