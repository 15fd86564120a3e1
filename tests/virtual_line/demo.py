"""The main job on a virtual line: golden samples, fit, thresholds, engine, then camera emulation, inspection, bridge, PLC.

    python -m tests.virtual_line.demo [--folder demo]

Exit status 0 only when every part got exactly one verdict, the PLC received the same ones, and they are those of the pictures:
no defect is missed, and of the good parts at most one is rejected.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.virtual_line.product import DEFECTS, SIDE, save_parts

GOLDEN, PARTS = 60, 30
GOLDEN_SEED, PARTS_SEED = 1, 10_001
RATE = 4.0  # parts a second
TRUTH: list[str | None] = [None, "scratch", None, "stain", "missing piece", None, "misplaced piece", None, "crack", None]
RUN_LIMIT_S = 120
MOST_FALSE_REJECTS = 1

console = Console(soft_wrap=True)

LINE_FILE = """\
# A virtual line: pylon's camera emulation plays rendered parts, `inspect plc-sim` stands for the PLC.
recipe = "../recipes/assembly"
golden = "../golden"

[camera]
kind = "pylon"
serial = "0815-0000"
trigger = "software"
rate = {rate}

[camera.features]
TestImageSelector = "Off"
ImageFileMode = "On"
ImageFilename = "{parts}"
PixelFormat = "RGB8Packed"
Width = {side}
Height = {side}

[engine]
target = "openvino"
precision = "float32"

[publish]
verdicts = "tcp://127.0.0.1:{ports[0]}"
snapshot = "tcp://127.0.0.1:{ports[1]}"

[plc]
kind = "modbus"
host = "127.0.0.1"
port = {ports[2]}

[journal]
file = "../journal.db"

[archive]
folder = "../archive"
passes = 0.5
quota_gb = 0.1
free_gb = 0.02  # little: rejects are to be shown from a disk that is nearly full, too
"""


def main() -> int:
    """Run the demo; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    folder = parser.parse_args().folder.resolve()
    started = time.monotonic()
    build(folder)
    recipe = folder / "recipes" / "assembly"
    command("calibrate", "fit", "--golden", folder / "golden", "--recipe", recipe, "--then-stop")
    console.rule(f"inspecting {PARTS} parts at {RATE:g} parts a second")
    verdicts, received = inspect_parts(folder)
    correct = report(verdicts, received)
    console.rule("three rejects: the part with its regions, the anomaly map over it, the template")
    defects = [verdict["part_id"] for verdict in verdicts if verdict["reason"] == "defect"]
    for part in defects[:3]:
        where = ("--config-dir", folder / "lines", "--output", folder / f"part-{part}.png")
        command("inspect", "show", "--line", 3, part, *where)
    console.print(
        f"the whole demo took {time.monotonic() - started:.0f} s; look on with: PYLON_CAMEMU=1 inspect run --line 3 "
        f"--config-dir {folder / 'lines'}"
    )
    return 0 if correct and len(defects) >= 3 else 1


def build(folder: Path) -> None:
    """Render golden samples and parts, and write the line's file."""
    if folder.exists():
        shutil.rmtree(folder)
    console.rule(f"a virtual line in {folder}")
    save_parts(folder / "golden", range(GOLDEN_SEED, GOLDEN_SEED + GOLDEN), [None])
    save_parts(folder / "parts", range(PARTS_SEED, PARTS_SEED + PARTS), TRUTH)
    assert set(TRUTH) - {None} == set(DEFECTS), "every kind of defect is shown"
    (folder / "lines").mkdir()
    text = LINE_FILE.format(rate=RATE, parts=folder / "parts", side=SIDE, ports=free_ports(3))
    (folder / "lines" / "3.toml").write_text(text, encoding="utf-8")
    console.print(f"{GOLDEN} golden samples, {PARTS} parts, line file {folder / 'lines' / '3.toml'}")


def free_ports(count: int) -> list[int]:
    """Ports on loopback that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def command(*words: object) -> None:
    """Run one of the project's commands as a user does; its failure ends the demo."""
    console.print(f"[bold]$ {' '.join(map(str, words))}[/]", highlight=False)
    status = subprocess.run([script(str(words[0])), *map(str, words[1:])]).returncode
    if status:
        sys.exit(status)


def script(name: str) -> str:
    """A command's file, beside the interpreter that runs this."""
    return str(Path(sys.executable).with_name(name))


