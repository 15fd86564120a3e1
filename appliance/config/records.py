"""The tables `[journal]`, `[archive]` and `[challenge]` of a line's file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta


class JournalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The record of every verdict."""

    file: Annotated[Path, Meta(description="SQLite file; on a disk of this box")]


class ArchiveConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Frames and maps of all rejects and of a sample of passes."""

    folder: Annotated[Path, Meta(description="may be another line's, too: each has its own quota")]
    quota_gb: Annotated[float, Meta(gt=0, le=1e6, description="oldest passes are removed first, then oldest rejects")] = 20.0
    passes: Annotated[float, Meta(ge=0, le=1, description="share of passes that is kept")] = 0.01
    free_gb: Annotated[float, Meta(ge=0, le=1e6, description="left free on the disk, for the journal and others")] = 1.0


class ChallengeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `inspect challenge` shows the line, and how often it must."""

    good: Annotated[Path | None, Meta(description="folder of pictures that must pass")] = None
    bad: Annotated[Path | None, Meta(description="folder of pictures that must be rejected for a defect")] = None
    every_hours: Annotated[
        Annotated[float, Meta(gt=0, le=8_760)] | None,
        Meta(description="the line does not start without a passed challenge that is younger"),
    ] = None

    def __post_init__(self) -> None:
        """Refuse half of a challenge."""
        if (self.good is None) != (self.bad is None):
            raise ValueError("good and bad belong together: give both, or none where parts are shown")
