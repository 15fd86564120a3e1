"""Image files: 8-bit ones are read right in every format, all others are refused by name."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from engines.common.errors import ImageError
from engines.pictures.images import decode_image, list_images, png_bytes, read_image
from tests.virtual_line.product import render

COLOUR = render(1).image[::8, ::8].copy()
GREY = COLOUR[..., 1].copy()


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "tiff", "webp"])
@pytest.mark.parametrize("picture", [COLOUR, GREY], ids=["colour", "grey"])
def test_lossless_formats_are_read_exactly(tmp_path: Path, ending: str, picture: np.ndarray) -> None:
    file = tmp_path / f"part.{ending}"
    Image.fromarray(picture).save(file, **({"lossless": True} if ending == "webp" else {}))
    read = read_image(file)
    expected = np.stack([GREY] * 3, axis=2) if ending == "webp" and picture.ndim == 2 else picture  # WebP has no grey
    np.testing.assert_array_equal(read, expected)
    assert read.dtype == np.uint8


@pytest.mark.parametrize("ending", ["jpg", "jpeg"])
@pytest.mark.parametrize("picture", [COLOUR, GREY], ids=["colour", "grey"])
def test_jpeg_is_read_closely(tmp_path: Path, ending: str, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / f"part.{ending}", quality=98, subsampling=0)
    read = read_image(tmp_path / f"part.{ending}")
    assert read.shape == picture.shape
    assert np.abs(read.astype(int) - picture).mean() < 2


def test_compressed_tiff_is_read_exactly(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "part.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "part.tif"), COLOUR)


def test_palette_transparency_and_single_bit_are_read_as_they_look(tmp_path: Path) -> None:
    shades = np.random.default_rng(1).integers(0, 256, (16, 3), dtype=np.uint8)
    indices = np.random.default_rng(2).integers(0, 16, (20, 30), dtype=np.uint8)
    palette = Image.fromarray(indices)
    palette.putpalette(shades.tobytes())
    palette.save(tmp_path / "palette.png")
    palette.save(tmp_path / "see-through.png", transparency=bytes(range(16)))
    Image.fromarray(np.dstack([COLOUR, GREY])).save(tmp_path / "rgba.png")
    Image.fromarray(GREY > 100).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), shades[indices])
    np.testing.assert_array_equal(read_image(tmp_path / "see-through.png"), shades[indices])
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), COLOUR)
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png"), (GREY > 100) * np.uint8(255))


def _refused(file: Path, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(file)
    assert str(caught.value).startswith(f"{file}: ")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # before it gives up, Pillow warns of each tag that a TIFF lacks
@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "tif", "webp"])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path, ending: str) -> None:
    Image.fromarray(COLOUR).save(tmp_path / f"whole.{ending}")
    content = (tmp_path / f"whole.{ending}").read_bytes()
    file = tmp_path / f"part.{ending}"
    for share in (0.0, 0.001, 0.01, 0.05, 0.3, 0.7, 0.9, 0.98):
        file.write_bytes(content[: int(len(content) * share)])
        _refused(file, "damaged image|not an image")


def test_more_than_8_bits_are_refused(tmp_path: Path) -> None:
    deep_grey = GREY.astype(np.uint16) * 257
    deep_colour = COLOUR.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "grey.png"), deep_grey)
    cv2.imwrite(str(tmp_path / "colour.png"), deep_colour)
    cv2.imwrite(str(tmp_path / "rgba.png"), np.dstack([deep_colour, deep_grey]))
    cv2.imwrite(str(tmp_path / "grey.tiff"), deep_grey)
    cv2.imwrite(str(tmp_path / "colour.tiff"), deep_colour)
    cv2.imwrite(str(tmp_path / "float.tiff"), GREY.astype(np.float32))
    (tmp_path / "grey-alpha.png").write_bytes(_png_of_16_bit_grey_with_alpha())
    for file in sorted(tmp_path.iterdir()):
        _refused(file, "more than 8 bits|not an image")
    _refused(tmp_path / "grey.png", "more than 8 bits a channel; save it as 8-bit")
    _refused(tmp_path / "colour.png", "more than 8 bits a channel; save it as 8-bit")
    _refused(tmp_path / "grey.tiff", "more than 8 bits a channel; save it as 8-bit")


def _png_of_16_bit_grey_with_alpha() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(range(16)) for _ in range(4))
    header = struct.pack(">IIBBBBB", 4, 4, 16, 4, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("not a picture at all")
    _refused(tmp_path / "notes.png", "not an image")
    _refused(tmp_path / "absent.png", "cannot be read .No such file")
    (tmp_path / "folder.png").mkdir()
    _refused(tmp_path / "folder.png", "cannot be read .Is a directory")


def test_a_flipped_byte_in_a_png_is_refused(tmp_path: Path) -> None:
    content = bytearray(png_bytes(COLOUR))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(ImageError, match="camera 1: damaged image"):
        decode_image(bytes(content), "camera 1")


def test_only_image_endings_are_listed_in_name_order(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "c.txt", ".hidden.png", "d.tiff", "recipe.json", "e"):
        (tmp_path / name).touch()
    assert [file.name for file in list_images(tmp_path)] == ["a.jpg", "b.PNG", "d.tiff"]
    with pytest.raises(ImageError, match="no such folder"):
        list_images(tmp_path / "absent")
