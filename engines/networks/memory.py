"""A memory of golden features: how new a place is and how new what surrounds it is, beside how badly it was restored.

A memory of well-spread golden features: K. Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022,
sections 3.1 and 3.2.  Which row is the nearest is not asked, only how near it is: a largest number is found several times as
fast as its place.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SOFTNESS = 3.0  # of the limit to a level's length, in mean squares of golden features
POWER = 1 / 5  # with which each window's novelty counts beside the place's own
MOST_POWER, LEAST_POWER = 0.4, 0.004  # with which restoration does; never 0, since a NaN to that power is 1
WINDOWS = (1, 2, 4, 8)  # sides of the surroundings, in cells; two by two cells are a token
# Products of features and golden rows in one block: what is only written to be read for a maximum stays below 2 MB in float32,
# as long as that does not make more than some 16 blocks of a memory.
BLOCK_PRODUCTS, LEAST_BLOCK = 500_000, 250
Nearness = Callable[[Tensor, Tensor], Tensor]  # rows (N, R, C + 2), golden rows (M, C + 2) -> the largest products, (N, R)


class Memory(nn.Module):
    """Limited golden features of places, and their means over windows; float32 in the half-precision graph, too."""

    places: Tensor
    surroundings: Tensor
    direction_power: Tensor
    average: Tensor
    spread: Tensor

    def __init__(self, rows: int, levels: tuple[int, ...], grid: int, patch: int) -> None:
        """``rows`` places and a quarter as many of each window; ``levels``: channels of each level, in the features' order.

        ``grid``: tokens along one side, of ``patch`` x ``patch`` places each; ``patch`` is even.
        """
        super().__init__()
        self._levels, self._patch = levels, patch
        matrices = [_window_matrices(grid, patch, window) for window in WINDOWS if window <= 2 * grid]
        self._windows = [len(average) for average, _ in matrices]  # how many windows of each side there are
        self.register_buffer("places", torch.zeros(rows, sum(levels)))
        self.register_buffer("surroundings", torch.zeros(len(matrices), max(1, rows // 4), sum(levels)))
        self.register_buffer("direction_power", torch.tensor(MOST_POWER))
        self.register_buffer("average", torch.cat([average for average, _ in matrices]), persistent=False)
        self.register_buffer("spread", torch.cat([spread for _, spread in matrices], dim=1), persistent=False)

    def limited(self, features: Tensor) -> Tensor:
        """Normalised features (..., C) -> float32, each level (..., c) divided by root(|level|^2 + SOFTNESS c).

        So no level and no glaring place outweighs the others: lengths end at 1, while small deviations stay as they are.
        """
        levels = features.float().split(self._levels, dim=-1)
        lengths = [(level.square().sum(dim=-1, keepdim=True) + SOFTNESS * level.shape[-1]).sqrt() for level in levels]
        return torch.cat([level / length for level, length in zip(levels, lengths, strict=True)], dim=-1)

    @property
    def counts(self) -> list[int]:
        """How many windows of each side there are."""
        return self._windows

    @property
    def spreads(self) -> tuple[Tensor, ...]:
        """From the windows of each side to places, each (P * places, windows)."""
        return tuple(self.spread.split(self._windows, dim=1))

    def windows(self, limited: Tensor) -> Tensor:
        """Limited features of tokens' places (N, P * places, C) -> means over all windows, side by side (N, windows, C)."""
        n, _, channels = limited.shape
        half = self._patch // 2
        # Sums, not means, which would be rounded in reduced precision: means of many places differ little.
        columns = limited.reshape(-1, half, channels).sum(dim=1)  # of a row of a cell
        cells = columns.view(-1, half, 2, channels).sum(dim=1).view(n, -1, channels)  # by token, row and column
        return self.average @ cells

    def forward(self, features: Tensor, direction: Tensor) -> Tensor:
        """Normalised features of tokens (N, P, places, C), 1 - cosine with what was restored (N, P, places) -> anomaly (same).

        It is the place's novelty, times the fifth root of the novelty of each window around it, whose means tell of what is
        large and faint, times a power of the direction error, see `weigh`.
        """
        anomaly: Tensor = Remembered(self)(features, direction)
        return anomaly

    def weigh(self, novelties: Tensor, directions: Tensor) -> None:
        """Set the power of the direction error from that of golden places and their novelty, both of any shape.

        Errors that vary more than the novelty, on good parts, count less: by the ratio of their logarithms' variances (from
        quartiles, since a place that is remembered has no novelty at all).
        """
        ratio = _quartile_range(novelties) / _quartile_range(directions)
        self.direction_power.copy_((MOST_POWER * ratio.square()).clamp(LEAST_POWER, MOST_POWER))


