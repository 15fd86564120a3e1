"""What of the box's processor an engine computes with: its cores, its threads, and a quota that holds the process back.

A quota is a control group's, of a container or of systemd's `CPUQuota=`.  Libraries count cores and do not see it: with more
threads than it allows, all of them stand still for the rest of each period.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engines.common.errors import ConfigError

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Share:
    """What one engine is given of the box."""

    streams: int = 1  # frames computed at once
    threads: int | None = None  # None: as many as its cores and a quota allow
    cores: frozenset[int] | None = None  # None: all that this process may use

    def limited_to(self, cores: int, quota: float | None) -> int | None:
        """Its threads on so many cores, where there are to be fewer or another number than a library would start."""
        if self.threads is None and quota is not None and quota < cores:
            return max(1, int(quota))
        return self.threads


def cores_of(text: str) -> frozenset[int]:
    """The cores of a list as `taskset` and systemd's `CPUAffinity=` take it: "0-3,8". Raises ValueError for an empty range."""
    cores: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        span = range(int(first), int(last or first) + 1)
        if not span:
            raise ValueError(f"cores: {part} ends before it begins")
        cores.update(span)
    return frozenset(cores)


def listed(cores: frozenset[int]) -> str:
    """The same cores as such a list."""
    parts: list[list[int]] = []
    for core in sorted(cores):
        if parts and parts[-1][-1] == core - 1:
            parts[-1].append(core)
        else:
            parts.append([core])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def usable_cores() -> frozenset[int]:
    """The cores that this thread may use."""
    return frozenset(os.sched_getaffinity(0))


@contextmanager
def on_cores(cores: frozenset[int] | None) -> Iterator[None]:
    """Have this thread, and those that are started meanwhile, run on these cores only. None: nothing changes.

    Raises ConfigError where the box or its control group does not have all of them.
    """
    before = usable_cores()
    if cores is None:
        yield
        return
    try:
        os.sched_setaffinity(0, cores)
    except OSError:  # none of them is there
        given: frozenset[int] = frozenset()
    else:
        given = usable_cores()
    try:
        if missing := cores - given:
            raise ConfigError(
                f'engine.cores = "{listed(cores)}": this box, or the control group of this process, has no core '
                f"{listed(missing)}; it has {listed(before | given)}"
            )
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_quota(own: Path = OWN_CGROUPS, root: Path = CGROUPS) -> float | None:
    """Processors' worth of time that this process may use, 1.5 for one and a half; None: there is no quota.

    The least of its control group's and of all that hold that one, of version 2 and 1.
    """
    quotas: list[float] = []
    for line in own.read_text(encoding="utf-8").splitlines() if own.exists() else []:
        _, kinds, path = line.split(":", 2)
        if not kinds or "cpu" in kinds.split(","):
            quotas += quotas_of(path, root / kinds)
    return min(quotas, default=None)


def quotas_of(path: str, root: Path = CGROUPS) -> list[float]:
    """The quotas of a control group and of all that hold it; in a container it may be the host's, and only the last is here."""
    place = PurePosixPath(path.lstrip("/"))
    return [quota for part in (place, *place.parents) for quota in _version_2(root / part) + _version_1(root / part)]


def _version_2(folder: Path) -> list[float]:
    file = folder / "cpu.max"
    allowed, _, period = (file.read_text(encoding="ascii") if file.is_file() else "max").strip().partition(" ")
    return [] if allowed == "max" else [int(allowed) / int(period)]


def _version_1(folder: Path) -> list[float]:
    file = folder / "cpu.cfs_quota_us"
    allowed = int(file.read_text(encoding="ascii")) if file.is_file() else -1
    return [] if allowed < 0 else [allowed / int((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))]
