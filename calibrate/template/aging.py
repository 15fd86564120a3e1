"""Whether a pinned template has aged: parts that passed lately are nearer to another golden sample than to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from scipy import stats

from appliance.config.line import load_line, need_archive
from calibrate.template.medoids import Floats
from engines.common.errors import ImageError
from engines.pictures.geometry import Pixels
from engines.pictures.images import list_images, read_image
from engines.recipe.bundle import Manifest
from engines.recipe.golden_samples import fitting

MOST, FEWEST = 100, 10  # recent pictures: the newest
RESAMPLES, QUANTILE, CHANCE = 1000, 0.99, 0.01


class Aging(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far recent passes are from the pinned template, and from the golden sample that they are nearest to."""

    recent: int  # pictures
    pinned: float  # median distance of backbone features
    nearest: float
    nearest_name: str
    allowed: Annotated[float, Meta(description="how much farther the pinned one is among as many golden samples, at most")]
    chance: Annotated[float, Meta(description="p-value that as many recent passes are nearer to another by chance")]

    @property
    def aged(self) -> bool:
        """Whether another golden sample fits recent passes better than the pinned template, by much and not by chance."""
        return self.pinned - self.nearest > self.allowed and self.chance < CHANCE


def measure_aging(recent: Floats, golden: Floats, names: Sequence[str], rng: np.random.Generator) -> Aging:
    """Compare distances of recent passes (R, N + 1) with those of the N golden samples themselves (N, N + 1).

    The columns are the golden samples' and then the pinned template's.  How much farther the template may be than the nearest
    other golden sample is what R golden samples, drawn again and again, show in 99 of 100 draws.  Chance is told by a sign test
    on the R pictures, for N golden samples together (Bonferroni).
    """

    def farther(rows: Floats) -> tuple[float, int]:
        medians = np.median(rows, axis=0)
        nearest = int(medians[:-1].argmin())
        return float(medians[-1] - medians[nearest]), nearest

    apart = golden.copy()
    np.fill_diagonal(apart, np.inf)  # that a sample is like itself says nothing
    size = min(len(recent), len(apart))
    drawn = [farther(apart[rng.integers(len(apart), size=max(size, 2))])[0] for _ in range(RESAMPLES)]
    _, nearest = farther(recent)
    medians = np.median(recent, axis=0)
    nearer = int((recent[:, nearest] < recent[:, -1]).sum())
    return Aging(
        recent=len(recent),
        pinned=float(medians[-1]),
        nearest=float(medians[nearest]),
        nearest_name=names[nearest],
        allowed=float(np.quantile(drawn, QUANTILE)),
        chance=min(1.0, len(names) * float(stats.binomtest(nearer, len(recent), alternative="greater").pvalue)),
    )


def archived_passes(line: str, config_dir: Path | None) -> list[Path]:
    """The newest frames of passes in a line's archive, the newest last; none where it keeps none.

    They lie in folders by day as `<line>-<epoch>-<seq>-pass.png` (see appliance/records/archive_files.py).
    """
    loaded = load_line(line, config_dir)
    if loaded.config.archive is None:
        return []
    name = re.compile(rf"{re.escape(line)}-(\d+)-(\d+)-pass\.png")
    files = need_archive(loaded).folder.glob("????-??-??/*-pass.png")
    found = [(int(match[1]), int(match[2]), file) for file in files if (match := name.fullmatch(file.name))]
    return [file for _, _, file in sorted(found)[-MOST:]]


def passes_in(folder: Path) -> list[Path]:
    """The newest pictures in a folder. Raises ImageError when there is none."""
    files = sorted(list_images(folder), key=lambda file: (file.stat().st_mtime, file.name))
    if not files:
        raise ImageError(f"{folder}: no picture of a part that passed, or give another folder with --recent")
    return files[-MOST:]


def read_passes(files: list[Path], manifest: Manifest) -> list[Pixels]:
    """The pictures, of the recipe's frame size."""
    return [fitting(read_image(file), manifest.geometry, str(file)) for file in files]
