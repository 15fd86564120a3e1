"""The journal: every verdict of a line, in an SQLite file, in a chain that shows any change made afterwards.

A thread of its own writes what has come, some twenty times a second in one transaction each: a killed line loses at most the
last 100 ms, and a slow or full disk never holds up a verdict.  Each row carries SHA-256 of the row before and its own content;
a head beside the rows says how many there are and where the chain ends, so that rows cut off the end are missed as well.
"""

from __future__ import annotations

import hashlib
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

from appliance.messages import Verdict
from appliance.notices import Notify
from engines.errors import ConfigError

COLLECT_S = 0.04  # between the first verdict of a transaction and its writing
RETRY_S = 1.0
MOST_WAITING = 20_000  # verdicts, some kilobytes each, while the disk refuses
LEAST_FREE = 1_000_000  # bytes, for SQLite's own files
FIRST = b"\0" * 32

SCHEMA = """
CREATE TABLE IF NOT EXISTS verdicts (
    number INTEGER PRIMARY KEY,
    content TEXT NOT NULL,
    chain BLOB NOT NULL,
    epoch INTEGER AS (json_extract(content, '$.epoch')),
    seq INTEGER AS (json_extract(content, '$.seq')),
    decided TEXT AS (json_extract(content, '$.decided')),
    verdict TEXT AS (json_extract(content, '$.verdict')),
    part_id INTEGER AS (json_extract(content, '$.part_id'))
);
CREATE INDEX IF NOT EXISTS verdicts_decided ON verdicts (decided);
CREATE INDEX IF NOT EXISTS verdicts_part ON verdicts (part_id);
CREATE TABLE IF NOT EXISTS head (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL, chain BLOB NOT NULL);
"""


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
            _open(file).close()
        except (OSError, sqlite3.Error) as error:
            if not _is_full(file.parent):  # a full disk does not keep a line from starting: the writer tells of it
                raise ConfigError(
                    f"journal.file: {file}: cannot be written as a journal ({error}); mend the place, or choose another"
                ) from error
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
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
                with closing(_open(self._file)) as database:
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
                self._closing.wait(RETRY_S)

    def _recovered(self, told: str) -> str:
        if told:
            self._notify("info", f"the journal is written again; {self.left_out} verdicts are not in it", "journal-slow")
        return ""

    def _collect(self, batch: list[bytes]) -> bool:
        """Wait for a verdict, then take what comes within a moment. Returns whether the end was asked for."""
        item = self._queue.get()
        self._waiting_since_s = time.monotonic()
        self._closing.wait(COLLECT_S)
        while item is not None:
            batch.append(item)
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return False
        return True


def append(database: sqlite3.Connection, contents: list[bytes]) -> None:
    """Add verdicts at the end of the chain, all or none."""
    with database:
        database.execute("BEGIN IMMEDIATE")
        count, chain = database.execute("SELECT count, chain FROM head").fetchone() or (0, FIRST)
        for content in contents:
            count, chain = count + 1, link(chain, content)
            database.execute("INSERT INTO verdicts (number, content, chain) VALUES (?, ?, ?)", (count, content.decode(), chain))
        database.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?)", (count, chain))


def link(before: bytes, content: bytes) -> bytes:
    """The next link of the chain."""
    return hashlib.sha256(before + content).digest()


class _Place(msgspec.Struct):
    epoch: int
    seq: int


class Audit(NamedTuple):
    """What an examination found."""

    rows: int
    faults: list[str]  # the chain does not hold
    missing: int  # verdicts between others of the same epoch: told on the line, but never written


def audit(file: Path) -> Audit:
    """Examine the whole journal. Raises ConfigError when it cannot be read."""
    faults: list[str] = []
    chain, expected, missing, rows = FIRST, 1, 0, 0
    last: _Place | None = None
    with closing(_read(file)) as database:
        try:
            head = database.execute("SELECT count, chain FROM head").fetchone() or (0, FIRST)
            for number, content, kept in database.execute("SELECT number, content, chain FROM verdicts ORDER BY number"):
                rows += 1
                if number != expected:
                    faults.append(f"rows {expected} to {number - 1} are gone")
                elif link(chain, content.encode()) != kept:
                    faults.append(f"row {number} was changed, or the one before")
                chain, expected = kept, number + 1
                try:
                    place = msgspec.json.decode(content, type=_Place)
                except msgspec.DecodeError:
                    continue  # found above: nothing of the kind was ever written
                if last is not None and place.epoch == last.epoch and place.seq > last.seq + 1:
                    missing += place.seq - last.seq - 1
                last = place
        except sqlite3.Error as error:
            faults.append(f"row {expected} cannot be read ({error})")
            return Audit(rows, faults, missing)
    if head != (expected - 1, chain):
        faults.append(f"the head tells of {head[0]} rows, the last one there is {expected - 1}: rows at the end were changed")
    return Audit(rows, faults, missing)


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
    conditions += ["verdict = 'reject'"] if query.rejects else []
    where = " AND ".join(conditions) or "1"
    statement = f"SELECT content FROM verdicts WHERE {where} ORDER BY number DESC LIMIT :limit"
    with closing(_read(file)) as database:
        for (content,) in database.execute(statement, asked | {"limit": -1 if limit is None else limit}):
            yield msgspec.json.decode(content, type=Verdict)


def _open(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # what was committed survives a loss of power, too
        database.executescript(SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _is_full(folder: Path) -> bool:
    return folder.is_dir() and shutil.disk_usage(folder).free < LEAST_FREE


def _read(file: Path) -> sqlite3.Connection:
    if not file.is_file():
        raise ConfigError(f"{file}: no journal there; it is written while the line runs")
    try:
        database = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        database.execute("SELECT 1 FROM verdicts LIMIT 1")
    except sqlite3.Error as error:
        raise ConfigError(f"{file}: cannot be read as a journal ({error}); restore it from its backup") from error
    return database
