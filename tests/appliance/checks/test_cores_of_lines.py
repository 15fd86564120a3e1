"""What `inspect doctor` tells of the processor: what each line of the box gets, and what to write where lines share cores."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.checks import doctor
from appliance.checks.cores_of_lines import engines_beside, shared, split
from appliance.cli.records import _engine
from engines.common.cores import usable_cores
from engines.common.line_file import EngineConfig
from tests.appliance.conftest import MakeLine

FOUR = frozenset(range(4))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A processor whose cores are one thread each."""
    return tmp_path / "no processor"


def test_a_line_alone_has_all_cores(plain: Path) -> None:
    assert shared("3", {"3": EngineConfig()}, FOUR, None, plain) == (True, "line 3: 4 threads on cores 0-3")


def test_lines_at_their_defaults_share_all_cores_and_are_told_what_to_write(plain: Path) -> None:
    alone, text = shared("3", {"3": EngineConfig(), "4": EngineConfig()}, FOUR, None, plain)
    assert not alone
    assert "line 3: 4 threads on cores 0-3; line 4: 4 threads on cores 0-3: 8 threads on 4 cores" in text
    assert text.endswith('write into [engine] of each, without threads: cores = "0-1" for line 3, cores = "2-3" for line 4')


@pytest.mark.parametrize(
    ("own", "other", "alone"),
    [
        ({"cores": "0-1"}, {"cores": "2-3"}, True),
        ({"cores": "0-1"}, {"cores": "1-3"}, False),
        ({"cores": "0-1"}, {}, False),
        ({"threads": 2}, {"threads": 2}, True),
        ({"threads": 2}, {"threads": 3}, False),
        ({"cores": "0-1"}, {"threads": 2}, True),
        ({}, {"target": "tensorrt", "precision": "float16"}, True),
    ],
)
def test_lines_share_cores_where_they_have_more_threads_than_those(
    own: dict[str, object], other: dict[str, object], alone: bool, plain: Path
) -> None:
    engines = {"3": EngineConfig(**own), "4": EngineConfig(**other)}  # type: ignore[arg-type]
    assert shared("3", engines, FOUR, None, plain)[0] is alone


def test_what_is_advised_is_found_good(plain: Path) -> None:
    for lines in (2, 3, 4):
        parts = split(FOUR, lines, plain)
        engines = {str(i): EngineConfig(cores=",".join(map(str, sorted(part)))) for i, part in enumerate(parts)}
        assert len(engines) == lines
        for line in engines:
            assert shared(line, engines, FOUR, None, plain)[0]


def test_more_threads_than_cores_in_one_line(plain: Path) -> None:
    alone, text = shared("3", {"3": EngineConfig(threads=6)}, FOUR, None, plain)
    assert (alone, text) == (
        False,
        "line 3: 6 threads on cores 0-3: 6 threads on 4 cores; take engine.threads out of line 3's file",
    )


def test_more_lines_than_cores(plain: Path) -> None:
    alone, text = shared("a", {"a": EngineConfig(), "b": EngineConfig()}, frozenset({0}), None, plain)
    assert not alone
    assert "more lines than cores: write threads = 1" in text


def test_no_line_is_advised_half_a_core(tmp_path: Path) -> None:
    for core in FOUR:
        file = tmp_path / f"cpu{core}" / "topology" / "thread_siblings_list"
        file.parent.mkdir(parents=True)
        file.write_text(f"{core % 2},{core % 2 + 2}\n", encoding="ascii")
    assert split(FOUR, 2, tmp_path) == [frozenset({0, 2}), frozenset({1, 3})]
    assert split(FOUR, 3, tmp_path) == []


def test_a_quota_is_told_and_more_threads_than_it_allows_are_not_well(plain: Path) -> None:
    alone, text = shared("3", {"3": EngineConfig()}, FOUR, 1.5, plain)
    assert alone
    assert text == "line 3: 1 thread on cores 0-3; a quota of its control group allows 1.5 processors' time"
    alone, text = shared("3", {"3": EngineConfig(threads=2)}, FOUR, 1.5, plain)
    assert not alone
    assert "take engine.threads out of line 3's file, or raise the quota (CPUQuota= of its unit)" in text


def test_the_files_beside_a_lines_own_are_read(make_line: MakeLine) -> None:
    line = make_line()
    line.file.with_name("4.toml").write_text('recipe = "other"\n[engine]\ncores = "0"\n')
    line.file.with_name("5.toml").write_text("recipe = \n")
    engines, broken = engines_beside(line.file)
    assert list(engines) == ["3", "4"]
    assert engines["4"].cores == "0"
    assert broken == ["5.toml"]


def test_doctor_sees_the_neighbours_and_the_quota_of_the_lines_unit(make_line: MakeLine, tmp_path: Path) -> None:
    line = make_line(engine={"target": "openvino"})
    found = doctor._cores(line, tmp_path)
    assert found.outcome == "ok"
    assert "quota" not in found.text
    line.file.with_name("4.toml").write_text('recipe = "other"\n')
    found = doctor._cores(line, tmp_path)
    assert found.outcome == "warning"
    assert f"{2 * len(usable_cores())} threads on {len(usable_cores())} cores" in found.text
    group = tmp_path / "system.slice" / "system-inspect.slice" / f"inspect@{line.name}.service"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("50000 100000\n", encoding="ascii")
    line.file.with_name("4.toml").unlink()
    found = doctor._cores(line, tmp_path)
    assert found.outcome == "ok"
    assert "line 3: 1 thread" in found.text
    assert "allows 0.5 processors' time" in found.text


def test_another_target_for_a_replay_is_not_asked_for_the_lines_cores() -> None:
    engine = EngineConfig(streams=2, threads=2, cores="0-1", slots=5)
    assert _engine(engine, "torch", None) == EngineConfig(target="torch", precision="float32", slots=5)
    assert _engine(engine, None, "int8") == EngineConfig(precision="int8", streams=2, threads=2, cores="0-1", slots=5)
