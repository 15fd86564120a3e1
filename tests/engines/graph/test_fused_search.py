"""The search's Triton kernel without a GPU: run in Triton's interpreter, compiled for GPUs, and in an exported graph."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from engines.common.errors import EngineError
from engines.graph.assembly import build_graph
from engines.graph.export import export_graph
from engines.graph.half_precision import to_half
from engines.graph.inspection import InspectionGraph
from engines.networks.backbone import Backbone
from engines.networks.kinds import new_network
from engines.networks.memory import Memory, Remembered
from engines.pictures.geometry import Geometry
from engines.recipe.model_config import PROFILES
from engines.targets import cuda_target
from tests.engines.made_templates import made_templates

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not here")

# Shared memory that one program may have, in KiB, by compute capability (CUDA's programming guide, "Technical Specifications").
SHARED_KIB = {80: 163, 87: 163, 89: 99, 90: 227, 100: 227, 120: 99}
FUSED = "tfa_inspect.largest_products.default"

INTERPRETED = """
import torch
from engines.graph.fused_search import largest_products, search_op

for count, golden_count, channels in ((1, 1, 1), (3, 70, 17), (130, 65, 34), (5, 4000, 154), (64, 64, 32), (2, 2100, 48)):
    draw = torch.Generator().manual_seed(count)
    rows = (torch.randn(count, channels, generator=draw) / 4).half()
    golden = (torch.randn(golden_count, channels, generator=draw) / 4).half()
    golden[:, -1] = -200  # all products are below zero: what pads a block must not win
    rows[:, -1] = 1
    exact = (rows.double() @ golden.double().T).amax(dim=1)
    torch.testing.assert_close(largest_products(rows, golden).double(), exact, rtol=1e-6, atol=0)
    torch.testing.assert_close(search_op(rows, golden).double(), exact, rtol=1e-6, atol=0)

