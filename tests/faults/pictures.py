"""What a station's camera plays, and so what the verdict of each part must be.

The emulated camera plays a folder in the order of names, one picture a trigger, and from its first one again whenever grabbing
begins anew.  So the picture of a part is known from its number alone, without asking anything that carried it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.pictures.images import read_image
from engines.pictures.scores import SCORES
from engines.proof.admission import load_engine
from engines.recipe.bundle import Recipe
from engines.recipe.thresholds import load_thresholds
from engines.targets import run_once
from tests.virtual_line.product import save_parts

# 1: a bad part. A sequence of greatest length: moved on by any number, it differs at 16 of its 31 places.
PATTERN = "0001101110101000010010110011111"
SEEDS = range(700, 700 + len(PATTERN))
SAME = 1e-4  # of a score: the same picture on the same engine, its score perhaps in 32 bits; two pictures differ by more
# What is told of a trigger that brought no picture because grabbing ends there, and begins anew after it.
GRABS_ANEW = "the camera is lost"
MAY_HAVE_PLAYED = "no picture within "  # or only pictures that may be an earlier trigger's: dropped, or never taken


@dataclass(frozen=True)
class Picture:
    """The truth of one picture, and the score that the engine gives it when it is asked for nothing else."""

    bad: bool
    score: float


def save_pictures(folder: Path) -> None:
    """Write the pictures: with a piece missing or misplaced where the pattern has a 1."""
    bad = ("missing piece", "misplaced piece")
    save_parts(folder, SEEDS, [bad[i % 2] if one == "1" else None for i, one in enumerate(PATTERN)])


def read_pictures(folder: Path, built: Recipe) -> list[Picture]:
    """The truth of each picture in playing order; asserts that the recipe tells good from bad, and picture from picture."""
    thresholds = load_thresholds(built)
    assert thresholds is not None
    engine = load_engine(built, "openvino", "float32")
    slot = engine.new_slot()
    pictures = []
    for file, one in zip(sorted(folder.iterdir()), PATTERN, strict=True):
        run_once(slot, read_image(file), built.manifest.geometry)
        pictures.append(Picture(one == "1", float(slot.scores[SCORES.index(thresholds.score)])))
    engine.close()
    assert all((picture.score > thresholds.score_threshold) == picture.bad for picture in pictures), pictures
    for before, after in zip(pictures, pictures[1:] + pictures[:1], strict=True):
        assert not _same(before.score, after.score), "neighbours differ"
    return pictures


def shown(verdicts: Iterable[dict[str, Any]], pictures: Sequence[Picture]) -> Iterator[tuple[dict[str, Any], Picture | None]]:
    """Each verdict of one epoch beside its part's picture, None where there was none; ``verdicts`` in the order of parts."""
    played, unsure = 0, False
    for verdict in verdicts:
        if verdict["detail"].startswith(GRABS_ANEW):
            played, unsure = 0, False
            yield verdict, None
        elif verdict["detail"].startswith(MAY_HAVE_PLAYED):
            unsure = True
            yield verdict, None
        else:
            if unsure and verdict["score"] is not None:  # one of two neighbours, whose scores differ
                following = pictures[(played + 1) % len(pictures)]
                played += _same(verdict["score"], following.score)
                unsure = False
            yield verdict, pictures[played % len(pictures)]
            played += 1


def assert_true(verdict: dict[str, Any], picture: Picture | None) -> bool:
    """A verdict that the line gave or the PLC took is its own picture's; returns whether the picture was measured.

    What was rejected unmeasured (late, overrun, stopping ...) may be of any picture.
    """
    assert verdict["verdict"] == "reject" or (picture is not None and not picture.bad), f"passed, of {picture}: {verdict}"
    if verdict["score"] is None:
        assert verdict["reason"] not in ("", "defect"), f"not measured: {verdict}"
        return False
    assert picture is not None, f"measured without a picture: {verdict}"
    assert _same(verdict["score"], picture.score), f"another picture's score, of {picture}: {verdict}"
    assert verdict["reason"] != ("" if picture.bad else "defect"), f"of {picture}: {verdict}"
    return True


def _same(score: float, other: float) -> bool:
    return math.isclose(score, other, rel_tol=SAME)
