"""What a fit and a running line cost each other on one box.

    python -m tests.benchmarks.neighbours [--rounds N] [--steps N]

Each round has the line alone, the fit alone, and both at once, so that a machine whose speed drifts gives ratios all the same.
The line is openvino float32 of profile `small`, at 10 parts a second.  Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks.running import Benched, make_test_recipe, write_line, write_parts
from tests.virtual_line.demo import background, read_events, script

RATE = 10.0  # parts a second
WARM_PARTS = 20  # the first frames of an engine are slower
ALONE_S = 12.0
START_S = 30.0
MOST_SLOWER, MOST_LATER = 3.0, 1.5


@dataclass(frozen=True)
class Round:
    """One round: latencies in milliseconds from capture to verdict, and how long a fit took in seconds."""

    line_alone: list[float]
    line_beside: list[float]
    fit_alone: float
    fit_beside: float


def main() -> int:
    """Measure, print, and return 0 when both targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60, help="fitting steps")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bench = prepare(Path(name))
        fit = [script("calibrate"), *fit_options(bench.folder, arguments.steps)]
        rounds = [one_round(bench, fit) for _ in range(arguments.rounds)]
    return 0 if report(rounds) else 1


def prepare(folder: Path) -> Benched:
    """A recipe with its engine, and the parts that the line sees."""
    write_parts(folder / "parts")
    return Benched(folder, make_test_recipe(folder, "float32"), "float32")


def fit_options(folder: Path, steps: int) -> list[str]:
    """A fit of the line's own golden samples, as new each time."""
    return ["fit", "--golden", str(folder / "golden"), "--recipe", str(folder / "made"), "--steps", str(steps), "--replace"]


def one_round(bench: Benched, fit: Sequence[str]) -> Round:
    """Line alone, fit alone, both."""
    with running_line(bench) as alone:
        time.sleep(ALONE_S)
    fit_alone = timed(fit, bench.folder)
    with running_line(bench) as beside:
        fit_beside = timed(fit, bench.folder)
    told = Round(latencies(alone), latencies(beside), fit_alone, fit_beside)
    print(
        f"line alone p99 {p99(told.line_alone):.1f} ms, beside the fit {p99(told.line_beside):.1f} ms ({len(told.line_beside)} "
        f"parts); fit alone {fit_alone:.1f} s, beside the line {fit_beside:.1f} s",
        flush=True,
    )
    return told


@contextmanager
def running_line(bench: Benched) -> Iterator[Path]:
    """The line from when it is warm to the end of the block; the file has what it told in the block."""
    write_line(bench, RATE)
    everything, told = bench.folder / "run.jsonl", bench.folder / f"{time.monotonic_ns()}.jsonl"
    words = [script("inspect"), "run", "--line", "3", "--config-dir", str(bench.folder), "--json"]
    everything.unlink(missing_ok=True)
    with background(words, stdout=everything):
        begun = time.monotonic()
        while len(latencies(everything)) < WARM_PARTS:
            if time.monotonic() - begun > START_S:
                raise RuntimeError(f"the line gave no {WARM_PARTS} verdicts within {START_S:g} s")
            time.sleep(0.1)
        before = everything.stat().st_size
        yield told
        told.write_bytes(everything.read_bytes()[before:])


def latencies(told: Path) -> list[float]:
    """Milliseconds from capture to verdict of each part."""
    return [event["stages"]["total"] for event in read_events(told) if event["event"] == "verdict"]


def timed(words: Sequence[str], folder: Path) -> float:
    """Seconds that a command takes, as its user waits for it."""
    begun = time.monotonic()
    subprocess.run(words, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begun


def p99(values: Sequence[float]) -> float:
    """The value that one in a hundred exceeds."""
    return float(np.percentile(values, 99))


def report(rounds: Sequence[Round]) -> bool:
    """Print the figures. Returns whether both targets are met by the medians of the rounds' ratios."""
    slower = statistics.median(one.fit_beside / one.fit_alone for one in rounds)
    later = statistics.median(p99(one.line_beside) / p99(one.line_alone) for one in rounds)
    parts = sum(len(one.line_beside) for one in rounds)
    table = Table("what", "measured", "target", "met", title_justify="left")
    for what, value, most in (
        (f"the line's p99 beside a fit over its p99 alone, {parts} parts", later, MOST_LATER),
        (f"a fit beside the line over a fit alone, median of {len(rounds)} rounds", slower, MOST_SLOWER),
    ):
        table.add_row(what, f"{value:.2f}", f"<= {most:g}", "yes" if value <= most else "NO")
    Console().print(table)
    return later <= MOST_LATER and slower <= MOST_SLOWER


if __name__ == "__main__":
    sys.exit(main())
