"""What the tests of calibration share: fits that are quick because they need not be good."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from engines.networks.backbone import Backbone, load_imagenet_weights


@pytest.fixture(scope="module")
def small_batches() -> Iterator[None]:
    """A step of a fit takes two samples, not eight: for tests of what a fit does, not of how well it does it."""
    from calibrate.fit.training import DEFAULTS

    small = {
        network: {**profiles, "small": msgspec.structs.replace(profiles["small"], batch=2)}
        for network, profiles in DEFAULTS.items()
    }
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr("calibrate.fit.recipe_fit.DEFAULTS", small)
        yield


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    """The small profile's, with its ImageNet weights."""
    backbone = Backbone("efficientnet-lite0")
    load_imagenet_weights(backbone, "efficientnet-lite0", None)
    return backbone
