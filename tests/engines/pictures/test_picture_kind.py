"""What stands at the door of every engine: only whole pictures of the recipe's kind, grey or colour."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from engines.common.errors import ImageError
from engines.pictures.geometry import Geometry
from engines.pictures.images import decode_image, png_bytes
from engines.pictures.picture_kind import Channels, channels_of
from engines.recipe.golden_samples import fitting
from tests.virtual_line.product import render

SIDE = 128
ANY = Geometry((SIDE, SIDE), (0, 0, SIDE, SIDE), 2, 1, 0.25, 64)
Array = npt.NDArray[np.uint8]


def _of(channels: Channels | None) -> Geometry:
    return msgspec.structs.replace(ANY, channels=channels)


def _noise(*shape: int) -> Array:
    return np.random.default_rng(5).integers(0, 256, shape, np.uint8)


def _as_rgb(grey: Array) -> Array:
    return np.stack([grey] * 3, axis=2)


GREY, COLOUR = _noise(SIDE, SIDE), _noise(SIDE, SIDE, 3)
ODD: dict[str, tuple[Callable[[], object], str]] = {
    "float": (lambda: COLOUR.astype(np.float32), "of type float32, and 8 bits"),
    "16 bits": (lambda: GREY.astype(np.uint16), "of type uint16, and 8 bits"),
    "signed": (lambda: GREY.astype(np.int8), "of type int8, and 8 bits"),
    "bool": (lambda: GREY > 9, "of type bool, and 8 bits"),
    "no array": (lambda: GREY.tolist(), "of type list, and 8 bits"),
    "none": (lambda: None, "of type NoneType, and 8 bits"),
    "alpha": (lambda: _noise(SIDE, SIDE, 4), "an array of 128 x 128 x 4, and"),
    "grey in three dimensions": (lambda: GREY[..., None], "an array of 128 x 128 x 1, and"),
    "two channels": (lambda: _noise(SIDE, SIDE, 2), "an array of 128 x 128 x 2, and"),
    "a batch": (lambda: COLOUR[None], "an array of 1 x 128 x 128 x 3, and"),
    "a row": (lambda: GREY[0], "an array of 128, and"),
    "planes": (lambda: np.ascontiguousarray(COLOUR.transpose(2, 0, 1)), "an array of 3 x 128 x 128, and"),
    "mirrored": (lambda: COLOUR[:, ::-1], "do not lie one after the other"),
    "every second": (lambda: _noise(2 * SIDE, 2 * SIDE)[::2, ::2], "do not lie one after the other"),
    "BGR turned round": (lambda: COLOUR[..., ::-1], "do not lie one after the other"),
    "columns first": (lambda: np.asfortranarray(GREY), "do not lie one after the other"),
    "out of a wider one": (lambda: _noise(SIDE, SIDE + 9, 3)[:, :SIDE], "do not lie one after the other"),
    "another size": (lambda: _noise(SIDE, SIDE + 1), "129 x 128 pixels, the recipe was made for 128 x 128"),
}


@pytest.mark.parametrize("kind", [None, 1, 3])
@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_frame_of_the_recipe_is_refused_before_anything_is_cut(odd: str, kind: Channels | None) -> None:
    make, told = ODD[odd]
    out = np.full((2, 64, 64, 3), 7, np.uint8)
    with pytest.raises(ImageError, match=told) as caught:
        _of(kind).cut(make(), out)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert (out == 7).all(), "not half of it"


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((2, 64, 64, 3), np.float32),
        np.zeros((2, 64, 64), np.uint8),
        np.zeros((2, 64, 64, 4), np.uint8),
        np.zeros((3, 64, 64, 3), np.uint8),
        np.zeros((2, 64, 65, 3), np.uint8),
        np.zeros((2, 64, 64, 6), np.uint8)[..., ::2],
    ],
)
@pytest.mark.parametrize("image", [GREY, COLOUR])
def test_a_buffer_that_would_not_be_filled_is_refused(out: Array, image: Array) -> None:
    with pytest.raises(ImageError, match=r"the tiles to fill are .* build it again"):
        ANY.cut(image, out)
    assert not out.any()


@pytest.mark.parametrize(("name", "image"), [("resize", COLOUR), ("cvtColor", GREY)])
def test_an_array_of_opencvs_own_is_never_taken_for_the_buffer(
    name: str, image: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = getattr(cv2, name)
    monkeypatch.setattr(cv2, name, lambda *given, dst=None, **how: compute(*given, **how))
    with pytest.raises(ImageError, match="a tile was not filled"):
        ANY.cut_new(image)


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (GREY, 1),
        (_as_rgb(GREY), 1),
        (COLOUR, 3),
        (render(3).image, 3),
        (_as_rgb(np.full((9, 9), 200, np.uint8)), 3),  # one flat shade: a covered lens of either kind
        (np.full((9, 9), 200, np.uint8), 1),
    ],
)
def test_grey_is_what_has_no_colour_anywhere(image: Array, kind: Channels) -> None:
    assert channels_of(image) == kind


@pytest.mark.parametrize("row", [0, 63, 64, SIDE - 1])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_coloured_pixel_makes_a_picture_coloured(row: int, channel: int) -> None:
    image = _as_rgb(GREY)
    image[row, 77, channel] ^= 1
    assert channels_of(image) == 3


@pytest.mark.parametrize(
    ("suffix", "options"), [("png", {}), ("jpeg", {"quality": 80}), ("bmp", {}), ("webp", {"lossless": True})]
)
def test_a_grey_cameras_picture_that_was_saved_as_rgb_is_still_grey(suffix: str, options: dict[str, object]) -> None:
    grey = np.asarray(cv2.cvtColor(render(3).image[::4, ::4].copy(), cv2.COLOR_RGB2GRAY), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(_as_rgb(grey)).save(buffer, suffix, **options)
    read = decode_image(buffer.getvalue(), "saved")
    assert read.shape == (128, 128, 3), "as it stands in the file"
    assert channels_of(read) == 1
    assert channels_of(decode_image(png_bytes(grey), "grey")) == 1


@pytest.mark.parametrize(
    ("recipe", "image", "told"),
    [
        (1, COLOUR, "is in colour, the recipe was made from pictures without colour: set camera.features.PixelFormat .* Mono8"),
        (3, GREY, "is grey, the recipe was made from pictures in colour: set camera.features.PixelFormat .* RGB8"),
        (3, _as_rgb(GREY), "is grey, the recipe was made from pictures in colour"),
    ],
)
def test_a_picture_of_the_other_kind_is_refused_with_the_mend(recipe: Channels, image: Array, told: str) -> None:
    with pytest.raises(ImageError, match=f"^the picture {told}"):
        _of(recipe).cut_new(image)
    with pytest.raises(ImageError, match=f"^parts/a.png: the picture {told}"):
        fitting(image[:64], _of(recipe), "parts/a.png")


@pytest.mark.parametrize(("recipe", "image"), [(1, GREY), (1, _as_rgb(GREY)), (3, COLOUR), (None, GREY), (None, COLOUR)])
def test_a_picture_of_the_same_kind_is_cut_as_it_ever_was(recipe: Channels | None, image: Array) -> None:
    np.testing.assert_array_equal(_of(recipe).cut_new(image), ANY.cut_new(image))


def test_the_kind_is_seen_in_microseconds() -> None:
    """A frame of 5 megapixels; for one without colour, which all of must be looked at, it takes milliseconds."""
    image = _noise(2048, 2448, 3)
    begun = time.perf_counter()
    for _ in range(50):
        channels_of(image)
    assert (time.perf_counter() - begun) / 50 < 1e-3, "seconds; measured: 0.00002"


def test_a_recipe_keeps_its_kind_and_one_from_before_has_none(tmp_path: Path) -> None:
    encoded = msgspec.json.encode(_of(1))
    assert msgspec.json.decode(encoded, type=Geometry).channels == 1
    before = msgspec.json.decode(encoded)
    del before["channels"]
    assert msgspec.convert(before, Geometry).channels is None
    with pytest.raises(msgspec.ValidationError, match="channels"):
        msgspec.convert(before | {"channels": 2}, Geometry)
