"""Challenges: known good and known bad parts shown to a line; what came of it, signed into its journal, and when one is due.

A challenge speaks for the recipe, the thresholds, the sensitivity and the engine that it was made with, and for no other: the
newest one of these counts, whether it was passed or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from appliance.config.records import ChallengeConfig
from appliance.messages.schema import Reason, UtcTime, VerdictName
from appliance.records.journal_chain import Row, records, write_record
from engines.common.errors import ConfigError
from engines.common.files import Sha256
from engines.recipe.sensitivity_changes import per_cent

CLOCK_S = 60.0  # that the box's clock may have been set back since a challenge


class Shown(msgspec.Struct, frozen=True):
    """One known picture or part, and what the line said of it."""

    name: str
    sha256: Annotated[Sha256, Meta(description="of the picture's file; of a part, of the pixels that the camera gave")]
    expected: VerdictName
    verdict: VerdictName
    reason: Reason
    detail: str
    score: float | None
    threshold: float | None
    margin: Annotated[
        float | None, Meta(description="share of its limit that a change needs to reach the other verdict; below 0: it has")
    ]

    @property
    def right(self) -> bool:
        """Whether it came out as it must: a bad part rejected for its defect, and for nothing else."""
        return (self.verdict, self.reason) == (("pass", "") if self.expected == "pass" else ("reject", "defect"))


class Conditions(msgspec.Struct, frozen=True):
    """What a challenge speaks for."""

    line: str
    recipe: Sha256
    thresholds_version: int | None  # None: it was not calibrated
    sensitivity: float
    engine: str

    def __str__(self) -> str:
        """For people."""
        return (
            f"recipe {self.recipe[:12]}, thresholds version {self.thresholds_version or '-'}, "
            f"sensitivity {per_cent(self.sensitivity)}, {self.engine}"
        )


class Challenge(msgspec.Struct, frozen=True, kw_only=True, tag="challenge", tag_field="record"):
    """A challenge's record in the journal."""

    time: UtcTime
    by: str
    note: str
    machine: str
    conditions: Conditions
    kind: Annotated[str, Meta(description="pictures or parts")]
    passed: bool
    shown: tuple[Shown, ...]

    @property
    def summary(self) -> str:
        """What came of it, in a few words."""
        right = sum(one.right for one in self.shown)
        return f"{'passed' if self.passed else 'failed'}: {right} of {len(self.shown)} {self.kind} right"


def sign(journal: Path, challenge: Challenge) -> int:
    """Add a challenge to a line's journal, also while the line writes to it; returns the row's number."""
    return write_record(journal, msgspec.json.encode(challenge))


def challenges(file: Path) -> Iterator[Challenge]:
    """A journal's challenges, newest first. Raises ConfigError for no journal, and for a record that was changed."""
    for row in records(file):
        challenge = _decoded(row)
        if challenge is None:
            raise ConfigError(
                f"{file}: row {row.number} is no challenge as it was signed: it or the row before was changed; "
                "see how far the journal holds with: inspect audit --line LINE"
            )
        yield challenge


def _decoded(row: Row) -> Challenge | None:
    try:
        return msgspec.json.decode(row.content, type=Challenge) if row.intact else None
    except msgspec.DecodeError:
        return None


def due(config: ChallengeConfig, journal: Path, conditions: Conditions) -> str | None:
    """Why the line needs a challenge now; None while it needs none. Raises ConfigError for a journal that cannot be read."""
    if config.every_hours is None:
        return None
    why = _why(journal, conditions, config.every_hours)
    line = conditions.line
    return why and f"line {line}: {why}; show it known parts: inspect challenge --line {line}"


def need_challenge(config: ChallengeConfig, journal: Path, conditions: Conditions) -> None:
    """Raise ConfigError unless the line may start."""
    if why := due(config, journal, conditions):
        raise ConfigError(why)


def _why(journal: Path, conditions: Conditions, hours: float) -> str | None:
    if not journal.is_file():
        return f"not challenged yet, and challenge.every_hours = {hours:g}"
    last = next((one for one in challenges(journal) if one.conditions == conditions), None)
    if last is None:
        return f"no challenge is in the journal of {conditions}"
    when = f"the last challenge, at {last.time[:19]} by {last.by},"
    if not last.passed:
        return f"{when} {last.summary}"
    age_s = (datetime.now(UTC) - datetime.fromisoformat(last.time)).total_seconds()
    if not -CLOCK_S <= age_s <= hours * 3600:
        return f"{when} was {age_s / 3600:.1f} hours ago, and challenge.every_hours = {hours:g}"
    return None
