"""The journal: every verdict, in a chain that shows what was changed; a kill, a full disk and bad input."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from appliance.messages.schema import Verdict
from appliance.records.journal import Journal, Query, audit, search
from engines.common.errors import ConfigError
from engines.recipe.bundle import Recipe
from tests.appliance.conftest import (
    MakeLine,
    inspect_all,
    inspect_process,
    make_verdict,
    read_events,
    unexpected,
    verdicts_of,
    wait_for,
)

Command = Callable[..., subprocess.CompletedProcess[str]]
RATE = 20


def _written(file: Path, verdicts: list[Verdict]) -> Path:
    journal = Journal(file, unexpected)
    for verdict in verdicts:
        journal.offer(msgspec.json.encode(verdict))
    journal.close()
    return file


def _verdicts(count: int, epoch: int = 1) -> list[Verdict]:
    return [
        make_verdict(
            seq, epoch, verdict="reject" if seq % 3 == 0 else "pass", reason="defect" if seq % 3 == 0 else "", detail="ä"
        )
        for seq in range(1, count + 1)
    ]


def test_a_journal_holds_every_verdict_as_it_was_given(tmp_path: Path) -> None:
    verdicts = _verdicts(50)
    file = _written(tmp_path / "not" / "there" / "journal.db", verdicts[:20])
    _written(file, verdicts[20:])  # goes on after a restart
    assert list(search(file, Query(), limit=100)) == verdicts[::-1]
    assert audit(file)[:4] == (50, [], 0, 0)


def test_search_by_verdict_time_and_part(tmp_path: Path) -> None:
    verdicts = [
        msgspec.structs.replace(verdict, decided=f"2026-11-22T06:{verdict.seq:02d}:00.5+00:00") for verdict in _verdicts(30)
    ]
    file = _written(tmp_path / "journal.db", verdicts)
    rejects = [verdict.seq for verdict in search(file, Query(rejects=True, since="2026-11-22T06:20:00+00:00"), limit=9)]
    assert rejects == [30, 27, 24, 21]
    until = search(file, Query(since="2026-11-22T06:20:00+00:00", until="2026-11-22T06:23:00+00:00"))
    assert [verdict.seq for verdict in until] == [22, 21, 20]
    assert [verdict.seq for verdict in search(file, Query(part=7), limit=9)] == [7]
    assert list(search(file, Query(part=7, epoch=2))) == []
    assert len(list(search(file, Query(), limit=9))) == 9


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE verdicts SET content = replace(content, 'reject', 'pass') WHERE number = 6", "row 6 was changed"),
        ("UPDATE verdicts SET chain = zeroblob(32) WHERE number = 6", "row 6 was changed"),
        ("UPDATE verdicts SET content = '{}' WHERE number = 6", "row 6 was changed"),
        ('UPDATE verdicts SET content = CAST(\'{"epoch": 1, "seq": 7}\' AS BLOB) WHERE number = 6', "row 6 was changed"),
        ("UPDATE verdicts SET chain = 'text' WHERE number = 6", "row 6 was changed"),
        ("DELETE FROM verdicts WHERE number IN (4, 5)", "rows 4 to 5 are gone"),
        ("DELETE FROM verdicts WHERE number = 1", "rows 1 to 1 are gone"),
        ("DELETE FROM verdicts WHERE number > 7", "the head tells of 9 rows, the last one there is 7"),
        ("DELETE FROM head", "the head tells of 0 rows"),
        (
            "INSERT INTO verdicts (number, content, chain) VALUES (10, '{\"epoch\": 1, \"seq\": 10}', x'00')",
            "row 10 was changed",
        ),
    ],
)
def test_any_change_is_found(tmp_path: Path, change: str, told: str) -> None:
    file = _written(tmp_path / "journal.db", _verdicts(9))
    with closing(sqlite3.connect(file)) as database, database:
        assert database.execute(change).rowcount > 0
    found = audit(file)
    assert any(fault.startswith(told) for fault in found.faults), found


def test_what_was_written_anew_or_cut_off_with_its_links_is_found_by_a_noted_end(tmp_path: Path) -> None:
    file = _written(tmp_path / "journal.db", _verdicts(9))
    noted = audit(file).end
    assert noted is not None
    assert noted.row == 9
    _written(file, _verdicts(3, epoch=2))
    assert audit(file, noted).faults == []
    for rows, told in ((_verdicts(12, epoch=3), "row 9 is not the one"), (_verdicts(5), "rows 6 to 9, which were there")):
        forged = _written(tmp_path / f"{len(rows)}.db", rows)
        assert audit(forged).faults == []
        assert [fault[: len(told)] for fault in audit(forged, noted).faults] == [told]


def test_verdicts_that_were_given_but_not_written_are_counted(tmp_path: Path) -> None:
    verdicts = [verdict for verdict in _verdicts(10) if verdict.seq not in (4, 5, 8)]
    assert audit(_written(tmp_path / "journal.db", verdicts + _verdicts(3, epoch=2)))[:4] == (10, [], 3, 0)


def test_a_line_writes_its_verdicts(tmp_path: Path, make_line: MakeLine, recipe: Recipe) -> None:
    line = make_line(recipe=recipe.folder, journal={"file": "journal.db"})
    verdicts = verdicts_of(inspect_all(line, parts=5))
    assert list(search((line.file.parent / "journal.db"), Query(), limit=10)) == verdicts[::-1]
    assert audit(line.file.parent / "journal.db").rows == 5


def test_a_killed_line_loses_at_most_a_tenth_of_a_second(
    tmp_path: Path, make_line: MakeLine, built: Recipe, parts_folder: Path, rounds: Callable[[int, int], int]
) -> None:
    camera = {"kind": "replay", "source": str(parts_folder), "rate": RATE, "loop": True}
    engine = {"target": "openvino", "precision": "float32"}
    line = make_line(recipe=built.folder, camera=camera, engine=engine, journal={"file": "journal.db"})
    out = tmp_path / "run.jsonl"
    given: set[tuple[int, int]] = set()
    kills = rounds(2, 20)
    for _ in range(kills):
        with inspect_process("run", "--line", line.name, "--config-dir", line.file.parent, stdout=out) as process:
            wait_for(lambda: len(read_events(out)) > 30, "thirty events", 60)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        told = [event for event in read_events(out) if event["event"] == "verdict"]
        given |= {(event["epoch"], event["seq"]) for event in told}
    kept = {(one.epoch, one.seq) for one in search((line.file.parent / "journal.db"), Query())}
    assert len(given - kept) <= kills * (RATE // 10 + 1)
    found = audit(line.file.parent / "journal.db")
    assert not found.faults
    assert found.rows == len(kept)


FULL_DISK = """
import resource, sys, threading, time
from pathlib import Path
from appliance.records.journal import Journal
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
told = []
journal = Journal(Path(sys.argv[1]), lambda *notice: told.append(" ".join(notice)))
def offer(first):
    for seq in range(first, first + 200):
        journal.offer(b'{"epoch": 1, "seq": %d, "more": "%s"}' % (seq, b"x" * 400))
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
begun = time.monotonic()
offer(1)
assert time.monotonic() - begun < 0.5, "nobody waits for the disk"
while not told: time.sleep(0.01)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
offer(201)
while len(told) < 2: time.sleep(0.01)
journal.close()
print("\\n".join(told))
"""


def test_a_full_disk_delays_nobody_and_what_waited_is_written_later(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    done = subprocess.run([sys.executable, "-c", FULL_DISK, file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("error the journal cannot be written (")
    assert second == "info the journal is written again; 0 verdicts are not in it journal-slow"
    assert audit(file)[:4] == (400, [], 0, 0)


def test_audit_and_history_as_commands(command: Command, in_process: Command, make_line: MakeLine) -> None:
    line = make_line(journal={"file": "journal.db"})
    file = _written((line.file.parent / "journal.db"), _verdicts(9))
    options = ("--line", line.name, "--config-dir", line.file.parent)
    done = command("inspect", "audit", *options)
    end = audit(file).end
    assert end is not None
    noted = f"{end.row}:{end.chain}"
    told = (
        f"{file}: 9 verdicts, the chain holds\nits end is {noted}; note that elsewhere, and audit later with --noted {noted}\n"
    )
    assert (done.returncode, done.stdout) == (0, told)
    assert in_process("inspect", "audit", *options, "--noted", noted).returncode == 0
    done = in_process("inspect", "audit", *options, "--noted", "9:00000000")
    assert (done.returncode, "row 9 is not the one that was noted" in done.stdout) == (1, True)
    done = command("inspect", "history", *options, "--rejects", "--json")
    assert [line["seq"] for line in map(msgspec.json.decode, done.stdout.splitlines())] == [9, 6, 3]
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM verdicts WHERE number = 2")
    done = in_process("inspect", "audit", *options)
    assert done.returncode == 1
    assert "rows 2 to 2 are gone" in done.stdout


@pytest.mark.parametrize(
    ("journal", "words", "message"),
    [
        ({}, ("audit",), "journal: none is kept; add [journal]"),
        ({"journal": {"file": "absent.db"}}, ("audit",), "absent.db: no journal there"),
        (
            {"journal": {"file": "absent.db"}},
            ("audit", "--noted", "9"),
            "--noted 9: give it as an audit told it, such as 1200:",
        ),
        ({"journal": {"file": "3.toml"}}, ("history",), "3.toml: cannot be read as a journal"),
        ({"journal": {"file": "j.db"}}, ("history", "--since", "yesterday"), "--since yesterday: give a date or a time"),
        ({"journal": {"file": ""}}, ("audit",), "journal.file"),
    ],
)
def test_bad_input_is_one_line(
    in_process: Command,
    make_line: MakeLine,
    tmp_path: Path,
    journal: dict[str, dict[str, str]],
    words: tuple[str, ...],
    message: str,
) -> None:
    make_line()
    file = tmp_path / "lines" / "3.toml"
    for table in journal.values():
        file.write_text(file.read_text() + f'\n[journal]\nfile = "{table["file"]}"\n')
    done = in_process("inspect", *words, "--line", 3, "--config-dir", file.parent)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_place_where_no_journal_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"journal\.file: .*cannot be written as a journal"):
        Journal(tmp_path / "file" / "journal.db", unexpected)
