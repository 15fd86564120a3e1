"""Whether thresholds are what a calibration wrote: their numbers follow from each other, and the history has the same.

Whoever edits one number leaves its author's name below it.  So nothing that a verdict depends on is taken from the file
alone: the thresholds follow from limit and scale, the limit from the held-out samples, and all else stands in the history's
copy, which has its digest beside it.  This finds mistakes and quiet edits.  It is no signature: whoever rewrites all of it is
not found.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engines.common.errors import RecipeError
from engines.recipe.threshold_terms import Scale, Scored, Thresholds

SLACK = 1e-9  # relative: exponentials differ in their last digits between machines
DIGEST = ".sha256"  # beside a file of the history, in the form that `sha256sum -c` reads


def contradiction(thresholds: Thresholds) -> str:
    """Which of the numbers does not follow from the others; empty: all do."""
    for key, stands, follows in zip(
        ("score_threshold", "pixel_threshold"),
        (thresholds.score_threshold, thresholds.pixel_threshold),
        _from_limit(thresholds),
        strict=True,
    ):
        if not math.isclose(stands, follows, rel_tol=SLACK):
            return f"{key} is {stands:.6g}, and its limit and scale give {follows:.6g}"
    for key, pictures in (("samples", thresholds.samples), ("rejects", thresholds.rejects)):
        if wrong := _other_deviation(thresholds.scale, pictures):
            return f"{key}: the deviation of {wrong} does not follow from its score and level"
    return _other_limit(thresholds)


def need_as_kept(thresholds: Thresholds, file: Path, copy: Path, kept: Thresholds | None, again: str) -> None:
    """Raise RecipeError unless the thresholds in ``file`` are consistent, and those of the history's ``copy``.

    ``kept`` is what stands in the copy, None where there is none; ``again`` is the command that mends it.
    """
    mend = f"nobody has signed that: calibrate again with: {again}"
    if told := contradiction(thresholds):
        raise RecipeError(f"{file}: {told}; {mend}")
    if kept is None:
        raise RecipeError(f"{file}: version {thresholds.version} has no copy in the history ({copy} is missing); {mend}")
    need_own_digest(copy, again)
    if keys := [name for name in thresholds.__struct_fields__ if getattr(thresholds, name) != getattr(kept, name)]:
        raise RecipeError(f"{file}: {_differing(keys[0], thresholds, kept)} in {copy}{_more(keys)}; {mend}")


def need_own_digest(copy: Path, again: str) -> None:
    """Raise RecipeError when a file of the history is another than was written; one from before digests were kept is taken."""
    beside = copy.with_suffix(DIGEST)
    if beside.exists() and beside.read_bytes() != digest_line(copy.name, copy.read_bytes()):
        raise RecipeError(f"{copy}: changed since it was written; nobody has signed that: calibrate again with: {again}")


def digest_line(name: str, content: bytes) -> bytes:
    """What stands beside a file of the history."""
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()


def _from_limit(thresholds: Thresholds) -> tuple[float, float]:
    try:
        return thresholds.scale.thresholds(thresholds.limit)
    except OverflowError:
        return math.inf, math.inf


def _other_deviation(scale: Scale, pictures: Sequence[Scored]) -> str:
    """The name of the first picture whose deviation is not that of its score and level; empty: there is none."""
    if not pictures:
        return ""
    scores, levels, deviations = (np.array([getattr(one, key) for one in pictures]) for key in ("score", "level", "deviation"))
    with np.errstate(divide="ignore", invalid="ignore"):  # of numbers that no logarithm is of: what comes out is not equal
        wrong = ~np.isclose(scale.deviations(scores, levels), deviations, rtol=SLACK, atol=SLACK)
    return pictures[int(wrong.argmax())].name if wrong.any() else ""


def _other_limit(thresholds: Thresholds) -> str:
    """What the limit contradicts of the held-out samples; empty: nothing."""
    guarantee, deviations = thresholds.guarantee, sorted(one.deviation for one in thresholds.samples)
    if guarantee.samples != len(deviations):
        return f"guarantee: it rests on {guarantee.samples} samples, and {len(deviations)} are listed"
    if guarantee.rank is None:
        # An estimate: what it may be has a lower end only.
        lowest = deviations[-1] if deviations else -math.inf
        return "" if thresholds.limit >= lowest - SLACK else f"limit is {thresholds.limit:.6g}, below a sample's {lowest:.6g}"
    if not 1 <= guarantee.rank <= len(deviations):
        return f"guarantee: there is no sample of rank {guarantee.rank}"
    follows = deviations[guarantee.rank - 1]
    if math.isclose(thresholds.limit, follows, rel_tol=SLACK, abs_tol=SLACK):
        return ""
    return f"limit is {thresholds.limit:.6g}, and the sample that sets it has {follows:.6g}"


def _differing(key: str, thresholds: Thresholds, kept: Thresholds) -> str:
    stands, was = getattr(thresholds, key), getattr(kept, key)
    short = isinstance(stands, int | float | str | None) and isinstance(was, int | float | str | None)
    return f"{key} is {stands}, and {was}" if short else f"{key} is another than"


def _more(keys: list[str]) -> str:
    return f" (other ones there: {', '.join(keys[1:])})" if len(keys) > 1 else ""
