"""Speed and memory of a running line, each part a process of its own as on a box.

    python -m tests.benchmarks [--recipe DIR] [--precision P] [--parts N] [--frames N]

The engine is openvino's. Without a recipe (which must have that engine), one is fitted for a few steps: speed does not
depend on the weights. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from appliance.config.line import load_line
from appliance.messages.schema import Verdict
from appliance.messages.subscriber import Subscriber
from calibrate.fit.fit_request import FitRequest
from calibrate.fit.recipe_fit import make_recipe
from calibrate.thresholds.calibration import ThresholdsRequest, calibrate_thresholds
from engines.proof.admission import load_engine
from engines.proof.build import build_engine
from engines.recipe.bundle import load_recipe
from engines.targets import Precision, run_once
from tests.virtual_line.demo import background, free_ports, read_events, script
from tests.virtual_line.product import DEFECTS, render, save_parts

LINE_FILE = """\
recipe = "{recipe}"
[camera]
kind = "replay"
source = "parts"
rate = {rate}
loop = true
[engine]
target = "openvino"
precision = "{precision}"
[decision]
deadline_ms = 5000
[publish]
verdicts = "tcp://127.0.0.1:{ports[0]}"
snapshot = "tcp://127.0.0.1:{ports[1]}"
[plc]
kind = "modbus"
host = "127.0.0.1"
port = {ports[2]}
"""
WARM_FRAMES = 100  # before memory and rate are measured
ROUND_FRAMES = 200


@dataclass(frozen=True)
class Figure:
    """One measured figure beside its target."""

    name: str
    value: float
    unit: str
    target: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass(frozen=True)
class Benched:
    """What is measured, and the folder for everything that a run needs."""

    folder: Path
    recipe: Path
    precision: str


def main() -> int:
    """Measure, print, and return 0 when every target is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=None)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16", "int8"))
    parser.add_argument("--parts", type=int, default=300, help="parts of the latency run")
    parser.add_argument("--rate", type=float, default=6.0, help="parts a second of the latency run")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the rate run")
    parser.add_argument("--frames", type=int, default=2_000, help="frames of the memory run, after the first 100")
    parser.add_argument(
        "--listen", type=Path, default=None, help=argparse.SUPPRESS
    )  # the subscriber process of the latency run
    arguments = parser.parse_args()
    if arguments.listen:
        return listen(arguments.listen, arguments.parts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = (arguments.recipe or make_test_recipe(folder, arguments.precision)).resolve()
        engine = Benched(folder, recipe, arguments.precision)
        write_parts(folder / "parts")
        figures = [
            *measure_start(engine),
            *measure_latency(engine, arguments.parts, arguments.rate),
            *measure_rate(engine, arguments.rounds),
            *measure_memory(engine, arguments.frames),
        ]
    table = Table("what", "measured", "target", "met", title="running line, whole processes", title_justify="left")
    for figure in figures:
        sign = ">=" if figure.at_least else "<="
        table.add_row(
            figure.name,
            f"{figure.value:.3g} {figure.unit}",
            f"{sign} {figure.target:g} {figure.unit}",
            "yes" if figure.met else "NO",
        )
    Console().print(table)
    return 0 if all(figure.met for figure in figures) else 1


def make_test_recipe(folder: Path, precision: Precision) -> Path:
    """A recipe of the rendered product after a few steps."""
    save_parts(folder / "golden", range(1, 13), [None])
    recipe = make_recipe(FitRequest(folder / "golden", folder / "recipe", steps=10), lambda _: None, lambda _: None)
    asked = ThresholdsRequest(recipe=recipe, golden=folder / "golden", target="torch", precision="float32")
    calibrate_thresholds(asked, print, lambda _done, _total: None)
    build_engine(recipe, "openvino", precision, folder / "golden", None, print, lambda _done, _total: None)
    return recipe.folder


def write_parts(folder: Path) -> None:
    """Parts as BMP, which costs next to nothing to decode: a camera does not decode either."""
    folder.mkdir()
    kinds: list[str | None] = [None, *DEFECTS]
    for i in range(12):
        cv2.imwrite(str(folder / f"{i:02d}.bmp"), cv2.cvtColor(render(500 + i, kinds[i % len(kinds)]).image, cv2.COLOR_RGB2BGR))


def measure_start(engine: Benched, times: int = 5) -> Iterator[Figure]:
    """How long a user waits: for the first verdict after `inspect run`, and for `--help`."""
    write_line(engine, 0)
    words = [script("inspect"), "run", "--line", "3", "--config-dir", str(engine.folder), "--parts", "1", "--json"]
    starts = []
    for _ in range(times):
        begun = time.time()
        log = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        events = [json.loads(line) for line in log.splitlines()]
        starts.append(next(seconds(event["time"]) for event in events if event["event"] == "verdict") - begun)
    yield Figure("start of inspect run to its first verdict, median", statistics.median(starts), "s", 2)
    for command in ("inspect", "calibrate", "engines"):
        taken = []
        for _ in range(times):
            begun = time.time()
            subprocess.run([script(command), "--help"], capture_output=True, check=True)
            taken.append(time.time() - begun)
        yield Figure(f"{command} --help, median", statistics.median(taken), "s", 0.4)


def measure_latency(engine: Benched, parts: int, rate: float) -> Iterator[Figure]:
    """A line at a rate below its limit, with a subscriber, the bridge and a PLC beside it."""
    folder = engine.folder
    write_line(engine, rate)
    plc_log, run_log, heard = folder / "plc.jsonl", folder / "run.jsonl", folder / "heard.jsonl"
    line = ["--line", "3", "--config-dir", str(folder)]
    with (
        background([script("inspect"), "plc-sim", "--cycle-ms", "1", *line], stdout=plc_log),
        background([script("inspect"), "plc", *line]),
        listener(folder, parts, heard),
        run_log.open("wb") as log,
    ):
        while not read_events(heard):  # all are up: the first parts are not to be measured against their start
            time.sleep(0.1)
        time.sleep(1)
        subprocess.run([script("inspect"), "run", *line, "--parts", str(parts), "--json"], stdout=log, check=True)
        time.sleep(1)
    verdicts = [event for event in read_events(run_log) if event["event"] == "verdict"]
    received = {event["seq"]: event["received"] for event in read_events(heard) if event["seq"]}
    published = {verdict["seq"]: seconds(verdict["time"]) for verdict in verdicts}
    overhead = [
        (received[v["seq"]] - seconds(v["captured"])) * 1e3 - v["stages"]["engine"] for v in verdicts if v["seq"] in received
    ]
    hearing = [(received[seq] - at) * 1e3 for seq, at in published.items() if seq in received]
    taken = [event for event in read_events(plc_log) if event["event"] == "taken"]
    handing = [(seconds(event["time"]) - published[event["part_id"]]) * 1e3 for event in taken]
    if not len(received) == len(handing) == len(verdicts) == parts:
        raise RuntimeError(
            f"of {parts} parts: {len(verdicts)} verdicts, {len(received)} heard, {len(handing)} taken by the PLC"
        )
    yield Figure("capture to received verdict less the engine, median", float(np.median(overhead)), "ms", 3)
    yield Figure("capture to received verdict less the engine, p99", float(np.percentile(overhead, 99)), "ms", 10)
    yield Figure("publication to subscriber, median", float(np.median(hearing)), "ms", 1)
    print(f"publication to taken by the PLC, median {np.median(handing):.2f} ms (the PLC's cycle is 1 ms)")
    yield Figure("publication to taken by the PLC, p99", float(np.percentile(handing, 99)), "ms", 5)


def measure_rate(engine: Benched, rounds: int) -> Iterator[Figure]:
    """A line as fast as it can, against the bare engine: in turns, since a machine's speed drifts from minute to minute."""
    bare = [bare_rate(engine)]
    shares = []
    for _ in range(rounds):
        decided = run_unpaced(engine, ROUND_FRAMES)[0]
        rate = (len(decided) - 1) / (decided[-1] - decided[0])
        bare.append(bare_rate(engine))
        shares.append(rate / ((bare[-2] + bare[-1]) / 2))
        print(f"bare engine loop {bare[-2]:.1f} and {bare[-1]:.1f} frames/s, inspect run between them {rate:.1f} frames/s")
    name = f"rate of inspect run over the bare engine loop's, median of {rounds} rounds"
    yield Figure(name, statistics.median(shares), "", 0.97, at_least=True)


def measure_memory(engine: Benched, frames: int) -> Iterator[Figure]:
    """How a running line's memory grows."""
    _, warm, most = run_unpaced(engine, frames)
    if not (warm and most):
        raise RuntimeError(f"memory was not seen over {frames} frames: give more")
    print(
        f"memory {warm / 2**20:.0f} MiB after {WARM_FRAMES} frames, {most / 2**20:.0f} MiB at most until {WARM_FRAMES + frames}"
    )
    yield Figure("memory of inspect run", most / 2**20, "MiB", 350)
    yield Figure(f"growth of memory over {frames} frames", (most / warm - 1) * 100, "%", 2)


def run_unpaced(engine: Benched, frames: int) -> tuple[list[float], int, int]:
    """When each frame after the first 100 was decided; resident bytes after those 100, and the most from then on."""
    write_line(engine, 0)
    run_log = engine.folder / "unpaced.jsonl"
    words = [script("inspect"), "run", "--line", "3", "--config-dir", str(engine.folder)]
    with run_log.open("wb") as log:
        process = subprocess.Popen([*words, "--parts", str(WARM_FRAMES + frames), "--json"], stdout=log)
        warm, most = watch_memory(process, run_log)
    if process.returncode:
        raise RuntimeError(f"inspect run: exit status {process.returncode}")
    decided = [seconds(event["decided"]) for event in read_events(run_log) if event["event"] == "verdict"]
    return decided[WARM_FRAMES:], warm, most


def bare_rate(engine: Benched, frames: int = 200) -> float:
    """Frames a second of nothing but cut and infer."""
    cv2.setNumThreads(1)  # as a line does
    recipe = load_recipe(engine.recipe)
    slot, geometry = load_engine(recipe, "openvino", engine.precision).new_slot(), recipe.manifest.geometry
    pictures = [np.asarray(cv2.imread(str(file))) for file in sorted((engine.folder / "parts").iterdir())]
    for i in range(-20, frames):
        if i == 0:
            begun = time.perf_counter()
        run_once(slot, pictures[i % len(pictures)], geometry)
    return frames / (time.perf_counter() - begun)


def watch_memory(process: subprocess.Popen[bytes], run_log: Path) -> tuple[int, int]:
    """Resident bytes after the warm-up, and the most seen from then on."""
    watched, warm, most = psutil.Process(process.pid), 0, 0
    while process.poll() is None:
        try:
            now = watched.memory_info().rss
        except psutil.NoSuchProcess:
            break
        if warm:
            most = max(most, now)
        elif run_log.read_bytes().count(b"\n") > WARM_FRAMES:
            warm = now
        time.sleep(0.2)
    process.wait()
    return warm, most


def write_line(engine: Benched, rate: float) -> None:
    """Write the line's file with fresh ports."""
    ports = free_ports(3)
    (engine.folder / "3.toml").write_text(
        LINE_FILE.format(recipe=engine.recipe, precision=engine.precision, rate=rate, ports=ports)
    )


@contextmanager
def listener(folder: Path, parts: int, heard: Path) -> Iterator[None]:
    """A subscriber in a process of its own, which ends by itself."""
    words = [sys.executable, "-m", "tests.benchmarks", "--listen", str(folder), "--parts", str(parts)]
    with heard.open("wb") as out:
        process = subprocess.Popen(words, stdout=out)
        try:
            yield
        finally:
            process.wait(timeout=30)


def listen(folder: Path, parts: int) -> int:
    """Note when each verdict comes in."""
    subscriber = Subscriber("3", load_line("3", folder).config.publish, "watch")
    print(json.dumps({"seq": 0, "received": time.time()}), flush=True)  # ready
    heard = 0
    while heard < parts:
        message = subscriber.receive(1.0)
        now = time.time()
        if isinstance(message, Verdict):
            heard += 1
            print(json.dumps({"seq": message.seq, "received": now}), flush=True)
    subscriber.close()
    return 0


def seconds(utc: str) -> float:
    """A message's UTC time in seconds."""
    return datetime.fromisoformat(utc).timestamp()
