"""What is told of a GPU: the arithmetic on event times here, the rest on a box that has one."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import typer

from engines.cli import build
from engines.common.errors import EngineError
from engines.pictures.geometry import Geometry
from engines.recipe.bundle import Recipe
from engines.targets.cuda_check import CudaReport, Spans, examine, need_measured, overlapping_share
from engines.targets.cuda_slot import CudaEngine, DeviceBuffers
from tests.engines.targets.made_cuda import MadeCuda

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")


def _frame(copy_in: float, compute: float, copy_out: float, length: float = 1.0) -> Spans:
    return Spans((copy_in, copy_in + length), (compute, compute + 3), (copy_out, copy_out + length))


def test_overlap_is_a_copy_while_a_neighbour_computes() -> None:
    one_by_one = [_frame(5 * i, 5 * i + 1, 5 * i + 4) for i in range(4)]
    assert overlapping_share(one_by_one) == 0.0
    chained = [_frame(3 * i, 3 * i + 1, 3 * i + 4) for i in range(4)]  # computing follows on computing
    assert overlapping_share(chained) == 1.0
    touching = [_frame(0, 1, 4), _frame(4, 5, 8)]
    assert overlapping_share(touching) == 0.0
    assert overlapping_share([]) == 0.0


def test_only_overlap_without_memory_taken_passes() -> None:
    good = CudaReport(4, "", 1.0, 0, 0, (1.0, 1.0, 2.0, 9.0), 300.0)
    assert good.passed
    assert dataclasses.replace(good, memory_taken=None).passed, "memory that the processor shares tells nothing"
    assert dataclasses.replace(good, memory_taken=-(2 << 20)).passed, "something else gave some back"
    assert sum(count for _, _, count in good.histogram(4)) == 4
    assert [count for _, _, count in good.histogram(4)] == [3, 0, 0, 1]
    changes: tuple[dict[str, Any], ...] = (
        {"allocations": 1},
        {"memory_taken": 1},
        {"overlapping": 0.4},
        {"overlapping": float("nan")},
    )
    for change in changes:
        assert not dataclasses.replace(good, **change).passed, change


@pytest.mark.parametrize("taken", [0, 2 << 20])
def test_memory_that_is_taken_without_torch_is_counted(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As TensorRT's and CUDA's own is: on a made-up GPU whose driver tells of it."""
    cuda = MadeCuda()
    cuda.put_in_place(monkeypatch)

    def bind(_: DeviceBuffers) -> Callable[[], None]:
        def launch() -> None:
            cuda.free -= taken

        return launch

    cuda.refuses_capture = "it takes memory"
    engine = CudaEngine("cuda float16", Geometry((8, 8), (0, 0, 8, 8), input_side=8), bind)
    report = examine(engine, np.zeros((1, 8, 8, 3), np.uint8), 50)
    assert report.memory_taken == 50 * taken
    assert report.why_not_replayed == cuda.refuses_capture
    assert report.frames == len(report.latencies_ms) == 50
    cuda.integrated = True
    assert examine(engine, np.zeros((1, 8, 8, 3), np.uint8), 50).memory_taken is None


def test_what_was_measured_is_printed_and_no_overlap_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a made-up GPU, which does one thing after the other."""
    cuda = MadeCuda(refuses_capture="it takes memory")
    cuda.put_in_place(monkeypatch)
    geometry = Geometry((8, 8), (0, 0, 8, 8), input_side=8)
    engine = CudaEngine("cuda float16", geometry, lambda _: lambda: None)
    monkeypatch.setattr("engines.proof.admission.load_engine", lambda *_: engine)
    recipe: Any = SimpleNamespace(manifest=SimpleNamespace(geometry=geometry))
    with pytest.raises(typer.Exit) as ended:
        build._measure_on_gpu(recipe, "cuda", "float16")
    assert ended.value.exit_code == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"{build.GPU_FRAMES} frames, " in said
    assert "launched layer by layer (no CUDA graph: it takes memory)" in said
    assert "copies during another frame's computing: 0% of the frames" in said
    assert "allocations by torch: 0; memory taken on the GPU: 0.0 MiB" in said
    assert "the GPU is not used as it should be" in said


def test_a_target_that_cannot_be_measured_on_a_gpu_is_refused() -> None:
    need_measured("tensorrt")
    with pytest.raises(EngineError, match="measures the targets tensorrt and cuda, not openvino; add --target tensorrt"):
        need_measured("openvino")


def test_without_a_gpu_the_command_says_so(
    recipe: Recipe, golden_folder: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    done = command("engines", "verify", "--recipe", recipe.folder, "--golden", golden_folder, "--device", "cuda")
    assert done.returncode == 2
    assert "--device cuda needs an NVIDIA GPU that torch can use" in done.stderr
    assert done.stderr.count("\n") == 1


@ON_GPU
def test_a_stream_of_frames_overlaps_and_allocates_nothing(tensorrt: Recipe) -> None:
    from engines.proof.admission import load_engine

    geometry = tensorrt.manifest.geometry
    engine = load_engine(tensorrt, "tensorrt", "float16")
    tiles = engine.new_slot().tiles.copy()
    assert tiles.shape == (geometry.tiles, geometry.input_side, geometry.input_side, 3)
    report = examine(engine, tiles, 200)
    engine.close()
    assert report.passed, report
