"""The journal: every verdict of a line, in an SQLite file, in a chain that shows any change made afterwards.

A thread of its own writes what has come, some twenty times a second in one transaction each: a killed line loses at most the
last 100 ms, and a slow or full disk never holds up a verdict.  Each row carries SHA-256 of the row before and its own content;
a head beside the rows says how many there are and where the chain ends, so that rows cut off the end are missed as well.
"""

from __future__ import annotations

import queue
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from appliance.host.process_table import JOURNAL
from appliance.host.time_limits import JOURNAL_COLLECT_S, JOURNAL_RETRY_S
from appliance.messages.notices import Notify
from appliance.messages.schema import Verdict
from appliance.records.journal_chain import FIRST, append, link, open_journal, plain, read_journal
from engines.common.errors import ConfigError

MOST_WAITING = 20_000  # verdicts, some kilobytes each, while the disk refuses
NOTED = 16  # hexadecimal digits of a link that a person notes
LEAST_FREE = 1_000_000  # bytes, for SQLite's own files


class Journal:
    """Writes a line's verdicts; opened by one thread, offered to by another."""

    def __init__(self, file: Path, notify: Notify) -> None:
        """``notify`` is told from the writer's thread what the disk refuses. Raises ConfigError where no journal can be."""
        self._file, self._notify = file, notify
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self.left_out = 0
        self._waiting_since_s: float | None = None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            open_journal(file).close()
        except (OSError, sqlite3.Error) as error:
            if not _is_full(file.parent):  # a full disk does not keep a line from starting: the writer tells of it
                raise ConfigError(
                    f"journal.file: {file}: cannot be written as a journal ({error}); mend the place, or choose another"
                ) from error
        self._thread = threading.Thread(target=self._run, name=JOURNAL.name, daemon=True)
        self._thread.start()

    @property
    def behind_s(self) -> float:
        """How long the oldest verdict that is being written has waited; 0 while the disk refuses, which is told as such."""
        since_s = self._waiting_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def offer(self, content: bytes) -> None:
        """Have a verdict (JSON) written soon."""
        if self._queue.qsize() < MOST_WAITING:
            self._queue.put(content)
        else:
            self.left_out += 1

    def close(self) -> None:
        """Write what waits, and end; what the disk refuses then is lost, and told."""
        if self._thread.is_alive():
            self._closing.set()
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        batch: list[bytes] = []
        ended, told = False, ""
        while not ended or batch:
            if not batch:
                ended = self._collect(batch)
            try:
                with closing(open_journal(self._file)) as database:
                    while batch:
                        append(database, batch)
                        batch.clear()
                        self._waiting_since_s = None
                        told = self._recovered(told)
                        ended = ended or self._collect(batch)
            except sqlite3.Error as error:
                self._waiting_since_s = None
                if str(error) != told:
                    told = str(error)
                    text = f"the journal cannot be written ({error}); {self._file}: make room, verdicts wait"
                    self._notify("error", text, "journal-slow")
                if self._closing.is_set():
                    text = f"the journal lacks the last {len(batch) + self._queue.qsize()} verdicts ({error})"
                    self._notify("error", text, "journal-slow")
                    return
                self._closing.wait(JOURNAL_RETRY_S)

    def _recovered(self, told: str) -> str:
        if told:
            self._notify("info", f"the journal is written again; {self.left_out} verdicts are not in it", "journal-slow")
        return ""

    def _collect(self, batch: list[bytes]) -> bool:
        """Wait for a verdict, then take what comes within a moment. Returns whether the end was asked for."""
        item = self._queue.get()
        self._waiting_since_s = time.monotonic()
        self._closing.wait(JOURNAL_COLLECT_S)
        while item is not None:
            batch.append(item)
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return False
        return True


class _Place(msgspec.Struct):
    epoch: int
    seq: int


class Audit(NamedTuple):
    """What an examination found."""

    rows: int
    faults: list[str]  # the chain does not hold
    missing: int  # verdicts between others of the same epoch: told on the line, but never written
    challenges: int  # rows that are no verdicts
    end: Anchor | None  # to be noted; None where the rows could not be read to the end


class Anchor(NamedTuple):
    """Where a journal ended once, noted elsewhere: what was cut off or written anew with all its links is seen by it only."""

    row: int
    chain: str  # hexadecimal, or the beginning of it


def audit(file: Path, anchor: Anchor | None = None) -> Audit:
    """Examine the whole journal, and that it still holds what an earlier examination noted.

    Raises ConfigError when it cannot be read.
    """
    faults: list[str] = []
    chain, expected, missing, rows, challenges = FIRST, 1, 0, 0, 0
    last: _Place | None = None
    with closing(read_journal(file)) as database:
        try:
            database.execute("BEGIN")  # one moment's state: a line that runs goes on to write
            head = database.execute("SELECT count, chain FROM head").fetchone() or (0, FIRST)
            for number, content, kept in database.execute("SELECT number, content, chain FROM verdicts ORDER BY number"):
                rows += 1
                if number != expected:
                    faults.append(f"rows {expected} to {number - 1} are gone")
                elif link(chain, plain(content)) != kept:
                    faults.append(f"row {number} was changed, or the one before")
                chain, expected = plain(kept), number + 1
                if anchor is not None and number == anchor.row and not chain.hex().startswith(anchor.chain):
                    faults.append(f"row {number} is not the one that was noted: the rows up to it were written anew")
                try:
                    place = msgspec.json.decode(content, type=_Place)
                except msgspec.DecodeError:
                    challenges += 1
                    continue
                if last is not None and place.epoch == last.epoch and place.seq > last.seq + 1:
                    missing += place.seq - last.seq - 1
                last = place
        except sqlite3.Error as error:
            faults.append(f"row {expected} cannot be read ({error})")
            return Audit(rows, faults, missing, challenges, None)
    if head != (expected - 1, chain):
        faults.append(f"the head tells of {head[0]} rows, the last one there is {expected - 1}: rows at the end were changed")
    if anchor is not None and expected <= anchor.row:
        faults.append(f"rows {expected} to {anchor.row}, which were there when that was noted, are gone")
    return Audit(rows, faults, missing, challenges, Anchor(expected - 1, chain.hex()[:NOTED]))


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which verdicts are looked for; None: any."""

    rejects: bool = False  # only these
    since: str | None = None  # decided then or later; UTC, ISO 8601
    until: str | None = None  # decided before
    part: int | None = None
    epoch: int | None = None


CONDITIONS = {
    "since": "decided >= :since",
    "until": "decided < :until",
    "part": "part_id = :part",
    "epoch": "epoch = :epoch",
}


def search(file: Path, query: Query, limit: int | None = None) -> Iterator[Verdict]:
    """The verdicts that fit, newest first. Raises ConfigError for no journal."""
    asked = msgspec.structs.asdict(query)
    conditions = [text for key, text in CONDITIONS.items() if asked[key] is not None]
    conditions.append("verdict = 'reject'" if query.rejects else "verdict IS NOT NULL")  # other records have none
    where = " AND ".join(conditions)
    statement = f"SELECT content FROM verdicts WHERE {where} ORDER BY number DESC LIMIT :limit"
    with closing(read_journal(file)) as database:
        for (content,) in database.execute(statement, asked | {"limit": -1 if limit is None else limit}):
            yield msgspec.json.decode(content, type=Verdict)


def _is_full(folder: Path) -> bool:
    return folder.is_dir() and shutil.disk_usage(folder).free < LEAST_FREE
