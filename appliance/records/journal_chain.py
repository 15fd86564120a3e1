"""The journal's file: rows that only grow, each chained to the one before, whoever writes them.

A row is a verdict, or a record of something else that was done with the line (`challenge_record.py`).  Only verdicts have a
time `decided`; by its absence the others are found, with the index that there has always been.

The running line and a command beside it may write at the same time: SQLite lets one in after the other, and each reads the
chain's end inside its own transaction.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from appliance.host.time_limits import JOURNAL_BUSY_S
from engines.common.errors import ConfigError

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


class Row(NamedTuple):
    """A record that is no verdict."""

    number: int
    content: str
    intact: bool  # chained to the row before, as it was written


def open_journal(file: Path) -> sqlite3.Connection:
    """Open the file to write, and make it first where there is none. Raises sqlite3.Error."""
    database = sqlite3.connect(file, timeout=JOURNAL_BUSY_S, isolation_level=None)
    try:
        _use_wal(database)
        database.execute("PRAGMA synchronous = FULL")  # what was committed survives a loss of power, too
        database.executescript(SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database


def append(database: sqlite3.Connection, contents: list[bytes]) -> int:
    """Add rows at the end of the chain, all or none; returns the number of the last one."""
    with database:
        database.execute("BEGIN IMMEDIATE")  # what is read now is what another writer has left, and stays so until the end
        count, chain = database.execute("SELECT count, chain FROM head").fetchone() or (0, FIRST)
        for content in contents:
            count, chain = count + 1, link(chain, content)
            database.execute("INSERT INTO verdicts (number, content, chain) VALUES (?, ?, ?)", (count, content.decode(), chain))
        database.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?)", (count, chain))
    return int(count)


def link(before: bytes, content: bytes) -> bytes:
    """The next link of the chain."""
    return hashlib.sha256(before + content).digest()


def plain(cell: object) -> bytes:
    """What a cell holds; an edited one may hold anything."""
    return cell if isinstance(cell, bytes) else str(cell).encode()


def write_record(file: Path, content: bytes) -> int:
    """Add what is no verdict; returns its row's number. Raises ConfigError when it cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(open_journal(file)) as database:
            return append(database, [content])
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(
            f"{file}: the journal cannot be written ({error}); mend its place or its rights, and run the same command again"
        ) from error


def records(file: Path) -> Iterator[Row]:
    """What is no verdict, newest first. Raises ConfigError for what is no journal, or cannot be read as one."""
    # The row before is looked up by its number: an edited record is seen without examining the whole journal.
    statement = """
        SELECT number, content, chain, (SELECT chain FROM verdicts AS before WHERE before.number = verdicts.number - 1)
        FROM verdicts WHERE decided IS NULL ORDER BY number DESC
    """
    with closing(read_journal(file)) as database:
        try:
            for number, content, chain, before in database.execute(statement):
                if number == 1:
                    before = FIRST
                yield Row(number, content, before is not None and link(plain(before), plain(content)) == chain)
        except sqlite3.Error as error:
            raise ConfigError(f"{file}: cannot be read as a journal ({error}); restore it from its backup") from error


def read_journal(file: Path) -> sqlite3.Connection:
    """Open the file to read only. Raises ConfigError when that cannot be."""
    if not file.is_file():
        raise ConfigError(f"{file}: no journal there; it is written while the line runs")
    try:
        database = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        database.execute("SELECT 1 FROM verdicts LIMIT 1")
    except sqlite3.Error as error:
        raise ConfigError(f"{file}: cannot be read as a journal ({error}); restore it from its backup") from error
    return database


def _use_wal(database: sqlite3.Connection) -> None:
    """Have readers and writers not hold each other up."""
    until = time.monotonic() + JOURNAL_BUSY_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # Two writers that make the file at the same moment: SQLite does not wait by itself here.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
