"""Commands that compute for minutes beside a running line: the line goes first."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def give_way() -> None:
    """Have this process, and those that it starts, take only the time of the cores that no line wants.

    To be called before anything imports torch or scikit-learn: their OpenMP reads its setting as it is loaded.
    """
    # Else each of torch's threads waits for the others in a loop that keeps its core from them and from a line: a fitting step
    # beside a line then takes up to thirty times as long.  Nothing is lost on an idle box.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A line's thread that wakes up takes the core at once from a thread of this kind, from one that is only `nice` within
    # milliseconds.  Disks serve it last, too.
    for thread in Path("/proc/self/task").iterdir():  # numpy has started some; those that come later do as who starts them
        with suppress(ProcessLookupError):  # it has ended
            os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))
