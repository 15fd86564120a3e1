"""An OpenVINO engine computes in the precision that it was proven in, and in none that the processor would emulate."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engines.common.cores import Share
from engines.common.errors import EngineError
from engines.pictures.geometry import Pixels
from engines.proof.admission import engine_folder
from engines.recipe.bundle import Recipe
from engines.targets import openvino_int8, openvino_target
from engines.targets.openvino_exact import exact_operations, keep_exact

NATIVE = pytest.mark.skipif(not openvino_target.computes_in_bfloat16(), reason="this processor does not compute in bfloat16")
ROOT = Path(__file__).parents[3]


def without_bfloat16(isa: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run Python where OpenVINO's kernels may use no more than ``isa``."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": isa}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, cwd=ROOT)


@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE"])
def test_bfloat16_is_refused_before_anything_is_built_where_the_processor_has_none(
    recipe: Recipe, golden_folder: Path, isa: str
) -> None:
    words = ("build", "--recipe", recipe.folder, "--golden", golden_folder, "--target", "openvino", "--precision", "bfloat16")
    done = without_bfloat16(isa, Path(sys.executable).with_name("engines"), *words)
    assert done.returncode == 2, done.stderr
    assert "openvino bfloat16: this processor does not compute in it; choose int8, or float32" in done.stderr
    assert "Traceback" not in done.stderr


def test_such_a_processor_is_another_environment_and_computes_the_rest_of_8_bits_in_float32() -> None:
    show = "from engines.targets import openvino_target as t; print(t.versions()['cpu'], t._hint('int8'), sep='|')"
    done = without_bfloat16("AVX2_VNNI", "-c", show)
    assert done.stdout.strip().endswith(", without bfloat16|f32"), done.stderr


@NATIVE
def test_a_processor_with_bfloat16_is_named_as_ever() -> None:
    assert "without" not in openvino_target.versions()["cpu"]
    assert openvino_target._hint("int8") == "bf16"


@NATIVE
def test_an_engine_that_would_compute_in_another_precision_is_refused(built: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same file, read with another setting, gives another precision's answers without a word from OpenVINO."""
    monkeypatch.setattr(openvino_target, "_hint", lambda _: "bf16")
    told = r"model\.blob: OpenVINO computes it in bf16 and f32, and float32 is f32; build it again"
    with pytest.raises(EngineError, match=told):
        openvino_target.load(built, "float32", engine_folder(built, "openvino", "float32"), Share())


def test_an_engine_of_another_precision_is_refused(built: Recipe) -> None:
    with pytest.raises(EngineError, match=r"model\.blob: OpenVINO computes it in .*, and int8 is .*i8; build it again"):
        openvino_target.load(built, "int8", engine_folder(built, "openvino", "float32"), Share())


def test_of_several_orders_of_the_samples_the_nearest_to_float32_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = [np.full((1, 64, 64, 3), i, np.uint8) for i in range(5)]
    errors, orders = iter([0.2, 0.1, 0.3]), list[list[int]]()

    class Model:
        def clone(self) -> Model:
            return self

    def quantise(_model: Model, samples: Sequence[Pixels], _exact: set[str]) -> float:
        orders.append([int(one[0, 0, 0, 0]) for one in samples])
        return next(errors)

    def answers(precision: str, model: Any, pictures: Sequence[Pixels]) -> list[npt.NDArray[np.float32]]:
        off = 0 if precision == "float32" else model
        return [np.full((4, 4), 1 + off, np.float32) for _ in pictures]

    monkeypatch.setattr(openvino_int8, "_quantise", quantise)
    monkeypatch.setattr(openvino_int8, "keep_exact", lambda model, *_: model)
    for _ in range(2):
        errors = iter([0.2, 0.1, 0.3])
        assert openvino_int8.quantised(Model(), golden, set(), tmp_path, answers) == 0.1
    first, again = orders[: openvino_int8.ORDERS], orders[openvino_int8.ORDERS :]
    assert first == again, "the same orders each time"
    assert first[0] == [0, 1, 2, 3, 4]
    assert len({tuple(one) for one in first}) == openvino_int8.ORDERS
    assert all(sorted(one) == first[0] for one in first)


@NATIVE
def test_pixels_are_not_rounded_to_bfloat16(recipe: Recipe, converted_once: None, tmp_path: Path) -> None:
    """Eight bits are half a grey level: on a product that varies little that was a sixth of the score."""
    model = openvino_target.converted(recipe)
    marked = keep_exact(model, exact_operations(model, openvino_target.EXACT_CONVOLUTIONS[0]), tmp_path)
    compiled = openvino_target._core().compile_model(marked, "CPU", openvino_target._config("bfloat16", Share()))
    side = recipe.manifest.geometry.input_side
    made = [node for node in compiled.get_runtime_model().get_ordered_ops() if node.get_output_size()]
    of_pixels = [node for node in made if sorted(node.get_output_shape(0)) == [1, 3, side, side]]
    precisions = {node.get_rt_info()["outputPrecisions"].astype(str) for node in of_pixels}
    assert "f32" in precisions
    assert precisions <= {"u8", "f32"}
