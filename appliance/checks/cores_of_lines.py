"""What each line of a box gets of its processor: whether lines share cores, and what to write where they should not.

OpenVINO pins a line's threads to cores, from the first one on, and sees neither another line nor a quota.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from engines.common.cores import cores_of, listed
from engines.common.errors import ConfigError
from engines.common.line_file import EngineConfig, LineRecipe
from engines.common.typed_toml import decode_toml
from engines.targets import TARGETS

PROCESSOR = Path("/sys/devices/system/cpu")


class Given(NamedTuple):
    """What one line computes with."""

    threads: int
    cores: frozenset[int]


def engines_beside(file: Path) -> tuple[dict[str, EngineConfig], list[str]]:
    """The engines of all lines whose files lie in one folder, by line, and the names of files that cannot be read."""
    found, broken = dict[str, EngineConfig](), list[str]()
    for one in sorted(file.parent.glob("*.toml")):
        try:
            found[one.stem] = decode_toml(one, LineRecipe).engine
        except ConfigError:
            broken.append(one.name)
    return found, broken


def shared(
    name: str, engines: Mapping[str, EngineConfig], usable: frozenset[int], quota: float | None, processor: Path = PROCESSOR
) -> tuple[bool, str]:
    """Whether line ``name`` has its cores to itself, and what it and its neighbours get; else with what to write.

    ``usable``: the box's cores; ``quota``: processors' worth of time that the line may use, None for no quota.
    """
    given = {line: _given(engine, usable, quota) for line, engine in engines.items() if _counts(engine)}
    if name not in given:
        return True, "its engine does not compute on cores of its own"
    own, asked = given[name], engines[name].threads
    text = "; ".join(f"line {line}: {_plural(one.threads)} on cores {listed(one.cores)}" for line, one in given.items())
    if quota is not None:
        text += f"; a quota of its control group allows {quota:g} processors' time"
        if asked is not None and asked > quota:
            return False, (
                f"{text}: more threads than that stand still for the rest of each period; "
                f"take engine.threads out of line {name}'s file, or raise the quota (CPUQuota= of its unit)"
            )
    together = [one for one in given.values() if one.cores & own.cores]
    threads, cores = sum(one.threads for one in together), frozenset[int]().union(*(one.cores for one in together))
    if threads <= len(cores):
        return True, text
    text += f": {_plural(threads)} on {len(cores)} cores"
    if len(together) == 1:
        return False, f"{text}; take engine.threads out of line {name}'s file"
    parts = split(usable, len(given), processor)
    if not parts:
        return False, f"{text}, and more lines than cores: write threads = 1 into [engine] of each, or take a larger box"
    advice = ", ".join(f'cores = "{listed(part)}" for line {line}' for line, part in zip(given, parts, strict=True))
    return False, f"{text}; write into [engine] of each, without threads: {advice}"


def split(usable: frozenset[int], lines: int, processor: Path = PROCESSOR) -> Sequence[frozenset[int]]:
    """The box's cores in as many parts as lines, none of which holds half a core; empty: there are too few.

    Two threads of one core are two of the numbers that the system counts.
    """
    whole = sorted({_siblings(core, processor) & usable for core in usable}, key=min)
    if len(whole) < lines:
        return []
    ends = [round(i * len(whole) / lines) for i in range(lines + 1)]
    return [frozenset().union(*whole[first:last]) for first, last in pairwise(ends)]


def _siblings(core: int, processor: Path) -> frozenset[int]:
    file = processor / f"cpu{core}" / "topology" / "thread_siblings_list"
    return cores_of(file.read_text(encoding="ascii").strip()) if file.is_file() else frozenset({core})


def _counts(engine: EngineConfig) -> bool:
    return engine.target in TARGETS and TARGETS[engine.target].streams


def _given(engine: EngineConfig, usable: frozenset[int], quota: float | None) -> Given:
    cores = usable if engine.share.cores is None else engine.share.cores
    return Given(engine.share.limited_to(len(cores), quota) or len(cores), cores)


def _plural(threads: int) -> str:
    return f"{threads} thread{'' if threads == 1 else 's'}"
