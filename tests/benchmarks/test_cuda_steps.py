"""The parts of the GPU benchmark that need no GPU: steps that fail or hang, the file of a run, and arithmetic."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from engines.pictures.geometry import Geometry
from engines.targets import HostSlot
from tests.appliance.conftest import make_thresholds
from tests.benchmarks.cuda.__main__ import LIMITS_S, TARGETS
from tests.benchmarks.cuda.carried import NEEDED, WHEELS, install, pack
from tests.benchmarks.cuda.each import EACH
from tests.benchmarks.cuda.measures import need_rejected, spread
from tests.benchmarks.cuda.steps import Report, Target, run_step
from tests.engines.made_recipe import made_recipe

TELLS = (
    "import sys; from pathlib import Path; from tests.benchmarks.cuda.steps import tell_into; t = tell_into(Path({into!r})); "
)


@pytest.mark.parametrize(
    ("does", "outcome", "message", "found"),
    [
        ("t('a', 1); t('b', 2)", "done", "", {"a": 1, "b": 2}),
        ("t('left out', 'not installed')", "left out", "", {"left out": "not installed"}),
        ("t('a', 1); raise RuntimeError('no such GPU')", "failed", "RuntimeError: no such GPU", {"a": 1}),
        ("t('a', 1); import os; os.abort()", "failed", "", {"a": 1}),
        ("t('a', 1); print('at work', flush=True); import time; time.sleep(60)", "cut off", "at work", {"a": 1}),
    ],
)
def test_what_a_step_has_told_is_kept_however_it_ends(
    tmp_path: Path, does: str, outcome: str, message: str, found: dict[str, object]
) -> None:
    into = tmp_path / "step.json"
    words = [sys.executable, "-c", TELLS.format(into=str(into)) + does]
    limit = 2.0 if outcome == "cut off" else 60.0
    came_of_it = run_step(words, into, limit, os.environ)
    assert came_of_it["outcome"] == outcome
    assert message in came_of_it["message"]
    assert came_of_it["found"] == found
    assert came_of_it["seconds"] < 60


def test_no_step_is_begun_without_time_left(tmp_path: Path) -> None:
    assert run_step(["no-such-program"], tmp_path / "step.json", 0.0, os.environ)["outcome"] == "cut off"


def test_the_file_of_a_run_is_whole_after_each_step(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    targets = [Target("speed", "median_ms", 2.0), Target("speed", "rate", 1000.0, at_least=True)]
    report = Report(file, {"device": "cpu"}, targets)
    assert not json.loads(file.read_text())["passed"], "nothing was done yet"
    report.add("speed", {"outcome": "done", "found": {"median_ms": 1.5}})
    report.add("other", {"outcome": "left out", "found": {}})
    content = json.loads(file.read_text())
    assert content["passed"]
    assert content["device"] == "cpu"
    assert [one["met"] for one in content["targets"]] == [True, False], "what was not measured is not met"
    for outcome in ("failed", "cut off"):
        report.add("other", {"outcome": outcome, "found": {}})
        assert not json.loads(file.read_text())["passed"]
    assert Target("speed", "rate", 10.0, at_least=True).told({"speed": {"found": {"rate": 9}}})["met"] is False
    assert not list(tmp_path.glob(".*"))


def test_steps_targets_and_what_runs_them_fit_together() -> None:
    assert set(LIMITS_S) == {*EACH, "unpack"}
    assert {target.step for target in TARGETS} <= set(EACH)


def test_a_histogram_counts_every_frame() -> None:
    found = spread([1.0] * 98 + [2.0, 40.0])
    assert (found["frames"], found["median_ms"], found["largest_ms"]) == (100, 1.0, 40.0)
    assert 1.0 <= found["p99_ms"] <= 40.0
    assert sum(count for _, _, count in found["histogram"]) == 100
    assert all(low < high and count for low, high, count in found["histogram"])
    assert sum(count for *_, count in spread([3.0, 3.0])["histogram"]) == 2


def test_a_part_that_passes_without_an_answer_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = made_recipe(tmp_path / "recipe", Geometry((64, 64), (0, 0, 64, 64), input_side=64))
    monkeypatch.setattr("tests.benchmarks.cuda.measures.load_thresholds", lambda _recipe: make_thresholds())
    slot = HostSlot.of(recipe.manifest.geometry)
    need_rejected(recipe, slot, "with nothing written")
    slot.frame_map.fill(0)
    slot.scores.fill(0)
    with pytest.raises(RuntimeError, match="a part passed with zeros"):
        need_rejected(recipe, slot, "with zeros")


def test_what_is_neither_there_nor_carried_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmarks.cuda.carried._here", lambda name: name not in ("timm", "torchvision"))
    (tmp_path / WHEELS).mkdir()
    (tmp_path / WHEELS / "timm-1.0-py3-none-any.whl").touch()
    with pytest.raises(SystemExit, match="not here, and not carried: torchvision; "):
        install(tmp_path, tmp_path / "site")
    monkeypatch.setattr("tests.benchmarks.cuda.carried._here", lambda _name: True)
    assert install(tmp_path / "nothing", tmp_path / "site") == []


def test_more_than_may_be_carried_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(golden: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "weights").write_bytes(b"1234567890")

    monkeypatch.setattr("tests.benchmarks.cuda.fitted.fit", fit)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: None)
    assert pack(tmp_path / "fits", NEEDED) == 10
    monkeypatch.setattr("tests.benchmarks.cuda.carried.MOST_BYTES", 9)
    with pytest.raises(SystemExit, match="the largest is weights"):
        pack(tmp_path / "too-large", NEEDED)
