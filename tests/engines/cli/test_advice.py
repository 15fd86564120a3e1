"""Who types what a command advises, as it stands, comes to a line that would start."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.recipe.bundle import Recipe
from engines.recipe.thresholds import FILE

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fitted(built: Recipe, golden_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of a recipe that was fitted and no more, with a line that says nothing of its engine."""
    monkeypatch.setattr("calibrate.thresholds.calibration.SYNTHETIC", 9)
    shutil.copytree(built.folder, tmp_path / "assembly", ignore=shutil.ignore_patterns("engines"))
    (tmp_path / "assembly" / FILE).unlink()
    (tmp_path / "lines").mkdir()
    camera = '[camera]\nkind = "replay"\nsource = "parts"\n'
    (tmp_path / "lines" / "7.toml").write_text(f'recipe = "../assembly"\ngolden = "{golden_folder}"\n{camera}')
    return tmp_path


def _advised(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The one command that an error ends with."""
    assert done.returncode == 2, done.stdout
    (error,) = done.stderr.splitlines()
    found = re.search(r"with: ((?:engines|calibrate) .*)$", error)
    assert found, error
    return shlex.split(found[1])


@pytest.mark.usefixtures("converted_once")
@pytest.mark.parametrize("by_line", [True, False], ids=["by the line", "by folders"])
def test_advice_leads_from_a_fit_to_an_engine_with_thresholds(
    in_process: Command, fitted: Path, golden_folder: Path, by_line: bool
) -> None:
    folders = ["--recipe", str(fitted / "assembly"), "--golden", str(golden_folder)]
    named = ["--line", "7"] if by_line else folders
    engine = ["--target", "openvino", "--precision", "float32"]
    thresholds = _advised(in_process("calibrate", "detectability", *named, cwd=fitted))
    assert thresholds == ["calibrate", "thresholds", *named, *engine]
    build = _advised(in_process(*thresholds, cwd=fitted))
    assert build == ["engines", "build", *named, *engine]
    built = in_process(*build, cwd=fitted)
    assert built.returncode == 0, built.stderr
    assert "the parity gate was passed" in built.stdout
    calibrated = in_process(*thresholds, cwd=fitted)
    assert calibrated.returncode == 0, calibrated.stderr
    assert "openvino float32 has passed the parity gate for thresholds version 2 (" in calibrated.stdout
    listed = in_process("engines", "list", *named[:2], cwd=fitted)
    assert listed.stdout.count("load it") == 2
    assert "refuse" not in listed.stdout


def test_a_line_without_an_engine_is_told_its_command_in_one_line(in_process: Command, fitted: Path) -> None:
    done = in_process("inspect", "run", "--line", 7, cwd=fitted)
    assert _advised(done)[:4] == ["engines", "build", "--line", "7"]
    assert "assembly: no engine for openvino float32; build it with:" in done.stderr


def test_the_doctor_names_the_line(in_process: Command, fitted: Path) -> None:
    rows = in_process("inspect", "doctor", "--line", 7, cwd=fitted).stdout.splitlines()
    told = " ".join(row.split("│")[3].strip() for row in rows if row.startswith("│"))
    assert "none: every part would be rejected; run: calibrate thresholds --line 7 " in told
    assert "build it with: engines build --line 7 --target openvino --precision float32" in told
