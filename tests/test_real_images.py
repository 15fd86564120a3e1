"""The whole way on photographs of a real product: fit, thresholds, replay line, truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.real_images import measure


@pytest.mark.realdata
@pytest.mark.slow
def test_bottles_are_told_apart(shared_data: Path, tmp_path: Path) -> None:
    """Half the default number of steps, to keep the suite short; the benchmark takes all of them."""
    quality = measure(shared_data / "mvtec_bottle", tmp_path / "bottle", steps=300)
    assert quality.image_auroc >= 0.99
    assert quality.pixel_auroc is not None
    assert quality.pixel_auroc >= 0.975
