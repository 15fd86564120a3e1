"""A memory's search in one kernel for NVIDIA GPUs: products and their running maximum, without writing any product.

Only the graph that the target `cuda` compiles for a GPU has it: Inductor does not fuse a product and a maximum by itself.
Imports Triton, so only a build for a GPU imports it.  NOT YET RUN on a GPU: it was compiled for sm_80, 87, 89, 90, 100 and
120, and run in Triton's interpreter.  Rows and golden rows are float16, which holds each of their numbers; sums are float32.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.library import triton_op, wrap_triton
from torch.nn import functional as F

from engines.common.errors import EngineError
from engines.graph.inspection import InspectionGraph
from engines.networks.memory import Remembered, in_blocks

# Of one product, whose sums and maxima stay in registers: none is spilled on any GPU that it was compiled for.
BLOCKS = {"block_rows": 64, "block_golden": 64, "block_channels": 32}
COMPILED = {"num_warps": 4, "num_stages": 4}
MOST_SHARES = 16  # of the golden rows, a program each: the 16 blocks of a tile's rows alone do not keep a GPU busy
ALIGNED = 16  # channels: a row begins where 16 bytes can be read at once, so that copies run ahead of the products


def fuse_search(graph: InspectionGraph) -> InspectionGraph:
    """Have the memory of a graph that `to_half` has made, if it has one, searched by the kernel; in place.

    Raises EngineError when float16 does not hold a golden row's numbers, all of which `to_half` has rounded.
    """
    for module in graph.modules():
        if isinstance(module, Remembered):
            module.search_by(nearness, lay_out)
    return graph


def largest_products(rows: Tensor, golden: Tensor) -> Tensor:
    """Rows (R, C) and golden rows (M, C), float16 and contiguous -> the largest product of each row, (R,) float32.

    It is NaN where a product is, whichever else is larger.
    """
    count, channels = rows.shape
    blocks = triton.cdiv(len(golden), BLOCKS["block_golden"])
    steps = triton.cdiv(blocks, MOST_SHARES)
    shares = triton.cdiv(blocks, steps)
    partial = torch.empty((shares, count), dtype=torch.float32, device=rows.device)
    grid = (triton.cdiv(count, BLOCKS["block_rows"]), shares)
    wrap_triton(products_kernel)[grid](rows, golden, partial, count, len(golden), channels, steps=steps, **BLOCKS, **COMPILED)
    return partial.amax(dim=0)


@triton.jit
def _larger(one, other):  # type: ignore[no-untyped-def]
    # Triton's own maximum leaves out NaN, and a broken frame would have the novelty of a good one.
    return tl.maximum(one, other, propagate_nan=tl.PropagateNan.ALL)


@triton.jit  # type: ignore[untyped-decorator]
def products_kernel(  # type: ignore[no-untyped-def]
    rows,
    golden,
    partial,
    count,
    golden_count,
    channels,
    steps: tl.constexpr,
    block_rows: tl.constexpr,
    block_golden: tl.constexpr,
    block_channels: tl.constexpr,
):
    """Rows (count, channels), golden (golden_count, channels) -> partial (shares, count): each share's largest products."""
    row = tl.program_id(0) * block_rows + tl.arange(0, block_rows)[:, None]
    share = tl.program_id(1)
    best = tl.full((block_rows, block_golden), float("-inf"), tl.float32)
    for step in range(steps):
        some = (share * steps + step) * block_golden + tl.arange(0, block_golden)[None, :]
        product = tl.zeros((block_rows, block_golden), tl.float32)
        for start in range(0, channels, block_channels):
            across = start + tl.arange(0, block_channels)[None, :]
            down = start + tl.arange(0, block_channels)[:, None]
            left = tl.load(rows + row * channels + across, mask=(row < count) & (across < channels), other=0.0)
            right = tl.load(golden + some * channels + down, mask=(some < golden_count) & (down < channels), other=0.0)
            product = tl.dot(left, right, product)
        best = _larger(best, tl.where(some < golden_count, product, float("-inf")))
    largest = tl.reduce(best, 1, _larger)
    place = tl.program_id(0) * block_rows + tl.arange(0, block_rows)
    tl.store(partial + share * count + place, largest, mask=place < count)


def _on_the_cpu(rows: Tensor, golden: Tensor) -> Tensor:
    return in_blocks(rows[None].float(), golden.float())[0]


# An exported program has it as one operation, in which Inductor sees the kernel; torch eager on a CPU computes it in blocks.
search_op: Any = triton_op("tfa_inspect::largest_products", largest_products, mutates_args=())
search_op.register_kernel("cpu")(_on_the_cpu)


def nearness(rows: Tensor, golden: Tensor) -> Tensor:
    """See `engines.networks.memory.Nearness`; the golden rows as `lay_out` makes them."""
    wide = F.pad(rows.half(), (0, golden.shape[1] - rows.shape[2]))
    found: Tensor = search_op(wide.flatten(0, 1), golden)
    return found.view(rows.shape[:2])


def lay_out(golden: Tensor) -> Tensor:
    """Golden rows (M, C + 2) -> the same in float16, with as many zeros after them as the kernel's reads want."""
    half = golden.half()
    if not torch.equal(half.float(), golden):
        raise EngineError("the memory has golden features that float16 does not hold; fit the recipe anew, see calibrate fit")
    return F.pad(half, (0, -half.shape[1] % ALIGNED))
