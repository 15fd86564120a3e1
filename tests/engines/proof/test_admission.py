"""Built engines: proven before they serve, refused for anything else than what they were built for."""

from __future__ import annotations

import ast
import importlib
import json
import math
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from engines.common.cores import Share, usable_cores
from engines.common.errors import EngineError, RecipeError
from engines.proof.admission import RECORD, BuildRecord, engine_folder, load_engine, read_record
from engines.proof.build import build_engine, proof_images, prove, save_record, verify_engine
from engines.proof.parity import LIMITS, Parity
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.golden_samples import read_samples
from engines.recipe.thresholds import FILE, HISTORY, load_thresholds, save_thresholds
from engines.targets import TARGETS, Engine, Precision, load_reference, openvino_target, run_once
from engines.targets.openvino_target import EXACT_CONVOLUTIONS, OpenVinoEngine, OpenVinoSlot, computed_in
from engines.targets.torch_target import TorchSlot, load_half_on_cpu
from tests.virtual_line.product import render

OPENVINO = ("openvino", "float32")
ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")


def _quiet(_done: int, _total: int) -> None:
    pass


@pytest.fixture
def spoilt(built: Recipe, tmp_path: Path) -> Recipe:
    """A copy that a test may spoil."""
    shutil.copytree(built.folder, tmp_path / built.name)
    return load_recipe(tmp_path / built.name)


def _change_record(recipe: Recipe, **changes: object) -> None:
    file = engine_folder(recipe, *OPENVINO) / RECORD
    record = msgspec.json.decode(file.read_bytes(), type=BuildRecord)
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(record, **changes)))


@pytest.fixture(params=["openvino", pytest.param("tensorrt", marks=ON_GPU)])
def engine(request: pytest.FixtureRequest, built: Recipe) -> Iterator[tuple[Engine, Precision]]:
    """Every target's engine of the same recipe: the same tests for all."""
    precision: Precision = "float32" if request.param == "openvino" else "float16"
    recipe = built if request.param == "openvino" else request.getfixturevalue("tensorrt")
    loaded = load_engine(recipe, request.param, precision)
    yield loaded, precision
    loaded.close()


def test_a_built_engine_answers_as_the_reference_does(built: Recipe, engine: tuple[Engine, Precision]) -> None:
    loaded, precision = engine
    error = LIMITS[precision].map_error
    slot, truth = loaded.new_slot(), load_reference(built).new_slot()
    for defect in (None, "crack"):
        image = render(77, defect).image
        run_once(slot, image, built.manifest.geometry)
        run_once(truth, image, built.manifest.geometry)
        assert np.linalg.norm(slot.frame_map - truth.frame_map) <= error * np.linalg.norm(truth.frame_map)
        np.testing.assert_allclose(slot.scores, truth.scores, rtol=error)


def test_slots_in_flight_do_not_mix(built: Recipe, engine: tuple[Engine, Precision]) -> None:
    loaded, _ = engine
    geometry = built.manifest.geometry
    images = [render(seed, None).image for seed in (81, 82, 83)]
    alone = loaded.new_slot()
    expected = []
    for image in images:
        run_once(alone, image, geometry)
        expected.append(alone.scores.copy())
    slots = [loaded.new_slot() for _ in images]
    for slot, image in zip(slots, images, strict=True):
        geometry.cut(image, slot.tiles)
        slot.start()
    for slot, scores in zip(slots, expected, strict=True):
        slot.finish()
        np.testing.assert_allclose(slot.scores, scores, rtol=1e-5)


def test_without_a_build_the_command_is_named(recipe: Recipe) -> None:
    with pytest.raises(EngineError, match="no engine for openvino bfloat16; build it with: engines build"):
        load_engine(recipe, "openvino", "bfloat16")


def test_a_precision_that_the_target_lacks_is_refused(recipe: Recipe) -> None:
    with pytest.raises(EngineError, match="openvino has no precision float16; it has: float32, bfloat16, int8"):
        load_engine(recipe, "openvino", "float16")


def test_a_missing_library_names_its_extra(recipe: Recipe) -> None:
    with pytest.raises(EngineError, match=r"needs the library tensorrt; run: pip install 'tfa-inspect\[tensorrt\]'"):
        load_engine(recipe, "tensorrt", "float16")


