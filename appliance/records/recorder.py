"""A line's records: its journal and its archive, as far as its file asks for them."""

from __future__ import annotations

from appliance.config.records import ArchiveConfig, JournalConfig
from appliance.messages.notices import Notify
from appliance.messages.schema import Verdict
from appliance.records.archive import Archive
from appliance.records.archive_files import Map
from appliance.records.journal import Journal
from engines.pictures.geometry import Box, Pixels


class Recorder:
    """Hands verdicts over to who writes them; offered to by one thread, which it never holds up."""

    def __init__(self, journal: JournalConfig | None, archive: ArchiveConfig | None, line: str, notify: Notify) -> None:
        """``notify`` is told what a disk refuses. Raises ConfigError where no journal can be."""
        self._journal = Journal(journal.file, notify) if journal else None
        self._archive = Archive(archive, line, notify) if archive else None

    @property
    def behind_s(self) -> float:
        """How long the oldest verdict waits for its row in the journal."""
        return self._journal.behind_s if self._journal else 0.0

    def offer(self, verdict: Verdict, content: bytes, image: Pixels | None, frame_map: Map | None, region: Box) -> None:
        """Have a verdict recorded; ``content``: as it was published. Image (H, W[, 3]) and map are copied if they are kept."""
        if self._journal:
            self._journal.offer(content)
        if self._archive and image is not None:
            self._archive.offer(verdict, image, frame_map, region)

    def close(self) -> None:
        """Write what waits, and end. May be called again."""
        for writer in (self._archive, self._journal):
            if writer:
                writer.close()
