"""Line files: where they are searched for, and the part of one that says which recipe the line runs.

One TOML file a line, `<folder>/<line>.toml`.  The whole file is read by `appliance.config.line`; the commands that only need a
line's recipe read it through here.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from engines.common.errors import ConfigError

CONFIG_DIR_VARIABLE = "INSPECT_CONFIG_DIR"
T = TypeVar("T", bound="LineRecipe")


class EngineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What computes; where nothing is said, what a box without a GPU runs best."""

    target: str = "openvino"
    precision: str = "float32"
    slots: Annotated[int, Meta(ge=1, le=64, description="frames in flight")] = 3
    streams: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="openvino: frames computed at once, each on its share of the cores; more: more parts a second",
        ),
    ] = 1


class LineRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """What every command needs of a line's file."""

    recipe: Path
    golden: Path | None = None  # folder of the golden samples that the recipe was fitted on
    engine: EngineConfig = EngineConfig()


def line_file(line: str, config_dir: Path | None) -> Path:
    """The file of a line, from ``config_dir`` or else the first of the usual places that exists.

    Raises ConfigError that lists the lines there are.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", line):
        raise ConfigError(f"line {line!r}: a line's name has 1 to 32 letters, digits, - or _")
    places = [config_dir] if config_dir else _usual_places()
    for place in places:
        file = place / f"{line}.toml"
        if file.is_file():
            return file
    present = sorted(file.stem for place in places if place.is_dir() for file in place.glob("*.toml"))
    raise ConfigError(
        f"line {line}: no file {line}.toml in {', '.join(map(str, places))}"
        + (f" (lines there: {', '.join(present)})" if present else "")
        + "; write one (the README explains it) or name its folder with --config-dir"
    )


def line_files(config_dir: Path | None) -> dict[str, Path]:
    """The files of all lines by name. Raises ConfigError where there are none."""
    places = [config_dir] if config_dir else _usual_places()
    files = [file for place in reversed(places) for file in sorted(place.glob("*.toml"))]  # the first place counts
    if not files:
        raise ConfigError(f"no line's file in {', '.join(map(str, places))}; write one, or name its folder with --config-dir")
    return {file.stem: file for file in files}


def line_options(file: Path) -> str:
    """The options that name the line of this file; with its folder where the line would not be looked for there."""
    found = next((place for place in _usual_places() if (place / file.name).is_file()), None)
    return f"--line {file.stem}" + ("" if found == file.parent else f" --config-dir {quote(str(file.parent))}")


def read_line_recipe(line: str, config_dir: Path | None) -> LineRecipe:
    """A line's recipe, its golden samples and its engine."""
    return decode_toml(line_file(line, config_dir), LineRecipe)


def write_line_recipe(file: Path, recipe: Path) -> None:
    """Put another recipe into a line's file; all else in it stays as it is. Raises ConfigError when that cannot be done."""
    value = json.dumps(os.path.relpath(recipe, file.parent), ensure_ascii=False)
    text = file.read_text(encoding="utf-8")
    # Keys of the file itself stand before its first table.
    head, bracket, tables = re.match(r"(.*?)(^\s*\[|\Z)(.*)", text, re.DOTALL | re.MULTILINE).groups()  # type: ignore[union-attr]
    changed, count = re.subn(
        r"^(\s*recipe\s*=\s*)(\"[^\"\n]*\"|'[^'\n]*')", lambda found: found[1] + value, head, flags=re.MULTILINE
    )
    if count != 1:
        raise ConfigError(f'{file}: there is no line recipe = "..." to change; set it to {value} by hand')
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        aside.write_text(changed + bracket + tables, encoding="utf-8")
        aside.chmod(file.stat().st_mode)
        aside.replace(file)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error.strerror}); set recipe = {value} in it by hand") from error
    finally:
        aside.unlink(missing_ok=True)


def decode_toml(file: Path, kind: type[T]) -> T:
    """A typed TOML file. Raises ConfigError that names file, key path and the mistake."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        return msgspec.convert(table, kind, dec_hook=partial(_path, file.parent))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{file}: {_with_key(str(error))}") from error


def _path(folder: Path, kind: type, value: object) -> Path:
    """A path that stands in a line's file, from the folder that holds the file."""
    if kind is not Path or not isinstance(value, str):
        raise TypeError(f"expected `str`, got `{type(value).__name__}`")
    if not value:
        raise ValueError("expected a path, got nothing")
    return Path(os.path.normpath(folder / value))


def _usual_places() -> list[Path]:
    named = os.environ.get(CONFIG_DIR_VARIABLE)
    return [*([Path(named)] if named else []), Path("lines"), Path("/etc/inspect/lines")]


def _with_key(message: str) -> str:
    """'Expected `int`, got `str` - at `$.camera.width`' -> 'camera.width: expected `int`, got `str`'."""
    match = re.fullmatch(r"(.*?)(?: - at `\$\.?(.*)`)?", message, re.DOTALL)
    text, path = (match[1], match[2]) if match else (message, None)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", text)
    if unknown:
        return f"{path + '.' if path else ''}{unknown[1]}: unknown key; correct its spelling or remove it"
    text = text[0].lower() + text[1:] if text[:1].isupper() else text
    return f"{path}: {text}; correct the value" if path else text
