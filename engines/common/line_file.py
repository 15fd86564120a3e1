"""Line files: where they are searched for, and the part of one that says which recipe the line runs.

One TOML file a line, `<folder>/<line>.toml`.  The whole file is read by `appliance.config.line`; the commands that only need a
line's recipe read it through here.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from shlex import quote
from typing import Annotated

import msgspec
from msgspec import Meta

from engines.common.cores import Share, cores_of
from engines.common.errors import ConfigError
from engines.common.typed_toml import decode_toml

CONFIG_DIR_VARIABLE = "INSPECT_CONFIG_DIR"


class EngineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What computes; where nothing is said, what a box without a GPU runs best."""

    target: Annotated[str, Meta(description="what computes; see the table of targets")] = "openvino"
    precision: Annotated[str, Meta(description="one of the target's")] = "float32"
    slots: Annotated[int, Meta(ge=1, le=64, description="frames in flight")] = 3
    streams: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="openvino: frames computed at once, each on its share of the cores; more: more parts a second",
        ),
    ] = 1
    threads: (
        Annotated[int, Meta(ge=1, le=999, description="openvino: threads that compute; none: one a core, fewer with a quota")]
        | None
    ) = None
    cores: (
        Annotated[
            str,
            Meta(
                pattern=r"^\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*$",
                description='openvino: cores that it computes on, as "0-3,8"; none: all; each line of a box takes its own',
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        """Refuse a range of cores that is none."""
        if self.cores is not None:
            cores_of(self.cores)

    @property
    def share(self) -> Share:
        """What its engine is given of the box."""
        return Share(self.streams, self.threads, None if self.cores is None else cores_of(self.cores))


class LineRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """What every command needs of a line's file."""

    recipe: Annotated[Path, Meta(description="folder of the recipe that the line runs")]
    golden: Annotated[Path | None, Meta(description="folder of the golden samples that it was fitted on")] = None
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
        + "; write one (appliance/README.md explains it) or name its folder with --config-dir"
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


def _usual_places() -> list[Path]:
    named = os.environ.get(CONFIG_DIR_VARIABLE)
    return [*([Path(named)] if named else []), Path("lines"), Path("/etc/inspect/lines")]
