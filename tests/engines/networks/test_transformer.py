"""Transformer blocks against torch's own attention, their shortcut for kept rows, and the position embedding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from engines.networks.transformer import Block, sincos_position


@pytest.fixture
def block() -> Block:
    torch.manual_seed(4)
    block = Block(32, 4).eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return block


def test_a_block_is_pre_norm_attention_then_a_pre_norm_mlp(block: Block) -> None:
    x = torch.randn(2, 9, 32)
    torchs = torch.nn.MultiheadAttention(32, 4, batch_first=True).eval()
    with torch.no_grad():
        torchs.in_proj_weight.copy_(block.attn.qkv.weight)
        torchs.in_proj_bias.copy_(block.attn.qkv.bias)
        torchs.out_proj.load_state_dict(block.attn.proj.state_dict())
        normed = F.layer_norm(x, (32,), block.norm1.weight, block.norm1.bias, 1e-5)
        attended = x + torchs(normed, normed, normed, need_weights=False)[0]
        first, _, second = block.mlp
        hidden = F.linear(F.layer_norm(attended, (32,), block.norm2.weight, block.norm2.bias, 1e-5), first.weight, first.bias)
        gelu = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        expected = attended + F.linear(gelu, second.weight, second.bias)
        torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("first_kept", [0, 1, 5, 8])
def test_kept_rows_equal_those_of_the_whole_block(block: Block, first_kept: int) -> None:
    x = torch.randn(2, 9, 32)
    torch.testing.assert_close(block.forward_kept(x, first_kept), block(x)[:, first_kept:], rtol=1e-5, atol=1e-5)


def test_position_embedding_has_a_zero_class_slot_then_columns_then_rows() -> None:
    dim, side = 16, 3
    position = sincos_position(dim, side)[0].double().numpy()
    assert position.shape == (1 + side * side, dim)
    assert not position[0].any()
    frequency = [10_000 ** (-i / 4) for i in range(4)]
    for row in range(side):
        for column in range(side):
            expected = [f(place * w) for place in (column, row) for f in (np.sin, np.cos) for w in frequency]
            np.testing.assert_allclose(position[1 + row * side + column], expected, atol=1e-6)
