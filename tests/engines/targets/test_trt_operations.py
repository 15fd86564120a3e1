"""TensorRT can take every operation of our graphs: asked of torch-tensorrt's own registry, without a GPU."""

from __future__ import annotations

import functools
import json
import operator
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from engines.recipe.model_config import PROFILES
from tests.engines.targets.trt.wheel import WHEEL

FEWEST = 300  # operations of the smallest graph
Operations = dict[str, tuple[dict[str, int], dict[str, int]]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (WHEEL / "torch_tensorrt").is_dir(),
        reason="the Python part of torch-tensorrt is not here; fetch it with: make trt-wheel",
    ),
]


@pytest.fixture(scope="module")
def operations() -> Operations:
    """Of all networks; each in a process of its own, side by side."""

    def ask(network: str) -> Operations:
        words = [sys.executable, "-m", "tests.engines.targets.trt.operations", network]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found: Operations = json.loads(done.stdout.splitlines()[-1])
        return found

    with ThreadPoolExecutor() as pool:
        return functools.reduce(operator.or_, pool.map(ask, PROFILES))


def test_every_operation_of_every_profile_has_a_converter(operations: Operations) -> None:
    assert set(operations) == {f"{network} {profile}" for network in PROFILES for profile in PROFILES[network]} | {"control"}
    for name, (converted, not_converted) in operations.items():
        if name != "control":
            assert not not_converted, name
            assert sum(converted.values()) > FEWEST, name


def test_an_operation_without_converter_is_found(operations: Operations) -> None:
    assert any("svd" in name for name in operations["control"][1])
