"""Built engines: `engines/<target>-<precision>-<environment>/` in a recipe, with a record of their making and their proof.

A line loads an engine only with a passed parity report for exactly this recipe, these thresholds, these files, this machine and
these library versions; everything else is refused with the command that mends it.  An environment is a machine with its library
versions.  Each has a folder of its own, so that an engine for the next one is built beside the one that serves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from engines.common.cores import Share, on_cores
from engines.common.errors import EngineError, RecipeError
from engines.common.files import Sha256, check_digest, decode_json
from engines.proof.parity import Parity
from engines.recipe.bundle import Recipe
from engines.recipe.thresholds import load_thresholds
from engines.targets import TARGETS, Engine, Precision, begin, load_reference, need_whole_box, target_module

RECORD = "build.json"
WHOLE_BOX = Share()
KEY_DIGITS = 12  # of the digest that stands for an environment


class BuildRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`build.json`."""

    recipe_digest: Sha256
    target: str
    precision: Precision
    versions: Annotated[dict[str, str], Meta(description="libraries and hardware that the answer depends on")]
    files: Annotated[dict[str, Sha256], Meta(description="every file beside this record")]
    parity: Parity | None  # None: built, but not proven
    built: str  # UTC, ISO 8601
    build_seconds: float


def engine_folder(recipe: Recipe, target: str, precision: str, versions: Mapping[str, str] | None = None) -> Path:
    """Where an engine for an environment lies in its recipe; None: for the one that this process runs in."""
    environment = target_module(target, precision).versions() if versions is None else dict(versions)
    key = hashlib.sha256(msgspec.json.encode(environment, order="sorted")).hexdigest()[:KEY_DIGITS]
    return recipe.folder / "engines" / f"{target}-{precision}-{key}"


def built_engines(recipe: Recipe) -> dict[Path, BuildRecord]:
    """The records of all engines that a recipe has, by folder, whatever they were built for."""
    files = sorted((recipe.folder / "engines").glob(f"[!.]*/{RECORD}"))  # with a dot: still being built
    return {file.parent: read_record(file.parent) for file in files}


def runs_here(record: BuildRecord) -> bool:
    """Whether an engine was built for this environment; none was where its target's library or hardware is missing."""
    try:
        here: dict[str, str] = target_module(record.target, record.precision).versions()
    except EngineError:
        return False
    return record.versions == here


def read_record(folder: Path) -> BuildRecord:
    """An engine's record. Raises EngineError or RecipeError when it is missing or damaged."""
    file = folder / RECORD
    if not file.is_file():
        raise EngineError(f"{folder}: no engine there")
    return decode_json(file.read_bytes(), BuildRecord, file)


def load_engine(
    recipe: Recipe, target: str, precision: str, share: Share = WHOLE_BOX, *, any_thresholds: bool = False
) -> Engine:
    """Load an engine that has proven itself, with its share of the box, and warm it.

    ``any_thresholds``: to get thresholds from it; its numbers must be near the reference's, its verdicts do not matter yet.

    Raises EngineError with the mending command for any other, and ConfigError for cores that are not there.
    """
    with on_cores(share.cores):  # before a target imports its library: OpenVINO looks at them once in a process
        module = target_module(target, precision)
        if not TARGETS[target].streams:
            need_whole_box(target, share)
        if TARGETS[target].reference == precision:
            engine = load_reference(recipe)
        else:
            need_proven(recipe, target, precision, any_thresholds=any_thresholds)
            engine = module.load(recipe, precision, engine_folder(recipe, target, precision), share)
        _warm(engine, share.streams)
    return engine


def _warm(engine: Engine, streams: int) -> None:
    """Have each of its streams compute a picture: the first takes twice as long, and is not to be a part's.

    What the picture shows does not matter, and what was computed for one slot serves all.
    """
    slots = [engine.new_slot() for _ in range(streams)]
    for slot in slots:
        begin(slot)
    for slot in slots:
        slot.finish()


def need_proven(recipe: Recipe, target: str, precision: str, *, any_thresholds: bool = False) -> BuildRecord:
    """The record of an engine that `load_engine` loads. Raises EngineError for any other; none of its files was opened then."""
    record = need_intact(recipe, target, precision)
    folder = engine_folder(recipe, target, precision)
    thresholds = None if any_thresholds else load_thresholds(recipe)
    verify = f"prove it with: {recipe.naming.command('engines verify', target, precision)}"
    compared = record.parity is not None and (thresholds is None or record.parity.thresholds_digest == thresholds.digest)
    if record.parity is None or not (compared or any_thresholds):
        raise EngineError(f"{folder}: no parity report for the thresholds as they are now; {verify}")
    if not (record.parity.close if any_thresholds else record.parity.passed):
        raise EngineError(f"{folder}: the parity gate was not passed ({describe(record.parity)}); choose another precision")
    return record


def need_intact(recipe: Recipe, target: str, precision: str) -> BuildRecord:
    """The record of an engine that was built for this recipe, here, and not changed since.

    Raises EngineError with the mending command for any other; none of its files was opened then.
    """
    module = target_module(target, precision)
    here: dict[str, str] = module.versions()
    folder = engine_folder(recipe, target, precision, here)
    build = recipe.naming.command("engines build", target, precision)
    if not (folder / RECORD).is_file():
        elsewhere = [
            differing(one, here)
            for one in built_engines(recipe).values()
            if (one.target, one.precision, one.recipe_digest) == (target, precision, recipe.digest)
        ]
        only = f" here, only one built with {', one with '.join(filter(None, elsewhere))}" if any(elsewhere) else ""
        raise EngineError(f"{recipe.folder}: no engine for {target} {precision}{only}; build it with: {build}")
    record = read_record(folder)
    build_again = f"build it again with: {build}"
    if record.recipe_digest != recipe.digest:
        raise EngineError(f"{folder}: built for another fit of this recipe; {build_again}")
    _need_files(folder, record, module.FILES, build_again)
    if told := differing(record, here):  # a folder that was copied or renamed
        raise EngineError(f"{folder}: built with {told}; {build_again}")
    return record


def _need_files(folder: Path, record: BuildRecord, read: Sequence[str], build_again: str) -> None:
    """Raise EngineError unless the record names, with its digest, all that its target will ``read`` and all that lies there."""
    # What a write that was broken off has left begins with a dot; no target reads it.
    there = {file.name for file in folder.iterdir() if not file.name.startswith(".")} - {RECORD}
    if unnamed := sorted({*read, *there} - set(record.files)):
        raise EngineError(f"{folder / RECORD}: files: has no digest of {', '.join(unnamed)}; {build_again}")
    for name, digest in record.files.items():
        try:
            check_digest(folder / name, digest)
        except RecipeError as error:
            raise EngineError(f"{folder / name}: missing or changed since it was built; {build_again}") from error


def differing(record: BuildRecord, here: Mapping[str, str]) -> str:
    """What of an engine's environment is another one here; empty: nothing."""
    was = record.versions
    return ", ".join(f"{key} {was.get(key)} (now {value})" for key, value in here.items() if was.get(key) != value)


def describe(parity: Parity) -> str:
    """A parity report in one line."""
    return (
        f"{parity.frames} frames, map error {parity.map_error:.3g} (limit {parity.limits.map_error:g}), "
        f"score error {parity.score_error:.3g}, correlation {parity.correlation:.5f} (limit {parity.limits.correlation:g}), "
        f"{parity.flips} verdicts flipped outside a guard band of {parity.limits.guard_band:.1%}"
    )
