"""Golden samples: known-good pictures of one product, read, checked, and split into fitted and held-out ones."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.common.errors import ImageError
from engines.pictures.geometry import Pixels
from engines.pictures.images import decode_image, list_images, read_content
from engines.pictures.picture_kind import Channels, channels_of
from engines.recipe.bundle import GoldenSample
from engines.recipe.golden_samples import resize

FEWEST = 10
HELD_OUT_SHARE, HELD_OUT_FEWEST, HELD_OUT_MOST = 0.2, 10, 1 / 3
NAMED = 3  # files, in a message
STRETCHES, STRETCHED = 4, 50  # of neighbours by name, that are held out together; from so many samples on


@dataclass(frozen=True)
class Golden:
    """Golden samples in name order: what is known of each, and its picture, all of one size and kind."""

    samples: tuple[GoldenSample, ...]
    images: tuple[Pixels, ...]
    channels: Channels | None = None  # of all pictures; see `engines.pictures.picture_kind`

    @property
    def fitted(self) -> list[int]:
        """Indices of the samples that the network is fitted on."""
        return [i for i, sample in enumerate(self.samples) if not sample.held_out]

    @property
    def held_out(self) -> list[int]:
        """Indices of the samples kept back: thresholds rest on them."""
        return [i for i, sample in enumerate(self.samples) if sample.held_out]


def read_golden(folder: Path, seed: int, skip_damaged: bool, say: Callable[[str], None], template: str | None = None) -> Golden:
    """Read a folder of golden samples and hold a fifth of them out, drawn by ``seed``; never the one named ``template``.

    Copies of a picture count once, or one could be fitted and another held out.  Pictures of another size than most are
    resized to that size.  ``say`` tells of both.  Raises ImageError that names damaged files (unless ``skip_damaged``: then
    ``say`` names them), when fewer than 10 samples are left, and when some are grey and others in colour.
    """
    names, digests, images, damaged, copies = [], [], [], [], []
    seen: dict[str, str] = {}  # names by content
    for file in list_images(folder):
        try:
            content = read_content(file)
            image = decode_image(content, str(file))
        except ImageError as error:
            damaged.append(str(error))
            continue
        if (first := seen.setdefault(content_digest(image), file.name)) != file.name:
            copies.append(f"{file.name} of {first}")
            continue
        images.append(image)
        names.append(file.name)
        digests.append(hashlib.sha256(content).hexdigest())
    if damaged and not skip_damaged:
        more = f" (and {len(damaged) - 1} more such files)" if len(damaged) > 1 else ""
        raise ImageError(f"{damaged[0]}{more}, or leave such files out with --skip-damaged")
    for error_text in damaged:
        say(f"skipped: {error_text}")
    if copies:
        more = f" and {len(copies) - 1} more" if len(copies) > 1 else ""
        say(f"copies of other golden samples are left out: {copies[0]}{more}")
    if len(images) < FEWEST:
        raise ImageError(
            f"{folder}: {len(images)} usable golden samples, at least {FEWEST} are needed "
            "(50 and more are better); collect more known-good pictures"
        )
    channels = _one_kind(folder, names, images)
    held_out = _draw_held_out(len(images), seed) - ({names.index(template)} if template in names else set())
    samples = tuple(
        GoldenSample(name, digest, i in held_out) for i, (name, digest) in enumerate(zip(names, digests, strict=True))
    )
    return Golden(samples, _to_one_size(images, say), channels)


def _draw_held_out(count: int, seed: int) -> set[int]:
    """A fifth, or of few samples ten, a third of them at most: with very few a threshold has to lie far from all of them.

    In stretches: pictures that were taken one after the other are often of one part, one batch or one hour, and a sample
    among fitted ones of its kind would promise too much for parts of the next.  Of few samples one by one, since a stretch
    may be all that there is of a kind, and the network is to know it.
    """
    wanted = max(round(count * HELD_OUT_SHARE), min(HELD_OUT_FEWEST, int(count * HELD_OUT_MOST)))
    length = wanted // STRETCHES if count >= STRETCHED else 1
    stretches = np.array_split(np.arange(count), count // length)
    drawn = [stretches[i] for i in np.random.default_rng(seed).permutation(len(stretches))]
    return {int(i) for i in np.concatenate(drawn)[:wanted]}


def content_digest(image: Pixels) -> str:
    """SHA-256 of a picture's size and pixels, so that a copy saved anew is the same."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def _one_kind(folder: Path, names: list[str], images: list[Pixels]) -> Channels:
    """What all pictures are, grey or colour: a network that has seen both lets a picture of the wrong one pass."""
    kinds: dict[Channels, list[str]] = {1: [], 3: []}
    for name, image in zip(names, images, strict=True):
        kinds[channels_of(image)].append(name)
    grey, colour = kinds[1], kinds[3]
    if grey and colour:
        what, fewer = ("grey", grey) if len(grey) <= len(colour) else ("in colour", colour)
        others = "in colour" if fewer is grey else "grey"
        more = f" and {len(fewer) - NAMED} more" if len(fewer) > NAMED else ""
        raise ImageError(
            f"{folder}: {len(fewer)} of {len(names)} golden samples are {what}, the others {others}: "
            f"{', '.join(fewer[:NAMED])}{more}; move out of the folder what the line's camera does not give, or take new ones"
        )
    return 1 if grey else 3


def _to_one_size(images: list[Pixels], say: Callable[[str], None]) -> tuple[Pixels, ...]:
    sizes = Counter(image.shape[:2] for image in images)
    (height, width), most = sizes.most_common(1)[0]
    if most < len(images):
        say(f"{len(images) - most} of {len(images)} pictures are resized to {width} x {height} pixels, the most frequent size")
    return tuple(resize(image, width, height) for image in images)
