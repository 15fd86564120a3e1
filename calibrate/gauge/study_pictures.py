"""A gauge study's pictures through the engine that serves: from folders, each picture to what the line would say of it.

FOLDER/part-01/take-01.png ...             a folder a part, named as you like; its pictures are its repeats
FOLDER/part-01/early-shift/take-01.png     with appraisers: people or sessions, the same ones in every part
FOLDER/truth.csv                           part,truth  with good or bad, where it is known; or in the folder's
                                           name: part-02-bad
"""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self

import msgspec
import numpy as np

from calibrate.gauge.causes import Grey, Look, look, reduced
from calibrate.thresholds.scorer import Scorer
from engines.common.errors import ConfigError, EngineError, ImageError, RecipeError
from engines.judgement import judge
from engines.pictures.geometry import Pixels
from engines.pictures.images import SUFFIXES, decode_image, list_images, read_content
from engines.recipe.bundle import Recipe
from engines.recipe.golden_samples import need_kind
from engines.recipe.thresholds import load_thresholds

TRUTH_FILE = "truth.csv"
ONE = ""  # the appraiser of a study without any
Truth = Literal["good", "bad"]


class Take(msgspec.Struct, frozen=True):
    """One picture of one part."""

    part: str
    appraiser: str
    name: str
    score: float  # of the kind that the thresholds are for
    level: float  # the highest pixel threshold at which it still has a region
    deviation: float  # of both together from typical good parts, in logarithms: what the thresholds are cut by
    passed: bool
    look: Look


class Gauge:
    """What is studied: a recipe with its thresholds and ignore-mask on one engine. Used in a `with` statement."""

    def __init__(self, recipe: Recipe, target: str, precision: str) -> None:
        """Raises RecipeError without thresholds, EngineError with what mends an engine that cannot serve."""
        thresholds = load_thresholds(recipe)
        if thresholds is None:
            raise RecipeError(
                f"{recipe.folder}: has no thresholds, so there are no verdicts to study; make them with: "
                f"{recipe.naming.command('calibrate thresholds', target, precision)}"
            )
        self.recipe, self.thresholds = recipe, thresholds
        self._geometry = recipe.manifest.geometry
        self._scorer = Scorer.judging(recipe, thresholds, target, precision)
        self._first: dict[str, Grey] = {}  # each part's first picture
        self._seen: dict[str, str] = {}  # digest of pixels: whose picture it is

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *parts: object) -> None:
        self._scorer.__exit__(*parts)

    @property
    def engine(self) -> str:
        """As it stands in verdicts."""
        return self._scorer.engine

    def take(self, part: str, appraiser: str, name: str, image: Pixels) -> Take:
        """Measure and judge a picture as the line does.

        Raises ImageError for a picture of another size or kind than the line's frames, or one that was there before bit by bit.
        """
        where = "/".join(word for word in (part, appraiser, name) if word)
        height, width = image.shape[:2]
        if (width, height) != self._geometry.frame:
            wanted = "{} x {}".format(*self._geometry.frame)
            raise ImageError(
                f"{where}: {width} x {height} pixels, the recipe is for frames of {wanted}; a study needs frames as the "
                "line's camera gives them"
            )
        need_kind(image, self._geometry, where)
        digest = hashlib.sha256(image.tobytes()).hexdigest()
        if self._seen.setdefault(digest, where) != where:
            raise ImageError(
                f"{where}: the same picture as {self._seen[digest]}, bit by bit; two takes never are: remove the copy, or see "
                "why the camera repeats itself"
            )
        judgement = judge(self._scorer.measure(image), self.thresholds)
        score, level = judgement.score, judgement.level()
        with np.errstate(divide="ignore"):  # no region at any level: the score alone decides
            deviation = self.thresholds.deviation(score, level)
        if not math.isfinite(deviation):
            raise EngineError(f"{where}: its score is not finite; see what the engine does with: engines verify")
        grey = reduced(image, self._geometry.region)
        seen = look(grey, self._first.setdefault(part, grey), self._geometry.region)
        return Take(part, appraiser, name, score, level, deviation, judgement.passed, seen)


