"""Cores, threads and quotas: lists of cores, a thread's own, and control groups' files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.common.cores import Share, cores_of, cpu_quota, listed, on_cores, usable_cores
from engines.common.errors import ConfigError
from engines.common.line_file import LineRecipe
from engines.common.typed_toml import decode_toml


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n", encoding="ascii")


@pytest.mark.parametrize(("text", "cores"), [("0", {0}), ("0-3", {0, 1, 2, 3}), ("8,0-1", {0, 1, 8}), ("2-2,3", {2, 3})])
def test_a_list_of_cores_is_read_as_taskset_reads_it(text: str, cores: set[int]) -> None:
    assert cores_of(text) == cores
    assert cores_of(listed(cores_of(text))) == cores


def test_a_list_of_cores_is_told_in_ranges() -> None:
    assert listed(frozenset({9, 0, 1, 2, 8})) == "0-2,8-9"


@pytest.mark.parametrize("cores", ["3-1", "a", "1,", "0-", "-1", ""])
def test_a_list_that_is_none_is_refused_with_its_key(tmp_path: Path, cores: str) -> None:
    file = tmp_path / "3.toml"
    file.write_text(f'recipe = "r"\n[engine]\ncores = "{cores}"\n')
    with pytest.raises(ConfigError, match=r"3\.toml: engine.*cores"):
        decode_toml(file, LineRecipe)


def test_a_thread_stays_on_its_cores_and_has_the_others_again_afterwards() -> None:
    before = usable_cores()
    last = frozenset({max(before)})
    with on_cores(last):
        assert usable_cores() == last
    assert usable_cores() == before
    with on_cores(None):
        assert usable_cores() == before


def test_cores_that_the_box_lacks_are_named() -> None:
    before = usable_cores()
    absent = 4_000
    for asked in (frozenset({absent}), frozenset({max(before), absent})):
        told = rf"engine\.cores = .*has no core {absent}; it has {listed(before)}"
        with pytest.raises(ConfigError, match=told), on_cores(asked):
            pass
        assert usable_cores() == before


@pytest.mark.parametrize(
    ("share", "cores", "quota", "threads"),
    [
        (Share(), 4, None, None),
        (Share(), 4, 4.0, None),
        (Share(), 4, 2.5, 2),
        (Share(), 4, 0.5, 1),
        (Share(threads=3), 4, 1.0, 3),
        (Share(threads=4), 4, None, 4),
    ],
)
def test_threads_are_those_of_the_file_or_what_a_quota_allows(
    share: Share, cores: int, quota: float | None, threads: int | None
) -> None:
    assert share.limited_to(cores, quota) == threads


def test_the_least_quota_of_a_group_and_of_those_that_hold_it_counts(tmp_path: Path) -> None:
    own = tmp_path / "own"
    write(own, "0::/plant.slice/line.service")
    assert cpu_quota(own, tmp_path) is None
    write(tmp_path / "plant.slice" / "line.service" / "cpu.max", "max 100000")
    assert cpu_quota(own, tmp_path) is None
    write(tmp_path / "plant.slice" / "cpu.max", "150000 100000")
    assert cpu_quota(own, tmp_path) == 1.5
    write(tmp_path / "plant.slice" / "line.service" / "cpu.max", "50000 100000")
    assert cpu_quota(own, tmp_path) == 0.5


def test_in_a_container_its_own_group_lies_at_the_root(tmp_path: Path) -> None:
    write(tmp_path / "own", "0::/host.slice/container")
    write(tmp_path / "cpu.max", "200000 100000")
    assert cpu_quota(tmp_path / "own", tmp_path) == 2.0


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    write(tmp_path / "own", "9:name=systemd:/\n4:memory:/box\n2:cpu,cpuacct:/box")
    write(tmp_path / "cpu,cpuacct" / "box" / "cpu.cfs_quota_us", "-1")
    assert cpu_quota(tmp_path / "own", tmp_path) is None
    write(tmp_path / "cpu,cpuacct" / "box" / "cpu.cfs_quota_us", "75000")
    write(tmp_path / "cpu,cpuacct" / "box" / "cpu.cfs_period_us", "50000")
    assert cpu_quota(tmp_path / "own", tmp_path) == 1.5


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "own", tmp_path) is None
