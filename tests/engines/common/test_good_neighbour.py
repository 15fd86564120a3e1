"""Commands that compute for minutes leave the cores to a line; what must keep pace does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # torch is imported for each

# What a command has set for itself is seen after its end, in the same process and in one that it starts.
LOOK = """
import contextlib, os, subprocess, sys
from pathlib import Path
from {package}.cli.main import main

with contextlib.suppress(SystemExit):
    main()
import numpy, torch  # both compute with threads of their own

torch.randn(512, 512) @ torch.randn(512, 512)
print("threads", {{os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir()}})
child = "import os; print('child', {{os.sched_getscheduler(0)}}, os.environ.get('OMP_WAIT_POLICY'))"
subprocess.run([sys.executable, "-c", child], check=True)
"""


def look(package: str, command: str, **environment: str) -> tuple[list[str], set[str]]:
    """How the threads of a command and of its children are scheduled, and how long OpenMP spins."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", LOOK.format(package=package), command, "--help"],
        capture_output=True,
        text=True,
        env=clean | {"OMP_DISPLAY_ENV": "VERBOSE"} | environment,
        timeout=120,
        check=True,
    )
    spins = {line.strip() for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line}
    return [line for line in done.stdout.splitlines() if line.startswith(("threads", "child"))], spins


@pytest.mark.parametrize(("package", "command"), [("calibrate", "fit"), ("engines", "build")])
def test_a_command_that_computes_gives_way_in_all_its_threads_and_children(package: str, command: str) -> None:
    told, spins = look(package, command)
    assert told == [f"threads {{{os.SCHED_IDLE}}}", f"child {{{os.SCHED_IDLE}}} PASSIVE"]
    assert spins == {"GOMP_SPINCOUNT = '0'"}


@pytest.mark.parametrize(("package", "command"), [("appliance", "run"), ("calibrate", "collect"), ("engines", "bench")])
def test_what_keeps_pace_or_measures_does_not(package: str, command: str) -> None:
    told, spins = look(package, command)
    assert told == [f"threads {{{os.SCHED_OTHER}}}", f"child {{{os.SCHED_OTHER}}} None"]
    assert spins
    assert "GOMP_SPINCOUNT = '0'" not in spins


def test_what_the_user_has_set_stays() -> None:
    assert look("calibrate", "fit", OMP_WAIT_POLICY="ACTIVE")[1].isdisjoint({"GOMP_SPINCOUNT = '0'"})
