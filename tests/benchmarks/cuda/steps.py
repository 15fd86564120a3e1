"""Steps one after the other, each a process of its own with a time limit; what each has found is on disk at once.

A step that fails, hangs or breaks CUDA for its process takes nothing from the others.  Imports no library.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MESSAGE_LINES = 12
Found = dict[str, Any]
Tell = Callable[[str, Any], None]


@dataclass(frozen=True)
class Target:
    """A promised figure: the step and the key that it is found under."""

    step: str
    key: str
    value: float
    at_least: bool = False

    def told(self, steps: Mapping[str, Found]) -> Found:
        """The target beside what was found; not met where nothing was."""
        found = steps.get(self.step, {}).get("found", {}).get(self.key)
        met = found is not None and (found >= self.value if self.at_least else found <= self.value)
        sign = ">=" if self.at_least else "<="
        return {"figure": f"{self.step}: {self.key}", "found": found, "target": f"{sign} {self.value:g}", "met": met}


class Report:
    """The JSON file of a run, written anew after each step."""

    def __init__(self, file: Path, about: Mapping[str, Any], targets: Sequence[Target]) -> None:
        self._file, self._targets = file, targets
        self.content: Found = {**about, "steps": {}, "targets": [], "passed": False}
        self.write()

    def add(self, name: str, outcome: Found) -> None:
        """Write down what came of a step."""
        self.content["steps"][name] = outcome
        self.write()

    def write(self) -> None:
        """Write all that is known, whole or not at all."""
        steps = self.content["steps"]
        self.content["targets"] = [target.told(steps) for target in self._targets]
        self.content["passed"] = bool(steps) and all(one["outcome"] in ("done", "left out") for one in steps.values())
        aside = self._file.with_name(f".{self._file.name}.part")
        aside.write_text(json.dumps(self.content, indent=2) + "\n", encoding="utf-8")
        aside.replace(self._file)


def tell_into(file: Path) -> Tell:
    """For a step's process: a function that adds one thing found to its file, so that it is kept if the step is cut off."""
    found: Found = {}

    def tell(key: str, value: Any) -> None:
        found[key] = value
        aside = file.with_name(f"{file.name}.part")
        aside.write_text(json.dumps(found), encoding="utf-8")
        aside.replace(file)

    return tell


def run_step(words: Sequence[str], into: Path, limit_s: float, environment: Mapping[str, str]) -> Found:
    """Run a step's process to its end, or to its limit: outcome, seconds, message, and what it has told."""
    if limit_s <= 0:
        return {"outcome": "cut off", "seconds": 0.0, "message": "no time was left for it", "found": {}}
    begun, log = time.monotonic(), into.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, env=dict(environment), start_new_session=True)
        try:
            status: int | None = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _end_group(process)
    found = json.loads(into.read_text(encoding="utf-8")) if into.exists() else {}
    message = "" if status == 0 else "\n".join(log.read_text(errors="replace").strip().splitlines()[-MESSAGE_LINES:])
    outcome = {0: "left out" if "left out" in found else "done", None: "cut off"}.get(status, "failed")
    if status is None:
        message = f"not done after {limit_s:.0f} s\n{message}".strip()
    return {"outcome": outcome, "seconds": round(time.monotonic() - begun, 1), "message": message, "found": found}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a step and whatever it has started; its group is its own."""
    with suppress(ProcessLookupError):  # it has ended, and left nothing
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