def test_a_changed_engine_file_is_refused(spoilt: Recipe) -> None:
    blob = engine_folder(spoilt, *OPENVINO) / "model.blob"
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)
    with pytest.raises(EngineError, match=r"model\.blob: missing or changed since it was built; build it again"):
        load_engine(spoilt, *OPENVINO)


@pytest.mark.parametrize("named", [{}, {"beads": "0" * 64}])
def test_a_record_that_does_not_name_the_engines_file_is_refused(spoilt: Recipe, named: dict[str, str]) -> None:
    """Whatever lies there could be loaded: the engine's own file, or another one in its place."""
    blob = engine_folder(spoilt, *OPENVINO) / "model.blob"
    _change_record(spoilt, files=named)
    for replace in (lambda: None, lambda: blob.write_bytes(b"another"), blob.unlink):
        replace()
        with pytest.raises(
            EngineError, match=r"build\.json: files: has no digest of model\.blob; build it again with: engines"
        ):
            load_engine(spoilt, *OPENVINO)


def test_a_file_that_the_record_does_not_name_is_refused(spoilt: Recipe) -> None:
    folder = engine_folder(spoilt, *OPENVINO)
    (folder / ".build.json.123").touch()  # left by a write that was broken off
    load_engine(spoilt, *OPENVINO).close()
    (folder / "model.cache").write_bytes(b"who put it there?")
    with pytest.raises(EngineError, match=r"has no digest of model\.cache; build it again with: engines build"):
        load_engine(spoilt, *OPENVINO)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_tells_the_files_that_it_reads(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `load` opens in its folder stands in `FILES`, or it would be read without a digest."""
    name = TARGETS[target].module
    if find_spec("tensorrt") is None:  # this test does without it
        monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    there = name in sys.modules
    module = importlib.import_module(name)
    if not there:
        del sys.modules[name]
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    read = [
        getattr(module, node.right.id)
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and isinstance(node.left, ast.Name)
        and node.left.id == "folder"
        and isinstance(node.right, ast.Name)
    ]
    assert set(read) == set(module.FILES)


def test_an_engine_of_another_fit_is_refused(spoilt: Recipe) -> None:
    _change_record(spoilt, recipe_digest="0" * 64)
    with pytest.raises(EngineError, match="built for another fit of this recipe; build it again"):
        load_engine(spoilt, *OPENVINO)


def test_another_machine_or_library_is_refused(spoilt: Recipe) -> None:
    record = read_record(engine_folder(spoilt, *OPENVINO))
    _change_record(spoilt, versions=record.versions | {"openvino": "1.0", "cpu": "abacus"})
    built_with = r"built with openvino 1\.0 \(now .*\), cpu abacus \(now .*"
    with pytest.raises(EngineError, match=rf"{engine_folder(spoilt, *OPENVINO)}: {built_with}build it again"):
        load_engine(spoilt, *OPENVINO)
    engine_folder(spoilt, *OPENVINO).rename(engine_folder(spoilt, *OPENVINO, {"openvino": "1.0", "cpu": "abacus"}))
    with pytest.raises(EngineError, match=f"no engine for openvino float32 here, only one {built_with}build it with"):
        load_engine(spoilt, *OPENVINO)


def test_a_build_breaks_no_circle_of_advice_and_removes_what_no_environment_would_load(
    spoilt: Recipe, golden_folder: Path, converted_once: None
) -> None:
    """With thresholds of another fit an engine is built all the same: new ones are got from it."""
    thresholds = load_thresholds(spoilt)
    assert thresholds is not None
    save_thresholds(spoilt.folder, msgspec.structs.replace(thresholds, recipe_digest="0" * 64))
    place = engine_folder(spoilt, *OPENVINO)
    others = {name: place.with_name(f"openvino-float32-{name}") for name in ("another-fit", "another-place")}
    for folder in others.values():
        shutil.copytree(place, folder)
    record = read_record(place)
    save_record(others["another-fit"], msgspec.structs.replace(record, recipe_digest="0" * 64))
    elsewhere = engine_folder(spoilt, *OPENVINO, {"openvino": "1.0"})
    shutil.copytree(place, elsewhere)
    save_record(elsewhere, msgspec.structs.replace(record, versions={"openvino": "1.0"}))
    shutil.rmtree(place)
    made = build_engine(spoilt, "openvino", "float32", golden_folder, None, lambda _: None, _quiet)
    assert made.parity is not None
    assert (made.parity.passed, made.parity.thresholds_version) == (True, None)
    assert set((spoilt.folder / "engines").iterdir()) == {place, elsewhere}
    with pytest.raises(RecipeError, match="belongs to another fit"):
        load_engine(spoilt, *OPENVINO)
    load_engine(spoilt, *OPENVINO, any_thresholds=True).close()


def test_edited_thresholds_are_refused_and_an_engine_is_built_all_the_same(
    spoilt: Recipe, golden_folder: Path, converted_once: None
) -> None:
    """The mend is to calibrate again, for which an engine must be there."""
    content = json.loads((spoilt.folder / FILE).read_bytes())
    content |= {key: content[key] * 100 for key in ("score_threshold", "pixel_threshold")}
    (spoilt.folder / FILE).write_text(json.dumps(content))
    edited = r"score_threshold is .*; nobody has signed that: calibrate again with: calibrate thresholds --recipe"
    with pytest.raises(RecipeError, match=edited):
        load_engine(spoilt, *OPENVINO)
    with pytest.raises(RecipeError, match=edited):
        verify_engine(spoilt, "openvino", "float32", golden_folder, None, lambda _: None, _quiet)
    shutil.rmtree(engine_folder(spoilt, *OPENVINO))
    made = build_engine(spoilt, "openvino", "float32", golden_folder, None, lambda _: None, _quiet)
    assert made.parity is not None
    assert (made.parity.passed, made.parity.thresholds_version) == (True, None)
    with pytest.raises(RecipeError, match=edited):
        load_engine(spoilt, *OPENVINO)
    load_engine(spoilt, *OPENVINO, any_thresholds=True).close()


def test_new_thresholds_need_a_new_proof(spoilt: Recipe, golden_folder: Path) -> None:
    thresholds = load_thresholds(spoilt)
    assert thresholds is not None
    save_thresholds(spoilt.folder, msgspec.structs.replace(thresholds, version=2))
    with pytest.raises(EngineError, match="no parity report for the thresholds as they are now; prove it with: engines verify"):
        load_engine(spoilt, *OPENVINO)
    assert verify_engine(spoilt, "openvino", "float32", golden_folder, None, lambda _: None, _quiet).parity is not None
    load_engine(spoilt, *OPENVINO).close()


def test_a_failed_gate_is_refused(spoilt: Recipe) -> None:
    record = read_record(engine_folder(spoilt, *OPENVINO))
    assert record.parity is not None
    for change in ({"map_error": 0.5}, {"map_error": math.nan}, {"correlation": 0.5}, {"flips": 1}, {"frames": 0}):
        parity = msgspec.structs.replace(record.parity, **change)
        assert not parity.passed, change
    _change_record(spoilt, parity=msgspec.structs.replace(record.parity, flips=1))
    with pytest.raises(EngineError, match=r"the parity gate was not passed .*1 verdicts flipped"):
        load_engine(spoilt, *OPENVINO)


def test_without_thresholds_an_engine_is_built_to_get_them_from(spoilt: Recipe, golden_folder: Path) -> None:
    (spoilt.folder / FILE).unlink()
    record = verify_engine(spoilt, *OPENVINO, golden_folder, None, lambda _: None, _quiet)
    assert record.parity is not None
    assert record.parity.passed
    assert record.parity.thresholds_version is None
    load_engine(spoilt, *OPENVINO).close()
    shutil.copy(spoilt.folder / HISTORY / "0001.json", spoilt.folder / FILE)
    with pytest.raises(EngineError, match="no parity report for the thresholds as they are now"):
        load_engine(spoilt, *OPENVINO)
    load_engine(spoilt, *OPENVINO, any_thresholds=True).close()


def test_an_interrupted_build_leaves_the_old_engine(
    spoilt: Recipe, golden_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_record(engine_folder(spoilt, *OPENVINO))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("engines.targets.openvino_target.build", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_engine(spoilt, "openvino", "float32", golden_folder, None, lambda _: None, _quiet)
    assert read_record(engine_folder(spoilt, *OPENVINO)) == before
    assert list((spoilt.folder / "engines").iterdir()) == [engine_folder(spoilt, *OPENVINO)]


def test_out_of_memory_is_one_line_and_leaves_nothing(
    recipe: Recipe, golden_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(recipe.folder, tmp_path / "recipe")

    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("engines.targets.openvino_target.build", exhausted)
    with pytest.raises(EngineError, match="out of memory while openvino float32 was built; stop what else runs"):
        build_engine(load_recipe(tmp_path / "recipe"), "openvino", "float32", golden_folder, None, lambda _: None, _quiet)
    assert not list((tmp_path / "recipe" / "engines").iterdir())


def test_bfloat16_passes_the_gate_and_keeps_its_exact_operations(built: Recipe, golden_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(built.folder, tmp_path / "recipe")
    copied = load_recipe(tmp_path / "recipe")
    told: list[str] = []
    record = build_engine(copied, "openvino", "bfloat16", golden_folder, None, told.append, _quiet)
    assert record.parity is not None
    assert record.parity.passed, record.parity
    assert record.parity.map_error > 1e-4, "it is bfloat16, not float32 again"
    assert record.parity.float32_latency_ms is not None, "float32 was timed beside it"
    engine = load_engine(copied, "openvino", "bfloat16")
    run_once(engine.new_slot(), render(77, None).image, copied.manifest.geometry)
    kinds = executed(engine._model)  # type: ignore[attr-defined]
    sums = [kind for name, kind, of in kinds if name == "Reduce" and "aten.sum" in of]
    assert set(sums) == {"f32"}
    assert len(sums) >= 3
    assert [kind for name, kind, _ in kinds if name.endswith("Convolution")][: EXACT_CONVOLUTIONS[0]] == ["f32"] * 3
    assert sum(kind == "bf16" for _, kind, _ in kinds) > 50, "the rest is fast"
    engine.close()


def test_8_bits_pass_the_gate_leave_the_backbone_as_it_is_and_are_the_same_each_time(
    built: Recipe, golden_folder: Path, tmp_path: Path, converted_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(built.folder, tmp_path / "recipe")
    copied = load_recipe(tmp_path / "recipe")
    record = build_engine(copied, "openvino", "int8", golden_folder, None, lambda _: None, _quiet)
    assert record.parity is not None
    assert record.parity.passed, record.parity
    engine = load_engine(copied, "openvino", "int8")
    kinds = executed(engine._model)  # type: ignore[attr-defined]
    assert sum(kind in ("i8", "u8") for name, kind, _ in kinds if name in ("FullyConnected", "MatMul")) >= 10
    convolutions = {kind for name, kind, _ in kinds if name.endswith("Convolution")}
    assert convolutions
    assert not convolutions & {"i8", "u8"}
    samples = [copied.manifest.geometry.cut_new(one) for one in read_samples(golden_folder, copied.manifest, held_out=False)]
    (tmp_path / "again").mkdir()
    openvino_target.build(copied, "int8", tmp_path / "again", samples, 0)
    again = openvino_target.load(copied, "int8", tmp_path / "again", Share())
    maps = []
    for one in (engine, again):
        slot = one.new_slot()
        run_once(slot, render(77, "crack").image, copied.manifest.geometry)
        maps.append(slot.frame_map.copy())
    np.testing.assert_array_equal(*maps)
    monkeypatch.setattr(openvino_target, "computes_in_bfloat16", lambda: False)
    older = openvino_target.load(copied, "int8", tmp_path / "again", Share())
    assert (computed_in(again._model), computed_in(older._model)) == ({"i8", "bf16"}, {"i8"}), "the rest is float32 there"
    for one in (engine, again, older):
        one.close()


def executed(model: Any) -> list[tuple[str, str, str]]:
    """(kind, precision, names before compilation) of the operations of a compiled model, in order."""
    infos = [node.get_rt_info() for node in model.get_runtime_model().get_ordered_ops()]
    return [
        (info["layerType"].astype(str), info["runtimePrecision"].astype(str), info["originalLayersNames"].astype(str))
        for info in infos
    ]


def test_a_failed_half_precision_build_names_the_layer(
    recipe: Recipe, golden_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is the half-precision graph on the CPU: what a GPU would be given."""
    shutil.copytree(recipe.folder, tmp_path / "recipe")
    copied = load_recipe(tmp_path / "recipe")
    module = SimpleNamespace(
        attempts=lambda _: 1, build=lambda *_: None, load=lambda *_: load_half_on_cpu(copied), versions=lambda: {"gpu": "none"}
    )
    monkeypatch.setattr("engines.proof.build.target_module", lambda *_: module)
    monkeypatch.setattr("engines.proof.parity.LIMITS", {"float16": msgspec.structs.replace(LIMITS["float16"], map_error=1e-6)})
    monkeypatch.setattr("engines.proof.build.BISECTED", 2)
    told: list[str] = []
    record = build_engine(copied, "tensorrt", "float16", golden_folder, None, told.append, _quiet)
    assert record.parity is not None
    assert not record.parity.passed
    assert told[-1].startswith("the answer is lost at layer backbone.levels."), "with such a limit at the first layer of all"


def test_a_network_with_a_bank_passes_the_gate_in_bfloat16(banked: Recipe, tmp_path: Path, golden_folder: Path) -> None:
    shutil.copytree(banked.folder, tmp_path / "own")
    record = build_engine(load_recipe(tmp_path / "own"), "openvino", "bfloat16", golden_folder, None, lambda _: None, _quiet)
    assert record.parity is not None
    assert record.parity.passed, record.parity
    assert record.parity.map_error > 0


def test_a_target_of_one_frame_at_a_time_refuses_streams(recipe: Recipe) -> None:
    with pytest.raises(EngineError, match=r"computes one frame at a time: take engine\.streams out"):
        load_engine(recipe, "torch", "float32", Share(streams=2))


@pytest.mark.parametrize("key", ["threads", "cores"])
def test_a_target_without_streams_refuses_a_part_of_the_box(recipe: Recipe, key: str) -> None:
    share = Share(threads=1) if key == "threads" else Share(cores=usable_cores())
    with pytest.raises(EngineError, match=rf"target torch .*: take engine\.{key} out of the line's file"):
        load_engine(recipe, "torch", "float32", share)


@pytest.mark.parametrize("streams", [1, 2])
def test_every_stream_has_computed_a_picture_before_an_engine_serves(
    built: Recipe, streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stream has a graph of its own, which sets itself up with its first frame."""
    slots, new_slot = list[OpenVinoSlot](), OpenVinoEngine.new_slot
    monkeypatch.setattr(OpenVinoEngine, "new_slot", lambda engine: (slots.append(new_slot(engine)), slots[-1])[1])
    load_engine(built, *OPENVINO, Share(streams)).close()
    assert len(slots) == streams
    for slot in slots:
        assert np.isfinite(slot.frame_map).all()
        assert np.isfinite(slot.scores).all()


def test_the_reference_is_warmed_as_well(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    finished: list[TorchSlot] = []
    finish = TorchSlot.finish
    monkeypatch.setattr(TorchSlot, "finish", lambda slot: (finish(slot), finished.append(slot))[0])
    load_engine(recipe, "torch", "float32").close()
    assert len(finished) == 1


@pytest.mark.parametrize("network", ["recipe", "banked"])
def test_the_half_precision_graph_passes_the_gate_on_the_cpu(
    request: pytest.FixtureRequest, network: str, golden_folder: Path
) -> None:
    recipe: Recipe = request.getfixturevalue(network)
    thresholds = load_thresholds(recipe)
    assert thresholds is not None
    images = proof_images(recipe, golden_folder, None)[:8]
    parity: Parity = prove(load_half_on_cpu(recipe), recipe, "float16", thresholds, images, _quiet)
    assert parity.passed, parity
    assert parity.map_error > 0, "it is half precision, not the reference again"
    assert parity.limits == LIMITS["float16"]