def read_takes(gauge: Gauge, folder: Path, appraisers: bool, tell: Callable[[int, int], None]) -> list[Take]:
    """Every picture of a study's folders, by part and appraiser in name order.

    Raises ImageError when the folders do not make a study: fewer than two parts or repeats, or not as many of each.
    """
    files = _files(folder, appraisers)
    takes: list[Take] = []
    for part, appraiser, file in files:
        takes.append(gauge.take(part, appraiser, file.name, decode_image(read_content(file), str(file))))
        tell(len(takes), len(files))
    return takes


def read_truth(file: Path | None, parts: list[str]) -> dict[str, Truth]:
    """Which parts are good or bad, from a CSV file (part,truth) or else the parts' names; parts not known are left out.

    Raises ConfigError that names the line of the file, or a part that the study has not.
    """
    truth: dict[str, Truth] = {}
    for part in parts:
        found = re.search(r"(?:^|[-_. ])(good|bad)$|^(good|bad)[-_. ]", part.lower())
        if found:
            truth[part] = "bad" if "bad" in found.groups() else "good"
    if file is None:
        return truth
    try:
        rows = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{file}: cannot be read ({error}); write a part and good or bad into each line") from error
    for number, row in enumerate(rows, start=1):
        words = [word.strip() for word in row]
        if not any(words) or (number == 1 and words[1:2] == ["truth"]):
            continue
        if len(words) != 2 or words[1].lower() not in ("good", "bad"):
            raise ConfigError(f"{file}: line {number}: {','.join(row)!r}: write a part, a comma, and good or bad")
        if words[0] not in parts:
            raise ConfigError(f"{file}: line {number}: the study has no part {words[0]!r} (parts: {', '.join(parts)})")
        truth[words[0]] = "bad" if words[1].lower() == "bad" else "good"
    return truth


def _files(folder: Path, appraisers: bool) -> list[tuple[str, str, Path]]:
    """Part, appraiser and file of each picture; as many of each, or ImageError."""
    parts = {place.name: _places(place) if appraisers else {ONE: place} for place in _places(folder).values()}
    if len(parts) < 2:
        raise ImageError(
            f"{folder}: {len(parts)} folders of parts there; a study needs 2 at least (10 are usual), a folder each"
        )
    expected = next(iter(parts.values()))
    files: list[tuple[str, str, Path]] = []
    counts: dict[str, int] = {}
    for part, by_appraiser in parts.items():
        if set(by_appraiser) != set(expected):
            raise ImageError(
                f"{folder / part}: appraisers {', '.join(by_appraiser) or 'none'}, other parts have "
                f"{', '.join(expected) or 'none'}; each appraiser takes every part"
            )
        for appraiser, place in by_appraiser.items():
            pictures = list_images(place)
            counts[str(place.relative_to(folder))] = len(pictures)
            files += [(part, appraiser, picture) for picture in pictures]
            if not appraisers and not pictures and any(_has_pictures(one) for one in _places(place).values()):
                raise ImageError(f"{place}: holds folders; if these are appraisers or sessions, say so with --appraisers")
    fewest, most = min(counts.items(), key=lambda one: one[1]), max(counts.items(), key=lambda one: one[1])
    if fewest[1] != most[1]:
        raise ImageError(
            f"{folder}: {fewest[0]} has {fewest[1]} pictures, {most[0]} has {most[1]}; a study needs the same number of "
            "repeats of each part: remove some or take some more"
        )
    if fewest[1] < 2:
        raise ImageError(f"{folder / fewest[0]}: {fewest[1]} pictures; a study needs 2 repeats of each part at least")
    return files


def _places(folder: Path) -> dict[str, Path]:
    """The folders right in a folder, in name order."""
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder; give the folder that holds a folder of pictures for each part")
    return {one.name: one for one in sorted(folder.iterdir()) if one.is_dir() and not one.name.startswith(".")}


def _has_pictures(folder: Path) -> bool:
    return any(file.suffix.lower() in SUFFIXES for file in folder.iterdir())