def inspect_parts(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Run PLC, bridge and line, each a process; returns the line's verdicts and the results that the PLC took."""
    lines, plc_log, run_log = folder / "lines", folder / "plc.jsonl", folder / "run.jsonl"
    environment = os.environ | {"PYLON_CAMEMU": "1"}
    with (
        background([script("inspect"), "plc-sim", "--line", "3", "--config-dir", str(lines)], stdout=plc_log),
        background([script("inspect"), "plc", "--line", "3", "--config-dir", str(lines)], stdout=folder / "bridge.jsonl"),
        run_log.open("wb") as log,
    ):
        words = [script("inspect"), "run", "--line", "3", "--config-dir", str(lines), "--parts", str(PARTS), "--json"]
        console.print(f"[bold]$ PYLON_CAMEMU=1 inspect {' '.join(words[1:])}[/]", highlight=False)
        subprocess.run(words, stdout=log, env=environment, timeout=RUN_LIMIT_S, check=True)
        events = read_events(run_log)
        verdicts = [event for event in events if event["event"] == "verdict"]
        waited = time.monotonic()
        while len(received := [one for one in read_events(plc_log) if one["event"] == "taken"]) < len(verdicts):
            if time.monotonic() - waited > 5:
                break
            time.sleep(0.05)
    for event in events:
        if event["event"] in ("warning", "error"):
            console.print(f"{event['event']}: {event['text']}", style="yellow", markup=False)
    return verdicts, received


def read_events(file: Path) -> list[dict[str, Any]]:
    """A file of JSON objects, one a line; none when it is not there yet."""
    return (
        [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line[-1] == "\n"] if file.exists() else []
    )


@contextmanager
def background(words: list[str], stdout: Path | None = None) -> Iterator[None]:
    """A process that is ended by SIGTERM, and must end well."""
    with (stdout or Path(os.devnull)).open("wb") as out:
        process = subprocess.Popen(words, stdout=out)
        try:
            yield
        finally:
            process.terminate()
            status = process.wait(timeout=20)
    if status:
        raise RuntimeError(f"{words}: exit status {status}")


def report(verdicts: list[dict[str, Any]], received: list[dict[str, Any]]) -> bool:
    """Print the table of parts. Returns whether each part got exactly one verdict, its picture's, and the PLC the same."""
    table = Table(title="line 3", title_justify="left")
    for heading in (
        "part",
        "truth",
        "verdict",
        "reason",
        "score",
        "cut",
        "queue",
        "engine",
        "decide",
        "total ms",
        "PLC took",
        "same",
    ):
        table.add_column(heading, justify="left" if heading in ("truth", "verdict", "reason", "PLC took") else "right")
    wrong = {"missed": 0, "false rejects": 0}
    all_same = len(verdicts) == len(received) == PARTS and [one["part_id"] for one in verdicts] == list(range(1, PARTS + 1))
    for i, verdict in enumerate(verdicts):
        truth = TRUTH[i % len(TRUTH)]
        rejected = verdict["verdict"] == "reject"
        wrong["missed"] += bool(truth) and not rejected
        wrong["false rejects"] += rejected and not truth
        taken = received[i] if i < len(received) else None
        same = taken is not None and agrees(verdict, taken)
        all_same = all_same and same
        stages = [
            f"{verdict['stages'][name]:.1f}" if name in verdict["stages"] else "-"
            for name in ("cut", "queue", "engine", "decide", "total")
        ]
        score = "-" if verdict["score"] is None else f"{verdict['score']:.4f}"
        colour = "red" if rejected else "green"
        told = (
            "nothing"
            if taken is None
            else f"part {taken['part_id']} {taken['verdict']} {taken['reason']} score {taken['score'] or math.nan:.4f}"
        )
        table.add_row(
            str(verdict["part_id"]),
            truth or "good",
            f"[{colour}]{verdict['verdict']}[/]",
            verdict["reason"],
            score,
            *stages,
            told,
            "yes" if same else "[bold red]NO[/]",
        )
    Console(width=max(console.width, 150)).print(table)
    threshold = verdicts[0]["threshold"] if verdicts else math.nan
    console.print(
        f"{len(verdicts)} verdicts for {PARTS} parts, {len(received)} taken by the PLC; score threshold {threshold:.4f}; "
        f"against the truth: {wrong['missed']} defects missed, {wrong['false rejects']} good parts rejected"
    )
    console.print(
        "[green]every part got one verdict, and the PLC took the same[/]"
        if all_same
        else "[bold red]verdicts and what the PLC took differ[/]"
    )
    return all_same and not wrong["missed"] and wrong["false rejects"] <= MOST_FALSE_REJECTS


def agrees(verdict: dict[str, Any], taken: dict[str, Any]) -> bool:
    """Whether the PLC took this verdict; its score has 32 bits."""
    score = verdict["score"]
    return all(taken[name] == verdict[name] for name in ("part_id", "verdict", "reason")) and (
        taken["score"] is None if score is None else math.isclose(taken["score"], score, rel_tol=1e-6)
    )


if __name__ == "__main__":
    sys.exit(main())
