"""The command `calibrate`, as a user meets it: mistakes in one line with exit status 2, and disks that take no more."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.thresholds import FILE, load_thresholds

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def _one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert "Traceback" not in done.stdout
    return lines[0]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--golden", "absent", "--recipe", "r"], "absent: no such folder"),
        (["--golden", "g", "--recipe", "r", "--region", "1,2,3"], "--region 1,2,3: give x,y,width,height"),
        (["--golden", "g", "--recipe", "r", "--profile", "huge"], "choose from tfa-net: small, base"),
        ([], "--golden"),
    ],
    ids=["missing folder", "region", "profile", "no option"],
)
def test_a_mistake_is_one_line_and_status_2(in_process: Command, tmp_path: Path, words: list[str], named: str) -> None:
    assert named in _one_line(in_process("calibrate", "fit", *words, cwd=tmp_path))
    assert not list(tmp_path.iterdir())


def test_help_holds_an_example(command: Command) -> None:
    done = command("calibrate", "fit", "--help")
    assert done.returncode == 0
    assert "Example:  calibrate fit --golden" in " ".join(done.stdout.split("\n")).replace("\u2502", "")


@pytest.fixture
def ten(golden_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "golden"
    folder.mkdir()
    for file in sorted(golden_folder.iterdir())[:10]:
        shutil.copy(file, folder)
    return folder


@contextmanager
def _small_disk(limit: int) -> Iterator[None]:
    """Files of this process may take no more than so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("refused", ["recipe", "state of the fit"])
def test_a_disk_that_refuses_a_fit_leaves_nothing_half_written(
    in_process: Command, ten: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    monkeypatch.setattr("calibrate.fit.training.SAVE_SECONDS", 0)
    monkeypatch.setattr("calibrate.cli.fit._calibrate", lambda *_: None)
    with _small_disk(1_000_000 if refused == "recipe" else 12_000_000):  # a first recipe has 8 million bytes
        message = _one_line(
            in_process("calibrate", "fit", "--golden", ten, "--recipe", tmp_path / "made" / "module", "--steps", 10)
        )
    if refused == "recipe":
        assert "module: cannot be written (File too large); nothing was changed there" in message
    else:
        assert "state.pt: the state of the fit cannot be saved" in message
    assert "run the same command again" in message
    assert (tmp_path / "made" / "module").exists() == (refused != "recipe")
    assert not [path for path in (tmp_path / "made").iterdir() if path.is_file() or list(path.glob("*.part"))]
    assert not (tmp_path / "made" / "module-restored").exists()


def test_a_disk_that_refuses_thresholds_keeps_the_old_ones(
    in_process: Command, recipe: Recipe, golden_folder: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(recipe.folder, tmp_path / "assembly"))
    before = (own / FILE).read_bytes()
    (tmp_path / "rejects").mkdir()
    shutil.copy(golden_folder / "000.png", tmp_path / "rejects")
    words = ["thresholds", "--recipe", own, "--golden", golden_folder, "--rejects", tmp_path / "rejects", "--target", "torch"]
    with _small_disk(len(before) // 2):  # more than what is printed meanwhile
        message = _one_line(in_process("calibrate", *words))
    assert "assembly: the thresholds cannot be written (File too large)" in message
    assert (own / FILE).read_bytes() == before
    assert sorted(path.name for path in own.iterdir()) == sorted(path.name for path in recipe.folder.iterdir())


def test_thresholds_take_recipe_golden_samples_and_engine_from_a_line(
    in_process: Command, built: Recipe, golden_folder: Path, parts_folder: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(built.folder, tmp_path / "assembly"))
    (tmp_path / "3.toml").write_text(f'recipe = "assembly"\ngolden = "{golden_folder}"\n')
    done = in_process("calibrate", "thresholds", "--line", 3, "--config-dir", tmp_path, "--rejects", parts_folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "openvino float32 has passed the parity gate for thresholds version 2 (" in done.stdout
    assert "version 2" in done.stdout
    assert '"version": 2' in (own / FILE).read_text()
    thresholds = load_thresholds(load_recipe(own))
    assert thresholds is not None
    highest = max(thresholds.samples, key=lambda one: one.deviation)
    assert f"{highest.name} {highest.deviation:.1f}, " in " ".join(done.stdout.replace("│", " ").split())
