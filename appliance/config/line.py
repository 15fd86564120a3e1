"""The line's file, `<line>.toml`, as typed, frozen structs: bounds, units and meaning stand in the structs of this room.

A relative path in a line's file is meant from the folder that holds the file; the structs have it resolved.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from appliance.config.camera import AnyCameraConfig
from appliance.config.plc import AnyPlcConfig
from appliance.config.publish import PublishConfig
from appliance.config.records import ArchiveConfig, ChallengeConfig, JournalConfig
from engines.common.errors import ConfigError
from engines.common.line_file import LineRecipe, line_file
from engines.common.typed_toml import decode_toml
from engines.recipe.sensitivity_changes import MOST


class DecisionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a verdict is due, and how far an operator may move it."""

    deadline_ms: Annotated[int, Meta(ge=1, le=60_000, description="from software trigger, else the picture, to verdict")] = 500
    max_sensitivity: Annotated[
        float, Meta(ge=0, le=MOST, description="share that `inspect sensitivity` may lower or raise the thresholds by")
    ] = MOST


class LineConfig(LineRecipe, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line: a camera, a recipe, a stream of verdicts."""

    camera: AnyCameraConfig
    decision: DecisionConfig = DecisionConfig()
    publish: PublishConfig = PublishConfig()
    plc: AnyPlcConfig | None = None
    journal: JournalConfig | None = None
    archive: ArchiveConfig | None = None
    challenge: ChallengeConfig | None = None

    def __post_init__(self) -> None:
        """Refuse challenges without a journal, which they are signed into."""
        if self.challenge is not None and self.journal is None:
            raise ValueError("challenge: results are signed into the journal, and none is kept; add [journal] with its file")


class Line(msgspec.Struct, frozen=True):
    """A line's name, where its file is, and what that says."""

    name: str
    file: Path
    config: LineConfig


def load_line(name: str, config_dir: Path | None) -> Line:
    """Find and read a line's file. Raises ConfigError with file and key path."""
    file = line_file(name, config_dir)
    return Line(name, file, decode_toml(file, LineConfig))


def need_journal(line: Line) -> Path:
    """The line's journal. Raises ConfigError when its file names none."""
    if line.config.journal is None:
        raise ConfigError(
            f'{line.file}: journal: none is kept; add [journal] with file = "/var/lib/inspect/journal-{line.name}.db"'
        )
    return line.config.journal.file


def need_archive(line: Line) -> ArchiveConfig:
    """The line's archive. Raises ConfigError when its file names none."""
    if line.config.archive is None:
        raise ConfigError(
            f'{line.file}: archive: no frames are kept; add [archive] with folder = "/var/lib/inspect/archive-{line.name}"'
        )
    return line.config.archive


def need_plc(line: Line) -> AnyPlcConfig:
    """The line's PLC. Raises ConfigError when its file names none."""
    if line.config.plc is None:
        raise ConfigError(f"{line.file}: plc: no PLC is configured; add a [plc] table (appliance/README.md has an example)")
    return line.config.plc
