"""Replay: archived frames through a recipe's engine as it is now, and how its verdicts differ from the journal's.

With the recipe and engine that gave a verdict, everything measured must come out again.  With another recipe, engine or
threshold it is the shadow comparison before a change-over: there scores differ, and what counts is whether verdicts do.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from appliance.capture import Frame
from appliance.line.offline import through
from appliance.line.pipeline import Job
from appliance.line.recipe_at_work import LoadedRecipe
from appliance.messages.schema import Verdict
from appliance.records.archive_files import entry
from appliance.records.journal import Query, search
from engines.common.errors import ConfigError, ImageError
from engines.pictures.images import read_image

# The same engine on the same box gives the same bits; float32 sums taken in another order, as another number of cores
# takes them, still agree to this, relative to the score.
TOLERANCE = 1e-5
CIRCUMSTANCES = ("late", "overrun", "no-image", "stopping", "miscounted")  # reasons that the picture does not decide
COMPARED = ("verdict", "reason", "score", "template", "regions")
CONDITIONS = ("recipe", "engine", "threshold")  # where these differ, not all of the above can be the same
IGNORED = tuple(name for name in Verdict.__struct_fields__ if name not in COMPARED + CONDITIONS)


class Archived(NamedTuple):
    """A verdict in the journal, and its frame's file."""

    verdict: Verdict
    frame: Path


class Replayed(NamedTuple):
    """One part, then and now."""

    was: Verdict
    now: Verdict
    differs: tuple[str, ...]  # of COMPARED
    by_circumstances: bool  # it was not measured then: there is nothing to compare with


class Tally:
    """What a replay has found."""

    def __init__(self) -> None:
        self.compared = self.same = 0
        self.pass_to_reject = self.reject_to_pass = 0
        self.by_circumstances = 0
        self.largest_difference = 0.0  # of scores
        self.conditions: Counter[str] = Counter()  # parts by what was another one then

    def take(self, part: Replayed) -> None:
        """Count a part."""
        was, now = part.was, part.now
        if part.by_circumstances:
            self.by_circumstances += 1
            return
        self.compared += 1
        self.same += not part.differs
        if "verdict" in part.differs:
            self.reject_to_pass += now.verdict == "pass"
            self.pass_to_reject += now.verdict == "reject"
        if was.score is not None and now.score is not None:
            self.largest_difference = max(self.largest_difference, abs(was.score - now.score))
        self.conditions.update(name for name in CONDITIONS if getattr(was, name) != getattr(now, name))


def find_archived(line: str, folder: Path, journal: Path, query: Query, limit: int | None) -> list[Archived]:
    """The newest verdicts that fit and whose frames are in the archive, oldest first.

    ``folder`` is the archive's of the ``line``.  Raises ConfigError when there is no journal, or no such frame.
    """
    stems = ((verdict, entry(folder, verdict)) for verdict in search(journal, query))
    frames = (Archived(verdict, stem.with_name(f"{stem.name}.png")) for verdict, stem in stems)
    found = list(islice((one for one in frames if one.frame.exists()), limit))[::-1]
    if not found:
        raise ConfigError(
            f"no frame of these verdicts is in {folder}; choose another time, or see what there is: "
            f"inspect history --line {line}"
        )
    return found


def replay(loaded: LoadedRecipe, parts: Sequence[Archived]) -> Iterator[Replayed]:
    """Run the frames through the recipe, and judge them as the line does; in order.

    Raises ConfigError when the frames are not of the recipe's size.
    """
    due = iter(parts)

    def finish(job: Job[LoadedRecipe]) -> Replayed:
        was = next(due).verdict
        now = job.station.decider.verdict(job, was.line, was.epoch, was.seq, was.simulated)
        by_circumstances = was.reason in CIRCUMSTANCES
        return Replayed(was, now, () if by_circumstances else differences(was, now), by_circumstances)

    _check_size(loaded, parts)
    yield from through(loaded, map(_frame, parts), finish, loaded.slots)


def differences(was: Verdict, now: Verdict) -> tuple[str, ...]:
    """What differs of what can be compared; see the module's description."""
    same_engine = (was.recipe, was.engine) == (now.recipe, now.engine)
    equal = {"verdict": was.verdict == now.verdict, "reason": was.reason == now.reason}
    if same_engine:
        equal["score"] = _close(was.score, now.score)
        equal["template"] = (was.template and was.template.name) == (now.template and now.template.name)
    if same_engine and was.threshold == now.threshold:
        equal["regions"] = len(was.regions) == len(now.regions) and all(
            (a.x, a.y, a.w, a.h, a.area) == (b.x, b.y, b.w, b.h, b.area) and _close(a.peak, b.peak)
            for a, b in zip(was.regions, now.regions, strict=True)
        )
    return tuple(name for name in COMPARED if not equal.get(name, True))


def _close(was: float | None, now: float | None) -> bool:
    if was is None or now is None:
        return was is now
    return math.isclose(was, now, rel_tol=TOLERANCE)


def _frame(part: Archived) -> Frame:
    image, fault = None, None
    try:
        image = read_image(part.frame)
    except ImageError as error:
        fault = str(error)
    return Frame(part.verdict.frame, time.monotonic_ns(), part.verdict.camera_time, image, fault, part.verdict.source)


def _check_size(loaded: LoadedRecipe, parts: Sequence[Archived]) -> None:
    measured = next((part for part in parts if part.verdict.score is not None), None)
    if measured is None:
        return
    height, width = read_image(measured.frame).shape[:2]
    wanted = loaded.geometry.frame
    if (width, height) != wanted:
        raise ConfigError(
            f"{loaded.recipe.folder}: made for frames of {wanted[0]} x {wanted[1]} pixels, the archived ones are "
            f"{width} x {height}; give a recipe for such frames, or another time"
        )
