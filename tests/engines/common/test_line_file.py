"""Line files: where they are searched for, and mistakes in them named by file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.common.errors import ConfigError
from engines.common.line_file import (
    CONFIG_DIR_VARIABLE,
    EngineConfig,
    LineRecipe,
    line_file,
    line_files,
    line_options,
    read_line_recipe,
)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Three folders, each with a file for line 3: given by option, by the environment, and ./lines."""
    found = {name: tmp_path / name for name in ("option", "environment", "lines")}
    for name, folder in found.items():
        folder.mkdir()
        (folder / "3.toml").write_text(f'recipe = "{name}"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CONFIG_DIR_VARIABLE, str(found["environment"]))
    return found


def test_the_option_comes_before_the_environment_before_the_current_folder(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert line_file("3", places["option"]) == places["option"] / "3.toml"
    assert line_file("3", None) == places["environment"] / "3.toml"
    (places["environment"] / "3.toml").unlink()
    assert line_file("3", None) == Path("lines/3.toml")
    monkeypatch.delenv(CONFIG_DIR_VARIABLE)
    assert line_file("3", None) == Path("lines/3.toml")


def test_the_option_is_the_only_place_when_it_is_given(places: dict[str, Path]) -> None:
    (places["option"] / "3.toml").rename(places["option"] / "7.toml")
    with pytest.raises(ConfigError, match=r"line 3: no file 3\.toml in .*option \(lines there: 7\)"):
        line_file("3", places["option"])


def test_an_unknown_line_lists_those_there_are(places: dict[str, Path]) -> None:
    (places["lines"] / "cell-2.toml").touch()
    with pytest.raises(ConfigError, match=r"no file 9\.toml .*lines there: .*3.*cell-2.*--config-dir"):
        line_file("9", None)


def test_every_lines_file_is_found_once_in_the_place_that_counts(places: dict[str, Path]) -> None:
    (places["lines"] / "cell-2.toml").touch()
    assert line_files(None) == {"3": places["environment"] / "3.toml", "cell-2": Path("lines/cell-2.toml")}
    assert line_files(places["option"]) == {"3": places["option"] / "3.toml"}
    (places["option"] / "3.toml").unlink()
    with pytest.raises(ConfigError, match=r"no line's file in .*option; write one, or name its folder with --config-dir"):
        line_files(places["option"])


def test_advice_names_the_folder_of_a_file_that_would_not_be_looked_for_there(places: dict[str, Path]) -> None:
    assert line_options(places["environment"] / "3.toml") == "--line 3"
    assert line_options(places["option"] / "3.toml") == f"--line 3 --config-dir {places['option']}"
    assert line_options(Path("lines/3.toml")) == "--line 3 --config-dir lines", "another line 3 is found first"
    assert line_options(Path("my lines/3.toml")) == "--line 3 --config-dir 'my lines'"


def test_where_no_engine_is_named_it_is_what_a_box_without_a_gpu_runs(places: dict[str, Path]) -> None:
    assert read_line_recipe("3", None).engine == EngineConfig(target="openvino", precision="float32", slots=3, streams=1)


@pytest.mark.parametrize("line", ["../3", "", "a b", "3.toml", "x" * 33])
def test_a_name_that_is_no_lines_is_refused(places: dict[str, Path], line: str) -> None:
    with pytest.raises(ConfigError, match="a line's name has 1 to 32"):
        line_file(line, None)


def test_paths_are_relative_to_the_line_file(tmp_path: Path) -> None:
    (tmp_path / "3.toml").write_text('recipe = "../recipes/bracket"\ngolden = "/data/good"\n[camera]\nkind = "pylon"\n')
    assert read_line_recipe("3", tmp_path) == LineRecipe(
        recipe=tmp_path.parent / "recipes" / "bracket", golden=Path("/data/good")
    )
    (tmp_path / "4.toml").write_text('recipe = "here"\n')
    assert read_line_recipe("4", tmp_path) == LineRecipe(recipe=tmp_path / "here")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"recipe = \n", "not valid TOML: .*line 1"),
        (b'recipe = "\xff"\n', "not valid TOML"),
        (b"recipe = 5\n", "recipe: expected `str`, got `int`"),
        (b'golden = "x"\n', "missing required field `recipe`"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, content: bytes, named: str) -> None:
    (tmp_path / "3.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=f"(?i)3.toml: .*{named}"):
        read_line_recipe("3", tmp_path)
