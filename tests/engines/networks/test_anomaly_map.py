"""Upsampling and smoothing against torch and scipy, distances against a loop, and a frame's scores on host and device."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from engines.networks.anomaly_map import distances, frame_scores, smooth, smoothing_matrix
from engines.pictures import scores


@pytest.mark.parametrize(("source", "target", "sigma"), [(64, 256, 4.0), (16, 64, 2.5), (16, 64, 20.0), (5, 64, 0.6)])
def test_smoothing_equals_torchs_bilinear_and_scipys_gaussian_with_borders(source: int, target: int, sigma: float) -> None:
    maps = torch.rand(2, source, source, generator=torch.Generator().manual_seed(1))
    maps[0, 0, 0], maps[1, -1, source // 2] = 40.0, 40.0  # a peak in a corner and on an edge
    smoothed = smooth(maps, smoothing_matrix(source, target, sigma))
    upsampled = F.interpolate(maps[:, None].double(), (target, target), mode="bilinear", align_corners=True)[:, 0]
    for got, wanted in zip(smoothed, upsampled, strict=True):
        expected = gaussian_filter(wanted.numpy(), sigma=sigma, mode="reflect")
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_smoothing_keeps_a_constant_map() -> None:
    torch.testing.assert_close(smoothing_matrix(64, 256, 4.0).sum(dim=1), torch.ones(256))


def test_distances_equal_a_loop() -> None:
    draw = np.random.default_rng(2)
    features, restored = draw.normal(size=(2, 7, 3, 4)), draw.normal(size=(2, 7, 3, 4))
    distance, direction = distances(torch.tensor(features), torch.tensor(restored))
    assert distance.shape == direction.shape == (2, 3, 4)
    for n, y, x in np.ndindex(2, 3, 4):
        a, b = features[n, :, y, x], restored[n, :, y, x]
        assert float(distance[n, y, x]) == pytest.approx(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / 7)
        lengths = math.sqrt(sum(p * p for p in a)) * math.sqrt(sum(q * q for q in b))
        assert float(direction[n, y, x]) == pytest.approx(1 - sum(p * q for p, q in zip(a, b, strict=True)) / lengths)


def test_direction_of_an_empty_feature_is_finite() -> None:
    _, direction = distances(torch.zeros(1, 5, 2, 2), torch.rand(1, 5, 2, 2))
    assert torch.equal(direction, torch.ones(1, 2, 2))


@pytest.mark.parametrize("shape", [(256, 256), (480, 704), (10, 12)])
def test_scores_are_the_same_on_host_and_device(shape: tuple[int, int]) -> None:
    frame_map = np.random.default_rng(3).gamma(2.0, 0.3, shape).astype(np.float32)
    on_host = scores.frame_scores(frame_map)
    np.testing.assert_allclose(frame_scores(torch.from_numpy(frame_map)).numpy(), on_host, rtol=1e-5)
    largest = np.sort(frame_map, axis=None)[::-1].astype(np.float64)
    expected = [frame_map.astype(np.float64).std(), largest[0], largest[: max(1, frame_map.size // 256)].mean()]
    np.testing.assert_allclose(on_host, expected, rtol=1e-6)
    assert on_host.dtype == np.float32


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (7, 31), (63, 63)])
def test_nan_and_infinity_anywhere_give_nan_scores_on_the_host(value: float, place: tuple[int, int]) -> None:
    frame_map = np.ones((64, 64), np.float32)
    frame_map[place] = value
    assert np.isnan(scores.frame_scores(frame_map)).all()


def test_infinities_of_both_signs_do_not_cancel() -> None:
    frame_map = np.ones((64, 64), np.float32)
    frame_map[1, 2:4] = np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        assert np.isnan(scores.frame_scores(frame_map)).all()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_score_of_a_broken_map_passes_on_the_device(value: float) -> None:
    frame_map = torch.ones(64, 64)
    frame_map[40, 3] = value
    assert not any(float(score) <= 1e30 for score in frame_scores(frame_map))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_feature_that_is_no_number_reaches_the_scores(value: float) -> None:
    features = torch.ones(1, 6, 16, 16)
    features[0, 2, 9, 9] = value
    matrix = smoothing_matrix(16, 64, 2.0)
    distance, direction = (smooth(one, matrix) for one in distances(features, torch.rand(1, 6, 16, 16)))
    assert np.isnan(scores.frame_scores((distance * direction)[0].numpy())).all()
