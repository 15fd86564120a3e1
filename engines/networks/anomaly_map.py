"""From features and their reconstruction to the smoothed anomaly map and a frame's scores.

Upsampling and the Gaussian are both linear and separable, so that ``smoothed = A @ M @ A.T`` with one constant
``A = gaussian (out, out) @ bilinear (out, in)`` replaces both exactly, borders included.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engines.pictures.scores import top_k

GAUSSIAN_TRUNCATE = 4.0  # scipy's default: the kernel ends at 4 sigma


def smoothing_matrix(source: int, target: int, sigma: float) -> Tensor:
    """The constant A, (target, source) float32: bilinear upsampling (align_corners), then a Gaussian of ``sigma`` pixels.

    The Gaussian repeats the edge pixel when it mirrors (scipy's `reflect`) and ends at radius int(4 sigma + 0.5).
    """
    position = np.arange(target) * (source - 1) / max(target - 1, 1)
    low = np.minimum(np.floor(position).astype(int), max(source - 2, 0))
    bilinear = np.zeros((target, source))
    bilinear[np.arange(target), low] = 1 - (position - low)
    bilinear[np.arange(target), np.minimum(low + 1, source - 1)] += position - low

    radius = int(GAUSSIAN_TRUNCATE * sigma + 0.5)
    offset = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offset / sigma) ** 2)
    kernel /= kernel.sum()
    gaussian = np.zeros((target, target))
    for row in range(target):
        mirrored = (row + offset) % (2 * target)  # ... c b a | a b c ... c | c b a ...
        column = np.where(mirrored < target, mirrored, 2 * target - 1 - mirrored)
        np.add.at(gaussian[row], column, kernel)
    return torch.from_numpy((gaussian @ bilinear).astype(np.float32))


def distances(features: Tensor, restored: Tensor, dim: int = 1) -> tuple[Tensor, Tensor]:
    """Per-position distance and direction of two float32 feature maps (N, C, h, w), each (N, h, w); ``dim`` is the channels'.

    Distance is the mean over channels of the squared difference; direction is 1 - cosine, and 1 where a norm is below 1e-8.
    """
    difference = (features - restored).square().sum(dim)
    norm, restored_norm = features.square().sum(dim).sqrt(), restored.square().sum(dim).sqrt()
    # 1 - x.r / |x||r| written so that nothing near 1 is subtracted from 1: |x - r|^2 = (|x| - |r|)^2 + 2 |x||r| (1 - cosine).
    direction = (difference - (norm - restored_norm).square()) / (2 * norm * restored_norm)
    unknown = torch.minimum(norm, restored_norm) < 1e-8  # so asked, NaN is not among them, and stays NaN
    return difference / features.shape[dim], torch.where(unknown, torch.ones_like(direction), direction)


def smooth(maps: Tensor, matrix: Tensor) -> Tensor:
    """(N, h, w) -> (N, H, W), upsampled and smoothed by the constant of `smoothing_matrix`."""
    return matrix @ maps @ matrix.T


def frame_scores(frame_map: Tensor) -> Tensor:
    """A stitched map (H, W) -> its scores (3,), in the order of `engines.pictures.scores.SCORES`; std is the population's."""
    row = frame_map.reshape(1, -1)  # TensorRT finds the largest of a matrix only
    top = row.topk(top_k(row.shape[1])).values  # largest first
    deviation = row - row.mean(dim=1, keepdim=True)
    std = (deviation * deviation).mean(dim=1, keepdim=True).sqrt()
    return torch.cat([std, top[:, :1], top.mean(dim=1, keepdim=True)], dim=1).flatten()
