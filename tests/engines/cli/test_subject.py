"""Which engine a command is about: the one that is asked for, or the line's, or the one default."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.cli.subject import subject
from engines.common.errors import ConfigError

FLOAT32 = ("openvino", "float32")


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A folder with a line that says nothing of its engine, and one that does."""
    (tmp_path / "3.toml").write_text('recipe = "r"\ngolden = "g"\n')
    (tmp_path / "7.toml").write_text('recipe = "r"\n[engine]\ntarget = "openvino"\nprecision = "bfloat16"\n')
    return tmp_path


@pytest.mark.parametrize(
    ("line", "asked", "engine"),
    [
        (None, (None, None), FLOAT32),
        ("3", (None, None), FLOAT32),
        ("7", (None, None), ("openvino", "bfloat16")),
        ("7", (None, "int8"), ("openvino", "int8")),
        ("7", ("openvino", None), FLOAT32),
        ("7", ("torch", None), ("torch", "float32")),
        (None, ("tensorrt", None), ("tensorrt", "float16")),
    ],
)
def test_the_engine(lines: Path, line: str | None, asked: tuple[str | None, str | None], engine: tuple[str, str]) -> None:
    about = subject(line, Path("own"), None, lines, *asked)
    assert (about.recipe, about.target, about.precision) == (Path("own"), *engine)


def test_recipe_and_golden_samples_are_the_lines_unless_they_are_given(lines: Path) -> None:
    about = subject("3", config_dir=lines)
    assert (about.recipe, about.need_golden()) == (lines / "r", lines / "g")
    assert subject("3", None, Path("own"), lines).need_golden() == Path("own")
    with pytest.raises(ConfigError, match="which recipe? give --line 3, or --recipe DIR".replace("?", r"\?")):
        subject(None)
    with pytest.raises(ConfigError, match=r"where are the golden samples\? give --golden DIR, or set golden"):
        subject("7", config_dir=lines).need_golden()
