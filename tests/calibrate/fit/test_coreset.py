"""The coreset: the same rows as when all are looked at again for each one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from calibrate.fit import coreset
from calibrate.fit.coreset import k_centre


def plainly(vectors: Tensor, count: int, first: int) -> list[int]:
    """The algorithm as it is written: all distances anew for each row taken."""
    kept = [first]
    while len(kept) < count:
        distances = torch.cdist(vectors, vectors[kept], compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1)
        distances[kept] = -1
        kept.append(int(distances.argmax()))
    return kept


@pytest.mark.parametrize("candidates", [1, 7, 64, 2_048])
def test_the_farthest_row_is_taken_each_time(candidates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coreset, "CANDIDATES", candidates)
    monkeypatch.setattr(coreset, "PART", 100)
    vectors = torch.randn(900, 12, generator=torch.Generator().manual_seed(0))
    assert k_centre(vectors, 200, 5) == plainly(vectors, 200, 5)


def test_of_fewer_rows_than_asked_for_all_are_taken_once() -> None:
    assert sorted(k_centre(torch.randn(9, 4), 20, 3)) == list(range(9))
    assert k_centre(torch.zeros(1, 4), 20, 0) == [0]


def test_equal_rows_are_taken_once_each() -> None:
    vectors = torch.cat([torch.zeros(5, 3), torch.ones(5, 3)])
    kept = k_centre(vectors, 10, 0)
    assert kept[1] >= 5
    assert sorted(kept) == list(range(10))
