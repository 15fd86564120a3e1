"""Checks of pictures: what they measure, and that they take what merely varies."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibrate.collection.picture_checks import FEWEST, Checks, Looks, look_at
from engines.pictures.geometry import Pixels
from tests.appliance.conftest import Floats


def texture(seed: int, amplitude: float = 40, mean: float = 110, side: int = 128) -> Pixels:
    """A surface of its own for each seed."""
    draw = np.random.default_rng(seed)
    smooth: Floats = cv2.GaussianBlur(draw.normal(0, 1, (side, side)).astype(np.float32), (0, 0), 1.5)
    return np.clip(mean + amplitude * smooth / smooth.std(), 0, 255).astype(np.uint8)


def noisy(image: Pixels, sigma: float, seed: int = 0) -> Pixels:
    return np.clip(image + np.random.default_rng(seed).normal(0, sigma, image.shape), 0, 255).astype(np.uint8)


def blurred(image: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def brighter(image: Pixels) -> Pixels:
    return np.clip(image * 1.02, 0, 255).astype(np.uint8)


@pytest.fixture
def checks() -> Checks:
    """Surfaces of one kind have been kept."""
    made = Checks(None)
    for seed in range(12):
        looks = look_at(texture(seed))
        assert made.refuse(looks) is None
        made.keep(f"{seed}.png", looks)
    return made


def reason(checks: Checks, image: Pixels) -> str:
    refusal = checks.refuse(look_at(image))
    return refusal.reason if refusal else ""


def test_blur_is_refused_and_noise_does_not_hide_it(checks: Checks) -> None:
    assert reason(checks, texture(50)) == ""
    assert reason(checks, blurred(texture(50), 1.5)) == "blurred"
    assert reason(checks, noisy(blurred(texture(50), 1.5), 4)) == "blurred"
    raw = [cv2.Laplacian(image.astype(np.float32), cv2.CV_32F).var() for image in (texture(50), noisy(texture(50), 9))]
    assert raw[1] > 2 * raw[0], "as it would be without the smoothing"
    assert look_at(noisy(texture(50), 9)).sharpness < 1.3 * look_at(texture(50)).sharpness


def test_a_picture_of_the_other_kind_is_refused_before_all_else(checks: Checks) -> None:
    coloured = np.stack([texture(50), texture(51), texture(52)], axis=2)
    refusal = checks.refuse(look_at(coloured))
    assert refusal is not None
    assert (refusal.reason, refusal.text) == ("kind", "in colour, not grey as the others")
    assert reason(checks, np.stack([texture(50)] * 3, axis=2)) == "", "a grey camera's, saved as RGB"


def test_sharpness_does_not_depend_on_light_or_colour() -> None:
    one, half = look_at(texture(1, 40, 120)), look_at((texture(1, 40, 120) / 2).astype(np.uint8))
    assert half.sharpness == pytest.approx(one.sharpness, rel=0.05)
    coloured = look_at(cv2.cvtColor(texture(1, 40, 120), cv2.COLOR_GRAY2RGB))
    assert coloured.sharpness == pytest.approx(one.sharpness, rel=1e-6)
    assert coloured.digest != one.digest


def test_light_that_changed_is_refused(checks: Checks) -> None:
    assert reason(checks, (texture(50) * 0.95).astype(np.uint8)) == ""
    assert reason(checks, (texture(50) * 0.7).astype(np.uint8)) == "exposure"
    part = texture(50)
    part[:20] = 255  # a reflection
    assert reason(checks, part) == "exposure"


def test_a_field_that_is_always_white_is_no_fault() -> None:
    backlit = Checks(None)
    for seed in range(12):
        picture = texture(seed)
        picture[:64] = 255
        assert backlit.refuse(look_at(picture)) is None
        backlit.keep(f"{seed}.png", look_at(picture))
    assert reason(backlit, texture(50)) == "exposure", "and that it is missing is one"


def test_a_covered_lens_is_refused_from_the_first_picture_on() -> None:
    assert reason(Checks(None), np.zeros((64, 64), np.uint8)) == "exposure"
    assert reason(Checks(None), np.full((64, 64, 3), 255, np.uint8)) == "exposure"


@pytest.mark.parametrize("side", [64, 128, 512])
def test_the_same_part_again_is_refused_and_another_is_not(side: int) -> None:
    checks = Checks(None)
    checks.keep("first.png", look_at(noisy(texture(3, side=side), 3, seed=1)))
    again = checks.refuse(look_at(noisy(texture(3, side=side), 3, seed=2)))
    assert again == ("duplicate", "no more than noise apart from first.png: the same part?")
    assert reason(checks, brighter(noisy(texture(3, side=side), 3, seed=2))) == "duplicate"
    assert reason(checks, noisy(texture(4, side=side), 3, seed=1)) == ""


def test_a_product_that_varies_is_given_room() -> None:
    steady, varied = Checks(None), Checks(None)
    for seed in range(30):
        steady.keep("", look_at(texture(seed)))
        varied.keep("", look_at(texture(seed, mean=80 + 3 * seed)))
    light = look_at(texture(99, mean=180))
    assert steady.refuse(light) is not None
    assert varied.refuse(light) is None


def test_first_pictures_are_looked_at_again_when_there_are_others() -> None:
    checks = Checks(None)
    checks.keep("soft.png", look_at(blurred(texture(0), 2)))
    assert checks.doubtful() == {}
    for seed in range(1, FEWEST + 3):
        looks = look_at(texture(seed))
        assert checks.refuse(looks) is None
        checks.keep(f"{seed}.png", looks)
    assert list(checks.doubtful()) == ["soft.png"]


def test_what_cannot_be_measured_is_refused(checks: Checks) -> None:
    good = look_at(texture(50))
    for name in ("sharpness", "mean"):
        spoilt: Looks = good._replace(**{name: float("nan")})
        assert checks.refuse(spoilt) is not None
