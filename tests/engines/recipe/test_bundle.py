"""The recipe bundle: whole or not there, checked file by file, and refused by name when anything is off."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engines.common.errors import RecipeError
from engines.common.files import write_file, written_aside
from engines.graph.assembly import load_graph
from engines.recipe.bundle import FORMAT, MANIFEST, WEIGHTS, Recipe, load_recipe
from engines.recipe.model_config import TEMPLATE


@pytest.fixture
def bundle(recipe: Recipe, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(recipe.folder, tmp_path / "assembly"))


def _change_manifest(bundle: Path, **changes: object) -> None:
    content = json.loads((bundle / MANIFEST).read_bytes())
    (bundle / MANIFEST).write_text(json.dumps(content | changes))


def _refusal(bundle: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(bundle)
    return str(caught.value)


def test_a_copied_bundle_loads_with_the_same_digest(recipe: Recipe, bundle: Path) -> None:
    copy = load_recipe(bundle)
    assert copy.digest == recipe.digest
    assert copy.manifest == recipe.manifest
    assert copy.name == "assembly"
    assert set(copy.manifest.files) == {WEIGHTS, TEMPLATE}


@pytest.mark.parametrize("name", [WEIGHTS, TEMPLATE])
def test_one_flipped_byte_is_refused_naming_the_file(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    assert re.match(rf"{re.escape(str(bundle / name))}: changed since it was written", _refusal(bundle))


def test_a_missing_file_is_refused_naming_it(bundle: Path) -> None:
    (bundle / WEIGHTS).unlink()
    assert f"{bundle / WEIGHTS}: cannot be read (No such file" in _refusal(bundle)


def test_a_missing_recipe_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    message = _refusal(tmp_path / "bracket")
    assert f"calibrate fit --recipe {tmp_path / 'bracket'} --golden DIR" in message


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "sub/template.png", "..", ""])
def test_a_manifest_that_names_a_file_outside_is_refused(bundle: Path, name: str) -> None:
    files = json.loads((bundle / MANIFEST).read_bytes())["files"]
    _change_manifest(bundle, files=files | {name: "0" * 64})
    message = _refusal(bundle)
    assert "names a file outside the recipe" in message
    assert repr(name) in message


@pytest.mark.parametrize("name", [WEIGHTS, TEMPLATE])
def test_a_manifest_that_leaves_a_file_unchecked_is_refused(bundle: Path, name: str) -> None:
    files = json.loads((bundle / MANIFEST).read_bytes())["files"]
    del files[name]
    _change_manifest(bundle, files=files)
    assert name in _refusal(bundle)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "truncated"),
        (b'{"format": 6,', "truncated"),
        (b"\xff\xfe not json", "malformed"),
        (b'{"format": 6, "product": "\xff"}', "recipe.json"),
    ],
)
def test_a_broken_manifest_is_refused(bundle: Path, content: bytes, named: str) -> None:
    (bundle / MANIFEST).write_bytes(content)
    message = _refusal(bundle)
    assert message.startswith(f"{bundle / MANIFEST}: ")
    assert named in message


def test_an_unknown_key_a_wrong_type_and_a_newer_format_are_named(bundle: Path) -> None:
    original = (bundle / MANIFEST).read_bytes()
    for changes, named in (
        ({"colour": "red"}, "`colour`"),
        ({"seed": "0"}, "`$.seed`"),
        ({"format": FORMAT + 1}, f"of format {FORMAT + 1}, this version reads {FORMAT}; fit it again"),
        ({"geometry": {"frame": [512, 512], "region": [0, 0, 600, 512]}}, "does not lie within the frame"),
    ):
        _change_manifest(bundle, **changes)
        assert named in _refusal(bundle)
        (bundle / MANIFEST).write_bytes(original)


def test_weights_that_do_not_fit_the_manifests_model_are_refused(bundle: Path) -> None:
    model = json.loads((bundle / MANIFEST).read_bytes())["model"]
    _change_manifest(bundle, model=model | {"depth": 6})
    with pytest.raises(RecipeError, match=r"weights\.safetensors: does not fit the model in its manifest"):
        load_graph(load_recipe(bundle))


def test_written_aside_replaces_the_bundle_and_leaves_nothing_else(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with written_aside(tmp_path / "a" / "bundle") as folder:
            (folder / "file").write_text(text)
            assert folder != tmp_path / "a" / "bundle"
        assert (tmp_path / "a" / "bundle" / "file").read_text() == text
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["bundle"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("other"), KeyboardInterrupt()])
def test_written_aside_keeps_the_old_bundle_when_writing_fails(tmp_path: Path, error: BaseException) -> None:
    with written_aside(tmp_path / "bundle") as folder:
        (folder / "file").write_text("old")

    def fail() -> None:
        with written_aside(tmp_path / "bundle") as folder:
            (folder / "file").write_text("new")
            raise error

    with pytest.raises(RecipeError if isinstance(error, OSError) else type(error)) as caught:
        fail()
    if isinstance(error, OSError):
        assert "bundle: cannot be written (No space left on device); nothing was changed there" in str(caught.value)
    assert (tmp_path / "bundle" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_the_old_bundle_comes_back_when_the_exchange_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with written_aside(tmp_path / "bundle") as folder:
        (folder / "file").write_text("old")
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.suffix == ".new":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), written_aside(tmp_path / "bundle") as folder:
        (folder / "file").write_text("new")
    monkeypatch.undo()
    assert (tmp_path / "bundle" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


FULL_DISK = """
import sys
from pathlib import Path
from engines.common.errors import RecipeError
from engines.common.files import write_file, written_aside

folder = Path(sys.argv[1])
try:
    write_file(folder / "thresholds.json", b"new" * 10_000)
except OSError as error:
    print("refused:", error.strerror)
try:
    with written_aside(folder / "bundle") as aside:
        (aside / "small").write_bytes(b"fits")
        write_file(aside / "large", b"new" * 10_000)
except RecipeError as error:
    print("refused:", error)
"""


def test_a_disk_that_takes_no_more_leaves_the_old_files(tmp_path: Path) -> None:
    write_file(tmp_path / "thresholds.json", b"old")
    with written_aside(tmp_path / "bundle") as folder:
        write_file(folder / "large", b"old")

    def limit() -> None:  # Python ignores the signal that goes with it
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path], capture_output=True, text=True, preexec_fn=limit, timeout=60, check=True
    )
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first == "refused: File too large"
    assert "bundle: cannot be written (File too large); nothing was changed there" in second
    assert (tmp_path / "thresholds.json").read_bytes() == b"old"
    assert (tmp_path / "bundle" / "large").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bundle", "large", "thresholds.json"]
