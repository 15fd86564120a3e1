"""The base install in an environment of its own: it is small, has no library of any extra, and inspects the demo's parts.

    python -m tests.virtual_line.base_install [--folder demo]

Needs what the demo has left in its folder.  Its verdicts must be the demo's own, its commands must name the extras they lack.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.house.base_only import ABSENT
from tests.virtual_line.demo import PARTS, RATE, free_ports, read_events

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("appliance", "calibrate", "engines", "pyproject.toml", "README.md", "LICENSE")
MOST_MB = 650  # a tenth of what an install of everything takes

console = Console(soft_wrap=True, highlight=False)

LINE_FILE = """\
recipe = {recipe}

[camera]
kind = "replay"
source = {parts}
rate = {rate}

[decision]
deadline_ms = 20000

[engine]
target = "openvino"
precision = "float32"

[publish]
verdicts = "tcp://127.0.0.1:{ports[0]}"
snapshot = "tcp://127.0.0.1:{ports[1]}"
"""


def main() -> int:
    """Make the environment, look at it, run a line in it; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    demo = parser.parse_args().folder.resolve()
    if not (demo / "run.jsonl").is_file():
        console.print(f"{demo}: no demo there; run: make demo", style="bold red")
        return 2
    with tempfile.TemporaryDirectory(prefix="base-install-") as made:
        folder = Path(made)
        binaries = installed(folder)
        size = sum(file.lstat().st_blocks * 512 for file in (folder / "venv").rglob("*")) / 2**20
        script = "import importlib.util, sys; print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name)))"
        found = output(binaries / "python", "-c", script, *sorted(ABSENT)).split()
        faults = [f"it has {name}, which an extra should bring" for name in found]
        if size > MOST_MB:
            faults.append(f"it takes {size:.0f} MB, more than {MOST_MB}")
        console.print(f"the base install takes {size:.0f} MB (at most {MOST_MB}); libraries of extras in it: {len(found)}")
        faults += differing(inspected(folder, binaries, demo), demo)
        faults += nameless(folder, binaries, demo)
    for fault in faults:
        console.print(fault, style="bold red")
    if not faults:
        console.print(f"a line ran in it: {PARTS} verdicts, the same as the demo's", style="green")
    return 1 if faults else 0


def installed(folder: Path) -> Path:
    """Install the project there without extras, in the versions that are here; returns the folder of its commands."""
    for name in SOURCES:  # aside, so that nothing of an earlier build is taken, and none is left here
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / "source" / name)  # type: ignore[operator]
    here = {one.metadata["Name"]: one.version for one in distributions()}
    versions = [f"{name}=={version}\n" for name, version in here.items() if name not in ("tfa-inspect", "pip", "setuptools")]
    (folder / "versions.txt").write_text("".join(versions), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    binaries = folder / "venv" / "bin"
    pip = [binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", folder / "versions.txt", folder / "source"], check=True)
    return binaries


def inspected(folder: Path, binaries: Path, demo: Path) -> list[dict[str, Any]]:
    """The verdicts of a line there that replays the demo's parts with the demo's recipe."""
    paths = {"recipe": json.dumps(str(demo / "recipes" / "assembly")), "parts": json.dumps(str(demo / "parts"))}
    (folder / "base.toml").write_text(LINE_FILE.format(rate=RATE, ports=free_ports(2), **paths), encoding="utf-8")
    words = ("run", "--line", "base", "--config-dir", folder, "--parts", PARTS, "--json")
    told = output(binaries / "inspect", *words)
    return [event for event in map(json.loads, told.splitlines()) if event["event"] == "verdict"]


def differing(verdicts: list[dict[str, Any]], demo: Path) -> list[str]:
    """What differs from the verdicts of the demo; a part that came too late there has no score to compare."""
    wanted = [event for event in read_events(demo / "run.jsonl") if event["event"] == "verdict"]
    if len(verdicts) != len(wanted):
        return [f"{len(verdicts)} verdicts for {len(wanted)} parts"]
    return [
        f"part {one['part_id']}: {one['verdict']} {one['reason']} {one['score']}, in the demo {other['score']}"
        for one, other in zip(verdicts, wanted, strict=True)
        if one["score"] is None or (other["score"] is not None and not math.isclose(one["score"], other["score"], rel_tol=1e-5))
    ]


def nameless(folder: Path, binaries: Path, demo: Path) -> list[str]:
    """Commands that do not name, in one line and with exit status 2, the extra that they lack."""
    of_line = ("--line", "3", "--config-dir", demo / "lines")
    asked = {
        ("calibrate", "fit", "--golden", demo / "golden", "--recipe", folder / "recipe"): "calibrate",
        ("inspect", "run", *of_line): "pylon",
        ("inspect", "plc", *of_line): "modbus",
    }
    faults = []
    for (command, *words), extra in asked.items():
        done = subprocess.run([binaries / command, *words], capture_output=True, text=True, cwd=folder, timeout=60)
        if done.returncode != 2 or done.stderr.count("\n") != 1 or f"'tfa-inspect[{extra}]'" not in done.stderr:
            faults.append(f"{command} {words[0]}: exit status {done.returncode}: {done.stderr}")
    return faults


def output(*words: object) -> str:
    """What a command prints; its failure ends this."""
    return subprocess.run(
        [str(word) for word in words], stdout=subprocess.PIPE, text=True, check=True, cwd="/", timeout=120
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
