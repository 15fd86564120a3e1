"""A whole station in real processes: `inspect run`, its bridge, a PLC, and a subscriber that writes everything down.

What the PLC took is compared with what the line published, and both with the truth of the part's picture, part by part.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.faults.pictures import Picture, assert_true, shown

PATIENCE_S = 30.0
EPOCHS = 1 << 32  # of a PLC
Event = dict[str, Any]
Part = tuple[int, int]  # epoch, part id


class Station:
    """The processes of one line; what they tell is appended to one file each."""

    def __init__(
        self,
        name: str,
        lines: Path,
        logs: Path,
        pictures: Sequence[Picture] | None,
        options: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """``lines``: folder of the line's file; ``pictures``: what its camera plays; None: nothing but bad parts.

        ``options``: of each command; without one of its own, a PLC has a retentive memory.
        """
        self._options = {"plc-sim": ("--retain", str(logs / "plc-memory.json"))} | dict(options or {})
        self._name, self._lines, self._logs, self._pictures = name, lines, logs, pictures
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._read: dict[str, _Log] = {}
        logs.mkdir(exist_ok=True)

    def __enter__(self) -> Station:
        for command in ("plc-sim", "plc", "watch", "run"):
            self.start(command)
        return self

    def __exit__(self, *_: object) -> None:
        for command in ("run", "plc", "watch", "plc-sim"):
            self.stop(command)

    @contextmanager
    def only(self, command: str, *words: str) -> Iterator[None]:
        """One of the processes by itself."""
        self.start(command, *words)
        try:
            yield
        finally:
            self.stop(command)

    def start(self, command: str, *words: str) -> None:
        """Start one of the processes."""
        script = Path(sys.executable).with_name("inspect")
        arguments = [command, "--json", "--line", self._name, "--config-dir", str(self._lines), *words]
        arguments += self._options.get(command, ())
        with (self._logs / f"{command}.jsonl").open("ab") as out, (self._logs / f"{command}.err").open("ab") as err:
            self._processes[command] = subprocess.Popen([script, *arguments], stdout=out, stderr=err, env=os.environ)

    def stop(self, command: str) -> None:
        """End a process in order; a stopped one goes on first."""
        process = self._processes.pop(command, None)
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        process.wait(PATIENCE_S)

    def finish(self) -> None:
        """End the line in order; the PLC has what it decided once it does not regard it as valid any more."""
        self.stop("run")
        wait_for(lambda: not self.valid(), "the last results in the PLC")

    def process(self, command: str) -> psutil.Process:
        """A process, or the camera's."""
        if command == "camera":
            children = psutil.Process(self._processes["run"].pid).children()
            return next(child for child in children if "appliance.capture.camera_main" in child.cmdline())
        return psutil.Process(self._processes[command].pid)

    def restart(self, command: str) -> None:
        """Start a killed process anew, as its service would."""
        self._processes.pop(command).wait(PATIENCE_S)
        self.start(command)

    def told(self, command: str) -> list[Event]:
        """What a process has told so far."""
        log = self._read.setdefault(command, _Log(self._logs / f"{command}.jsonl"))
        return log.events()

    def errors(self) -> str:
        """What was written to the error outputs."""
        return "".join(file.read_text() for file in sorted(self._logs.glob("*.err")))

    # What was seen

    def taken(self) -> list[Event]:
        """The results that the PLC took."""
        return [event for event in self.told("plc-sim") if event["event"] == "taken"]

    def published(self) -> dict[Part, Event]:
        """Every verdict that left the line, by part. A part with two verdicts fails."""
        verdicts: dict[Part, Event] = {}
        for source in ("run", "watch"):
            seen: set[Part] = set()
            for event in self.told(source):
                if event["event"] != "verdict":
                    continue
                part = (event["epoch"] % EPOCHS, event["part_id"])
                assert part not in seen, f"{source} told of part {part} twice"
                seen.add(part)
                first = verdicts.setdefault(part, event)
                assert first["verdict"] == event["verdict"], f"two verdicts for part {part}"
        return verdicts

    def valid(self) -> bool:
        """Whether the PLC regards the line as valid now."""
        seen = [event["valid"] for event in self.told("plc-sim") if event["event"] == "line"]
        return bool(seen and seen[-1])

    def invalid_after(self, moment_s: float) -> float | None:
        """Seconds from a moment (monotonic) until the PLC regarded the line as not valid; None as long as it does."""
        valid = False
        for event in self.told("plc-sim"):
            if event["event"] != "line":
                continue
            if event["monotonic"] > moment_s and not event["valid"]:
                return float(event["monotonic"] - moment_s)
            valid = event["valid"]
        return None if valid else 0.0

    def passes_after(self, moment_s: float) -> int:
        """How many passes the PLC has taken since a moment (monotonic)."""
        return sum(event["verdict"] == "pass" and event["monotonic"] > moment_s for event in self.taken())

    def prove(self) -> None:
        """No part has two verdicts or another part's, none is passed that the line did not pass, no number is left out."""
        published = self.published()
        taken: dict[Part, Event] = {}
        for event in self.taken():
            part = (event["epoch"], event["part_id"])
            assert part not in taken, f"the PLC took part {part} twice"
            taken[part] = event
        assert taken, "the PLC took something"
        unknown = taken.keys() - published.keys()
        assert not unknown, f"the PLC took what the line did not publish: {unknown}"
        wrong = {part: event for part, event in taken.items() if published[part]["verdict"] != event["verdict"]}
        assert not wrong, f"the PLC took another verdict than the line's: {wrong}"
        self._prove_pictures(published, taken)
        assert "Traceback" not in self.errors(), self.errors()

    def prove_pictures(self) -> None:
        """The same of a line by itself: every verdict is its own picture's."""
        self._prove_pictures(self.published(), {})

    def _prove_pictures(self, published: dict[Part, Event], taken: dict[Part, Event]) -> None:
        measured = {False: 0, True: 0}  # by whether the part was bad
        for epoch in {epoch for epoch, _ in published}:
            verdicts = [published[part] for part in sorted(published) if part[0] == epoch]
            assert [one["part_id"] for one in verdicts] == list(range(1, len(verdicts) + 1)), f"epoch {epoch} has gaps"
            if self._pictures is None:
                assert all(one["verdict"] == "reject" for one in verdicts), f"a bad part was passed in epoch {epoch}"
                continue
            for verdict, picture in shown(verdicts, self._pictures):
                if assert_true(verdict, picture) and picture is not None:
                    measured[picture.bad] += 1
                if took := taken.get((epoch, verdict["part_id"])):
                    assert_true(took, picture)
        assert self._pictures is None or all(measured.values()), f"good parts and bad ones were measured: {measured}"


class _Log:
    """A file of JSON objects that grows, one a line; read on from where the last reading ended."""

    def __init__(self, file: Path) -> None:
        self._file, self._offset, self._events = file, 0, list[Event]()

    def events(self) -> list[Event]:
        """All so far, without a last line that is still being written."""
        if self._file.exists():
            with self._file.open("rb") as stream:
                stream.seek(self._offset)
                content = stream.read()
            content = content[: content.rfind(b"\n") + 1]
            self._offset += len(content)
            for line in content.splitlines():
                # A killed writer leaves half a line, behind which the next one begins.
                start = line.rfind(b'{"time":"')
                if start >= 0:
                    self._events.append(json.loads(line[start:]))
        return self._events


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> None:
    """Return as soon as the condition holds; fail when it does not come to."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.01)
