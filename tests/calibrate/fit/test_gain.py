"""A part is kept when its gain is more than chance."""

from __future__ import annotations

import numpy as np
import pytest

from calibrate.fit.faint_defects import EVERY, STRENGTHS, drawn, error, errors_of_samples
from calibrate.fit.gain import weigh
from engines.pictures.synthetic_defects import KINDS


def test_a_gain_beyond_chance_is_kept_and_one_within_it_is_not() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 16)
    sure, unsure = weigh("a part", 0.3 + noise, np.full(16, 0.25)), weigh("a part", 0.251 + noise, np.full(16, 0.25))
    assert (sure.kept, unsure.kept) == (True, False)
    assert sure.low == pytest.approx(0.05 + noise.mean() - 1.753 * noise.std(ddof=1) / 4, abs=1e-4)  # Student's t, 15, 95 %
    assert "a part: kept (errors" in sure.told
    assert "a part: left out: no gain beyond chance" in unsure.told


def test_of_many_parts_without_any_gain_few_are_kept() -> None:
    rng = np.random.default_rng(1)
    kept = [weigh("nothing", rng.normal(0, 1, 8), rng.normal(0, 1, 8)).kept for _ in range(1_000)]
    assert 0.03 < np.mean(kept) < 0.07


def test_a_map_that_tells_every_pixel_has_no_error_and_a_flat_one_half() -> None:
    tiles = [np.full((64, 64, 3), 120, np.uint8) for _ in range(4)]
    spoilt, marks = drawn(tiles, np.random.default_rng(0))
    assert len(spoilt) == 4 * KINDS
    assert marks.shape == (4, KINDS, 64 // EVERY, 64 // EVERY)
    right = marks.astype(np.float32).reshape(-1, *marks.shape[2:])
    assert error(right, marks) == 0
    assert error(np.zeros_like(right), marks) == pytest.approx(0.5)
    half = right.copy()
    half[: 2 * KINDS] = 0
    np.testing.assert_allclose(errors_of_samples(half, marks), [0.5, 0.5, 0, 0])


def test_defects_are_drawn_at_each_strength_in_turn() -> None:
    tiles = [np.full((64, 64, 3), 120, np.uint8)] * 2
    spoilt, _ = drawn(tiles, np.random.default_rng(0))
    strongest = [max(int(np.abs(one.astype(int) - 120).max()) for one in spoilt[i * KINDS : (i + 1) * KINDS]) for i in (0, 1)]
    assert strongest[0] / strongest[1] == pytest.approx(STRENGTHS[0] / STRENGTHS[1], rel=0.2)
