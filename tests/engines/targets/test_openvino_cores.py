"""On which cores OpenVINO computes: seen in a process of its own, as it looks at them once in a process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from engines.common.cores import Share, usable_cores
from engines.recipe.bundle import Recipe
from engines.targets import openvino_target

# Loads an engine and writes which cores its threads may use while they compute, and that the main thread has all again.
LOOK = """
    import glob, json, os, sys, time
    from pathlib import Path
    from engines.common.cores import Share, usable_cores
    from engines.proof.admission import load_engine
    from engines.recipe.bundle import load_recipe
    from engines.targets import begin

    threads, cores = json.loads(sys.argv[2])
    share = Share(threads=threads, cores=None if cores is None else frozenset(cores))
    engine = load_engine(load_recipe(Path(sys.argv[1])), "openvino", "float32", share, any_thresholds=True)
    slot = engine.new_slot()
    seen = set()
    for _ in range(20):
        begin(slot)
        time.sleep(0.005)
        for task in Path("/proc/self/task").iterdir():
            status = (task / "status").read_text()
            if "State:\\tR" in status and int(task.name) != os.getpid():
                seen.add(status.split("Cpus_allowed_list:")[1].split()[0])
        slot.finish()
    print(json.dumps([sorted(seen), sorted(usable_cores())]))
"""
TWO_CORES = pytest.mark.skipif(len(usable_cores()) < 2, reason="there is one core only")


def seen(recipe: Recipe, threads: int | None, cores: list[int] | None) -> tuple[set[str], list[int]]:
    words = [sys.executable, "-c", dedent(LOOK), str(recipe.folder), json.dumps([threads, cores])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    found, own = json.loads(done.stdout)
    return set(found), own


@TWO_CORES
def test_an_engine_computes_on_its_own_cores_and_the_rest_of_the_process_anywhere(built: Recipe) -> None:
    last = max(usable_cores())
    found, own = seen(built, None, [last])
    assert found == {str(last)}
    assert own == sorted(usable_cores())


@TWO_CORES
def test_fewer_threads_than_cores_are_not_pinned_to_the_first(built: Recipe) -> None:
    """Two lines with one thread each would share the first core otherwise, and leave the second alone."""
    found, _ = seen(built, 1, None)
    first = min(usable_cores())
    assert found
    assert str(first) not in found


@TWO_CORES
def test_a_quota_takes_threads_away(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "INFERENCE_NUM_THREADS" not in openvino_target._config("float32", Share())
    monkeypatch.setattr(openvino_target, "cpu_quota", lambda: 1.5)
    config = openvino_target._config("float32", Share())
    assert (config["INFERENCE_NUM_THREADS"], config["ENABLE_CPU_PINNING"]) == (1, False)
