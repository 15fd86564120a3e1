"""torch-tensorrt converts every network to its end, and TensorRT's documented rules hold for what it makes: without a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from engines.recipe.model_config import PROFILES
from tests.engines.targets.trt.wheel import WHEEL

# (network, profile, tiles along a side)
GRAPHS = [(network, profile, 1) for network in PROFILES for profile in PROFILES[network]]
GRAPHS += [("tfa-net", "small", 3), ("thfr", "small", 2), ("tfa-net", "alone", 1)]
SMALL = ("tfa-net", "small", 1)
# Constants and all, counted in the same way on the graph before it was written for TensorRT; 663 of them worked for each frame.
LAYERS_BEFORE = 1_209
MOST_MB = 2.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (WHEEL / "torch_tensorrt").is_dir(),
        reason="the Python part of torch-tensorrt is not here; fetch it with: make trt-wheel",
    ),
]


class Report(msgspec.Struct):
    """What is looked at of `tests.engines.targets.trt.dry_run`'s."""

    broken: list[str]
    ended: str
    outputs: list[tuple[str, tuple[int, ...], str]]
    layers: int
    constants: int
    largest: list[tuple[float, str]]


def dry_run(*words: str) -> tuple[int, Report]:
    """In a process of its own; its exit status and its report."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.engines.targets.trt.dry_run", *words], capture_output=True, text=True, timeout=400
    )
    assert done.stdout, done.stderr
    return done.returncode, msgspec.convert(json.loads(done.stdout[done.stdout.index("{\n") :]), Report, strict=False)


@pytest.fixture(scope="module")
def reports() -> dict[tuple[str, str, int], tuple[int, Report]]:
    """Of all graphs, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda graph: dry_run(graph[0], graph[1], "--grid", str(graph[2])), GRAPHS)
        return dict(zip(GRAPHS, found, strict=True))


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: f"{graph[0]} {graph[1]} {graph[2]}x{graph[2]}")
def test_no_rule_is_broken(reports: dict[tuple[str, str, int], tuple[int, Report]], graph: tuple[str, str, int]) -> None:
    status, report = reports[graph]
    assert (report.broken, report.ended, status) == ([], "", 0)
    assert [(shape, kind) for _, shape, kind in report.outputs[1:]] == [((3,), "DataType.FLOAT"), ((2,), "DataType.FLOAT")]
    assert len(report.outputs[0][1]) == 2


def test_the_small_network_writes_nothing_large(reports: dict[tuple[str, str, int], tuple[int, Report]]) -> None:
    report = reports[SMALL][1]
    assert report.largest[0][0] <= MOST_MB, report.largest[0]
    assert report.layers + report.constants <= LAYERS_BEFORE / 2


def test_rules_that_are_broken_are_found() -> None:
    status, report = dry_run("faulty")
    assert status == 1
    found = [text.partition(": ")[2] for text in report.broken]
    expected = ("takes UINT8", "of 1 dimension", "ranks differ", "shapes do not fit")
    assert len(found) == len(expected), found
    assert all(text.startswith(rule) for text, rule in zip(found, expected, strict=True)), found


def test_a_map_too_large_for_tensorrt_is_not_converted() -> None:
    """1,024 x 1,024 pixels: its mean of the largest is of more than TensorRT finds; `need_top_k` says so before a build."""
    status, report = dry_run("tfa-net", "small", "--side", "1024")
    assert status == 1
    assert report.ended.startswith("UnsupportedOperatorException"), report.ended
