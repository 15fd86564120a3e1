"""What the GPU engines do on this machine: build, proof, and measurements, each step written down as it ends.

    python -m tests.benchmarks.cuda --json FILE [--carried FOLDER]      on a machine with a GPU; at most 8 minutes
    python -m tests.benchmarks.cuda --pack FOLDER [--there NAMES]       before, on one with network: what is carried there
    python -m tests.benchmarks.cuda --json FILE --device cpu            rehearsal: the same steps, compiled for the CPU

It needs Python 3.11 or 3.12, torch 2.11 or later with its torchvision, g++, and no network.  Without --carried all libraries
must be there, and the recipe is fitted there.  Exit status 1 when a step failed or was cut off.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.cuda.carried import THERE, install, pack, unpack
from tests.benchmarks.cuda.steps import Report, Target, run_step, tell_into

LONGEST_S = 8 * 60
LIMITS_S = {  # in their order; each is a process of its own, and all together end after LONGEST_S
    "surroundings": 40,
    "unpack": 60,
    "build": 240,
    "speed": 60,
    "overlap": 40,
    "search": 40,
    "nan": 40,
    "line": 60,
    "eager": 40,
    "base": 240,
    "tensorrt": 180,
}
TARGETS = (
    Target("speed", "median_ms", 2.0),
    Target("speed", "rate_3_slots", 1000.0, at_least=True),
    Target("line", "judged_per_second", 950.0, at_least=True),
    Target("base", "times_eager", 5.0, at_least=True),
)


def main() -> int:
    """Pack, or run all steps, or (from there) one step."""
    arguments = _arguments()
    if arguments.pack:
        size = pack(arguments.pack, tuple(arguments.there.split(",")))
        print(f"{arguments.pack}: {size / 1e6:.1f} MB")
        return 0
    if arguments.step:
        return _one(arguments)
    if arguments.json is None:
        raise SystemExit("give --json FILE, or --pack FOLDER")
    work = Path(tempfile.mkdtemp(prefix="cuda-benchmark-"))
    try:
        return _all(arguments, work)
    finally:
        shutil.rmtree(work)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--carried", type=Path, default=Path("nothing-carried"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--there", default=",".join(THERE), help="what the other machine has, with commas")
    parser.add_argument("--only", default=",".join(LIMITS_S), help="these steps, with commas")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _all(arguments: argparse.Namespace, work: Path) -> int:
    begun = time.monotonic()
    about = {"device": arguments.device, "python": sys.version.split()[0], "begun": time.strftime("%Y-%m-%dT%H:%M:%S")}
    report = Report(arguments.json, about, TARGETS)
    site = work / "site"
    site.mkdir()
    about_carried = {"installed": install(arguments.carried, site)}
    report.content |= about_carried
    paths = [str(Path.cwd()), str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    words = [sys.executable, "-m", "tests.benchmarks.cuda", "--device", arguments.device, "--work", str(work)]
    words += ["--carried", str(arguments.carried.resolve())]
    allowed = LONGEST_S if arguments.device == "cuda" else 10 * LONGEST_S
    for name in (one for one in LIMITS_S if one in arguments.only.split(",")):
        left = allowed - (time.monotonic() - begun)
        limit = min(LIMITS_S[name] * allowed / LONGEST_S, left)
        outcome = run_step([*words, "--step", name], work / f"{name}.json", limit, environment)
        report.add(name, outcome)
        print(f"{name}: {outcome['outcome']} after {outcome['seconds']} s {outcome['message']}", flush=True)
    report.content["seconds"] = round(time.monotonic() - begun, 1)
    report.write()
    for told in report.content["targets"]:
        print(f"{told['figure']}: {told['found']} (target {told['target']}): {'met' if told['met'] else 'NOT MET'}")
    return 0 if report.content["passed"] else 1


def _one(arguments: argparse.Namespace) -> int:
    if arguments.step == "unpack":
        unpack(arguments.carried, arguments.work)
        return 0
    from tests.benchmarks.cuda.each import EACH, Run, rehearse

    if arguments.device == "cpu":
        rehearse()
    EACH[arguments.step](Run(arguments.work, arguments.device), tell_into(arguments.work / f"{arguments.step}.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
