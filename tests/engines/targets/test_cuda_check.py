"""What is told of a GPU: the arithmetic on event times here, the rest on a box that has one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engines.recipe.bundle import Recipe
from engines.targets.cuda_check import CudaReport, Spans, examine, overlapping_share

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


def test_only_overlap_without_allocation_passes() -> None:
    good = CudaReport(4, True, 1.0, 0, (1.0, 1.0, 2.0, 9.0), 300.0)
    assert good.passed
    assert sum(count for _, _, count in good.histogram(4)) == 4
    assert [count for _, _, count in good.histogram(4)] == [3, 0, 0, 1]
    for change in ({"allocations": 1}, {"overlapping": 0.4}, {"overlapping": float("nan")}):
        report = CudaReport(**({field: getattr(good, field) for field in good.__dataclass_fields__} | change))  # type: ignore[arg-type]
        assert not report.passed, change


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
