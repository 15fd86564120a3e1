"""A disk that is really full, under archive and journal of a running line: verdicts go on, and rows are a valid chain."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from appliance.config.records import ArchiveConfig
from appliance.messages.schema import Alarm, Heartbeat, Verdict
from appliance.records.archive import Archive
from appliance.records.journal import Query, audit, search
from engines.recipe.bundle import Recipe
from tests.appliance.conftest import PATIENCE_S, MakeLine, assert_counted, listen, make_verdict, read_events, reasons, wait_for

MEGABYTES, RESERVE_GB = 12, 0.006


@contextmanager
def small_disk(place: Path) -> Iterator[tuple[Path, list[str]]]:
    """A memory disk on ``place``, for those who are let in: its path from outside, and the words that let a command in."""
    place.mkdir()
    script = f"mount -t tmpfs -o size={MEGABYTES}m tmpfs '{place}' && echo mounted && read _"
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        if holder.stdout.readline() != "mounted\n":
            pytest.skip("a disk can be mounted only where user namespaces are allowed")
        try:
            enter = ["nsenter", f"--target={holder.pid}", "--user", "--mount", "--preserve-credentials"]
            yield Path(f"/proc/{holder.pid}/root{place}"), enter
        finally:
            holder.stdin.write("\n")


def fill(file: Path) -> None:
    """Take what room there is on a disk."""
    with suppress(OSError), file.open("wb", buffering=0) as stream:  # ends with: no space left on device
        while stream.write(bytes(4_096)):
            pass


def test_a_full_disk_stops_no_verdict_and_what_waited_is_journalled_later(
    tmp_path: Path, make_line: MakeLine, built: Recipe, parts_folder: Path, rounds: Callable[[int, int], int]
) -> None:
    with small_disk(tmp_path / "disk") as (disk, enter):
        place = tmp_path / "disk"
        line = make_line(
            recipe=built.folder,
            engine={"target": "openvino", "precision": "float32", "slots": 32},
            camera={"kind": "replay", "source": str(parts_folder), "rate": 8, "loop": True},
            decision={"deadline_ms": 5_000},
            journal={"file": str(place / "journal.db")},
            archive={"folder": str(place / "archive"), "passes": 1, "free_gb": RESERVE_GB},
        )
        verdicts: list[Verdict] = []
        alarms: list[tuple[str, str, str]] = []
        subscriber = listen(line, catch_up=True)

        def told(severity: str, kind: str) -> list[str]:
            """Texts of such alarms, once everything that waits has been heard."""
            while (message := subscriber.receive(0.02)) is not None and not isinstance(message, Heartbeat):
                if isinstance(message, Verdict):
                    verdicts.append(message)
                else:
                    assert isinstance(message, Alarm)
                    alarms.append((message.severity, message.kind, message.text))
            return [text for *about, text in alarms if about == [severity, kind]]

        def hear_more(count: int) -> None:
            wanted = len(verdicts) + count
            wait_for(lambda: told("", "") or len(verdicts) >= wanted, "verdicts")

        words = [*enter, str(Path(sys.executable).with_name("inspect")), "run", "--line", "3"]
        with (tmp_path / "run.jsonl").open("wb") as out:
            run = subprocess.Popen([*words, "--config-dir", str(line.file.parent)], stdout=out, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: told("warning", "archive-full"), "the archive to have filled its part", 60)
            hear_more(8)
            assert not told("error", "journal-slow"), "what archive.free_gb leaves is the journal's"
            for times in range(1, 1 + rounds(1, 20)):
                fill(disk / "filler")
                wait_for(lambda: len(told("error", "journal-slow")) >= times, "the journal to be refused")  # noqa: B023
                hear_more(16)
                (disk / "filler").unlink()
                wait_for(lambda: len(told("info", "journal-slow")) >= times, "the journal's return")  # noqa: B023
            run.send_signal(signal.SIGTERM)
            wait_for(lambda: told("", "") or run.poll() is not None, "the end")
            told("", "")
        finally:
            subscriber.close()
            run.kill()
            status = run.wait(PATIENCE_S)
        assert status == 0, (tmp_path / "run.jsonl").read_text()
        assert subscriber.lost == 0
        assert_counted(verdicts, len(verdicts))
        assert set(reasons(verdicts)) <= {"", "defect", "stopping"}, "measured and in time, all of them"
        assert [text for severity, kind, text in alarms if kind == "archive-full"] == told_of(place)
        logged = [event for event in read_events(tmp_path / "run.jsonl") if "kind" in event]
        # Without those of no kind, such as of a recipe's thresholds at the start, which may go out before anyone listens.
        heard = [alarm for alarm in alarms if alarm[1]]
        assert [(event["event"], event["kind"], event["text"]) for event in logged] == heard, "alarms are log lines, too"
        journal = shutil.copy(disk / "journal.db", tmp_path)
        assert audit(Path(journal))[:4] == (len(verdicts), [], 0, 0)
        assert list(search(Path(journal), Query()))[::-1] == verdicts
        pictures = list((disk / "archive").rglob("*.png"))
        assert pictures
        assert all(file.stat().st_size for file in pictures)


def told_of(place: Path) -> list[str]:
    cause = f"less than archive.free_gb = {RESERVE_GB:g} is free on its disk"
    return [f"frames are not archived: {cause}; inspection goes on; see to the disk of {place / 'archive'}"]


def test_the_archive_leaves_nothing_half_written_on_a_full_disk(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    noise = np.random.default_rng(1).integers(0, 256, (600, 600, 3), np.uint8)  # a megabyte, and a tenth of that for the map
    with small_disk(tmp_path / "disk") as (disk, _):
        config = ArchiveConfig(folder=Path(), free_gb=0)
        archive = Archive(
            replace(config, folder=disk / "frames"), "3", lambda severity, text, kind="": told.append((kind, text))
        )
        fill(disk / "filler")
        os.truncate(disk / "filler", (MEGABYTES - 1) * 2**20 + 2**19)
        for seq in (1, 2, 3):
            reject = make_verdict(seq, verdict="reject", reason="defect")
            archive.offer(reject, noise, np.zeros((160, 160), np.float32), (0, 0, 600, 600))
        archive.close()
        assert [file for file in (disk / "frames").rglob("*") if file.is_file()] == []
        assert archive.left_out == 3
    ((kind, text),) = told
    assert kind == "archive-full"
    assert text.startswith("frames are not archived: No space left on device; inspection goes on")


LATECOMER = """
import sys
from pathlib import Path
from appliance.records.journal import Journal
journal = Journal(Path(sys.argv[1]), lambda *notice: print(*notice, flush=True))
print("started", flush=True)
journal.offer(b'{"epoch": 1, "seq": 1}')
sys.stdin.readline()
journal.close()
"""


def test_a_disk_that_is_full_already_keeps_no_line_from_starting(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as (disk, enter):
        fill(disk / "filler")
        words = [*enter, sys.executable, "-c", LATECOMER, str(tmp_path / "disk" / "journal.db")]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as late:
            assert late.stdin is not None
            assert late.stdout is not None
            assert late.stdout.readline() == "started\n"
            assert late.stdout.readline().startswith("error the journal cannot be written (")
            (disk / "filler").unlink()
            assert late.stdout.readline() == "info the journal is written again; 0 verdicts are not in it journal-slow\n"
            late.stdin.write("\n")
        assert late.returncode == 0
        assert audit(Path(shutil.copy(disk / "journal.db", tmp_path))).rows == 1
