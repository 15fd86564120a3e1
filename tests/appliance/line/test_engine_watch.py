"""An engine that fails at every part ends its line, which is then started anew; one that fails now and then does not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from appliance.host.time_limits import ENGINE_BROKEN_S, ENGINE_FAULTS
from appliance.line.engine_watch import EngineWatch
from engines.common.console import EXIT_FOUND
from engines.pictures.geometry import Geometry
from engines.recipe.thresholds import save_thresholds
from tests.appliance.conftest import make_thresholds
from tests.engines.made_recipe import made_recipe
from tests.engines.made_thresholds import consistent

SIDE = 64
GEOMETRY = Geometry((SIDE, SIDE), (0, 0, SIDE, SIDE), input_side=SIDE)
REPOSITORY = Path(__file__).parents[3]
LINE = """
    recipe = "recipe"
    [engine]
    target = "torch"
    precision = "float32"
    [camera]
    kind = "replay"
    source = "parts"
    rate = 20
    loop = true
    [publish]
    verdicts = "tcp://127.0.0.1:{}"
    snapshot = "tcp://127.0.0.1:{}"
"""
# `inspect`, with an engine in place of the recipe's: its slots raise from the fourth part on, as after a fault of a GPU.
PROGRAM = """
    from appliance.cli.main import main
    from appliance.line import recipe_at_work
    from engines.pictures.geometry import Geometry
    from tests.appliance.conftest import MadeEngine

    def act(call, frame_map, scores):
        if call > 3:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    engine = MadeEngine(act)
    engine.geometry = Geometry(({side}, {side}), (0, 0, {side}, {side}), input_side={side})
    recipe_at_work.load_engine = lambda *_: engine
    main()
"""


def _told(parts: list[tuple[float, str]]) -> list[str]:
    """What the watch says of parts: when each was decided, and for what reason it was not measured."""
    watch = EngineWatch()
    jobs: list[Any] = [SimpleNamespace(reason=reason, detail="RuntimeError: CUDA error") for _, reason in parts]
    return [watch.take(job, now_s) for job, (now_s, _) in zip(jobs, parts, strict=True)]


def test_a_quick_line_ends_after_a_time_and_not_after_a_few_parts() -> None:
    """20 parts a second: what passes within the time is waited for."""
    period, shortest = 0.05, round(ENGINE_BROKEN_S / 0.05)
    told = _told([(i * period, "engine-fault") for i in range(shortest + 2)])
    assert told[: shortest - 1] == [""] * (shortest - 1)
    assert told[-1] == f"the engine failed for {shortest + 2} parts in a row, and does not recover in this process " + (
        "(RuntimeError: CUDA error)"
    )


def test_a_slow_line_ends_after_a_few_parts_and_not_with_the_second() -> None:
    told = _told([(30.0 * i, "engine-fault") for i in range(ENGINE_FAULTS)])
    assert [bool(one) for one in told] == [False] * (ENGINE_FAULTS - 1) + [True]


def test_a_part_that_was_measured_ends_the_row_and_others_do_not() -> None:
    broken = [(10.0 * i, "engine-fault") for i in range(ENGINE_FAULTS - 1)]
    assert not any(_told([*broken, (90.0, ""), (100.0, "engine-fault"), (110.0, "engine-fault")]))
    for reason in ("overrun", "no-image", "late"):
        assert _told([*broken, (90.0, reason), (100.0, "engine-fault")])[-1], reason
    assert not any(_told([(10.0 * i, "overrun") for i in range(10)]))


@pytest.fixture
def config_dir(tmp_path: Path, free_ports: Callable[[int], list[int]]) -> Path:
    """Of line 3, on which every part passes that is measured."""
    save_thresholds(tmp_path / "recipe", consistent(make_thresholds(made_recipe(tmp_path / "recipe", GEOMETRY).digest)))
    (tmp_path / "parts").mkdir()
    cv2.imwrite(str(tmp_path / "parts" / "1.png"), np.zeros((SIDE, SIDE, 3), np.uint8))
    (tmp_path / "3.toml").write_text(dedent(LINE).format(*free_ports(2)))
    return tmp_path


def test_a_line_whose_engine_has_broken_down_ends_by_itself_with_rejects_only(config_dir: Path) -> None:
    words = [sys.executable, "-c", dedent(PROGRAM).format(side=SIDE), "run", "--line", "3", "--config-dir", str(config_dir)]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == EXIT_FOUND, done.stderr
    assert done.stderr.startswith("error: the engine failed for "), done.stderr
    assert "illegal memory access was encountered); the line has ended, to be started anew" in done.stderr
    assert done.stderr.count("\n") == 1, "one line, and no traceback"
    said = [json.loads(one) for one in done.stdout.splitlines()]
    verdicts = [one for one in said if "verdict" in one]
    assert [one["verdict"] for one in verdicts[:3]] == ["pass"] * 3
    assert len(verdicts) > 3 + ENGINE_FAULTS
    assert {one["verdict"] for one in verdicts[3:]} == {"reject"}
    assert [one for one in said if one.get("kind") == "engine-fault" and one["event"] == "error"]
