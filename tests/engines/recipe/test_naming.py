"""Advice that can be typed as it stands: by the line where it is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.common.line_file import LineRecipe
from engines.recipe.naming import Naming, by_line

BRACKET, GOOD = Path("recipes/bracket"), Path("pictures/good ones")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Line 3's file, where it is looked for."""
    monkeypatch.chdir(tmp_path)
    Path("lines").mkdir()
    Path("lines/3.toml").write_text('recipe = "../recipes/bracket"\n')
    return Path("lines/3.toml")


def test_a_recipe_is_named_by_its_folders_where_no_line_is_known() -> None:
    assert Naming(BRACKET).command("engines list") == "engines list --recipe recipes/bracket --golden DIR"
    named = Naming(BRACKET, GOOD)
    assert named.command("engines build", "openvino", "int8") == (
        "engines build --recipe recipes/bracket --golden 'pictures/good ones' --target openvino --precision int8"
    )
    assert named.fit == "calibrate fit --recipe recipes/bracket --golden 'pictures/good ones'"


def test_a_recipe_is_named_by_its_line_where_that_is_known(file: Path) -> None:
    config = LineRecipe(recipe=BRACKET, golden=GOOD)
    named = by_line(file, config)
    assert named.command("engines build") == "engines build --line 3"
    assert named.fit == "calibrate fit --recipe recipes/bracket --golden 'pictures/good ones'", "it knows of no line"
    assert by_line(file, config, BRACKET, GOOD) == named, "what is given is what the line's file says"


def test_what_differs_from_the_lines_file_is_named_beside_it(file: Path) -> None:
    config = LineRecipe(recipe=BRACKET, golden=GOOD)
    other = Path("recipes/other")
    assert by_line(file, config, other).line == "--line 3 --recipe recipes/other --golden DIR"
    assert by_line(file, config, other, GOOD).line == "--line 3 --recipe recipes/other --golden 'pictures/good ones'"
    assert by_line(file, config, None, Path("more")).line == "--line 3 --golden more"
    assert by_line(file, LineRecipe(recipe=BRACKET)).line == "--line 3 --golden DIR", "the line's file names none"
