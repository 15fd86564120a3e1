"""Pre-norm transformer blocks (ViT-style), cut so that constant rows can be skipped."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head self-attention with a bias on the joint query-key-value projection."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.size = dim // heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def project(self, x: Tensor) -> Tensor:
        """(B, rows, dim) -> queries, keys and values, one after the other, (B, 3 heads, rows, dim / heads)."""
        return self._split(self.qkv(x))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, heads, rows, d) -> (B, rows, dim), projected; one operation, whose softmax is float32 in half precision as well.

        Written out while fitting on a CPU, where the gradient of the fused form takes 40 % of a step.
        """
        if self.training and q.device.type == "cpu":
            mixed = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(dim=-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, scale=q.shape[-1] ** -0.5)  # said: else TensorRT computes it
        return self.proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> Tensor:
        """(B, rows, n * dim) -> (B, n * heads, rows, dim / heads)."""
        parts: Tensor = x.unflatten(2, (-1, self.size))
        return parts.transpose(1, 2)


class Block(nn.Module):
    """Pre-norm block: x + attention(norm1 x), then x + MLP(norm2 x); MLP four times as wide, exact GELU."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-5)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-5)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def project(self, x: Tensor) -> Tensor:
        """Queries, keys and values of rows before attention; see `Attention.project`."""
        return self.attn.project(self.norm1(x))

    def finish(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The rest of the block for rows ``x`` whose queries are ``q``; keys and values may be of more rows."""
        x = x + self.attn.attend(q, k, v)
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """(B, rows, dim) -> (B, rows, dim)."""
        return self.finish(x, *self.project(x).chunk(3, dim=1))

    def forward_kept(self, x: Tensor, first_kept: int) -> Tensor:
        """The block's output for rows ``first_kept`` onwards only; all rows are still attended to.

        (B, rows, dim) -> (B, rows - first_kept, dim), equal to ``forward(x)[:, first_kept:]``.
        """
        q, k, v = self.project(x).chunk(3, dim=1)
        return self.finish(x[:, first_kept:], q[:, :, first_kept:], k, v)


def sincos_position(dim: int, side: int) -> Tensor:
    """Fixed 2-D sine-cosine embedding of a side x side grid, (1, 1 + side * side, dim); slot 0 (the class token) is 0.

    Half of the channels encode the column, half the row; in each half first the sines, then the cosines, of
    frequencies 10000^(-i / (dim / 4)) (the scheme of MAE, He et al. 2022, whose code the paper's authors build on).
    """
    quarter = dim // 4
    frequency = 1.0 / 10_000 ** (torch.arange(quarter, dtype=torch.float64) / quarter)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")

    def encode(position: Tensor) -> Tensor:
        angle = position.flatten().double()[:, None] * frequency  # (side * side, dim / 4)
        return torch.cat([angle.sin(), angle.cos()], dim=1)

    grid = torch.cat([encode(column), encode(row)], dim=1)  # (side * side, dim)
    return torch.cat([torch.zeros(1, dim, dtype=torch.float64), grid]).float()[None]


def init_weights(module: nn.Module) -> None:
    """Xavier-uniform linear weights, biases 0, LayerNorm 1 / 0; for use with `nn.Module.apply`."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
