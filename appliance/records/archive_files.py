"""The archive's files: each frame as the camera gave it, and its anomaly map, by day and under a quota.

    2026-11-22/3-<epoch>-<seq>-<reason, or pass>.png    the frame, lossless; grey stays grey
    2026-11-22/3-<epoch>-<seq>-<reason, or pass>.npz    `map` (H, W) float32 as it was judged, and `region`, the frame's
                                                        (x, y, width, height) that it covers; absent where there was no map

Lines may share a folder: a line counts and removes only what bears its name.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from appliance.messages.schema import Verdict
from engines.common.errors import ImageError
from engines.pictures.geometry import Box, Pixels

Map = npt.NDArray[np.float32]
# Noise of a camera has no repeated strings: Huffman coding alone takes half the time of the fastest search for them, and
# the files are smaller by a tenth.
PNG = (
    cv2.IMWRITE_PNG_COMPRESSION, 1,
    cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
    cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG,
)  # fmt: skip
DAY = re.compile(r"\d{4}-\d\d-\d\d")
COUNTED_AT_ONCE = 256  # files


def entry(folder: Path, verdict: Verdict) -> Path:
    """Where a verdict's files lie, without their suffix."""
    name = f"{verdict.line}-{verdict.epoch}-{verdict.seq:08d}-{verdict.reason or 'pass'}"
    return folder / verdict.decided[:10] / name


def encode(image: Pixels, frame_map: Map | None, region: Box, packed: bool) -> dict[str, bytes]:
    """The content of an entry's files by suffix, the map's first: where there is a frame, there is all.

    ``packed`` makes the frame's file half as large, and takes ten times as long. Raises ValueError or cv2.error for what is
    no picture.
    """
    files = {}
    if frame_map is not None:
        stream = io.BytesIO()
        np.savez(stream, map=frame_map, region=np.array(region))
        files[".npz"] = stream.getvalue()
    files[".png"] = _packed_png(image) if packed else _plain_png(image)
    return files


def _packed_png(image: Pixels) -> bytes:
    done, png = cv2.imencode(".png", image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR), PNG)
    if not done:
        raise ValueError("the frame cannot be written as PNG")
    return png.tobytes()


def _plain_png(image: Pixels) -> bytes:
    """Pixels as they are, in PNG's frame (ISO/IEC 15948). Libraries take as long for this as for packing; this does not."""
    height, width = image.shape[:2]
    rows = np.zeros((height, 1 + image.size // height), np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if image.ndim == 2 else 2, 0, 0, 0)  # 8 bits; 0: grey, 2: RGB
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.data, 0)), (b"IEND", b""))
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in chunks:
        parts += [struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))]
    return b"".join(parts)


def write(stem: Path, files: dict[str, bytes]) -> None:
    """Write an entry's files, all or none, and each whole. Raises OSError."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    names = [(stem.with_name(f".{stem.name}{suffix}"), stem.with_name(f"{stem.name}{suffix}")) for suffix in files]
    try:
        for (aside, _), content in zip(names, files.values(), strict=True):
            aside.write_bytes(content)
        for aside, file in names:
            aside.replace(file)
    finally:
        for aside, _ in names:
            aside.unlink(missing_ok=True)


def read_map(stem: Path) -> tuple[Map, Box] | None:
    """An entry's map, and the region of the frame that it covers; None where it has none.

    Raises ImageError for a damaged file.
    """
    file = stem.with_name(stem.name + ".npz")
    if not file.exists():
        return None
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            x, y, width, height = (int(value) for value in arrays["region"])
            return np.asarray(arrays["map"], np.float32), (x, y, width, height)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ImageError(f"{file}: damaged map ({error}); remove it, or restore it from a backup") from error


class Stock:
    """What a line's archive holds, and what goes first: the oldest passes, then the oldest rejects."""

    def __init__(self, folder: Path, line: str) -> None:
        self._folder = folder
        self._name = re.compile(rf"({re.escape(line)}-(\d+)-(\d{{8,}})-([a-z-]+))\.(?:png|npz)")
        self._bytes: dict[tuple[bool, str], int] = {}  # by (reject, day): passes sort first, and the oldest day of them
        self._next: deque[str] = deque()  # names to remove next, of the first group
        self._listed: tuple[bool, str] | None = None
        self._counted = False
        self._added: set[str] = set()  # names, while what was there before is being counted
        self.total = 0  # bytes

    def add(self, stem: Path, size: int) -> None:
        """Count an entry that was written."""
        if not self._counted:
            self._added.add(stem.name)
        self._change((not stem.name.endswith("-pass"), stem.parent.name), size)

    def count(self) -> Iterator[None]:
        """Count what is there already.

        Yields now and then, so that the caller can do more urgent work. Files that a killed line left half written go.
        """
        try:
            for day in sorted(day for day in _names(self._folder) if DAY.fullmatch(day)):
                for i, file in enumerate(os.scandir(self._folder / day)):
                    found = self._name.fullmatch(file.name.removeprefix("."))
                    if found and found[1] not in self._added:
                        with suppress(FileNotFoundError):  # somebody else removed it
                            if file.name.startswith("."):
                                Path(file).unlink()
                            else:
                                self._change((found[4] != "pass", day), file.stat().st_size)
                    if i % COUNTED_AT_ONCE == 0:
                        yield
        finally:
            self._counted = True
            self._added.clear()

    def remove_oldest(self) -> bool:
        """Remove the entry that goes first. Returns False when there is none."""
        while self._bytes:
            group = min(self._bytes)
            reject, day = group
            if group != self._listed or not self._next:
                self._listed, self._next = group, deque(self._entries(reject, day))
            if not self._next:  # somebody else removed them
                self._change(group, -self._bytes[group])
                continue
            name = self._next.popleft()
            self._change(group, -_remove(self._folder / day / f"{name}{suffix}" for suffix in (".png", ".npz")))
            return True
        return False

    def _change(self, group: tuple[bool, str], size: int) -> None:
        self.total += size
        self._bytes[group] = self._bytes.get(group, 0) + size
        if self._bytes[group] <= 0:
            self.total -= self._bytes.pop(group)
            day = self._folder / group[1]
            if day.is_dir() and not _names(day):
                day.rmdir()

    def _entries(self, reject: bool, day: str) -> list[str]:
        """Names of a day's entries, oldest first."""
        found = {match[1]: match for name in _names(self._folder / day) if (match := self._name.fullmatch(name))}
        wanted = [match for match in found.values() if (match[4] != "pass") == reject]
        return [match[1] for match in sorted(wanted, key=lambda match: (int(match[2]), int(match[3])))]


def _names(folder: Path) -> list[str]:
    return [file.name for file in os.scandir(folder)] if folder.is_dir() else []


def _remove(files: Iterable[Path]) -> int:
    """Remove files; returns how many bytes they had."""
    size = 0
    for file in files:
        if file.exists():
            size += file.stat().st_size
            file.unlink()
    return size
