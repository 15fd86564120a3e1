"""`engines prepare`: after an upgrade the lines start at once, and until then nothing changes for them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engines.proof.admission import engine_folder, load_engine
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.thresholds import load_thresholds, save_thresholds
from engines.targets import openvino_target, run_once
from tests.virtual_line.product import render

Command = Callable[..., subprocess.CompletedProcess[str]]
OPENVINO = ("openvino", "float32")
NEXT = {"openvino": "2099.1", "cpu": "abacus"}


@contextmanager
def _next_environment() -> Iterator[None]:
    """The environment that is to be."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(openvino_target, "versions", lambda: NEXT)
        yield


@pytest.fixture
def own(built: Recipe, golden_folder: Path, tmp_path: Path) -> Recipe:
    """A recipe with its engine, and the files of two lines that run it and say nothing of their engine."""
    shutil.copytree(built.folder, tmp_path / "assembly")
    for line in ("3", "4"):
        (tmp_path / f"{line}.toml").write_text(f'recipe = "assembly"\ngolden = "{golden_folder}"\n')
    return load_recipe(tmp_path / "assembly")


def _rows(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Each line's outcome."""
    cells = [[cell.strip() for cell in row.split("│")[1:3]] for row in done.stdout.splitlines() if row.startswith("│")]
    return {line: outcome for line, outcome in cells if line}


def _told(done: subprocess.CompletedProcess[str]) -> str:
    """The last column of the table, without the breaks of its lines."""
    return " ".join(row.split("│")[3].strip() for row in done.stdout.splitlines() if row.startswith("│"))


def _map(recipe: Recipe) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    engine = load_engine(recipe, *OPENVINO)
    slot = engine.new_slot()
    run_once(slot, render(77, "crack").image, recipe.manifest.geometry)
    engine.close()
    return slot.frame_map.copy()


def _content(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


@pytest.mark.usefixtures("converted_once")
def test_the_next_environments_engine_is_built_beside_the_one_that_serves(
    in_process: Command, own: Recipe, tmp_path: Path
) -> None:
    serving, before = engine_folder(own, *OPENVINO), _map(own)
    content = _content(serving)
    assert _rows(in_process("engines", "prepare", "--config-dir", tmp_path)) == {"3": "ready", "4": "ready"}
    with _next_environment():
        refused = in_process("engines", "verify", "--line", 3, "--config-dir", tmp_path)
        assert "no engine for openvino float32 here, only one built with openvino " in refused.stderr
        advice = f"engines build --line 3 --config-dir {tmp_path} --target openvino --precision float32"
        assert refused.stderr.strip().endswith(advice)
        done = in_process("engines", "prepare", "--config-dir", tmp_path)
        assert (done.returncode, _rows(done)) == (0, {"3": "built now", "4": "ready"})
        load_engine(own, *OPENVINO).close()
        listed = " ".join(in_process("engines", "list", "--line", 3, "--config-dir", tmp_path).stdout.split())
        assert f"{serving.name}: for openvino " in listed, "of another environment"
        assert "refuse" not in listed
    assert set((own.folder / "engines").iterdir()) == {serving, engine_folder(own, *OPENVINO, NEXT)}
    assert _content(serving) == content
    np.testing.assert_array_equal(_map(own), before)


def test_an_engine_is_proven_anew_for_thresholds_that_have_changed(in_process: Command, own: Recipe, tmp_path: Path) -> None:
    thresholds = load_thresholds(own)
    assert thresholds is not None
    save_thresholds(own.folder, msgspec.structs.replace(thresholds, version=2))
    done = in_process("engines", "prepare", "--line", 4, "--config-dir", tmp_path)
    assert (done.returncode, _rows(done)) == (0, {"4": "proven now"})
    load_engine(own, *OPENVINO).close()


def test_why_a_line_would_not_start_is_told_and_the_others_are_prepared(
    in_process: Command, own: Recipe, tmp_path: Path
) -> None:
    engine = '[engine]\ntarget = "openvino"\nprecision = '
    files = {
        "a": 'recipe = "absent"\n',
        "b": 'recipe = "assembly"\n[engine]\ntarget = "abacus"\n',
        "c": f'recipe = "assembly"\n{engine}"bfloat16"\n',
        "d": f'recipe = "assembly"\ngolden = "."\n{engine}"bfloat16"\n',
        "e": "recipe = 5\n",
        "f": 'recipe = "assembly"\n[engine]\ntarget = "torch"\n',
    }
    for line, text in files.items():
        (tmp_path / f"{line}.toml").write_text(text)
    done = in_process("engines", "prepare", "--config-dir", tmp_path)
    assert done.returncode == 1
    assert _rows(done) == {"3": "ready", "4": "ready"} | dict.fromkeys("abcde", "failed") | {"f": "ready"}
    for why in (
        "no recipe there",
        "no target named 'abacus'",
        'must be built or proven, from golden samples: set golden = "..." in the line\'s file',
        "this golden sample is missing",
        "recipe: expected `str`, got `int`",
    ):
        assert why in _told(done)
    assert list((own.folder / "engines").iterdir()) == [engine_folder(own, *OPENVINO)]


def test_a_place_that_cannot_be_written_is_one_lines_failure(
    in_process: Command, own: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "engines")

    thresholds = load_thresholds(own)
    assert thresholds is not None
    save_thresholds(own.folder, msgspec.structs.replace(thresholds, version=2))
    monkeypatch.setattr("engines.proof.build.write_file", refused)
    monkeypatch.setattr("engines.proof.build.SYNTHETIC", 2)
    (tmp_path / "5.toml").write_text('recipe = "assembly"\n[engine]\ntarget = "torch"\n')
    done = in_process("engines", "prepare", "--config-dir", tmp_path)
    assert (done.returncode, _rows(done)) == (1, {"3": "failed", "4": "failed", "5": "ready"})
    assert "engines: Permission denied; run this as who owns the recipe" in _told(done)


def test_an_engine_that_fails_the_gate_is_a_failure(
    in_process: Command, own: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thresholds = load_thresholds(own)
    assert thresholds is not None
    save_thresholds(own.folder, msgspec.structs.replace(thresholds, version=2))
    limits = {"float32": msgspec.structs.replace(_limits(), map_error=1e-12)}
    monkeypatch.setattr("engines.proof.parity.LIMITS", limits)
    monkeypatch.setattr("engines.proof.build.SYNTHETIC", 2)
    done = in_process("engines", "prepare", "--line", 3, "--config-dir", tmp_path)
    assert (done.returncode, _rows(done)) == (1, {"3": "failed"})
    assert "openvino float32 does not pass the parity gate here (" in _told(done)


def _limits() -> msgspec.Struct:
    from engines.proof.parity import LIMITS

    return LIMITS["float32"]


def test_interrupted_it_leaves_what_there_was(
    in_process: Command, own: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(openvino_target, "build", interrupted)
    content = _content(engine_folder(own, *OPENVINO))
    with _next_environment():
        assert in_process("engines", "prepare", "--config-dir", tmp_path).returncode == 130
    assert list((own.folder / "engines").iterdir()) == [engine_folder(own, *OPENVINO)]
    assert _content(engine_folder(own, *OPENVINO)) == content
