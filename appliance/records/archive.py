"""The image archive: frames and maps of all rejects and of a sample of passes, kept so that they can be shown and replayed.

A thread of its own encodes and writes.  The decision loop only copies a frame into a buffer that is there already, and leaves
it out when all of them are in use.  A disk that is full, slow or gone is told as an alarm and changes nothing else.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections import deque
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from appliance.config.records import ArchiveConfig
from appliance.host.process_table import ARCHIVE
from appliance.host.time_limits import ARCHIVE_CALM_S, ARCHIVE_END_S
from appliance.messages.notices import Notify
from appliance.messages.schema import Verdict
from appliance.records.archive_files import Map, Stock, encode, entry, write
from engines.pictures.geometry import Box, Pixels

PLACES = 8  # frames that wait at most
PLACES_OF_REJECTS = 4  # of these, left to rejects when passes come in numbers
REMOVED_AT_ONCE = 64  # entries; a quota that was lowered is reached step by step, while frames go on to be written
PACKING_SHARE = 0.05  # of one core: engines need them; frames that come faster are written as they are
A = TypeVar("A", bound=npt.NDArray[np.generic])


def sampled(epoch: int, seq: int, share: float) -> bool:
    """Whether a pass is in the sample: the same answer at any time, and no rhythm that a machine's nests could have too."""
    digest = hashlib.blake2b(b"%d-%d" % (epoch, seq), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


class _Place:
    """Buffers for one frame and its map, made at first use."""

    def __init__(self) -> None:
        self._image: Pixels | None = None
        self._map: Map | None = None
        self.content: tuple[Verdict, Pixels, Map | None, Box] | None = None

    def take(self, verdict: Verdict, image: Pixels, frame_map: Map | None, region: Box) -> None:
        self._image = _copied(image, self._image)
        if frame_map is not None:
            self._map = _copied(frame_map, self._map)
        self.content = verdict, self._image, None if frame_map is None else self._map, region


class Archive:
    """Archives one line's frames; offered to by one thread."""

    def __init__(self, config: ArchiveConfig, line: str, notify: Notify) -> None:
        """``notify`` is told from the writer's thread what the disk refuses."""
        self._config, self._folder, self._notify = config, config.folder, notify
        self._stock = Stock(config.folder, line)
        self._free = deque(_Place() for _ in range(PLACES))
        self._queue: queue.SimpleQueue[_Place | None] = queue.SimpleQueue()
        self._crowded_out = 0  # by the decision loop: all places were in use
        self._refused = 0  # by the disk
        self._told: set[str] = set()
        self._refused_s = 0.0
        self._pack_from_s = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=ARCHIVE.name, daemon=True)
        self._thread.start()

    @property
    def left_out(self) -> int:
        """Frames that should be in the archive and are not."""
        return self._crowded_out + self._refused

    def offer(self, verdict: Verdict, image: Pixels, frame_map: Map | None, region: Box) -> None:
        """Have a reject, or a pass of the sample, archived if there is room for it; copies image and map.

        ``region`` is what the map covers of the frame.
        """
        if verdict.verdict == "reject":
            needed = 1
        elif sampled(verdict.epoch, verdict.seq, self._config.passes):
            needed = 1 + PLACES_OF_REJECTS
        else:
            return
        if len(self._free) < needed:
            self._crowded_out += 1
            self._refuse("frames come faster than they can be written")  # told here: a disk that hangs holds the writer
            return
        place = self._free.pop()  # the one used last: no more buffers are made than are needed
        place.take(verdict, image, frame_map, region)
        self._queue.put(place)

    def close(self) -> None:
        """Write what waits, and end; a disk that hangs is not waited for. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join(ARCHIVE_END_S)
        if self._thread.is_alive():
            self._refuse(f"the disk hangs, {PLACES - len(self._free)} are lost")

    def _run(self) -> None:
        ended = False
        try:
            for _ in self._stock.count():
                ended = self._write_next(wait=False)
                if ended:
                    break
        except OSError as error:
            self._refuse(_cause(error))
        while not ended:
            ended = self._write_next(wait=True)

    def _write_next(self, wait: bool) -> bool:
        """Write the next frame. Returns whether the end was asked for."""
        try:
            place = self._queue.get(wait)
        except queue.Empty:
            return False
        if place is None:
            return True
        try:
            self._write(place)
        except Exception as error:  # noqa: BLE001 - told as an alarm; a picture must never end the line, nor this thread
            self._refused += 1
            self._refuse(_cause(error))
        else:
            self._recover()
        finally:
            self._free.append(place)
        return False

    def _write(self, place: _Place) -> None:
        assert place.content is not None, "only a place that was filled is queued"
        verdict, image, frame_map, region = place.content
        self._folder.mkdir(parents=True, exist_ok=True)
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize < self._config.free_gb * 1e9:
            raise OSError(f"less than archive.free_gb = {self._config.free_gb:g} is free on its disk")
        begun_s = time.monotonic()
        packed = begun_s >= self._pack_from_s
        files = encode(image, frame_map, region, packed)
        if packed:
            ended_s = time.monotonic()
            self._pack_from_s = ended_s + (ended_s - begun_s) / PACKING_SHARE
        size = sum(len(content) for content in files.values())
        for _ in range(REMOVED_AT_ONCE):
            if self._stock.total + size <= self._config.quota_gb * 1e9 or not self._stock.remove_oldest():
                break
        stem = entry(self._folder, verdict)
        write(stem, files)
        self._stock.add(stem, size)

    def _refuse(self, cause: str) -> None:
        self._refused_s = time.monotonic()
        if cause not in self._told:
            self._told.add(cause)
            text = f"frames are not archived: {cause}; inspection goes on; see to the disk of {self._folder}"
            self._notify("warning", text, "archive-full")

    def _recover(self) -> None:
        if self._told and time.monotonic() - self._refused_s > ARCHIVE_CALM_S:
            self._told.clear()
            self._notify("info", f"frames are archived again; {self.left_out} were left out since the start", "archive-full")


def _copied(array: A, buffer: A | None) -> A:
    """The array's content, in the buffer if it fits."""
    if buffer is None or buffer.shape != array.shape:
        return array.copy()
    np.copyto(buffer, array)
    return buffer


def _cause(error: Exception) -> str:
    """Why, without the name of a single file: each cause is told once."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
