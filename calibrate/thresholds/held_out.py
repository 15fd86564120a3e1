"""Pictures that a guarantee may rest on: known-good ones that took no part in the fit, each counted once; and known rejects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from calibrate.fit.golden_set import content_digest
from engines.common.errors import ImageError
from engines.pictures.geometry import Pixels
from engines.pictures.images import decode_image, list_images, read_content
from engines.recipe.bundle import Manifest
from engines.recipe.golden_samples import fitting, read_samples


class Picture(NamedTuple):
    """A picture of the recipe's frame size, and the file that it came from."""

    name: str
    sha256: str
    image: Pixels


def held_out_samples(golden: Path, known_good: Path | None, manifest: Manifest, say: Callable[[str], None]) -> list[Picture]:
    """The golden samples that the fit kept back, and the pictures of another folder of good parts.

    A picture that the fit used is refused, since its score is lower than a new part's; by its content, so that a copy saved
    anew is found as well.  Copies among the others count once: ``say`` tells of them.
    """
    kept = [sample for sample in manifest.golden if sample.held_out]
    images = read_samples(golden, manifest, held_out=True)
    pictures = [Picture(sample.name, sample.sha256, image) for sample, image in zip(kept, images, strict=True)]
    added = _read_folder(known_good, manifest, "known-good part; leave --known-good out") if known_good is not None else []
    fitted = {content_digest(image) for image in read_samples(golden, manifest, held_out=False)} if added else set()
    overlapping = [picture.name for picture in added if content_digest(picture.image) in fitted]
    if overlapping:
        raise ImageError(
            f"{known_good}: {len(overlapping)} of its pictures took part in the fit, the first is {overlapping[0]}, and say "
            "nothing of new parts; take them out of that folder"
        )
    once = {content_digest(picture.image): picture for picture in reversed([*pictures, *added])}
    if copies := len(pictures) + len(added) - len(once):
        say(f"{copies} of the held-out pictures are copies of others, which count once")
    return list(reversed(once.values()))


def known_rejects(folder: Path, manifest: Manifest) -> list[Picture]:
    """The pictures of known rejects in a folder."""
    return _read_folder(folder, manifest, "known reject; leave --rejects out")


def _read_folder(folder: Path, manifest: Manifest, what: str) -> list[Picture]:
    pictures = []
    for file in list_images(folder):
        content = read_content(file)
        image = fitting(decode_image(content, str(file)), manifest.geometry, str(file))
        pictures.append(Picture(file.name, hashlib.sha256(content).hexdigest(), image))
    if not pictures:
        raise ImageError(f"{folder}: no picture of a {what}, or give another folder")
    return pictures
