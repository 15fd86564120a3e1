"""The target cuda as far as a box without a GPU can tell: what it refuses, and the whole of its build compiled for the CPU."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils import cpp_extension

from engines.common.cores import Share
from engines.common.errors import EngineError
from engines.judgement import judge, measure
from engines.pictures.geometry import Geometry
from engines.proof.admission import load_engine
from engines.proof.build import build_engine
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.thresholds import load_thresholds
from engines.targets import begin, cuda_compilers, cuda_target, load_reference, run_once
from engines.targets.cuda_slot import DeviceBuffers
from engines.targets.torch_target import ieee_float32
from tests.engines.made_recipe import made_recipe
from tests.engines.targets.made_cuda import on_the_cpu
from tests.virtual_line.product import render

SIDE = 64
GEOMETRY = Geometry((SIDE, SIDE), (0, 0, SIDE, SIDE), input_side=SIDE)


@pytest.mark.parametrize("ask", ["build", "load", "versions"])
def test_without_a_gpu_it_is_refused_with_another_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    recipe = made_recipe(tmp_path / "recipe", GEOMETRY)
    calls = {
        "build": lambda: cuda_target.build(recipe, "float16", tmp_path, [], 0),
        "load": lambda: cuda_target.load(recipe, "float16", tmp_path, Share()),
        "versions": cuda_target.versions,
    }
    with pytest.raises(EngineError, match="cuda needs an NVIDIA GPU that torch can use; choose the target openvino"):
        calls[ask]()


def test_a_compiled_package_passes_the_gate_and_serves(
    recipe: Recipe, golden_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_the_cpu(monkeypatch)
    monkeypatch.setitem(sys.modules, "engines.graph.fused_search", None)  # the kernel for GPUs, and with it Triton
    copied = load_recipe(Path(shutil.copytree(recipe.folder, tmp_path / recipe.name)))
    said: list[str] = []
    record = build_engine(copied, "cuda", "float16", golden_folder, None, said.append, lambda _done, _total: None)
    assert record.parity is not None
    assert record.parity.passed
    assert set(record.files) == set(cuda_target.FILES)
    assert record.versions["gpu"] == "none", "no box with a GPU takes it for its own"
    assert any("cannot be captured as a CUDA graph" in text for text in said)
    thresholds = load_thresholds(copied)
    assert thresholds is not None
    with closing(load_engine(copied, "cuda", "float16")) as engine, closing(load_reference(copied)) as reference:
        slots, truth = [engine.new_slot() for _ in range(2)], reference.new_slot()
        for seed, slot in ((40, slots[0]), (41, slots[1]), (42, slots[0])):
            picture = render(seed, "scratch").image
            run_once(slot, picture, copied.manifest.geometry)
            run_once(truth, picture, copied.manifest.geometry)
            np.testing.assert_allclose(slot.scores, truth.scores, rtol=0.02)
            assert np.linalg.norm(slot.frame_map - truth.frame_map) < 0.02 * np.linalg.norm(truth.frame_map)
        slots[0]._launch = lambda: None  # type: ignore[attr-defined]
        begin(slots[0])
        slots[0].finish()
        assert not judge(measure(slots[0].frame_map, slots[0].scores, None), thresholds).passed
    package = next((copied.folder / "engines").glob(f"cuda-float16-*/{cuda_target.PACKAGE}"))
    package.write_bytes(package.read_bytes()[:1000])
    with pytest.raises(EngineError, match="changed since it was built; build it again with: engines build"):
        load_engine(copied, "cuda", "float16")


@pytest.mark.parametrize("content", [b"", b"PK and no more"])
def test_what_torch_cannot_load_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], content: bytes
) -> None:
    on_the_cpu(monkeypatch)
    recipe = made_recipe(tmp_path / "recipe", GEOMETRY)
    (tmp_path / cuda_target.PACKAGE).write_bytes(content)
    with pytest.raises(EngineError, match=r"model\.pt2: torch cannot load it .*; build it again with: engines build"):
        cuda_target.load(recipe, "float16", tmp_path, Share())
    assert capfd.readouterr().err == "", "torch's own notice would be a second message"
    assert not any(logging.getLogger(name).disabled for name in cuda_target.NOTICES)


def test_answers_of_other_shapes_are_refused_though_they_could_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_the_cpu(monkeypatch)
    recipe = made_recipe(tmp_path / "recipe", GEOMETRY)

    def package(shapes: list[tuple[int, ...]]) -> SimpleNamespace:
        return SimpleNamespace(loader=SimpleNamespace(run=lambda _tiles: [torch.zeros(shape) for shape in shapes]))

    right = [tuple(one.shape) for one in DeviceBuffers.of(GEOMETRY)[1:]]
    for shapes, taken in ((right, True), ([right[0], (1,), right[2]], False), (right[:2], False)):
        monkeypatch.setattr(torch._inductor, "aoti_load_package", lambda *_, shapes=shapes, **__: package(shapes))
        if taken:
            assert cuda_target.load(recipe, "float16", tmp_path, Share()).target == "cuda float16"
        else:
            with pytest.raises(EngineError, match="it answers with"):
                cuda_target.load(recipe, "float16", tmp_path, Share())
    monkeypatch.setattr(torch._inductor, "aoti_load_package", _short_of_memory)
    with pytest.raises(EngineError, match=r"CUDA error: out of memory.*; see with nvidia-smi"):
        cuda_target.load(recipe, "float16", tmp_path, Share())


def _short_of_memory(*_: object, **__: object) -> None:
    raise RuntimeError("CUDA error: out of memory")


def test_what_a_build_needs_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(EngineError, match=r"no-such-compiler is not here; run: apt install g\+\+"):
        cuda_compilers.need("c++")
    monkeypatch.setenv("CXX", "sh")  # any program
    cuda_compilers.need("c++")
    with monkeypatch.context() as without:
        without.setattr("importlib.util.find_spec", lambda _name: None)
        with pytest.raises(EngineError, match=r"the library triton.*; run: pip install triton"):
            cuda_compilers.need("gpu")
    monkeypatch.setattr("sysconfig.get_config_var", lambda _name: str(tmp_path))
    with pytest.raises(EngineError, match=r"Python's headers.*; run: apt install python3-dev"):
        cuda_compilers.need("gpu")


def test_cudas_headers_are_found_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half, whole = tmp_path / "half", tmp_path / "whole"
    for home, headers in ((half, cuda_compilers.HEADERS[:1]), (whole, cuda_compilers.HEADERS)):
        for header in headers:
            (home / "include" / header).parent.mkdir(parents=True, exist_ok=True)
            (home / "include" / header).touch()
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("shutil.which", lambda _name: None)
    monkeypatch.setattr(cuda_compilers, "TOOLKIT", half)
    monkeypatch.setattr(cuda_compilers, "_of_pip", lambda: [half])
    with pytest.raises(EngineError, match=r"and none of .*half.* has them; install the CUDA toolkit.*pip install"):
        cuda_compilers.cuda_home()
    monkeypatch.setattr(cuda_compilers, "_of_pip", lambda: [half, whole])
    assert cuda_compilers.cuda_home() == whole
    monkeypatch.setenv("CUDA_HOME", str(whole))
    monkeypatch.setattr(cuda_compilers, "_of_pip", list)
    assert cuda_compilers.cuda_home() == whole


def test_the_surroundings_of_a_build_are_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver, home = tmp_path / "libcuda.so.1", tmp_path / "cuda"
    monkeypatch.setattr(cuda_compilers, "need", lambda _kind: None)
    monkeypatch.setattr(cuda_compilers, "_driver", lambda: driver)
    monkeypatch.setattr(cuda_compilers, "cuda_home", lambda: home)
    before, noted = dict(os.environ), cpp_extension.CUDA_HOME
    seen = []

    def broken_off() -> None:
        with cuda_compilers.compilers(torch.device("cuda")):
            linked = Path(os.environ["LIBRARY_PATH"].split(os.pathsep)[0], "libcuda.so")
            assert linked.readlink() == driver
            assert os.environ["CUDA_HOME"] == cpp_extension.CUDA_HOME == str(home)
            assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).parent == linked.parent
            assert Path(os.environ["TRITON_CACHE_DIR"]).is_relative_to(linked.parent)
            seen.append(linked.parent)
            raise KeyError

    with pytest.raises(KeyError):
        broken_off()
    assert dict(os.environ) == before
    assert noted == cpp_extension.CUDA_HOME
    assert not seen[0].exists()


def test_a_compilers_first_error_is_told() -> None:
    output = "C++ compile error\n\nCommand:\n  g++ model.cpp\n\nOutput:\nmodel.cpp:3:1: error: no such   thing\nmore"
    assert cuda_target._told(RuntimeError(output)) == "model.cpp:3:1: error: no such thing"
    assert cuda_target._told(RuntimeError("one\ntwo")) == "one"
    assert cuda_target._told(RuntimeError()) == "RuntimeError"


def test_the_reference_on_a_gpu_computes_ieee_float32(monkeypatch: pytest.MonkeyPatch, recipe: Recipe) -> None:
    def kept() -> tuple[bool, bool, str]:
        matmul = torch.backends.cuda.matmul
        return torch.backends.cudnn.allow_tf32, matmul.allow_tf32, torch.get_float32_matmul_precision()

    before = torch.backends.cudnn.allow_tf32
    assert before, "torch's own default, which would make the reference wrong by more than the gate of float32 allows"
    try:
        load_reference(recipe)
        assert torch.backends.cudnn.allow_tf32, "on a CPU there is nothing to set"
        ieee_float32()
        assert kept() == (False, False, "highest")
        assert "tf32" not in (torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision)  # type: ignore[attr-defined]
    finally:
        torch.backends.cudnn.allow_tf32 = before