nan = float("nan")
rows, golden = torch.ones(70, 20).half(), torch.ones(100, 20).half()
rows[66, 3] = nan
assert torch.equal(largest_products(rows, golden).isnan().nonzero().flatten(), torch.tensor([66]))
golden[99, 19] = nan
assert largest_products(rows, golden).isnan().all(), "as torch's maximum has it"
rows[:] = nan
golden[:] = 1
assert largest_products(rows, golden).isnan().all()
"""


@pytest.mark.slow
def test_in_tritons_interpreter_it_finds_the_largest_products_and_nan() -> None:
    words = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-W", "error", "-c", INTERPRETED], env=words, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("capability", SHARED_KIB)
def test_compiled_for_a_gpu_it_fits_and_keeps_nan(capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from engines.graph import fused_search

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    places = dict.fromkeys(("rows", "golden"), "*fp16") | {"partial": "*fp32"}
    numbers = dict.fromkeys(("count", "golden_count", "channels"), "i32")
    fixed = {"steps": 4, **fused_search.BLOCKS}
    even = {(i,): [["tt.divisibility", 16]] for i in (0, 1, 2, 5)}  # places, and channels as they are laid out
    kinds = places | numbers | dict.fromkeys(fixed, "constexpr")
    source = ASTSource(fused_search.products_kernel, kinds, constexprs=fixed, attrs=even)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=fused_search.COMPILED)
    assert made.metadata.shared <= SHARED_KIB[capability] * 1024
    text = made.asm["ptx"]
    assert re.search(r"\b(mma\.sync|wgmma\.mma_async|tcgen05\.mma)", text), "tensor cores"
    assert re.search(r"cp\.async\.cg\.shared\.global.* 0x10", text), "16 bytes at once, ahead of the products"
    assert "max.NaN.f32" in text
    assert "max.f32" not in text, "a maximum that leaves out NaN"
    (binary := tmp_path / "kernel.cubin").write_bytes(made.asm["cubin"])
    tool = triton.knobs.nvidia.cuobjdump.path
    used = subprocess.run([tool, "--dump-resource-usage", str(binary)], capture_output=True, text=True, check=True).stdout
    found = {name: int(number) for name, number in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", used)}
    assert found["REG"] <= 168, "at least three programs of 128 threads at once"
    assert found["STACK"] == found["LOCAL"] == 0, "no register is spilled"


def test_a_graph_for_a_gpu_has_the_kernel_for_each_search_and_no_other_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = _graph("tfa-net")
    monkeypatch.setattr("engines.graph.assembly.load_graph", lambda _recipe: deepcopy(plain))
    on_the_cpu = cuda_target.compiled_graph(None, torch.device("cpu"))  # type: ignore[arg-type]
    monkeypatch.setattr(nn.Module, "to", lambda module, _device: module)
    fused = cuda_target.compiled_graph(None, torch.device("cuda"))  # type: ignore[arg-type]
    assert _searches(on_the_cpu) == []
    memory = next(module for module in fused.modules() if isinstance(module, Memory))
    channels = -(-(memory.places.shape[1] + 2) // 16) * 16
    rows = [(1024, channels)]
    windows = [(count, channels) for count in memory.counts]
    assert _searches(fused) == [
        (some, (len(golden), channels))
        for some, golden in zip(windows + rows, [*memory.surroundings, memory.places], strict=True)
    ]
    tiles = torch.randint(0, 256, (1, 256, 256, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        torch.testing.assert_close(fused(tiles)[0], on_the_cpu(tiles)[0], rtol=1e-4, atol=1e-6)


def test_a_graph_without_a_memory_stays() -> None:
    from engines.graph.fused_search import fuse_search

    graph = to_half(_graph("thfr"))
    before = dict(graph.named_buffers())
    after = dict(fuse_search(graph).named_buffers())
    assert all(after[name] is buffer for name, buffer in before.items())
    assert len(after) == len(before)


def test_inductor_sees_the_kernel_in_an_exported_search(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._functorch.aot_autograd import aot_export_module
    from triton import runtime
    from triton.backends.compiler import GPUTarget

    made_up = SimpleNamespace(get_current_target=lambda: GPUTarget("cuda", 90, 32))
    monkeypatch.setattr(runtime.driver, "_active", made_up)
    remembered = _remembered(torch.float16)
    features, direction = torch.rand(1, 4, 16, 6), torch.rand(1, 4, 16)
    program = torch.export.export(_Answer(remembered), (features, direction), strict=False)
    with torch.no_grad():
        opened, _ = aot_export_module(program.module(), (features, direction), trace_joint=False)
    kernels = [node for node in opened.graph.nodes if "triton_kernel_wrapper" in str(node.target)]
    assert len(kernels) == 1 + len(remembered.memory.counts)
    assert {tuple(node.kwargs["tensors_to_clone"]) for node in kernels} == {("partial",)}, "all that it writes to"
    assert [node.kwargs["kwargs"]["golden_count"] for node in kernels] == [10, 10, 10, 40]


def test_numbers_that_float16_does_not_hold_are_refused() -> None:
    with pytest.raises(EngineError, match="golden features that float16 does not hold; fit the recipe anew"):
        _remembered(torch.float32)


class _Answer(nn.Module):
    def __init__(self, remembered: Remembered) -> None:
        super().__init__()
        self.remembered = remembered

    def forward(self, features: Tensor, direction: Tensor) -> tuple[Tensor]:
        return (self.remembered(features, direction),)


def _remembered(kind: torch.dtype) -> Remembered:
    """A small memory of made-up features, searched by the kernel."""
    from engines.graph.fused_search import fuse_search

    memory = Memory(40, (2, 4), grid=2, patch=4)
    for buffer in (memory.places, memory.surroundings):
        buffer.normal_(generator=torch.Generator().manual_seed(3))
    remembered = Remembered(memory)
    remembered.round_to(kind)
    fuse_search(remembered)  # type: ignore[arg-type]
    return remembered


def _graph(network: str) -> InspectionGraph:
    torch.manual_seed(3)
    config = PROFILES[network]["small"]
    geometry = Geometry((256, 256), (0, 0, 256, 256))
    backbone, made = Backbone(config.backbone), new_network(config).eval()
    for module in made.modules():
        if isinstance(module, Memory):
            module.places.normal_(std=0.05)
            module.surroundings.normal_(std=0.05)
    return build_graph(backbone, made, geometry, made_templates(backbone, made, geometry, count=2))


def _searches(graph: InspectionGraph) -> list[tuple[tuple[int, ...], ...]]:
    """The shapes of rows and golden rows of each search by the kernel, in an exported graph."""
    nodes = [node for node in export_graph(graph).graph.nodes if str(node.target) == FUSED]
    return [tuple(tuple(one.meta["val"].shape) for one in node.args) for node in nodes]