class Remembered(nn.Module):
    """A memory at work: its rows laid out for the search."""

    places: Tensor
    kind: torch.dtype

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.memory = memory
        self._nearness: Nearness = in_blocks
        self.round_to(torch.float32)

    def round_to(self, kind: torch.dtype) -> None:
        """From now on compare features as they are in a type; products and their sums are float32 in each."""
        self.kind = kind
        self.register_buffer("places", golden_rows(self.memory.places, kind), persistent=False)
        for i, golden in enumerate(self.memory.surroundings):
            self.register_buffer(f"surroundings_{i}", golden_rows(golden, kind), persistent=False)

    def search_by(self, nearness: Nearness, lay_out: Callable[[Tensor], Tensor]) -> None:
        """From now on find the largest products so; ``lay_out`` makes of golden rows what ``nearness`` takes for them."""
        self._nearness = nearness
        for name, golden in list(self.named_buffers(recurse=False)):
            self.register_buffer(name, lay_out(golden), persistent=False)

    def forward(self, features: Tensor, direction: Tensor | None = None) -> Tensor:
        """See `Memory.forward`; without a ``direction`` novelty alone: of features (N, R, C), (N, R)."""
        memory = self.memory
        limited = memory.limited(features.flatten(1, -2))
        means = memory.windows(limited)
        golden = [self.get_buffer(f"surroundings_{i}") for i in range(len(memory.counts))]
        windows = novelty(means.to(self.kind), memory.counts, golden, self._nearness).split(memory.counts, dim=1)
        weight, *others = (one @ spread.T for one, spread in zip(windows, memory.spreads, strict=True))
        for one in others:
            weight = weight * one
        place = novelty(limited.to(self.kind), [limited.shape[1]], [self.places], self._nearness)
        anomaly: Tensor = place * weight.pow(POWER)
        if direction is None:
            return anomaly
        anomaly = anomaly * direction.flatten(1).abs().pow(memory.direction_power)
        return anomaly.view(direction.shape)


def novelty(features: Tensor, counts: list[int], golden: list[Tensor], nearness: Nearness | None = None) -> Tensor:
    """Features (N, R, C) -> float32 squared distances to the nearest of their `golden_rows`, (N, R).

    Rows are in groups of ``counts``, each with golden rows of its own.  ``nearness``: `in_blocks`, or another way to the same.
    """
    largest = nearness or in_blocks
    features = features.float()
    # |x - g|^2 = |x|^2 - (2 x.g - |g|^2): the largest of what is in brackets is the nearest.
    rows = torch.cat([features, torch.ones_like(features[..., :2])], dim=-1)
    found = [largest(some, these) for some, these in zip(rows.split(counts, dim=1), golden, strict=True)]
    near = found[0] if len(found) == 1 else torch.cat(found, dim=1)
    # Rounding can leave it below zero.  Not clamped: there are devices whose maximum of NaN and zero is zero, a pass.
    return (features.square().sum(dim=-1) - near).abs()


def in_blocks(rows: Tensor, golden: Tensor) -> Tensor:
    """Rows (N, R, C) and golden rows (M, C) -> the largest product of each row, (N, R): block by block of golden rows."""
    size = max(LEAST_BLOCK, BLOCK_PRODUCTS // (rows.shape[0] * rows.shape[1]))
    largest, *others = (F.linear(rows, some).amax(dim=-1) for some in golden.chunk(-(-len(golden) // size)))
    for one in others:
        largest = torch.maximum(largest, one)
    return largest


def golden_rows(golden: Tensor, kind: torch.dtype) -> Tensor:
    """Golden features (M, C) -> float32 rows [2 g, -|g|^2] whose product with [x, 1, 1] is largest for the nearest, (M, C + 2).

    Their numbers are as ``kind`` holds them, and the square stands in two of them: a device that multiplies float32 in fewer
    bits than it has (TF32 keeps ten, as half precision does) loses nothing.
    """
    rounded = golden.to(kind).float()
    exact = -rounded.square().sum(dim=1, keepdim=True)
    coarse = exact.to(kind).float()
    return torch.cat([2 * rounded, coarse, (exact - coarse).to(kind).float()], dim=1)


def _quartile_range(values: Tensor) -> Tensor:
    """Between the quartiles of the logarithms of values, of any shape; a little more than nothing where there is nothing."""
    logs = values.abs().clamp_min(1e-12).log().flatten()
    low, high = logs.kthvalue(max(1, len(logs) // 4)).values, logs.kthvalue(max(1, 3 * len(logs) // 4)).values
    return (high - low).clamp_min(1e-6)


def _window_matrices(grid: int, patch: int, window: int) -> tuple[Tensor, Tensor]:
    """Of windows of ``window`` x ``window`` cells: cells' sums to means (windows, cells), windows to places (places, windows).

    Cells and places are in the tokens' order.  A place has the value between the centres of the windows nearest to it; beyond
    the last centre that one's.
    """
    cells, side, half = 2 * grid, grid * patch, patch // 2
    count = cells - window + 1
    starts, columns = torch.arange(count)[:, None], torch.arange(cells)
    average = ((columns >= starts) & (columns < starts + window)).float() / (window * half)
    position = ((torch.arange(side) + 0.5) / half - window / 2).clamp(0, count - 1)
    spread = (1 - (position[:, None] - torch.arange(count)).abs()).clamp_min(0)
    return torch.kron(average, average)[:, _by_token(grid, 2)], torch.kron(spread, spread)[_by_token(grid, patch)]


def _by_token(grid: int, parts: int) -> Tensor:
    """The places of ``parts`` x ``parts`` for each of grid x grid tokens: where each one lies, row by row of the whole."""
    return torch.arange((grid * parts) ** 2).view(grid, parts, grid, parts).transpose(1, 2).flatten()
