"""A slot holds nothing of the frame before: an engine that writes nothing, or not all, has nothing that passes."""

from __future__ import annotations

import ast
import time
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from appliance.capture import Frame
from appliance.config.line import Line, load_line
from appliance.line.offline import through
from engines.judgement import judge, measure
from engines.pictures.geometry import Geometry
from engines.proof.admission import load_engine
from engines.recipe.bundle import Recipe
from engines.recipe.thresholds import load_thresholds, save_thresholds
from engines.targets import EngineSlot, HostSlot, begin, run_once
from tests.appliance.conftest import loaded_recipe, make_thresholds
from tests.engines.made_recipe import made_recipe
from tests.engines.made_thresholds import consistent
from tests.virtual_line.product import render

REPOSITORY = Path(__file__).parents[3]
SIDE = 64
GEOMETRY = Geometry((SIDE, SIDE), (0, 0, SIDE, SIDE), input_side=SIDE)
ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
PARTS = ("map", "scores", "match")


def _nothing(*_: object) -> None:
    """In place of what computes."""


def _silence_torch(slot: Any) -> None:
    slot._graph = lambda _tiles: tuple(torch.from_numpy(one) for one in (slot.frame_map, slot.scores, slot.match))


def _silence_openvino(slot: Any) -> None:
    slot._request = SimpleNamespace(start_async=_nothing, wait=_nothing)


def _silence_tensorrt(slot: Any) -> None:
    slot.replayed, slot._launch = None, _nothing


SILENCED: dict[str, tuple[str, Callable[[Any], None]]] = {
    "torch": ("float32", _silence_torch),
    "openvino": ("float32", _silence_openvino),
    "tensorrt": ("float16", _silence_tensorrt),
}
EVERY_TARGET = pytest.mark.parametrize("target", ["torch", "openvino", pytest.param("tensorrt", marks=ON_GPU)])


@EVERY_TARGET
def test_when_it_writes_nothing_a_good_part_after_a_good_part_is_rejected(
    target: str, built: Recipe, request: pytest.FixtureRequest
) -> None:
    precision, silence = SILENCED[target]
    recipe: Recipe = request.getfixturevalue("tensorrt") if target == "tensorrt" else built
    thresholds = load_thresholds(recipe)
    assert thresholds is not None
    with closing(load_engine(recipe, target, precision)) as engine:
        slot = engine.new_slot()
        good = render(3).image  # a golden sample
        run_once(slot, good, recipe.manifest.geometry)
        assert judge(measure(slot.frame_map, slot.scores, None), thresholds).passed
        silence(slot)
        run_once(slot, good, recipe.manifest.geometry)
        for buffer in (slot.frame_map, slot.scores, slot.match):
            assert np.isnan(buffer).all()
        ignored = np.zeros(slot.frame_map.shape, np.bool_)
        ignored[1:] = True
        for hidden in (None, ignored):
            judgement = judge(measure(slot.frame_map, slot.scores, hidden), thresholds)
            assert not judgement.passed
            assert judgement.fault == "the score or the map is not finite"


@EVERY_TARGET
def test_a_new_slot_holds_nothing_that_passes(target: str, built: Recipe, request: pytest.FixtureRequest) -> None:
    recipe: Recipe = request.getfixturevalue("tensorrt") if target == "tensorrt" else built
    with closing(load_engine(recipe, target, SILENCED[target][0])) as engine:
        slot = engine.new_slot()
        if target != "tensorrt":  # whose buffers are page-locked ones of its own, cleared as all are by `begin`
            assert np.isnan(slot.scores).all()
            assert np.isnan(slot.frame_map).all()
        begin(slot)
        slot.finish()
        assert np.isfinite(slot.scores).all()


class Forgetful:
    """An engine that finds the first part perfect, and writes only ``parts`` of its answer from the second one on."""

    target = "torch float32"

    def __init__(self, parts: set[str]) -> None:
        self.parts, self.frames = parts, 0

    def new_slot(self) -> EngineSlot:
        return _ForgetfulSlot(self, HostSlot.of(GEOMETRY))

    def close(self) -> None:
        pass


