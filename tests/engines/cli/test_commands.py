"""The command `engines` as a user runs it: what is listed, measured, proven anew and refused."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines.pictures.images import read_image
from engines.proof.admission import engine_folder
from engines.recipe.bundle import Recipe, load_recipe

Command = Callable[..., subprocess.CompletedProcess[str]]
KEYS = {
    *("recipe", "network", "profile", "target", "precision", "batch", "in_flight", "median_ms", "p99_ms"),
    *("frames_per_second", "ceiling_share", "rss_mb"),
}


@pytest.fixture
def altered(built: Recipe, tmp_path: Path) -> Recipe:
    """A copy whose engine was changed after it was built."""
    shutil.copytree(built.folder, tmp_path / built.name)
    copied = load_recipe(tmp_path / built.name)
    blob = engine_folder(copied, "openvino", "float32") / "model.blob"
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    return copied


def test_the_list_says_what_a_line_would_do(in_process: Command, built: Recipe, altered: Recipe) -> None:
    done = in_process("engines", "list", "--recipe", built.folder)
    assert done.returncode == 0
    assert done.stdout.count("load") == 2
    assert "refuse" not in done.stdout
    done = in_process("engines", "list", "--recipe", altered.folder)
    assert "refuse" in done.stdout
    assert "model.blob: missing or changed since it was built; build it again with: engines build" in done.stdout


def test_a_changed_engine_is_not_opened_to_be_proven_anew(in_process: Command, altered: Recipe, golden_folder: Path) -> None:
    done = in_process("engines", "verify", "--recipe", altered.folder, "--golden", golden_folder, "--precision", "float32")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "model.blob: missing or changed since it was built" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "torch"), "torch float32 is the reference itself: nothing to compare"),
        (("--precision", "int8"), "no engine for openvino int8; build it with: engines build"),
        (("--precision", "float16"), "target openvino has no precision float16; it has: float32, bfloat16, int8"),
        (("--golden", "."), "this golden sample is missing; give the folder that the fit used with --golden"),
    ],
)
def test_what_cannot_be_proven_is_one_line(
    in_process: Command, built: Recipe, golden_folder: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    done = in_process("engines", "verify", "--recipe", built.folder, "--golden", golden_folder, *words, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line


def test_the_reference_needs_no_build(in_process: Command, built: Recipe, golden_folder: Path) -> None:
    done = in_process("engines", "build", "--recipe", built.folder, "--golden", golden_folder, "--target", "torch")
    assert done.returncode == 0
    assert "there is nothing to build, a line can load it as it is" in " ".join(done.stdout.split())
    assert not engine_folder(built, "torch", "float32").exists()


def test_bench_measures_what_may_serve_beside_the_reference_and_the_ceiling(
    in_process: Command, built: Recipe, altered: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(run: Callable[..., Any], *arguments: object) -> Any:
        """In this process: a new one for each figure would spend most of the time on importing torch."""
        return run(*arguments)

    monkeypatch.setattr("engines.proof.bench.in_process", here)
    figures, plot = tmp_path / "bench.json", tmp_path / "bench.png"
    options = ("--frames", 20, "--json", figures, "--plot", plot)
    done = in_process("engines", "bench", "--recipe", built.folder, *options)
    assert done.returncode == 0, done.stderr
    rows = msgspec.json.decode(figures.read_bytes())
    assert [(row["target"], row["in_flight"]) for row in rows] == [("torch", 1), ("torch", 4), ("openvino", 1), ("openvino", 4)]
    for row in rows:
        assert row.keys() >= KEYS
        assert 0 < row["ceiling_share"] < 1.2
        assert 0 < row["median_ms"] <= row["p99_ms"]
    assert [row["times_torch"] for row in rows[:2]] == [1, 1]
    assert "GFLOP/s: float32 " in done.stdout
    assert read_image(plot).shape[:2] == (480, 1200)
    done = in_process("engines", "bench", "--recipe", altered.folder, *options)
    assert "left out: " in done.stdout
    assert [row["target"] for row in msgspec.json.decode(figures.read_bytes())] == ["torch", "torch"]