class _ForgetfulSlot:
    def __init__(self, engine: Forgetful, buffers: HostSlot) -> None:
        self.tiles, self.frame_map, self.scores, self.match = buffers.tiles, buffers.frame_map, buffers.scores, buffers.match
        self._engine = engine

    def start(self) -> None:
        pass

    def finish(self) -> None:
        self._engine.frames += 1
        for name, buffer in zip(PARTS, (self.frame_map, self.scores, self.match), strict=True):
            if self._engine.frames == 1 or name in self._engine.parts:
                buffer.fill(0)
            elif f"some of the {name}" in self._engine.parts:
                buffer[: len(buffer) // 2] = 0


@pytest.fixture
def line(tmp_path: Path, free_ports: Callable[[int], list[int]]) -> Line:
    """One with a recipe that takes every part whose answer is zero."""
    recipe = made_recipe(tmp_path / "recipe", GEOMETRY)
    save_thresholds(recipe.folder, consistent(make_thresholds(recipe.digest)))
    verdicts, snapshot = free_ports(2)
    (tmp_path / "3.toml").write_text(
        f'recipe = "recipe"\n[engine]\ntarget = "torch"\nprecision = "float32"\nslots = 1\n[camera]\nkind = "replay"\n'
        f'source = "."\n[publish]\nverdicts = "tcp://127.0.0.1:{verdicts}"\nsnapshot = "tcp://127.0.0.1:{snapshot}"\n'
    )
    return load_line("3", tmp_path)


@pytest.mark.parametrize(
    ("parts", "passes"),
    [
        (set(PARTS), True),
        ({"map", "scores"}, True),  # the match tells people which template it was, and decides nothing
        (set(), False),
        ({"map"}, False),
        ({"scores", "match"}, False),
        ({"scores", "some of the map"}, False),
        ({"map", "some of the scores"}, False),
    ],
)
def test_on_the_lines_own_path_what_is_not_written_is_an_engine_fault(
    line: Line, parts: set[str], passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Forgetful(parts)
    monkeypatch.setattr("appliance.line.recipe_at_work.load_engine", lambda *_: engine)
    picture = np.zeros((SIDE, SIDE), np.uint8)
    with closing(loaded_recipe(line)) as loaded:
        frames = [Frame(i, time.monotonic_ns(), 0, picture.copy(), None) for i in (1, 2, 3)]
        first, *later = through(loaded, iter(frames), lambda job: job.station.decider.verdict(job, "3", 1, 1, False), 1)
    assert (first.verdict, first.reason) == ("pass", "")
    assert [(one.verdict, one.reason) for one in later] == [("pass", "") if passes else ("reject", "engine-fault")] * 2
    if "match" not in parts:
        assert [one.template for one in later] == [None, None], "that of the part before is not told as this one's"


def test_clearing_takes_no_memory_and_hardly_any_time() -> None:
    slot = _ForgetfulSlot(Forgetful(set()), HostSlot.of(Geometry((512, 512), (0, 0, 512, 512), 2, 2)))
    begin(slot)
    tracemalloc.start()
    try:
        begin(slot)
        allocated = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert allocated < 1_000, "bytes: none of the buffers' size"
    begun = time.perf_counter()
    for _ in range(100):
        begin(slot)
    assert (time.perf_counter() - begun) / 100 < 2e-3, "seconds; measured: 0.00003"


def test_no_slot_is_started_but_by_begin() -> None:
    """Whoever starts one on a way of their own would start it with the answer to the frame before."""
    found = []
    for file in sorted(one for room in ("engines", "calibrate", "appliance") for one in (REPOSITORY / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "start":
                of = node.func.value
                if isinstance(of, ast.Name) and "slot" in of.id:
                    found.append(file.relative_to(REPOSITORY).as_posix())
    assert found == ["engines/targets/__init__.py"]
